//! Plays what names a path.

use std::rc::Rc;

use sss_common::{Kind, Right, Timestamp};

use super::policy::Want;
use super::{Grant, Id, Model, Refused};
use crate::answer::{Answer, Expected};
use crate::step::{End, Mode, Path, READ, REDIRECT, Seat, To, USERS};

/// A grant's length when none is given, and the longest, on this server.
const DEFAULT_TTL: i64 = 24 * 3600 * 1000;

impl Model {
    pub(super) fn cat(&mut self, seat: Seat, path: &Path) -> Expected {
        match self.open(seat, path, READ) {
            Err(errno) => Expected::Is(Answer::Failed(errno)),
            Ok(handle) => {
                let answer = self.read(seat, &handle, 0, usize::MAX / 2);
                let _ = self.close(seat, &handle);
                answer
            }
        }
    }

    pub(super) fn put(&mut self, seat: Seat, path: &Path, bytes: &[u8]) -> Refused<Answer> {
        let handle = self.open(seat, path, REDIRECT)?;
        let now = self.now;
        if let Some(doc) = self.mount(seat).docs.get_mut(&handle.doc) {
            doc.write(0, bytes, now);
        }
        self.close(seat, &handle).map(|()| Answer::Done)
    }

    /// Nobody could be told later what became of it: what is refused is dropped, unless it is not this call's alone.
    pub(super) fn truncate(&mut self, seat: Seat, path: &Path, size: usize) -> Refused<Answer> {
        let id = self.walk(seat, path)?;
        let mode = Mode { truncate: false, create: false, ..REDIRECT };
        let handle = self.check_out(seat, id, mode)?;
        let (at, now) = (handle.doc, self.now);
        let mount = self.mount(seat);
        let alone = !mount.handles.values().any(|other| other.doc == at);
        let before = mount.docs.get(&at).cloned();
        if let Some(doc) = mount.docs.get_mut(&at) {
            doc.resize(size, now);
        }
        let answer = self.check_in(seat, at);
        if let Some(before) = before.filter(|before| answer.is_err() && alone && !before.dirty) {
            self.mount(seat).docs.insert(at, before);
        }
        self.left(seat, at);
        answer.map(|()| Answer::Done)
    }

    pub(super) fn mkdir(&mut self, seat: Seat, path: &Path) -> Refused<Answer> {
        let (folder, name) = self.walk_above(seat, path)?;
        if self.look_up(seat, folder, &name).is_ok() {
            return Err(libc::EEXIST);
        }
        let session = self.mount(seat).session;
        self.create(seat.user(), session, folder, &name, Kind::Folder, 0o755)?;
        Ok(Answer::Done)
    }

    pub(super) fn symlink(&mut self, seat: Seat, path: &Path, target: &str) -> Refused<Answer> {
        let (folder, name) = self.walk_above(seat, path)?;
        if self.look_up(seat, folder, &name).is_ok() {
            return Err(libc::EEXIST);
        }
        self.create_link(seat.user(), folder, &name, target)?;
        Ok(Answer::Done)
    }

    pub(super) fn readlink(&mut self, seat: Seat, path: &Path) -> Refused<Answer> {
        let id = self.walk(seat, path)?;
        if self.nodes[&id].kind != Kind::Symlink {
            return Err(libc::EINVAL);
        }
        self.decide(id, seat.user(), Want::Read)?;
        let node = &self.nodes[&id];
        let own = node.owner == seat.user() && node.author.is_none_or(|author| author == seat.user());
        let at_home = self.has_home_of(id, seat.user());
        if !((own && at_home) || self.stays_inside(seat.user(), id)?) {
            return Err(libc::EACCES);
        }
        Ok(Answer::Bytes(self.nodes[&id].content.to_vec()))
    }

    /// Whether a link leads to something in the mount, by the way that the kernel goes: over further links, whosever.
    fn stays_inside(&self, user: usize, link: Id) -> Refused<bool> {
        let parts = |id: Id| {
            let target = String::from_utf8_lossy(&self.nodes[&id].content).into_owned();
            target.split('/').rev().map(str::to_owned).collect::<Vec<_>>()
        };
        // From the user's own home, which is the root, through somebody else's; `None`: nobody knows what is there.
        let mut way: Vec<Option<Id>> = self.levels(link).into_iter().skip(1).rev().map(Some).collect();
        if !self.has_home_of(link, user) {
            way.insert(0, Some(user));
        }
        let (mut ahead, mut links) = (parts(link), 0);
        while let Some(name) = ahead.pop() {
            let owner = name.strip_prefix('@').filter(|_| way.len() == 1);
            let next = match (name.as_str(), owner, way.last().copied().flatten()) {
                ("..", ..) if way.len() <= 1 => return Ok(false),
                ("..", ..) => {
                    way.pop();
                    continue;
                }
                (_, Some(owner), _) => USERS.iter().position(|known| *known == owner),
                (_, None, Some(folder)) => self.child(folder, &name),
                (_, None, None) => None,
            };
            let next = next.filter(|id| self.visible(*id, user));
            match next {
                Some(home) if home == user => way.truncate(1),
                Some(id) if self.nodes[&id].kind == Kind::Symlink => {
                    links += 1;
                    if links > 40 {
                        return Err(libc::ELOOP);
                    }
                    match self.decide(id, user, Want::Read) {
                        Ok(()) => ahead.extend(parts(id)),
                        Err(_) => way.push(None),
                    }
                }
                next => way.push(next.filter(|id| self.nodes[id].is_folder())),
            }
        }
        Ok(true)
    }

    pub(super) fn unlink(&mut self, seat: Seat, path: &Path, folder: bool) -> Refused<Answer> {
        let place = self.walk_above(seat, path)?;
        let id = self.look_up(seat, place.0, &place.1)?;
        match (self.nodes[&id].is_folder(), folder) {
            (true, false) => return Err(libc::EISDIR),
            (false, true) => return Err(libc::ENOTDIR),
            _ => {}
        }
        self.remove(seat.user(), id)?;
        self.removed(seat, id, &place);
        Ok(Answer::Done)
    }

    pub(super) fn rename(&mut self, seat: Seat, from: &Path, to: &Path, keep: bool) -> Refused<Answer> {
        let (above, below) = (self.walk_above(seat, from)?, self.walk_above(seat, to)?);
        let id = self.look_up(seat, above.0, &above.1)?;
        let there = self.look_up(seat, below.0, &below.1).ok();
        if keep && there.is_some() {
            return Err(libc::EEXIST);
        }
        if from.is_above(to) {
            return Err(libc::EINVAL);
        }
        if to.is_above(from) {
            return Err(libc::ENOTEMPTY);
        }
        match there.map(|there| (self.nodes[&id].is_folder(), self.nodes[&there].is_folder())) {
            Some((true, false)) => return Err(libc::ENOTDIR),
            Some((false, true)) => return Err(libc::EISDIR),
            _ if there == Some(id) => return Ok(Answer::Done),
            _ => {}
        }
        let open = self.mount(seat).docs.iter().find(|(_, doc)| doc.is_current_of(id)).map(|(at, _)| *at);
        if let Some(at) = open {
            self.check_in(seat, at)?;
        }
        let was = self.nodes[&id].version;
        let session = self.mount(seat).session;
        let (stands, swapped) = self.move_node(seat.user(), session, id, (below.0, &below.1), keep)?;
        if let Some(swapped) = &swapped {
            self.swapped(seat, swapped);
        }
        self.renamed(seat, id, was, &above, below, stands);
        Ok(Answer::Done)
    }

    pub(super) fn stat(&mut self, seat: Seat, path: &Path) -> Expected {
        let id = match self.walk(seat, path) {
            Ok(id) => id,
            Err(errno) => return Expected::Is(Answer::Failed(errno)),
        };
        let (node, listed) = (&self.nodes[&id], self.listed(id, seat.user()));
        let (kind, size) = (node.kind, node.content.len() as u64);
        let open = self.mount(seat).current(id).map(|doc| doc.content.len() as u64).next();
        match open {
            // The size that the mount saw last, or none.
            None if !listed => Expected::Anything,
            open => Expected::Is(Answer::File { kind, size: open.unwrap_or(size) }),
        }
    }

    pub(super) fn list(&mut self, seat: Seat, path: &Path) -> Refused<Answer> {
        let (user, id) = (seat.user(), self.walk(seat, path)?);
        if !self.nodes[&id].is_folder() {
            return Err(libc::ENOTDIR);
        }
        let shown = self.children(id).into_iter().filter(|(_, child)| self.listed(*child, user));
        let mut names: Vec<String> = shown.map(|(name, _)| crate::answer::without_time(&name)).collect();
        if id == user {
            names.extend(self.homes(user).into_iter().map(|home| format!("@{}", USERS[home])));
        }
        names.sort();
        Ok(Answer::Lines(names))
    }

    pub(super) fn chmod(&mut self, seat: Seat, path: &Path, mode: u32) -> Refused<Answer> {
        let id = self.walk(seat, path)?;
        if self.nodes[&id].kind == Kind::Symlink {
            return Err(libc::ENOTSUP);
        }
        if let Some(doc) = self.mount(seat).current(id).find(|doc| doc.dirty && doc.owned) {
            doc.mode = Some(mode);
            doc.change(doc.time);
            return Ok(Answer::Done);
        }
        self.decide(id, seat.user(), Want::Own)?;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.mode = mode;
        }
        Ok(Answer::Done)
    }

    /// A draft takes the time along; else it is the server's to set.
    pub(super) fn touch(&mut self, seat: Seat, path: &Path, time: i64) -> Refused<Answer> {
        let id = self.walk(seat, path)?;
        if let Some(doc) = self.mount(seat).current(id).find(|doc| doc.dirty) {
            doc.change(time);
            return Ok(Answer::Done);
        }
        self.decide(id, seat.user(), Want::Write)?;
        let Some(node) = self.nodes.get_mut(&id) else { return Err(libc::ENOENT) };
        node.time = time;
        let version = node.version;
        self.lost_track |= self.mounts.values().any(|m| m.docs.values().any(|doc| doc.doubts(id, version)));
        Ok(Answer::Done)
    }

    pub(super) fn time(&mut self, seat: Seat, path: &Path) -> Expected {
        let id = match self.walk(seat, path) {
            Ok(id) => id,
            Err(errno) => return Expected::Is(Answer::Failed(errno)),
        };
        let (version, time, listed) =
            (self.nodes[&id].version, self.nodes[&id].time, self.listed(id, seat.user()));
        match self.mount(seat).current(id).next() {
            Some(doc) if doc.dirty => Expected::Is(Answer::Time(doc.time)),
            // The time that the mount saw last.
            Some(doc) if !doc.base_is(version) => Expected::Anything,
            _ if !listed => Expected::Anything,
            _ => Expected::Is(Answer::Time(time)),
        }
    }

    pub(super) fn flag(&mut self, seat: Seat, path: &Path, integrity: bool) -> Refused<Answer> {
        let (user, id) = (seat.user(), self.walk_to_attributes(seat, path)?);
        self.decide(id, user, Want::Own)?;
        let node = &self.nodes[&id];
        let (was, content, time) = (node.version, node.content.clone(), node.time);
        if node.integrity == Some(integrity) {
            return Ok(Answer::Done);
        }
        let committed = match node.is_folder() || was == 0 {
            true => Ok(was),
            false => self.commit(user, id, Rc::clone(&content), time, None),
        };
        if let Some(node) = self.nodes.get_mut(&id)
            && (committed.is_ok() || node.version > was)
        {
            node.integrity = Some(integrity);
        }
        committed?;
        self.reflagged(seat, id, was);
        Ok(Answer::Done)
    }

    pub(super) fn grant(
        &mut self,
        seat: Seat,
        path: &Path,
        to: To,
        right: Right,
        end: End,
    ) -> Refused<Answer> {
        let id = self.walk_to_attributes(seat, path)?;
        self.decide(id, seat.user(), Want::Share)?;
        let until = match end {
            End::In(seconds) => self.now + seconds.cast_signed() * 1000,
            End::Unsaid => self.now + DEFAULT_TTL,
            End::TooLate => return Err(libc::EINVAL),
        };
        let to = match to {
            To::User(user) => Some(user),
            To::All => None,
            To::Nobody => return Err(libc::EINVAL),
        };
        self.set_grant(
            seat.user(),
            id,
            Grant { to, right, since: self.now, until, revoked: None, by_maker: false },
        )?;
        Ok(Answer::Done)
    }

    pub(super) fn take_back(&mut self, seat: Seat, path: &Path, to: To) -> Refused<Answer> {
        let id = self.walk_to_attributes(seat, path)?;
        self.decide(id, seat.user(), Want::Share)?;
        let to = match to {
            To::User(user) => Some(user),
            To::All => None,
            To::Nobody => return Err(libc::ENODATA),
        };
        self.revoke(seat.user(), id, to).map(|()| Answer::Done)
    }

    pub(super) fn grants(&mut self, seat: Seat, path: &Path) -> Refused<Answer> {
        let id = self.walk(seat, path)?;
        let line = |(to, right, until): (Option<usize>, Right, i64)| {
            format!("{} {right},{}", to.map_or("ALL", |to| USERS[to]), Timestamp(until))
        };
        let mut lines: Vec<String> = self.grants_shown(seat.user(), id).into_iter().map(line).collect();
        lines.sort();
        Ok(Answer::Lines(lines))
    }
}

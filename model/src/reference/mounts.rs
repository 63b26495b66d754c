//! What a mount adds to the server: handles, drafts, and what becomes of a draft that is refused.
//!
//! A [`Doc`] is what is open of one document at one version, shared by all handles of its mount. Own check-ins move it on; a
//! version that came from elsewhere is opened as another one, and this one goes on showing what it showed.

use std::collections::BTreeMap;
use std::rc::Rc;

use sss_common::Kind;

use super::policy::Want;
use super::server::Swapped;
use super::{Id, Model, Refused};
use crate::step::{Mode, Path, SEATS, Seat, USERS};

/// A folder and a name in it.
type Place = (Id, String);

#[derive(Default)]
pub(super) struct Mount {
    pub(super) session: usize,
    /// What everything is answered with since the session ended.
    pub(super) dead: Option<i32>,
    pub(super) docs: BTreeMap<usize, Doc>,
    pub(super) handles: BTreeMap<u8, Handle>,
    /// Which node was seen last under a name.
    names: BTreeMap<Place, Id>,
    places: BTreeMap<Id, Place>,
    next: usize,
}

#[derive(Clone)]
pub(super) struct Handle {
    pub(super) doc: usize,
    pub(super) mode: Mode,
    /// Made by this `open`, and not closed since.
    untouched: bool,
}

#[derive(Clone)]
pub(super) struct Doc {
    pub(super) node: Id,
    base: u64,
    pub(super) content: Vec<u8>,
    /// Which bytes are the draft's own.
    written: Vec<bool>,
    pub(super) dirty: bool,
    /// What is dirty was committed, and the answer was lost: the next check-in finds that out.
    in_doubt: bool,
    pub(super) mode: Option<u32>,
    /// When the draft changed last, unless it was told another time.
    pub(super) time: i64,
    /// Its draft was refused for good: every `close` says so from then on.
    lost: Option<i32>,
    /// This mount deleted it.
    pub(super) unlinked: bool,
    /// Another open would not be one of this.
    retired: bool,
    /// Its user is an owner, and is believed to be one.
    pub(super) owned: bool,
    /// Its user made it: nobody can take the right to read away.
    pub(super) own: bool,
    /// The server holds the version for the mount.
    pub(super) pinned: bool,
    place: Place,
}

impl Doc {
    /// Whether it can be read and written still.
    pub(super) fn usable(&self) -> Refused<()> {
        self.lost.map_or(Ok(()), Err)
    }

    /// Whether nobody holds the version that this shows, while another is current.
    pub(super) fn may_be_gone(&self, current: u64) -> bool {
        !self.pinned && self.base != current
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    pub(super) fn base_is(&self, version: u64) -> bool {
        self.base == version
    }

    /// Whether it is this version that the server may or may not have.
    pub(super) fn doubts(&self, id: Id, version: u64) -> bool {
        self.in_doubt && self.node == id && self.base == version
    }

    /// Takes something into the draft.
    pub(super) fn change(&mut self, time: i64) {
        (self.dirty, self.in_doubt, self.time) = (true, false, time);
    }

    pub(super) fn resize(&mut self, size: usize, now: i64) {
        self.content.resize(size, 0);
        self.written.resize(size, true);
        self.change(now);
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8], now: i64) {
        let end = at + bytes.len();
        if self.content.len() < end {
            self.resize(end, now);
        }
        self.content[at..end].copy_from_slice(bytes);
        self.written[at..end].fill(true);
        self.change(now);
    }
}

impl Model {
    /// The node at a path as the mount's kernel walks there.
    pub(super) fn walk(&mut self, seat: Seat, path: &Path) -> Refused<Id> {
        let user = seat.user();
        if path.home != user && !self.visible(path.home, user) {
            return Err(libc::ENOENT);
        }
        let mut at = path.home;
        for name in &path.names {
            if !self.nodes[&at].is_folder() {
                return Err(libc::ENOTDIR);
            }
            at = self.look_up(seat, at, name)?;
        }
        Ok(at)
    }

    /// The folder of a path, and the name in it.
    pub(super) fn walk_above(&mut self, seat: Seat, path: &Path) -> Refused<Place> {
        let Some((above, name)) = path.split() else { return Err(libc::EINVAL) };
        let folder = self.walk(seat, &above)?;
        if self.nodes[&folder].is_folder() { Ok((folder, name.into())) } else { Err(libc::ENOTDIR) }
    }

    pub(super) fn look_up(&mut self, seat: Seat, folder: Id, name: &str) -> Refused<Id> {
        let found = self.child(folder, name).filter(|id| self.visible(*id, seat.user()));
        match found {
            Some(id) => self.saw(seat, id, (folder, name.into())),
            None => self.vanished(seat, &(folder, name.into())),
        }
        found.ok_or(libc::ENOENT)
    }

    pub(super) fn mount(&mut self, seat: Seat) -> &mut Mount {
        self.mounts.entry(seat).or_default()
    }

    /// The server showed a node under a name.
    fn saw(&mut self, seat: Seat, id: Id, place: Place) {
        let version = if self.listed(id, seat.user()) { self.nodes[&id].version } else { 0 };
        let mount = self.mount(seat);
        for doc in mount.docs.values_mut().filter(|doc| doc.node == id && !doc.retired) {
            doc.retired = version > doc.base;
        }
        mount.name(id, place);
    }

    /// The server showed nothing under a name.
    fn vanished(&mut self, seat: Seat, place: &Place) {
        let mount = self.mount(seat);
        if let Some(id) = mount.names.remove(place) {
            mount.current(id).for_each(|doc| doc.retired = true);
        }
    }

    pub(super) fn open(&mut self, seat: Seat, path: &Path, mode: Mode) -> Refused<Handle> {
        let (folder, name) = self.walk_above(seat, path)?;
        match self.look_up(seat, folder, &name) {
            Ok(id) => self.check_out(seat, id, mode),
            Err(_) if mode.create => self.create_open(seat, (folder, name), mode),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn create_open(&mut self, seat: Seat, place: Place, mode: Mode) -> Refused<Handle> {
        let (user, session) = (seat.user(), self.mount(seat).session);
        let (id, swapped) = self.create(user, session, place.0, &place.1, Kind::File, 0o644)?;
        let untouched = swapped.is_none_or(|swapped| {
            self.swapped(seat, &swapped);
            swapped.was == 0
        });
        self.saw(seat, id, place.clone());
        let doc = self.join(seat, id, place, false);
        let now = self.now;
        if let Some(doc) = self.mount(seat).docs.get_mut(&doc) {
            doc.resize(0, now);
        }
        Ok(Handle { doc, mode, untouched })
    }

    pub(super) fn check_out(&mut self, seat: Seat, id: Id, mode: Mode) -> Refused<Handle> {
        let user = seat.user();
        match self.nodes[&id].kind {
            Kind::Folder => return Err(libc::EISDIR),
            Kind::Symlink => return Err(libc::ELOOP),
            Kind::File => {}
        }
        if mode.read {
            self.decide(id, user, Want::Read)?;
        }
        if mode.write {
            self.decide(id, user, Want::Write)?;
        }
        let bits = self.nodes[&id].mode;
        if self.owns(id, user) && ((mode.read && bits & 0o400 == 0) || (mode.write && bits & 0o200 == 0)) {
            return Err(libc::EACCES);
        }
        let place = self.nodes[&id].place.clone().unwrap_or((id, String::new()));
        let at = self.join(seat, id, place, true);
        let now = self.now;
        if let Some(doc) =
            self.mount(seat).docs.get_mut(&at).filter(|doc| mode.truncate && !doc.content.is_empty())
        {
            doc.resize(0, now);
        }
        Ok(Handle { doc: at, mode, untouched: false })
    }

    /// What is open of the current version, or a new one of it.
    fn join(&mut self, seat: Seat, id: Id, place: Place, pinned: bool) -> usize {
        let node = &self.nodes[&id];
        let (base, content) = (node.version, node.content.to_vec());
        let (owned, own) = (self.owns(id, seat.user()), self.nodes[&id].owner == seat.user());
        let mount = self.mount(seat);
        if let Some((at, doc)) = mount.docs.iter_mut().find(|(_, doc)| doc.node == id && !doc.retired) {
            doc.owned = owned;
            doc.pinned |= pinned;
            return *at;
        }
        let written = vec![false; content.len()];
        let doc = Doc {
            node: id,
            base,
            content,
            written,
            dirty: false,
            in_doubt: false,
            mode: None,
            time: 0,
            lost: None,
            unlinked: false,
            retired: false,
            owned,
            own,
            pinned,
            place,
        };
        mount.next += 1;
        mount.docs.insert(mount.next, doc);
        mount.next
    }

    /// `close`, `fsync`: answers what a program hears.
    pub(super) fn check_in(&mut self, seat: Seat, at: usize) -> Refused<()> {
        let user = seat.user();
        let Some(mount) = self.mounts.get(&seat) else { return Ok(()) };
        let Some(doc) = mount.docs.get(&at).cloned() else { return Ok(()) };
        if let Some(errno) = doc.lost {
            return Err(errno);
        }
        if !doc.dirty || doc.unlinked {
            return Ok(());
        }
        if let Some(errno) = mount.dead {
            return Err(errno);
        }
        if let Err(errno) = self.decide(doc.node, user, Want::Write) {
            return self.keep(seat, at, if errno == libc::ENOENT { libc::ESTALE } else { errno });
        }
        if self.nodes[&doc.node].version != doc.base {
            return self.keep(seat, at, libc::ESTALE);
        }
        if doc.in_doubt {
            if let Some(doc) = self.mount(seat).docs.get_mut(&at) {
                (doc.dirty, doc.in_doubt, doc.pinned) = (false, false, false);
            }
            return Ok(());
        }
        let before = self.nodes[&doc.node].version;
        let committed = self.commit(user, doc.node, Rc::new(doc.content.clone()), doc.time, None);
        let owned = self.owns(doc.node, user);
        let Some(node) = self.nodes.get_mut(&doc.node) else { return Ok(()) };
        // Also a version whose answer was lost is the draft's own, and the next `close` finds that out.
        if node.version == before {
            return committed.map(drop);
        }
        if let Some(mode) = doc.mode.filter(|_| owned) {
            node.mode = mode;
        }
        let version = node.version;
        if let Some(doc) = self.mount(seat).docs.get_mut(&at) {
            doc.base = version;
            doc.written.fill(false);
            (doc.dirty, doc.in_doubt) = (committed.is_err(), committed.is_err());
            doc.pinned |= committed.is_ok();
            doc.mode = None;
            doc.owned = owned;
        }
        committed.map(drop)
    }

    /// Keeps a refused draft beside its document, or in its user's home.
    fn keep(&mut self, seat: Seat, at: usize, errno: i32) -> Refused<()> {
        let Some(doc) = self.mount(seat).docs.get(&at).cloned() else { return Ok(()) };
        let (user, session) = (seat.user(), self.mount(seat).session);
        let mut content = doc.content.clone();
        let partly = doc.written.contains(&false);
        self.lost_track |=
            partly && self.nodes.get(&doc.node).is_some_and(|node| doc.may_be_gone(node.version));
        if self.decide(doc.node, user, Want::Read).is_err() {
            let of_base = content.iter_mut().zip(&doc.written).filter(|(_, written)| !**written);
            of_base.for_each(|(byte, _)| *byte = 0);
        }
        let (uid, machine, number) = (USERS[user], SEATS[seat.0].1, self.next);
        let name = format!("{} (conflict {uid} {machine} {number})", doc.place.1);
        let beside = self.create(user, session, doc.place.0, &name, Kind::File, 0o600);
        let made = match beside {
            Err(_) if doc.place.0 != user => self.create(user, session, user, &name, Kind::File, 0o600),
            made => made,
        };
        let kept = made.and_then(|(copy, _)| {
            let seen = self.nodes.contains_key(&doc.node) && self.visible(doc.node, user);
            self.limit(copy, seen.then_some(doc.node));
            self.commit(user, copy, Rc::new(content), doc.time, None).inspect_err(|_| {
                self.nodes.remove(&copy);
            })
        });
        if kept.is_ok()
            && let Some(doc) = self.mount(seat).docs.get_mut(&at)
        {
            (doc.lost, doc.dirty, doc.retired) = (Some(errno), false, true);
        }
        Err(errno)
    }

    /// `close`, and the end of the handle: what is still dirty is tried once more.
    pub(super) fn close(&mut self, seat: Seat, handle: &Handle) -> Refused<()> {
        let at = handle.doc;
        let empty = |doc: &Doc| doc.content.is_empty() && doc.lost.is_none();
        let empty = self.mount(seat).docs.get(&at).is_none_or(empty);
        let answer = match handle {
            Handle { untouched: true, .. } if empty => Ok(()),
            Handle { mode: Mode { write: true, .. }, .. } => self.check_in(seat, at),
            _ => Ok(()),
        };
        let mount = self.mount(seat);
        let others = mount.handles.values().any(|other| other.doc == at && other.mode.write);
        let dirty = mount.docs.get(&at).is_some_and(|doc| doc.dirty && !doc.unlinked);
        if handle.mode.write && dirty && !others {
            let _ = self.check_in(seat, at);
        }
        self.left(seat, at);
        answer
    }

    /// What nobody has open and has nothing to save goes.
    pub(super) fn left(&mut self, seat: Seat, at: usize) {
        let mount = self.mount(seat);
        let open = mount.handles.values().any(|other| other.doc == at);
        if !open && mount.docs.get(&at).is_some_and(|doc| !doc.dirty || doc.unlinked) {
            mount.docs.remove(&at);
        }
    }

    pub(super) fn removed(&mut self, seat: Seat, id: Id, place: &Place) {
        let mount = self.mount(seat);
        mount.names.remove(place);
        for doc in mount.current(id) {
            (doc.unlinked, doc.retired) = (true, true);
        }
    }

    /// This mount's own rename of `id` succeeded; `stands` is what the name belongs to now.
    pub(super) fn renamed(&mut self, seat: Seat, id: Id, was: u64, from: &Place, to: Place, stands: Id) {
        let (version, owned) = (self.nodes[&stands].version, self.owns(stands, seat.user()));
        let mount = self.mount(seat);
        mount.names.remove(from);
        if let Some(target) = mount.names.remove(&to).filter(|target| *target != id) {
            mount.current(target).for_each(|doc| doc.retired = true);
        }
        mount.rebind(id, was, (stands, version), owned);
        mount.name(stands, to);
    }

    /// An editor's save: what the mount knows as the backup is another node now.
    pub(super) fn swapped(&mut self, seat: Seat, swapped: &Swapped) {
        let (version, owned) = (self.nodes[&swapped.copy].version, self.owns(swapped.copy, seat.user()));
        let place = self.nodes[&swapped.copy].place.clone();
        let mount = self.mount(seat);
        mount.rebind(swapped.document, swapped.was, (swapped.copy, version), owned);
        if let Some(place) = place {
            mount.name(swapped.copy, place);
        }
    }

    /// This mount gave a document the other flag, which is a version of its own.
    pub(super) fn reflagged(&mut self, seat: Seat, id: Id, was: u64) {
        let (version, owned) = (self.nodes[&id].version, self.owns(id, seat.user()));
        self.mount(seat).rebind(id, was, (id, version), owned);
    }
}

impl Mount {
    /// What another open of a node would join.
    pub(super) fn current(&mut self, id: Id) -> impl Iterator<Item = &mut Doc> {
        self.docs.values_mut().filter(move |doc| doc.node == id && !doc.retired)
    }

    fn name(&mut self, id: Id, place: Place) {
        if let Some(before) = self.places.insert(id, place.clone())
            && before != place
            && self.names.get(&before) == Some(&id)
        {
            self.names.remove(&before);
        }
        self.names.insert(place.clone(), id);
        self.current(id).for_each(|doc| doc.place = place.clone());
    }

    /// What is open of `id` at the version `was` is open of another node or version from now on: its content is the same.
    fn rebind(&mut self, id: Id, was: u64, to: (Id, u64), owned: bool) {
        let moved: Vec<usize> =
            self.docs.iter().filter(|(_, doc)| doc.node == id && !doc.retired).map(|(at, _)| *at).collect();
        for (at, doc) in &mut self.docs {
            if !moved.contains(at) {
                doc.retired |= doc.node == to.0;
            } else if doc.base == was {
                (doc.node, doc.base, doc.owned) = (to.0, to.1, owned);
            } else {
                doc.retired = true;
            }
        }
    }
}

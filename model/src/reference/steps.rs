//! Plays a step.

use super::policy::Want;
use super::{Model, Refused};
use crate::answer::{Answer, Expected};
use crate::step::{Seat, Step};

impl Model {
    /// What a step changes, and what it must be answered with.
    pub fn play(&mut self, step: &Step) -> Expected {
        if let Step::Failing(fault, step) = step {
            self.fault = Some(*fault);
            let expected = self.play(step);
            self.fault = None;
            return expected;
        }
        let Some(seat) = seat_of(step) else { return self.play_outside(step) };
        if let Step::Mount(seat) = step {
            return is(self.log_in(*seat));
        }
        let Some(mount) = self.mounts.get(&seat) else { return Expected::Is(Answer::Skipped) };
        let dead = mount.dead;
        match step {
            Step::Unmount(_) => {
                let answer = self.unmount(seat);
                if dead.is_some() { Expected::Anything } else { is(answer) }
            }
            Step::Retry(_) => {
                self.retry(seat);
                Expected::Is(Answer::Done)
            }
            _ if handle_of(step).is_some() => self.play_on_handle(seat, dead, step),
            // A mount whose session is over shows the names that it knows, and opens nothing.
            Step::Stat { .. } | Step::Time { .. } | Step::Rename { .. } if dead.is_some() => {
                Expected::Anything
            }
            // What was a link has none, whoever asks.
            Step::Attributes { .. } | Step::Grants { .. } if dead.is_some() => Expected::FailureOrNone,
            // A draft takes both, and is not saved any more.
            Step::Touch { .. } | Step::Chmod { .. } if dead.is_some() => Expected::Anything,
            _ if dead.is_some() => Expected::SomeFailure,
            _ => self.play_on_path(seat, step),
        }
    }

    fn play_outside(&mut self, step: &Step) -> Expected {
        match step {
            Step::Wait(seconds) => self.now += seconds.cast_signed() * 1000,
            Step::Disable(user) => {
                self.disabled[*user] = true;
                self.end_session(*user, libc::EKEYEXPIRED);
            }
            Step::Enable(user) => self.disabled[*user] = false,
            Step::Restart => self.vacated.clear(),
            _ => {}
        }
        Expected::Is(Answer::Done)
    }

    fn end_session(&mut self, user: usize, errno: i32) {
        let Some(session) = self.live[user].take() else { return };
        for mount in self.mounts.values_mut().filter(|mount| mount.session == session) {
            mount.dead = Some(errno);
        }
    }

    fn log_in(&mut self, seat: Seat) -> Refused<Answer> {
        self.mounts.remove(&seat);
        let user = seat.user();
        if self.disabled[user] {
            return Err(libc::EKEYEXPIRED);
        }
        self.end_session(user, libc::EKEYREVOKED);
        self.sessions += 1;
        self.live[user] = Some(self.sessions);
        let session = self.sessions;
        self.mount(seat).session = session;
        Ok(Answer::Done)
    }

    /// Answers what could not be saved.
    fn unmount(&mut self, seat: Seat) -> Refused<Answer> {
        let dirty = |mount: &super::Mount| {
            let unsaved = mount.docs.iter().filter(|(_, doc)| doc.dirty && !doc.unlinked);
            unsaved.map(|(at, _)| *at).collect::<Vec<_>>()
        };
        let unsaved = self.mounts.get(&seat).map(dirty).unwrap_or_default();
        let failed = unsaved.into_iter().filter_map(|at| self.check_in(seat, at).err());
        let mut failed: Vec<String> = failed.map(|errno| errno.to_string()).collect();
        failed.sort();
        if let Some(mount) = self.mounts.remove(&seat)
            && self.live[seat.user()] == Some(mount.session)
        {
            self.live[seat.user()] = None;
        }
        Ok(Answer::Lines(failed))
    }

    fn retry(&mut self, seat: Seat) {
        let mount = self.mount(seat);
        let open: Vec<usize> = mount.handles.values().map(|handle| handle.doc).collect();
        let closed: Vec<usize> = mount.docs.keys().copied().filter(|at| !open.contains(at)).collect();
        for at in closed {
            let _ = self.check_in(seat, at);
            self.left(seat, at);
        }
    }

    fn play_on_handle(&mut self, seat: Seat, dead: Option<i32>, step: &Step) -> Expected {
        let number = handle_of(step).unwrap_or_default();
        let there = self.mount(seat).handles.get(&number).cloned();
        if let Step::Open { path, mode, .. } = step {
            if there.is_some() {
                return Expected::Is(Answer::Skipped);
            }
            if dead.is_some() {
                return Expected::SomeFailure;
            }
            let opened = self.open(seat, path, *mode);
            return is(opened.map(|handle| {
                self.mount(seat).handles.insert(number, handle);
                Answer::Done
            }));
        }
        let Some(handle) = there else { return Expected::Is(Answer::Skipped) };
        let revoked = dead.filter(|errno| *errno == libc::EKEYREVOKED);
        match step {
            Step::Sync { .. } => is(self.check_in(seat, handle.doc).map(|()| Answer::Done)),
            Step::Close { .. } => {
                self.mount(seat).handles.remove(&number);
                is(self.close(seat, &handle).map(|()| Answer::Done))
            }
            Step::Read { .. } if !handle.mode.read => Expected::Is(Answer::Failed(libc::EBADF)),
            Step::Read { at, length, .. } => match revoked {
                Some(errno) => Expected::Is(Answer::Failed(errno)),
                None => self.read(seat, &handle, *at, *length),
            },
            _ if !handle.mode.write => Expected::Is(Answer::Failed(libc::EBADF)),
            _ => match revoked {
                Some(errno) => Expected::Is(Answer::Failed(errno)),
                None => is(self.change(seat, handle.doc, step)),
            },
        }
    }

    /// Into the draft; nobody is asked.
    fn change(&mut self, seat: Seat, at: usize, step: &Step) -> Refused<Answer> {
        let now = self.now;
        let Some(doc) = self.mount(seat).docs.get_mut(&at) else { return Err(libc::EBADF) };
        doc.usable()?;
        match step {
            Step::Write { at, data, .. } => doc.write(*at, &data.bytes(), now),
            Step::Append { data, .. } => doc.write(doc.content.len(), &data.bytes(), now),
            Step::Resize { size, .. } => doc.resize(*size, now),
            _ => {}
        }
        Ok(Answer::Done)
    }

    pub(super) fn read(
        &mut self,
        seat: Seat,
        handle: &super::mounts::Handle,
        at: usize,
        length: usize,
    ) -> Expected {
        let failed = |errno| Answer::Failed(errno);
        let dead = self.mount(seat).dead;
        let Some(doc) = self.mount(seat).docs.get(&handle.doc).cloned() else { return Expected::Anything };
        self.lost_track |= self.nodes.get(&doc.node).is_some_and(|node| doc.may_be_gone(node.version));
        let from = at.min(doc.content.len());
        let bytes = Answer::Bytes(doc.content[from..(at + length).min(doc.content.len()).max(from)].to_vec());
        let right = match dead {
            Some(errno) => Err(errno),
            None => self.decide(doc.node, seat.user(), Want::Read),
        };
        let right = right.map_err(|errno| if errno == libc::ENOENT { libc::ESTALE } else { errno });
        let unsaid = doc.usable().err();
        match (right, unsaid) {
            // What is here of a document that was deleted, or whose owner is logged out, may be read on.
            _ if doc.unlinked => Expected::Either(bytes, failed(libc::ESTALE)),
            (Err(errno), None) if doc.own && (dead.is_some() || errno == libc::ESTALE) => {
                Expected::Either(bytes, failed(errno))
            }
            (_, Some(errno)) if doc.own => Expected::Is(failed(errno)),
            (Err(errno), _) => Expected::Is(failed(errno)),
            (Ok(()), Some(errno)) => Expected::Is(failed(errno)),
            (Ok(()), None) => Expected::Is(bytes),
        }
    }

    fn play_on_path(&mut self, seat: Seat, step: &Step) -> Expected {
        match step {
            Step::Cat { path, .. } => self.cat(seat, path),
            Step::Put { path, data, .. } => is(self.put(seat, path, &data.bytes())),
            Step::Truncate { path, size, .. } => is(self.truncate(seat, path, *size)),
            Step::Mkdir { path, .. } => is(self.mkdir(seat, path)),
            Step::Rmdir { path, .. } => is(self.unlink(seat, path, true)),
            Step::Unlink { path, .. } => is(self.unlink(seat, path, false)),
            Step::Symlink { path, target, .. } => is(self.symlink(seat, path, target)),
            Step::Readlink { path, .. } => is(self.readlink(seat, path)),
            Step::Rename { from, to, keep, .. } => is(self.rename(seat, from, to, *keep)),
            Step::Stat { path, .. } => self.stat(seat, path),
            Step::List { path, .. } => is(self.list(seat, path)),
            Step::Chmod { path, mode, .. } => is(self.chmod(seat, path, *mode)),
            Step::Touch { path, time, .. } => is(self.touch(seat, path, *time)),
            Step::Time { path, .. } => self.time(seat, path),
            Step::Flag { path, integrity, .. } => is(self.flag(seat, path, *integrity)),
            Step::SetAttribute { path, name, data, how, .. } => {
                is(self.set_attribute(seat, path, name, data.bytes(), *how))
            }
            Step::GetAttribute { path, name, .. } => is(self.attribute(seat, path, name)),
            Step::RemoveAttribute { path, name, .. } => is(self.remove_attribute(seat, path, name)),
            Step::Attributes { path, .. } => is(self.attributes(seat, path)),
            Step::Grant { path, to, right, end, .. } => is(self.grant(seat, path, *to, *right, *end)),
            Step::Revoke { path, to, .. } => is(self.take_back(seat, path, *to)),
            Step::Grants { path, .. } => is(self.grants(seat, path)),
            _ => Expected::Anything,
        }
    }
}

impl super::mounts::Doc {
    pub(super) fn is_current_of(&self, id: super::Id) -> bool {
        self.node == id && !self.is_retired()
    }
}

fn is(answer: Refused<Answer>) -> Expected {
    Expected::Is(answer.unwrap_or_else(Answer::Failed))
}

/// Who does it; nobody, where it happens outside of all mounts.
pub(crate) fn seat_of(step: &Step) -> Option<Seat> {
    match step {
        Step::Mount(seat) | Step::Unmount(seat) | Step::Retry(seat) => Some(*seat),
        Step::Open { seat, .. }
        | Step::Write { seat, .. }
        | Step::Append { seat, .. }
        | Step::Resize { seat, .. }
        | Step::Read { seat, .. }
        | Step::Sync { seat, .. }
        | Step::Close { seat, .. }
        | Step::Put { seat, .. }
        | Step::Cat { seat, .. }
        | Step::Truncate { seat, .. }
        | Step::Mkdir { seat, .. }
        | Step::Rmdir { seat, .. }
        | Step::Unlink { seat, .. }
        | Step::Symlink { seat, .. }
        | Step::Readlink { seat, .. }
        | Step::Rename { seat, .. }
        | Step::Stat { seat, .. }
        | Step::List { seat, .. }
        | Step::Chmod { seat, .. }
        | Step::Touch { seat, .. }
        | Step::Time { seat, .. }
        | Step::Flag { seat, .. }
        | Step::SetAttribute { seat, .. }
        | Step::GetAttribute { seat, .. }
        | Step::RemoveAttribute { seat, .. }
        | Step::Attributes { seat, .. }
        | Step::Grant { seat, .. }
        | Step::Revoke { seat, .. }
        | Step::Grants { seat, .. } => Some(*seat),
        Step::Failing(_, step) => seat_of(step),
        Step::Wait(_) | Step::Disable(_) | Step::Enable(_) | Step::Restart | Step::Maintain => None,
    }
}

/// Which handle it is done with.
fn handle_of(step: &Step) -> Option<u8> {
    match step {
        Step::Open { handle, .. }
        | Step::Write { handle, .. }
        | Step::Append { handle, .. }
        | Step::Resize { handle, .. }
        | Step::Read { handle, .. }
        | Step::Sync { handle, .. }
        | Step::Close { handle, .. } => Some(*handle),
        _ => None,
    }
}

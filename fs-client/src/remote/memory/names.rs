//! Renames on the server in this process, and the editors' rule.

use std::time::Duration;

use sss_common::wire::fs::{Pin, RenameRequest, RenameResponse, Swapped};
use sss_common::{Code, Kind, Name, NodeId, Right, Timestamp, Uid, Version};

use super::remote::MemoryRemote;
use super::{Result, State, Vacated, refuse};

/// How long a vacated name is remembered.
const EDITORS_WINDOW: Duration = Duration::from_secs(10);

impl MemoryRemote {
    /// A rename, in place or onto what stands there.
    pub(super) fn renamed(&self, request: RenameRequest) -> Result<RenameResponse> {
        let (mut state, now) = self.enter()?;
        let from = (request.parent, request.name.clone());
        let to = (request.new_parent, request.new_name.clone());
        let Some(id) = state.child(from.0, &from.1) else {
            return refuse(Code::NotFound, "no such document");
        };
        state.own(id, &self.uid, now)?;
        state.may_fill(to.0, &self.uid, now)?;
        if state.home_of(to.0) != state.home_of(id) {
            return refuse(Code::OtherHome, "documents stay in their home");
        }
        let content_of = Pin { node: id, version: state.node(id)?.version };
        let mut swapped = None;
        let mut target = state.child(to.0, &to.1);
        if target.is_none() && state.node(id)?.kind == Kind::File && !request.no_replace {
            swapped = state.refill(self.session, &to, Some(id), &self.uid, now)?;
            target = swapped.as_ref().map(|(document, _)| *document);
        }
        let stands = match target {
            Some(target) if target == id => id,
            Some(_) if request.no_replace => return refuse(Code::Exists, "the name is taken"),
            target => state.put_in_place(self, id, from, to, target, now)?,
        };
        let swapped = swapped.map(|(_, swapped)| swapped);
        Ok(RenameResponse { attr: state.attr(stands, &self.uid, now)?, content_of, swapped })
    }
}

impl State {
    /// Whether something may be put into a folder.
    pub(super) fn may_fill(&self, folder: NodeId, user: &Uid, now: Timestamp) -> Result<()> {
        self.see(folder, user, now)?;
        if self.node(folder)?.kind != Kind::Folder {
            return refuse(Code::NotFolder, "it is no folder");
        }
        self.allow(folder, user, now, Right::Checkin)
    }

    /// A node is gone, with its grants.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.nodes.remove(&id);
        self.grants.retain(|grant| grant.node != id);
    }

    /// A rename, once it is known that it may be. Answers what stands under the new name.
    pub(super) fn put_in_place(
        &mut self,
        session: &MemoryRemote,
        id: NodeId,
        from: (NodeId, Name),
        to: (NodeId, Name),
        target: Option<NodeId>,
        now: Timestamp,
    ) -> Result<NodeId> {
        let kind = self.node(id)?.kind;
        let is_folder = kind == Kind::Folder;
        let is_backup = from.0 == to.0 && from.1.has_backup(&to.1);
        if let Some(target) = target {
            let target_is_file = self.node(target)?.kind == Kind::File;
            match (is_folder, self.node(target)?.kind == Kind::Folder) {
                (true, false) => return refuse(Code::NotFolder, "the new name is no folder"),
                (false, true) => return refuse(Code::IsFolder, "the new name is a folder"),
                _ => {}
            }
            if !is_backup && target_is_file && kind == Kind::File {
                return self.check_in_onto(session, id, target, now);
            }
            self.delete(target, &session.uid, now)?;
            if !self.children(target).is_empty() {
                return refuse(Code::NotEmpty, "the folder has entries");
            }
        }
        if self.levels(to.0).contains(&id) {
            return refuse(Code::Loop, "a folder cannot be moved into itself");
        }
        let others =
            |other: &NodeId| self.nodes[other].owner != session.uid && self.levels(*other).contains(&id);
        if is_folder && from.0 != to.0 && !self.has_home_of(id, &session.uid) && self.nodes.keys().any(others)
        {
            return refuse(Code::NoRight, "a guest cannot move what others put into a folder of his");
        }
        if let Some(target) = target {
            self.forget(target);
        }
        self.touch(from.0, now.nanos());
        self.touch(to.0, now.nanos());
        if is_backup && kind == Kind::File {
            let (folder, name) = from;
            let (session, backup) = (session.session, to.1.clone());
            self.vacated.retain(|old| (old.folder, &old.name) != (folder, &name));
            self.vacated.push(Vacated { session, folder, name, backup, document: id, at: now });
        }
        self.node_mut(id)?.parent = Some(to);
        Ok(id)
    }

    /// What stands under the new name gets the content, and the source is gone.
    fn check_in_onto(
        &mut self,
        session: &MemoryRemote,
        id: NodeId,
        target: NodeId,
        now: Timestamp,
    ) -> Result<NodeId> {
        self.allow(target, &session.uid, now, Right::Checkin)?;
        let source = self.node(id)?;
        let (content, mtime_ns, mode) = (self.content(id, source.version)?, source.mtime_ns, source.mode);
        let before = self.node(target)?.version;
        let committed = self.commit(target, content, &session.uid, mtime_ns);
        let made = self.node(target)?.version;
        if made != before {
            if self.owns(target, &session.uid, now) {
                self.node_mut(target)?.mode = mode;
            }
            let xattrs = std::mem::take(&mut self.node_mut(id)?.xattrs);
            if !xattrs.is_empty() {
                self.node_mut(target)?.xattrs = xattrs;
            }
            let folder = self.node(id)?.parent.as_ref().map(|(folder, _)| *folder);
            self.forget(id);
            folder.into_iter().for_each(|folder| self.touch(folder, now.nanos()));
        }
        // Who had the target open keeps what it had: no pin moves on.
        committed?;
        Ok(target)
    }

    /// The editors' rule: the document that was moved away from this name a moment ago goes back, and a copy takes its
    /// place. `filler` is what the name is to be filled with, if that is there already.
    pub(super) fn refill(
        &mut self,
        session: u64,
        at: &(NodeId, Name),
        filler: Option<NodeId>,
        user: &Uid,
        now: Timestamp,
    ) -> Result<Option<(NodeId, Swapped)>> {
        let is = |v: &Vacated| v.session == session && v.folder == at.0 && v.name == at.1;
        let Some(found) = self.vacated.iter().position(is) else { return Ok(None) };
        let vacated = self.vacated.remove(found);
        let id = vacated.document;
        let fresh = now.since(vacated.at) <= EDITORS_WINDOW;
        let there = self.child(at.0, &vacated.backup) == Some(id) && self.child(at.0, &at.1).is_none();
        if !fresh || !there || filler == Some(id) {
            return Ok(None);
        }
        self.own(id, user, now)?;
        let node = self.node(id)?;
        let (content, mtime_ns) = (self.content(id, node.version)?, node.mtime_ns);
        let (mode, flag, version, author) = (node.mode, node.flag, node.version, node.author.clone());
        let place = (at.0, vacated.backup.clone());
        let copy = self.add(Some(place), Kind::File, user.clone(), mode, now.nanos());
        self.limit(copy, Some(id), now);
        self.touch(at.0, now.nanos());
        self.node_mut(copy)?.flag = flag;
        if version != Version::NONE {
            self.put(copy, content, &author.unwrap_or_else(|| user.clone()), mtime_ns)?;
        }
        self.node_mut(id)?.parent = Some(at.clone());
        let backup = self.attr(copy, user, now)?;
        let content_of = Pin { node: id, version };
        Ok(Some((id, Swapped { backup, content_of, folder: at.0, name: vacated.backup })))
    }
}

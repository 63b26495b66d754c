//! What a server does when it is asked. The user and the session are the caller's.

use std::collections::BTreeMap;
use std::rc::Rc;

use sss_common::{Kind, Name, Right};

use super::policy::Want;
use super::{Grant, Id, Model, Node, Refused, Vacated};
use crate::step::{Fault, USERS};

/// How long a vacated name is remembered.
const EDITORS_WINDOW: i64 = 10_000;

/// An editor's save put `document` back under its name and left `copy` under the backup's.
pub(super) struct Swapped {
    pub(super) document: Id,
    /// The version that both have.
    pub(super) was: u64,
    pub(super) copy: Id,
}

impl Model {
    pub(super) fn child(&self, folder: Id, name: &str) -> Option<Id> {
        let here = |node: &Node| node.place.as_ref().is_some_and(|(at, of)| *at == folder && of == name);
        self.nodes.iter().find(|(_, node)| here(node)).map(|(id, _)| *id)
    }

    pub(super) fn children(&self, folder: Id) -> Vec<(String, Id)> {
        let at = |node: &Node| node.place.clone().filter(|(at, _)| *at == folder);
        self.nodes.iter().filter_map(|(id, node)| Some((at(node)?.1, *id))).collect()
    }

    /// A folder changes with its entries.
    fn touch_folder(&mut self, folder: Id) {
        let now = self.now;
        if let Some(folder) = self.nodes.get_mut(&folder) {
            folder.time = now;
        }
    }

    fn add(&mut self, place: (Id, String), kind: Kind, owner: usize, mode: u32) -> Id {
        let id = self.next;
        self.next += 1;
        self.touch_folder(place.0);
        let inherited = self.nodes[&place.0].integrity;
        let integrity = if kind == Kind::Folder { inherited } else { Some(inherited.unwrap_or(false)) };
        let node = Node {
            place: Some(place),
            kind,
            owner,
            author: None,
            mode,
            integrity,
            time: self.now,
            version: 0,
            content: Rc::default(),
            attributes: BTreeMap::new(),
            grants: Vec::new(),
            limits: Vec::new(),
        };
        self.nodes.insert(id, node);
        id
    }

    pub(super) fn create(
        &mut self,
        user: usize,
        session: usize,
        folder: Id,
        name: &str,
        kind: Kind,
        mode: u32,
    ) -> Refused<(Id, Option<Swapped>)> {
        self.may_fill(user, folder)?;
        if kind == Kind::File
            && let Some(swapped) = self.refill(user, session, folder, name, None)
        {
            return Ok((swapped.document, Some(swapped)));
        }
        if self.child(folder, name).is_some() {
            return Err(libc::EEXIST);
        }
        let made = self.add((folder, name.into()), kind, user, mode);
        // An editor that copies a document to its backup's name.
        let original = |name: Name| self.child(folder, name.as_str());
        let backed_up = name.parse::<Name>().ok().and_then(|name| name.backed_up().find_map(original));
        let seen = |id: &Id| self.nodes[id].kind == Kind::File && self.visible(*id, user);
        if let Some(document) = backed_up.filter(seen).filter(|_| kind == Kind::File) {
            self.limit(made, Some(document));
        }
        Ok((made, None))
    }

    /// A link is there once its target is.
    pub(super) fn create_link(&mut self, user: usize, folder: Id, name: &str, target: &str) -> Refused<()> {
        self.may_fill(user, folder)?;
        if self.child(folder, name).is_some() {
            return Err(libc::EEXIST);
        }
        let before = self.nodes[&folder].time;
        let id = self.add((folder, name.into()), Kind::Symlink, user, 0o777);
        let committed = self.commit(user, id, Rc::new(target.into()), self.now, None);
        if self.nodes[&id].version == 0 {
            self.nodes.remove(&id);
            if let Some(folder) = self.nodes.get_mut(&folder) {
                folder.time = before;
            }
        }
        committed.map(drop)
    }

    fn may_fill(&self, user: usize, folder: Id) -> Refused<()> {
        if self.nodes.contains_key(&folder) && self.visible(folder, user) && !self.nodes[&folder].is_folder()
        {
            return Err(libc::ENOTDIR);
        }
        self.decide(folder, user, Want::Write)
    }

    /// The editors' rule.
    fn refill(
        &mut self,
        user: usize,
        session: usize,
        folder: Id,
        name: &str,
        filler: Option<Id>,
    ) -> Option<Swapped> {
        let matches = |v: &Vacated| v.session == session && v.folder == folder && v.name == name;
        let vacated = self.vacated.remove(self.vacated.iter().position(matches)?);
        let document = vacated.document;
        let fresh = self.now - vacated.at <= EDITORS_WINDOW;
        let still_there = self.child(folder, &vacated.backup) == Some(document);
        if !fresh || filler == Some(document) || !still_there || self.child(folder, name).is_some() {
            return None;
        }
        let (mode, was) = (self.nodes[&document].mode, self.nodes[&document].version);
        let copy = self.add((folder, vacated.backup.clone()), Kind::File, user, mode);
        self.limit(copy, Some(document));
        let (author, integrity, content, time) = {
            let node = &self.nodes[&document];
            (node.author, node.integrity, node.content.clone(), node.time)
        };
        if let Some(copied) = self.nodes.get_mut(&copy) {
            (copied.author, copied.integrity, copied.content) = (author, integrity, content);
            copied.version = u64::from(was > 0);
            copied.time = if was > 0 { time } else { copied.time };
        }
        if let Some(node) = self.nodes.get_mut(&document) {
            node.place = Some((folder, name.into()));
        }
        Some(Swapped { document, was, copy })
    }

    /// Makes a version current, unless the database fails.
    pub(super) fn commit(
        &mut self,
        user: usize,
        id: Id,
        content: Rc<Vec<u8>>,
        time: i64,
        consumes: Option<Id>,
    ) -> Refused<u64> {
        let fault = self.fault.take();
        match fault {
            Some(Fault::Full) => return Err(libc::ENOSPC),
            Some(Fault::Backend) => return Err(libc::EIO),
            Some(Fault::Late) | None => {}
        }
        let Some(node) = self.nodes.get_mut(&id) else { return Err(libc::ENOENT) };
        node.version += 1;
        node.author = Some(user);
        node.content = content;
        node.time = time;
        let version = node.version;
        if let Some(consumed) = consumes.and_then(|consumed| self.nodes.remove(&consumed)) {
            // A new content brings its attributes along; one that has none leaves those that are there.
            if !consumed.attributes.is_empty()
                && let Some(node) = self.nodes.get_mut(&id)
            {
                node.attributes = consumed.attributes;
            }
            if let Some((folder, _)) = consumed.place {
                self.touch_folder(folder);
            }
        }
        if fault.is_some() { Err(libc::EIO) } else { Ok(version) }
    }

    pub(super) fn remove(&mut self, user: usize, id: Id) -> Refused<()> {
        self.decide(id, user, Want::Delete)?;
        if !self.children(id).is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        if let Some((folder, _)) = self.nodes.remove(&id).and_then(|node| node.place) {
            self.touch_folder(folder);
        }
        Ok(())
    }

    /// A rename, once the kernel has found that its kinds fit. Answers the node that stands under the new name.
    pub(super) fn move_node(
        &mut self,
        user: usize,
        session: usize,
        id: Id,
        to: (Id, &str),
        keep: bool,
    ) -> Refused<(Id, Option<Swapped>)> {
        self.decide(id, user, Want::Own)?;
        self.may_fill(user, to.0)?;
        if self.home_of(id) != self.home_of(to.0) {
            return Err(libc::EXDEV);
        }
        let is_file = |model: &Model, id: Id| model.nodes[&id].kind == Kind::File;
        let moves_file = is_file(self, id);
        let Some(from) = self.nodes[&id].place.clone() else { return Err(libc::EACCES) };
        let backup = from.0 == to.0 && is_backup(&from.1, to.1);
        let mut target = self.child(to.0, to.1);
        let mut swapped = None;
        if target.is_none() && moves_file && !keep {
            swapped = self.refill(user, session, to.0, to.1, Some(id));
            target = swapped.as_ref().map(|swapped| swapped.document);
        }
        if let Some(target) = target.filter(|target| moves_file && is_file(self, *target) && !backup) {
            self.decide(target, user, Want::Write)?;
            let source = &self.nodes[&id];
            let (content, mode, time) = (source.content.clone(), source.mode, source.time);
            let owns = self.owns(target, user);
            let committed = self.commit(user, target, content, time, Some(id));
            if owns
                && !self.nodes.contains_key(&id)
                && let Some(node) = self.nodes.get_mut(&target)
            {
                node.mode = mode;
            }
            return committed.map(|_| (target, swapped));
        }
        if from.0 != to.0 && self.takes_others_along(id, user) {
            return Err(libc::EACCES);
        }
        if let Some(target) = target {
            self.decide(target, user, Want::Delete)?;
            if !self.children(target).is_empty() {
                return Err(libc::ENOTEMPTY);
            }
            self.nodes.remove(&target);
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.place = Some((to.0, to.1.into()));
        }
        self.touch_folder(from.0);
        self.touch_folder(to.0);
        if backup && moves_file {
            self.vacated.retain(|v| (v.folder, &v.name) != (from.0, &from.1));
            let (folder, name) = from;
            let backup = to.1.to_string();
            self.vacated.push(Vacated { session, folder, name, backup, document: id, at: self.now });
        }
        Ok((id, swapped))
    }

    /// Whether a guest would move what others put into a folder of his.
    fn takes_others_along(&self, id: Id, user: usize) -> bool {
        let others = |other: &Id| self.nodes[other].owner != user && self.levels(*other).contains(&id);
        self.nodes[&self.home_of(id)].owner != user && self.nodes.keys().any(others)
    }

    pub(super) fn set_grant(&mut self, user: usize, id: Id, grant: Grant) -> Refused<()> {
        self.decide(id, user, Want::Share)?;
        let by_maker = self.nodes[&self.home_of(id)].owner != user;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.limits.retain(|(to, ..)| grant.to.is_some() && *to != grant.to);
            node.grants.push(Grant { by_maker, ..grant });
        }
        Ok(())
    }

    /// A copy has the grants on its document as limits; only owners have one of a document that is gone or in another folder.
    pub(super) fn limit(&mut self, copy: Id, document: Option<Id>) {
        let folder = |id: &Id| self.nodes[id].place.as_ref().map(|(folder, _)| *folder);
        let same_folder = |id: &Id| folder(id) == folder(&copy);
        let document = document.filter(|id| self.nodes.contains_key(id)).filter(same_folder);
        let limits = match document {
            None => vec![(None, None, i64::MAX)],
            Some(id) => {
                let grants = self.grants_kept(id).into_iter().filter(|grant| self.now < grant.until);
                let of_grants = grants.map(|grant| (grant.to, Some(grant.right), i64::MAX));
                of_grants.chain(self.nodes[&id].limits.iter().copied()).collect()
            }
        };
        if let Some(node) = self.nodes.get_mut(&copy) {
            node.limits = limits;
        }
    }

    /// Takes the grant back that is listed for somebody.
    pub(super) fn revoke(&mut self, user: usize, id: Id, to: Option<usize>) -> Refused<()> {
        self.decide(id, user, Want::Share)?;
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else { return Err(libc::ENOENT) };
        let last = node.grants.iter().rposition(|grant| grant.to.is_none()).unwrap_or(0);
        let found = node.grants.iter_mut().skip(last).rev().find(|grant| grant.to == to);
        match found.filter(|grant| grant.revoked.is_none()) {
            Some(grant) => grant.revoked = Some(now),
            None => return Err(libc::ENODATA),
        }
        Ok(())
    }

    /// The grants on a node that nobody took back: ALL's, then by user.
    fn grants_kept(&self, id: Id) -> Vec<&Grant> {
        let grants = &self.nodes[&id].grants;
        let since = grants.iter().rposition(|grant| grant.to.is_none()).unwrap_or(0);
        let everyone = [None].into_iter().chain((0..USERS.len()).map(Some));
        let last = |to: Option<usize>| grants.iter().skip(since).rev().find(move |grant| grant.to == to);
        everyone.filter_map(last).filter(|grant| grant.revoked.is_none()).collect()
    }

    /// The grants on a node as its owner sees them, or one of those whom they concern.
    pub(super) fn grants_shown(&self, user: usize, id: Id) -> Vec<(Option<usize>, Right, i64)> {
        let kept = self.grants_kept(id);
        // Others than the owner see what applies to them: their own, or ALL's while it lives.
        let has_own = kept.iter().any(|grant| grant.to == Some(user));
        let applies = |grant: &&&Grant| match grant.to {
            None => !has_own && self.now < grant.until,
            Some(to) => to == user,
        };
        let owns = self.owns(id, user);
        let shown = kept.iter().filter(|grant| owns || applies(grant));
        shown.map(|grant| (grant.to, grant.right, grant.until)).collect()
    }
}

fn is_backup(name: &str, backup: &str) -> bool {
    match (name.parse::<Name>(), backup.parse::<Name>()) {
        (Ok(name), Ok(backup)) => name.has_backup(&backup),
        _ => false,
    }
}

//! Nodes, their places, and the changes to names and content.

use std::iter::successors;

use async_trait::async_trait;

use sss_common::limits::DEPTH_MAX;

use sss_common::{FileTime, Kind, Name, NodeId, Timestamp, Uid, Version};

use super::MemoryStore;
use super::state::State;
use crate::store::rules::{self, Claim, MODE_MASK, RemovedBy};
use crate::store::{
    Audience, AuditRow, Commit, Deletion, Names, NewNode, Node, Remove, Rename, Result, Seen, StoreError,
    StoredVersion, Swap,
};
use sss_policy::{Allowed, Checkin, Delete, Own, Refusal};
use sss_vault::sealed::Leaf;

#[async_trait]
impl Names for MemoryStore {
    async fn home(&self, owner: &Uid, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
        Ok(self.read(|state| state.users.get(owner).and_then(|owner| state.seen(owner.home, user, now))))
    }

    async fn node(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
        Ok(self.read(|state| state.seen(id, user, now)))
    }

    async fn child(&self, parent: NodeId, name: &Name, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
        Ok(self.read(|state| state.at(parent, name).and_then(|node| state.seen(node.id, user, now))))
    }

    async fn children(
        &self,
        folder: NodeId,
        after: Option<&Name>,
        limit: usize,
        user: &Uid,
        now: Timestamp,
    ) -> Result<Vec<Seen>> {
        self.read(|state| {
            state.folder(folder)?;
            let children = state.children(folder);
            let behind = children.filter(|node| node.name.as_ref() > after).take(limit);
            Ok(behind.filter_map(|node| state.seen(node.id, user, now)).collect())
        })
    }

    async fn shared_homes(&self, user: &Uid, now: Timestamp) -> Result<Vec<Uid>> {
        Ok(self.read(|state| state.shared_homes(user, now)))
    }

    async fn path(&self, id: NodeId) -> Result<Option<String>> {
        Ok(self.read(|state| state.path(id)))
    }

    async fn audience(&self, id: NodeId, now: Timestamp) -> Result<Audience> {
        Ok(self.read(|state| state.audience(id, now)))
    }

    async fn create(&self, folder: &Allowed<Checkin>, new: NewNode, audit: AuditRow) -> Result<Node> {
        self.write_audited_by(&Claim::of(folder), audit, |state| state.create(folder, new))
    }

    async fn rename(&self, proof: &Allowed<Own>, rename: Rename, audit: AuditRow) -> Result<Node> {
        let (claim, by) = (Claim::of(proof), RemovedBy::of(proof, &audit));
        self.write_audited(audit, |state| state.rename(&claim, rename, &by))
    }

    async fn remove(&self, proof: &Allowed<Delete>, remove: Remove, audit: AuditRow) -> Result<Deletion> {
        let (claim, by) = (Claim::of(proof), RemovedBy::of(proof, &audit));
        self.write_audited(audit, |state| state.remove(&claim, remove, &by))
    }
}

impl State {
    pub(super) fn existing(&self, id: NodeId) -> Result<&Node> {
        self.nodes.get(&id).ok_or(StoreError::NotFound)
    }

    pub(super) fn existing_mut(&mut self, id: NodeId) -> Result<&mut Node> {
        self.nodes.get_mut(&id).ok_or(StoreError::NotFound)
    }

    pub(super) fn folder(&self, id: NodeId) -> Result<&Node> {
        self.existing(id)?;
        self.nodes.get(&id).filter(|node| node.kind == Kind::Folder).ok_or(StoreError::NotFolder)
    }

    /// In the order of their names.
    pub(super) fn children(&self, folder: NodeId) -> impl Iterator<Item = &Node> {
        let mut children: Vec<_> = self.nodes.values().filter(|node| node.parent == Some(folder)).collect();
        children.sort_by(|a, b| a.name.cmp(&b.name));
        children.into_iter()
    }

    pub(super) fn at(&self, parent: NodeId, name: &Name) -> Option<&Node> {
        self.children(parent).find(|node| node.name.as_ref() == Some(name))
    }

    fn placed(&self, id: NodeId, parent: NodeId, name: &Name) -> Result<Node> {
        self.at(parent, name).filter(|node| node.id == id).cloned().ok_or(StoreError::NotFound)
    }

    /// The node, its folder, and so on up to the home.
    pub(super) fn way_up(&self, id: NodeId) -> impl Iterator<Item = &Node> {
        successors(self.nodes.get(&id), |node| self.nodes.get(&node.parent?))
    }

    /// Whether the way up from `id` leads through `folder`; from the folder itself it does.
    pub(super) fn is_above(&self, folder: NodeId, id: NodeId) -> bool {
        self.way_up(id).any(|node| node.id == folder)
    }

    fn depth(&self, id: NodeId) -> usize {
        self.way_up(id).count().saturating_sub(1)
    }

    pub(super) fn height(&self, id: NodeId) -> usize {
        self.children(id).map(|child| 1 + self.height(child.id)).max().unwrap_or(0)
    }

    pub(super) fn fits_below(&self, folder: NodeId, height: usize) -> Result<()> {
        if self.depth(folder) + height <= DEPTH_MAX { Ok(()) } else { Err(StoreError::TooDeep) }
    }

    fn free(&self, parent: NodeId, name: &Name, id: NodeId) -> Result<()> {
        match self.at(parent, name).or(self.nodes.get(&id)) {
            Some(_) => Err(StoreError::Exists),
            None => Ok(()),
        }
    }

    pub(super) fn touch(&mut self, folder: NodeId, now_ns: FileTime) {
        if let Some(folder) = self.nodes.get_mut(&folder) {
            (folder.mtime_ns, folder.ctime_ns) = (now_ns, now_ns);
        }
    }

    pub(super) fn create(&mut self, folder: &Allowed<Checkin>, new: NewNode) -> Result<Node> {
        let parent = folder.node();
        let home = self.folder(parent)?.home.clone();
        self.fits_below(parent, 1)?;
        self.free(parent, &new.name, new.id)?;
        let node = Node {
            id: new.id,
            parent: Some(parent),
            name: Some(new.name),
            owner: if new.of_home { home.clone() } else { folder.user().clone() },
            home,
            kind: new.kind,
            mode: new.mode & MODE_MASK,
            mtime_ns: new.now_ns,
            ctime_ns: new.now_ns,
            flag: new.flag,
            version: Version::NONE,
            size: 0,
            author: None,
        };
        self.nodes.insert(node.id, node.clone());
        self.limit(&node, new.limited);
        self.touch(parent, new.now_ns);
        Ok(node)
    }

    fn place(&mut self, id: NodeId, parent: NodeId, name: &Name, now_ns: FileTime) -> Result<Node> {
        let node = self.existing_mut(id)?;
        let from = node.parent.replace(parent);
        node.name = Some(name.clone());
        node.ctime_ns = now_ns;
        let node = node.clone();
        from.into_iter().chain([parent]).for_each(|folder| self.touch(folder, now_ns));
        Ok(node)
    }

    pub(super) fn rename(&mut self, claim: &Claim, rename: Rename, by: &RemovedBy) -> Result<Node> {
        let node = self.placed(claim.node, rename.parent, &rename.name)?;
        self.confirm(claim, by.time)?;
        let target = self.folder(rename.into.node())?.clone();
        self.confirm(&Claim::of(&rename.into), by.time)?;
        if target.home != node.home {
            return Err(StoreError::NotFound);
        }
        if (rename.parent, &rename.name) == (target.id, &rename.new_name) {
            return Ok(node);
        }
        if self.is_above(node.id, target.id) {
            return Err(StoreError::Loop);
        }
        let below = |other: &Node| other.id != node.id && self.is_above(node.id, other.id);
        let others = |other: &Node| other.owner != by.user && below(other);
        if rules::takes_others_along(&node, &target, &by.user) && self.nodes.values().any(others) {
            return Err(StoreError::Refused(Refusal::NotOwner));
        }
        self.fits_below(target.id, 1 + self.height(node.id))?;
        if let Some(there) = self.at(target.id, &rename.new_name).cloned() {
            let Some(replacing) = rename.replacing.as_ref().filter(|proof| proof.node() == there.id) else {
                return Err(StoreError::Exists);
            };
            self.confirm(&Claim::of(replacing), by.time)?;
            match (node.kind == Kind::Folder, there.kind == Kind::Folder) {
                (true, false) => return Err(StoreError::NotFolder),
                (false, true) => return Err(StoreError::IsFolder),
                (true, true) if self.children(there.id).next().is_some() => return Err(StoreError::NotEmpty),
                _ => drop(self.remove_logged(there.id, by)),
            }
        }
        self.place(node.id, target.id, &rename.new_name, rename.now_ns)
    }

    pub(super) fn swap(&mut self, id: NodeId, swap: Swap) -> Result<(Node, Node)> {
        let folder = swap.folder.node();
        let document = self.placed(id, folder, &swap.copy.name)?;
        if document.kind == Kind::Folder {
            return Err(StoreError::IsFolder);
        }
        if document.version != swap.version {
            return Err(StoreError::VersionMoved(document.version));
        }
        self.free(folder, &swap.name, swap.copy.id)?;
        let document = self.place(document.id, folder, &swap.name, swap.copy.now_ns)?;
        let mut copy = self.create(&swap.folder, swap.copy)?;
        if let Some(commit) = swap.commit {
            rules::plain(&commit)?;
            copy = self.commit(copy.id, commit, true)?;
        }
        Ok((document, copy))
    }

    pub(super) fn remove(&mut self, claim: &Claim, remove: Remove, by: &RemovedBy) -> Result<Deletion> {
        let node = self.placed(claim.node, remove.parent, &remove.name)?;
        self.confirm(claim, by.time)?;
        rules::removable(&node, &remove)?;
        if self.children(node.id).next().is_some() {
            return Err(StoreError::NotEmpty);
        }
        let deletion = self.remove_logged(node.id, by).ok_or(StoreError::NotFound)?;
        self.touch(remove.parent, remove.now_ns);
        Ok(deletion)
    }

    /// Returns what [`State::forget_versions`] does.
    pub(super) fn remove_node(&mut self, id: NodeId, document: Option<NodeId>) -> (Vec<Leaf>, Vec<Leaf>) {
        let versions: Vec<_> = self.versions.keys().filter(|key| key.0 == id).copied().collect();
        self.grants.retain(|key, _| key.0 != id);
        self.xattrs.retain(|key, _| key.0 != id);
        self.nodes.remove(&id);
        self.forget_versions(&versions, document)
    }

    pub(super) fn commit(&mut self, id: NodeId, mut commit: Commit, by_owner: bool) -> Result<Node> {
        if let Some(creation) = commit.create.take() {
            rules::own_creation(id, &commit, &creation.node)?;
            self.create(&creation.folder, creation.node)?;
        }
        let node = self.existing(id)?;
        if node.kind == Kind::Folder {
            return Err(StoreError::IsFolder);
        }
        rules::current(node, &commit, by_owner)?;
        self.add_version(id, &commit)?;
        self.last_leaf =
            self.last_leaf.max(Some(commit.leaf)).max(commit.pack.as_ref().map(|pack| pack.leaf));
        let node = self.existing_mut(id)?;
        node.version = commit.base.next();
        node.size = commit.size;
        node.flag = Some(commit.flag);
        node.author = Some(commit.author);
        node.mtime_ns = commit.mtime_ns;
        node.ctime_ns = commit.now.nanos();
        node.mode = commit.mode.map_or(node.mode, |mode| mode & MODE_MASK);
        self.write_keys(commit.keys);
        if let Some((source, version)) = commit.consumes {
            let source = source.node();
            let consumed = self.existing(source)?.clone();
            if consumed.kind == Kind::Folder {
                return Err(StoreError::IsFolder);
            }
            if source == id {
                return Err(StoreError::Damaged("a document cannot consume itself".into()));
            }
            if consumed.version != version {
                return Err(StoreError::VersionMoved(consumed.version));
            }
            self.take_xattrs(source, id);
            self.remove_node(source, None);
            consumed.parent.into_iter().for_each(|parent| self.touch(parent, commit.now.nanos()));
        }
        self.existing(id).cloned()
    }

    fn add_version(&mut self, id: NodeId, commit: &Commit) -> Result<()> {
        if let Some(old) = self.versions.get_mut(&(id, commit.base)) {
            old.superseded = Some(commit.now);
        }
        let version = commit.base.next();
        let row = StoredVersion {
            version,
            leaf: commit.leaf,
            sealed_record: commit.sealed_record.clone(),
            superseded: None,
        };
        self.versions.insert((id, version), row);
        if let Some(pack) = &commit.pack {
            if !commit.uses.contains(&pack.id) {
                return Err(StoreError::Damaged("a new pack that its version does not use".into()));
            }
            if self.packs.contains_key(&pack.id) {
                return Err(StoreError::Exists);
            }
            self.packs.insert(pack.id, pack.clone());
        }
        for pack in &commit.uses {
            if !self.packs.contains_key(pack) {
                return Err(StoreError::Damaged("a version uses a pack that is not there".into()));
            }
            self.uses.insert((id, version, *pack));
        }
        Ok(())
    }
}

//! Whole homes: emptied, given up, handed over.

use async_trait::async_trait;
use sss_common::{Grantee, Kind, Name, NodeId, Timestamp, Uid};

use super::MemoryStore;
use super::state::State;
use crate::store::rules::{self, RemovedBy};
use crate::store::{AuditRow, Deletion, Homes, Node, Result, StoreError};

#[async_trait]
impl Homes for MemoryStore {
    async fn shut(&self, uid: &Uid, audit: AuditRow) -> Result<()> {
        let now = audit.time;
        self.write_audited(audit, |state| {
            state.set_disabled(uid, true)?;
            let home = state.disabled_home(uid)?;
            let granted = state.grants.iter_mut().filter(|((node, _), _)| *node == home);
            granted.for_each(|(_, grant)| grant.revoked = grant.revoked.or(Some(now)));
            state.reordered += 1;
            Ok(())
        })
    }

    async fn empty(&self, uid: &Uid, weight: usize, now: Timestamp) -> Result<Vec<Deletion>> {
        let by = RemovedBy { user: uid.clone(), time: now };
        self.write(|state| state.empty(&by, weight))
    }

    async fn withdraw(&self, uid: &Uid, limit: usize, now: Timestamp) -> Result<usize> {
        self.write(|state| state.withdraw(uid, limit, now))
    }

    async fn remove_user(&self, uid: &Uid, audit: AuditRow) -> Result<()> {
        let now = audit.time;
        self.write_audited(audit, |state| state.remove_user(uid, now))
    }

    async fn removed(&self, uid: &Uid) -> Result<Option<Timestamp>> {
        Ok(self.read(|state| state.removed.get(uid).copied()))
    }

    async fn transfer(
        &self,
        from: &Uid,
        to: &Uid,
        into: Option<&Name>,
        audit: AuditRow,
    ) -> Result<(Node, u64)> {
        self.write(|state| {
            let (folder, nodes) = state.transfer(from, to, into, audit.time)?;
            state.audit.append(rules::transferred(audit, &folder))?;
            Ok((folder, nodes))
        })
    }

    async fn reordered(&self) -> Result<u64> {
        Ok(self.read(|state| state.reordered))
    }
}

impl State {
    fn disabled_home(&self, uid: &Uid) -> Result<NodeId> {
        let user = self.users.get(uid).ok_or(StoreError::NotFound)?;
        if user.disabled { Ok(user.home) } else { Err(StoreError::Enabled(uid.clone())) }
    }

    fn empty(&mut self, by: &RemovedBy, weight: usize) -> Result<Vec<Deletion>> {
        let home = self.disabled_home(&by.user)?;
        let (mut doomed, mut left) = (Vec::new(), weight.max(1));
        self.collect(home, &mut left, &mut doomed);
        let mut gone = Vec::new();
        for id in doomed {
            let deletion = self.remove_logged(id, by).ok_or(StoreError::NotFound)?;
            self.audit.append(rules::emptied(&deletion))?;
            gone.push(deletion);
        }
        if !gone.is_empty() {
            self.touch(home, by.time.nanos());
            self.reordered += 1;
        }
        Ok(gone)
    }

    /// Entries before their folders, while there is something left of the weight; whether all of the folder is among them.
    fn collect(&self, folder: NodeId, left: &mut usize, doomed: &mut Vec<NodeId>) -> bool {
        for child in self.children(folder) {
            if *left == 0 || (child.kind == Kind::Folder && !self.collect(child.id, left, doomed)) {
                return false;
            }
            doomed.push(child.id);
            let versions = self.versions.keys().filter(|(node, _)| *node == child.id).count();
            *left = left.saturating_sub(1 + versions);
        }
        true
    }

    fn withdraw(&mut self, uid: &Uid, limit: usize, now: Timestamp) -> Result<usize> {
        self.disabled_home(uid)?;
        let own = Grantee::User(uid.clone());
        let grants: Vec<_> =
            self.grants.keys().filter(|(_, grantee)| *grantee == own).take(limit).cloned().collect();
        let guests = self.nodes.values().filter(|node| node.owner == *uid && node.home != *uid);
        let guests: Vec<NodeId> = guests.map(|node| node.id).take(limit).collect();
        for key in &grants {
            self.grants.remove(key);
        }
        for id in &guests {
            let by_maker = self.grants.iter_mut().filter(|((node, _), grant)| node == id && grant.by_maker);
            by_maker.for_each(|(_, grant)| grant.revoked = grant.revoked.or(Some(now)));
            let node = self.existing_mut(*id)?;
            node.owner = node.home.clone();
        }
        let found = grants.len() + guests.len();
        self.reordered += u64::from(found > 0);
        Ok(found)
    }

    fn remove_user(&mut self, uid: &Uid, now: Timestamp) -> Result<()> {
        let home = self.disabled_home(uid)?;
        let own = Grantee::User(uid.clone());
        let granted = self.grants.keys().any(|(_, grantee)| *grantee == own);
        let guest = self.nodes.values().any(|node| node.owner == *uid && node.home != *uid);
        if granted || guest || self.children(home).next().is_some() {
            return Err(StoreError::NotEmpty);
        }
        self.sessions.retain(|kept| kept.session.uid != *uid);
        self.remove_node(home, None);
        self.users.remove(uid);
        self.removed.insert(uid.clone(), now);
        self.reordered += 1;
        Ok(())
    }

    fn transfer(&mut self, from: &Uid, to: &Uid, into: Option<&Name>, now: Timestamp) -> Result<(Node, u64)> {
        let (source, target) = (self.home_of(from)?, self.home_of(to)?);
        if source.id == target.id {
            return Err(StoreError::Loop);
        }
        self.fits_below(target.id, self.height(source.id) + 1)?;
        let free = |name: &Name| self.at(target.id, name).is_none();
        let name = rules::transfer_names(from, into).into_iter().find(free).ok_or(StoreError::Exists)?;
        let folder = rules::transfer_folder(&source, &target, name, now);
        self.nodes.insert(folder.id, folder.clone());
        self.hand_over_grants(from, to, source.id, folder.id);
        let attributes = std::mem::take(&mut self.xattrs).into_iter().map(|((node, name), value)| {
            let node = if node == source.id { folder.id } else { node };
            ((node, name), value)
        });
        self.xattrs = attributes.collect();
        let mut moved = 0;
        for node in self.nodes.values_mut().filter(|node| node.home == *from && node.id != source.id) {
            node.home = to.clone();
            if node.owner == *from {
                node.owner = to.clone();
            }
            if node.parent == Some(source.id) {
                node.parent = Some(folder.id);
            }
            moved += 1;
        }
        self.touch(source.id, now.nanos());
        self.touch(target.id, now.nanos());
        self.reordered += 1;
        Ok((folder, moved))
    }

    fn home_of(&self, uid: &Uid) -> Result<Node> {
        let user = self.users.get(uid).ok_or(StoreError::NotFound)?;
        self.existing(user.home).cloned()
    }

    /// As the real store says it.
    fn hand_over_grants(&mut self, from: &Uid, to: &Uid, source: NodeId, folder: NodeId) {
        let grants = std::mem::take(&mut self.grants);
        for ((node, grantee), mut grant) in grants {
            let Some(on) = self.nodes.get(&node).filter(|on| on.home == *from) else {
                self.grants.insert((node, grantee), grant);
                continue;
            };
            if [from, to].into_iter().any(|uid| grantee == Grantee::User(uid.clone())) {
                continue;
            }
            grant.by_maker &= on.owner != *to;
            self.grants.insert((if node == source { folder } else { node }, grantee), grant);
        }
    }
}

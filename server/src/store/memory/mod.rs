//! The metadata in memory: the same semantics as the real store in the plainest words, for tests.
//!
//! Every change is made to a copy of all that there is, which takes its place when the change succeeded. Nothing is
//! durable, and nothing is fast.

mod deletions;
mod facts;
mod names;
mod state;
mod walk;

use async_trait::async_trait;
use parking_lot::Mutex;

use sss_common::{Flag, Grantee, Name, NodeId, PackId, Timestamp, Uid, Version, XattrMode};

use self::deletions::By;
use self::state::State;
use super::rules::{self, nanos};
use super::*;

/// Metadata in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The audit log so far, for tests.
    pub fn audit_log(&self) -> Vec<AuditRow> {
        self.state.lock().audit.clone()
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        let mut next = state.clone();
        let outcome = change(&mut next)?;
        *state = next;
        Ok(outcome)
    }

    fn write_audited<T>(&self, row: AuditRow, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        self.write(|state| {
            let outcome = change(state)?;
            state.audit.push(row);
            Ok(outcome)
        })
    }
}

#[async_trait]
impl MetaStore for MemoryStore {
    async fn add_user(&self, user: NewUser) -> Result<()> {
        self.write(|state| state.add_user(user))
    }

    async fn user(&self, uid: &Uid) -> Result<Option<User>> {
        Ok(self.read(|state| state.users.get(uid).cloned()))
    }

    async fn users(&self) -> Result<Vec<User>> {
        Ok(self.read(|state| state.users.values().cloned().collect()))
    }

    async fn set_disabled(&self, uid: &Uid, disabled: bool) -> Result<()> {
        self.write(|state| state.set_disabled(uid, disabled))
    }

    async fn begin_session(&self, session: NewSession, keep: usize) -> Result<Vec<TokenHash>> {
        self.write(|state| state.begin_session(session, keep))
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<Session>> {
        Ok(self.read(|state| state.session(token).map(|kept| kept.session.clone())))
    }

    async fn end_session(&self, token: &TokenHash, now: Timestamp) -> Result<()> {
        self.write(|state| {
            state.end_session(token, now);
            Ok(())
        })
    }

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

    async fn version(&self, id: NodeId, version: Version) -> Result<Option<StoredVersion>> {
        Ok(self.read(|state| state.versions.get(&(id, version)).cloned()))
    }

    async fn packs(&self, ids: &[PackId]) -> Result<Vec<PackRow>> {
        Ok(self.read(|state| ids.iter().filter_map(|id| state.packs.get(id).cloned()).collect()))
    }

    async fn create(&self, allowed: &Allowed, new: NewNode, audit: AuditRow) -> Result<Node> {
        rules::write(allowed, new.parent)?;
        self.write_audited(audit, |state| state.create(new, allowed.user()))
    }

    async fn commit(&self, allowed: &Allowed, commit: Commit, audit: AuditRow) -> Result<Node> {
        rules::write(allowed, commit.node)?;
        self.write_audited(audit, |state| state.commit(allowed, commit))
    }

    async fn rename(&self, allowed: &Allowed, rename: Rename, audit: AuditRow) -> Result<Node> {
        rules::own(allowed, rename.node)?;
        let by = By { user: allowed.user().clone(), time: audit.time };
        self.write_audited(audit, |state| state.rename(rename, &by))
    }

    async fn swap(&self, allowed: &Allowed, swap: Swap, audit: AuditRow) -> Result<(Node, Node)> {
        rules::own(allowed, swap.document)?;
        self.write_audited(audit, |state| state.swap(allowed, swap))
    }

    async fn remove(&self, allowed: &Allowed, remove: Remove, audit: AuditRow) -> Result<Deletion> {
        rules::own(allowed, remove.node)?;
        let by = By { user: allowed.user().clone(), time: audit.time };
        self.write_audited(audit, |state| state.remove(remove, &by))
    }

    async fn set_attr(&self, allowed: &Allowed, set: SetAttr) -> Result<Node> {
        let id = rules::writable(allowed)?;
        self.write(|state| {
            let node = state.existing_mut(id)?;
            node.mode = set.mode.map_or(node.mode, |mode| mode & rules::MODE_MASK);
            node.mtime_ns = set.mtime_ns.unwrap_or(node.mtime_ns);
            node.ctime_ns = set.now_ns;
            Ok(node.clone())
        })
    }

    async fn set_flag(&self, allowed: &Allowed, flag: Flag, audit: AuditRow) -> Result<Node> {
        let id = rules::owned(allowed)?;
        let now_ns = nanos(audit.time);
        self.write_audited(audit, |state| {
            let node = state.existing_mut(id)?;
            if node.version != Version::NONE {
                return Err(StoreError::VersionMoved(node.version));
            }
            node.flag = Some(flag);
            node.ctime_ns = now_ns;
            Ok(node.clone())
        })
    }

    async fn xattrs(&self, id: NodeId) -> Result<Vec<(String, Vec<u8>)>> {
        self.read(|state| {
            state.existing(id)?;
            let own = state.xattrs.iter().filter(|((node, _), _)| *node == id);
            Ok(own.map(|((_, name), value)| (name.clone(), value.clone())).collect())
        })
    }

    async fn set_xattr(&self, allowed: &Allowed, name: &str, value: &[u8], mode: XattrMode) -> Result<()> {
        let id = rules::writable(allowed)?;
        self.write(|state| state.set_xattr(id, name, value, mode))
    }

    async fn remove_xattr(&self, allowed: &Allowed, name: &str) -> Result<()> {
        let id = rules::writable(allowed)?;
        self.write(|state| state.xattrs.remove(&(id, name.to_owned())).map(drop).ok_or(StoreError::NotFound))
    }

    async fn grants(&self, id: NodeId) -> Result<Vec<GrantRow>> {
        self.read(|state| state.grants_on(id))
    }

    async fn set_grant(&self, allowed: &Allowed, grant: NewGrant, audit: AuditRow) -> Result<()> {
        let id = rules::owned(allowed)?;
        self.write_audited(audit, |state| state.set_grant(id, grant))
    }

    async fn revoke_grant(&self, allowed: &Allowed, grantee: &Grantee, audit: AuditRow) -> Result<()> {
        let id = rules::owned(allowed)?;
        self.write_audited(audit, |state| state.revoke_grant(id, grantee))
    }

    async fn key_node(&self, position: KeyPosition) -> Result<Option<KeyImage>> {
        Ok(self.read(|state| state.keys.get(&position).cloned()))
    }

    async fn key_nodes(&self, level: u8, from: u64, limit: usize) -> Result<Vec<KeyImage>> {
        Ok(self.read(|state| {
            let nodes = state.keys.range(KeyPosition { level, index: from }..);
            let level = nodes.take_while(|(position, _)| position.level == level);
            level.take(limit).map(|(_, image)| image.clone()).collect()
        }))
    }

    async fn last_leaf(&self) -> Result<Option<u64>> {
        Ok(self.read(|state| state.last_leaf))
    }

    async fn last_queued(&self) -> Result<Option<u64>> {
        Ok(self.read(|state| state.erasures.iter().map(|(leaf, _)| *leaf).max()))
    }

    async fn superseded(&self, before: Timestamp, limit: usize) -> Result<Vec<(NodeId, Version)>> {
        Ok(self.read(|state| {
            let rows = state.versions.iter();
            let old = rows.filter_map(|((id, version), row)| Some((row.superseded?, *id, *version)));
            let mut old: Vec<_> = old.filter(|(at, ..)| *at <= before).collect();
            old.sort();
            old.into_iter().take(limit).map(|(_, id, version)| (id, version)).collect()
        }))
    }

    async fn drop_versions(&self, versions: &[(NodeId, Version)]) -> Result<()> {
        self.write(|state| {
            let superseded = |key: &&(NodeId, Version)| {
                state.versions.get(key).is_some_and(|row| row.superseded.is_some())
            };
            let old: Vec<_> = versions.iter().filter(superseded).copied().collect();
            state.forget_versions(&old, None);
            Ok(())
        })
    }

    async fn erasures(&self, limit: usize) -> Result<Vec<u64>> {
        Ok(self.read(|state| {
            let unused = state.erasures.iter().map(|(leaf, _)| *leaf).filter(|leaf| !state.is_used(*leaf));
            unused.take(limit).collect()
        }))
    }

    async fn erased(&self, leaves: &[u64], keys: Vec<KeyImage>, at: Erased) -> Result<()> {
        self.write(|state| {
            state.write_keys(keys);
            state.settle(leaves, at);
            Ok(())
        })
    }

    async fn unused(&self, leaves: &[u64]) -> Result<Vec<u64>> {
        Ok(self.read(|state| {
            let queued = |leaf: &u64| state.erasures.iter().any(|(queued, _)| queued == leaf);
            let unused = leaves.iter().copied().filter(|leaf| !state.is_used(*leaf) && !queued(leaf));
            unused.collect()
        }))
    }

    async fn abandon(&self, leaves: &[u64]) -> Result<()> {
        self.write(|state| {
            for leaf in leaves {
                state.queue(*leaf, None);
            }
            Ok(())
        })
    }

    async fn trash(&self, limit: usize, now: Timestamp) -> Result<Vec<PackId>> {
        Ok(self.read(|state| match state.holds.values().any(|until| *until > now) {
            true => Vec::new(),
            false => state.trash.iter().take(limit).copied().collect(),
        }))
    }

    async fn trashed(&self, packs: &[PackId]) -> Result<()> {
        self.write(|state| {
            state.trash.retain(|pack| !packs.contains(pack));
            Ok(())
        })
    }

    async fn has_pack(&self, id: PackId) -> Result<bool> {
        Ok(self.read(|state| state.packs.contains_key(&id) || state.trash.contains(&id)))
    }

    async fn hold(&self, name: &str, until: Timestamp) -> Result<()> {
        self.write(|state| {
            state.holds.insert(name.to_owned(), until);
            Ok(())
        })
    }

    async fn release(&self, name: &str) -> Result<()> {
        self.write(|state| {
            state.holds.remove(name);
            Ok(())
        })
    }

    async fn deletion(&self, document: NodeId) -> Result<Option<Deletion>> {
        Ok(self.read(|state| state.deletions.iter().find(|entry| entry.document == document).cloned()))
    }

    async fn deletions(&self, after: u64, limit: usize) -> Result<Vec<Deletion>> {
        Ok(self.read(|state| {
            let behind = state.deletions.iter().filter(|entry| entry.seq > after);
            behind.take(limit).cloned().collect()
        }))
    }

    async fn remove_again(&self, deletion: &Deletion) -> Result<bool> {
        self.write(|state| Ok(state.remove_again(deletion)))
    }

    async fn last_deletion(&self) -> Result<u64> {
        Ok(self.read(|state| state.last_deletion))
    }

    async fn skip_deletions(&self, last: u64) -> Result<()> {
        self.write(|state| {
            state.last_deletion = state.last_deletion.max(last);
            Ok(())
        })
    }

    async fn totals(&self) -> Result<Totals> {
        Ok(self.read(State::totals))
    }

    async fn documents(&self, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeId>> {
        Ok(self.read(|state| state.documents(after, limit)))
    }

    async fn versions_of(&self, id: NodeId) -> Result<Option<Versions>> {
        Ok(self.read(|state| state.versions_of(id)))
    }

    async fn packs_after(&self, after: Option<(u64, PackId)>, limit: usize) -> Result<Vec<(u64, PackId)>> {
        Ok(self.read(|state| state.packs_after(after, limit)))
    }

    async fn pack_blocks(&self, id: PackId) -> Result<Option<u64>> {
        Ok(self.read(|state| state.packs.get(&id).map(|pack| pack.blocks)))
    }

    async fn users_of(&self, id: PackId) -> Result<Vec<(NodeId, Version)>> {
        Ok(self.read(|state| state.users_of(id)))
    }

    async fn audit(&self, rows: Vec<AuditRow>) -> Result<()> {
        self.state.lock().audit.extend(rows);
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}

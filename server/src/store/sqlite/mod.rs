//! The embedded metadata store: one SQLite file in WAL mode with synchronous=FULL.
//!
//! Changes go through one writer thread that commits many of them with one fsync (`writer`); reads run on a few
//! read-only connections off the async threads (`readers`), see the last commit, and never wait for the writer.
//! The SQL stands in one file per family of calls. Another process (`3s-server user add`) may write to the same file
//! meanwhile. Dropping the store writes what is held, waits for the writer to end and closes the file.

mod attributes;
mod audit;
mod commit;
mod content;
mod deletions;
mod error;
mod facts;
mod keys;
mod names;
mod nodes;
mod readers;
mod reclaim;
mod rows;
mod schema;
mod snapshot;
mod users;
mod walk;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};

use sss_common::{Flag, Grantee, Name, NodeId, PackId, Timestamp, Uid, Version, XattrMode};

use self::deletions::By;
use self::readers::Readers;
pub use self::snapshot::{Contents, Snapshot};
use self::writer::Writer;
use super::rules::{self, nanos};
use super::*;

/// Metadata in an SQLite file.
pub struct SqliteStore {
    readers: Arc<Readers>,
    writer: Writer,
}

impl SqliteStore {
    /// Makes a new file, mode 0600, and opens it; `Exists` when there is one.
    pub fn create(path: &Path) -> Result<Self> {
        schema::create(path)?;
        Self::open(path)
    }

    /// Opens a file and brings an older schema up to date. `NotFound`, `Newer`, `Damaged` when it is something else.
    pub fn open(path: &Path) -> Result<Self> {
        let writer = schema::open_writer(path)?;
        let readers = Readers::open(path)?;
        Ok(SqliteStore { readers, writer: Writer::start(writer)? })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.run(work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.run(work).await
    }

    /// A change with its line in the audit log: both or neither.
    async fn write_audited<T: Send + 'static>(
        &self,
        row: AuditRow,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer
            .run(move |c| {
                let outcome = work(c)?;
                audit::append(c, &row)?;
                Ok(outcome)
            })
            .await
    }
}

/// The readers go first: the connection that closes last, the writer's, then tidies up the log.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.readers.close();
    }
}

#[async_trait]
impl MetaStore for SqliteStore {
    async fn add_user(&self, user: NewUser) -> Result<()> {
        self.write(move |c| users::add(c, &user)).await
    }

    async fn user(&self, uid: &Uid) -> Result<Option<User>> {
        let uid = uid.clone();
        self.read(move |c| users::find(c, &uid)).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        self.read(|c| users::list(c)).await
    }

    async fn set_disabled(&self, uid: &Uid, disabled: bool) -> Result<()> {
        let uid = uid.clone();
        self.write(move |c| users::set_disabled(c, &uid, disabled)).await
    }

    async fn begin_session(&self, session: NewSession, keep: usize) -> Result<Vec<TokenHash>> {
        self.write(move |c| users::begin_session(c, &session, keep)).await
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<Session>> {
        let token = *token;
        self.read(move |c| users::session(c, &token)).await
    }

    async fn end_session(&self, token: &TokenHash, now: Timestamp) -> Result<()> {
        let token = *token;
        self.write(move |c| users::end_session(c, &token, now)).await
    }

    async fn home(&self, owner: &Uid, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
        let (owner, user) = (owner.clone(), user.clone());
        self.read(move |c| facts::home(c, &owner, &user, now)).await
    }

    async fn node(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
        let user = user.clone();
        self.read(move |c| facts::node(c, id, &user, now)).await
    }

    async fn child(&self, parent: NodeId, name: &Name, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
        let (name, user) = (name.clone(), user.clone());
        self.read(move |c| facts::child(c, parent, &name, &user, now)).await
    }

    async fn children(
        &self,
        folder: NodeId,
        after: Option<&Name>,
        limit: usize,
        user: &Uid,
        now: Timestamp,
    ) -> Result<Vec<Seen>> {
        let (after, user) = (after.cloned(), user.clone());
        self.read(move |c| facts::children(c, folder, after.as_ref(), limit, &user, now)).await
    }

    async fn shared_homes(&self, user: &Uid, now: Timestamp) -> Result<Vec<Uid>> {
        let user = user.clone();
        self.read(move |c| facts::shared_homes(c, &user, now)).await
    }

    async fn path(&self, id: NodeId) -> Result<Option<String>> {
        self.read(move |c| facts::path(c, id)).await
    }

    async fn version(&self, id: NodeId, version: Version) -> Result<Option<StoredVersion>> {
        self.read(move |c| content::version(c, id, version)).await
    }

    async fn packs(&self, ids: &[PackId]) -> Result<Vec<PackRow>> {
        let ids = ids.to_vec();
        self.read(move |c| content::packs(c, &ids)).await
    }

    async fn create(&self, allowed: &Allowed, new: NewNode, audit: AuditRow) -> Result<Node> {
        rules::write(allowed, new.parent)?;
        let owner = allowed.user().clone();
        self.write_audited(audit, move |c| names::create(c, &new, &owner)).await
    }

    async fn commit(&self, allowed: &Allowed, commit: Commit, audit: AuditRow) -> Result<Node> {
        rules::write(allowed, commit.node)?;
        let proof = allowed.clone();
        self.write_audited(audit, move |c| commit::commit(c, &proof, &commit)).await
    }

    async fn rename(&self, allowed: &Allowed, rename: Rename, audit: AuditRow) -> Result<Node> {
        rules::own(allowed, rename.node)?;
        let by = By { user: allowed.user().clone(), time: audit.time };
        self.write_audited(audit, move |c| names::rename(c, &rename, &by)).await
    }

    async fn swap(&self, allowed: &Allowed, swap: Swap, audit: AuditRow) -> Result<(Node, Node)> {
        rules::own(allowed, swap.document)?;
        let proof = allowed.clone();
        self.write_audited(audit, move |c| commit::swap(c, &proof, &swap)).await
    }

    async fn remove(&self, allowed: &Allowed, remove: Remove, audit: AuditRow) -> Result<Deletion> {
        rules::own(allowed, remove.node)?;
        let by = By { user: allowed.user().clone(), time: audit.time };
        self.write_audited(audit, move |c| names::remove(c, &remove, &by)).await
    }

    async fn set_attr(&self, allowed: &Allowed, set: SetAttr) -> Result<Node> {
        let id = rules::writable(allowed)?;
        self.write(move |c| attributes::set_attr(c, id, &set)).await
    }

    async fn set_flag(&self, allowed: &Allowed, flag: Flag, audit: AuditRow) -> Result<Node> {
        let id = rules::owned(allowed)?;
        let now_ns = nanos(audit.time);
        self.write_audited(audit, move |c| attributes::set_flag(c, id, flag, now_ns)).await
    }

    async fn xattrs(&self, id: NodeId) -> Result<Vec<(String, Vec<u8>)>> {
        self.read(move |c| attributes::xattrs(c, id)).await
    }

    async fn set_xattr(&self, allowed: &Allowed, name: &str, value: &[u8], mode: XattrMode) -> Result<()> {
        let id = rules::writable(allowed)?;
        let (name, value) = (name.to_owned(), value.to_vec());
        self.write(move |c| attributes::set_xattr(c, id, &name, &value, mode)).await
    }

    async fn remove_xattr(&self, allowed: &Allowed, name: &str) -> Result<()> {
        let id = rules::writable(allowed)?;
        let name = name.to_owned();
        self.write(move |c| attributes::remove_xattr(c, id, &name)).await
    }

    async fn grants(&self, id: NodeId) -> Result<Vec<GrantRow>> {
        self.read(move |c| attributes::grants(c, id)).await
    }

    async fn set_grant(&self, allowed: &Allowed, grant: NewGrant, audit: AuditRow) -> Result<()> {
        let id = rules::owned(allowed)?;
        self.write_audited(audit, move |c| attributes::set_grant(c, id, &grant)).await
    }

    async fn revoke_grant(&self, allowed: &Allowed, grantee: &Grantee, audit: AuditRow) -> Result<()> {
        let id = rules::owned(allowed)?;
        let grantee = grantee.clone();
        self.write_audited(audit, move |c| attributes::revoke_grant(c, id, &grantee)).await
    }

    async fn key_node(&self, position: KeyPosition) -> Result<Option<KeyImage>> {
        self.read(move |c| keys::node(c, position)).await
    }

    async fn key_nodes(&self, level: u8, from: u64, limit: usize) -> Result<Vec<KeyImage>> {
        self.read(move |c| keys::nodes(c, level, from, limit)).await
    }

    async fn last_leaf(&self) -> Result<Option<u64>> {
        self.read(|c| keys::last_leaf(c)).await
    }

    async fn last_queued(&self) -> Result<Option<u64>> {
        self.read(|c| reclaim::last_queued(c)).await
    }

    async fn superseded(&self, before: Timestamp, limit: usize) -> Result<Vec<(NodeId, Version)>> {
        self.read(move |c| reclaim::superseded(c, before, limit)).await
    }

    async fn drop_versions(&self, versions: &[(NodeId, Version)]) -> Result<()> {
        let versions = versions.to_vec();
        self.write(move |c| reclaim::drop_versions(c, &versions)).await
    }

    async fn erasures(&self, limit: usize) -> Result<Vec<u64>> {
        self.read(move |c| reclaim::erasures(c, limit)).await
    }

    async fn erased(&self, leaves: &[u64], keys: Vec<KeyImage>, at: Erased) -> Result<()> {
        let leaves = leaves.to_vec();
        self.write(move |c| deletions::erased(c, &leaves, &keys, at)).await
    }

    async fn unused(&self, leaves: &[u64]) -> Result<Vec<u64>> {
        let leaves = leaves.to_vec();
        self.read(move |c| reclaim::unused(c, &leaves)).await
    }

    async fn abandon(&self, leaves: &[u64]) -> Result<()> {
        let leaves = leaves.to_vec();
        self.write(move |c| reclaim::abandon(c, &leaves)).await
    }

    async fn trash(&self, limit: usize, now: Timestamp) -> Result<Vec<PackId>> {
        self.read(move |c| reclaim::trash(c, limit, now)).await
    }

    async fn trashed(&self, packs: &[PackId]) -> Result<()> {
        let packs = packs.to_vec();
        self.write(move |c| reclaim::trashed(c, &packs)).await
    }

    async fn has_pack(&self, id: PackId) -> Result<bool> {
        self.read(move |c| content::has_pack(c, id)).await
    }

    async fn hold(&self, name: &str, until: Timestamp) -> Result<()> {
        let name = name.to_owned();
        self.write(move |c| reclaim::hold(c, &name, until)).await
    }

    async fn release(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.write(move |c| reclaim::release(c, &name)).await
    }

    async fn deletion(&self, document: NodeId) -> Result<Option<Deletion>> {
        self.read(move |c| deletions::find(c, document)).await
    }

    async fn deletions(&self, after: u64, limit: usize) -> Result<Vec<Deletion>> {
        self.read(move |c| deletions::after(c, after, limit)).await
    }

    async fn remove_again(&self, deletion: &Deletion) -> Result<bool> {
        let deletion = deletion.clone();
        self.write(move |c| deletions::remove_again(c, &deletion)).await
    }

    async fn last_deletion(&self) -> Result<u64> {
        self.read(|c| deletions::last(c)).await
    }

    async fn skip_deletions(&self, last: u64) -> Result<()> {
        self.write(move |c| deletions::skip(c, last)).await
    }

    async fn totals(&self) -> Result<Totals> {
        self.read(|c| walk::totals(c)).await
    }

    async fn documents(&self, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeId>> {
        self.read(move |c| walk::documents(c, after, limit)).await
    }

    async fn versions_of(&self, id: NodeId) -> Result<Option<Versions>> {
        self.read(move |c| walk::versions_of(c, id)).await
    }

    async fn packs_after(&self, after: Option<(u64, PackId)>, limit: usize) -> Result<Vec<(u64, PackId)>> {
        self.read(move |c| walk::packs_after(c, after, limit)).await
    }

    async fn pack_blocks(&self, id: PackId) -> Result<Option<u64>> {
        self.read(move |c| walk::pack_blocks(c, id)).await
    }

    async fn users_of(&self, id: PackId) -> Result<Vec<(NodeId, Version)>> {
        self.read(move |c| walk::users_of(c, id)).await
    }

    async fn audit(&self, rows: Vec<AuditRow>) -> Result<()> {
        self.writer.audit(rows)
    }

    /// A call that does nothing but wait for its transaction, which takes the held rows along.
    async fn flush(&self) -> Result<()> {
        self.write(|_| Ok(())).await
    }
}

#[cfg(test)]
mod tests;

//! A metadata store that fails where a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use sss_common::{Flag, Grantee, Name, NodeId, PackId, Timestamp, Uid, Version, XattrMode};
use sss_policy::{Allowed, Checkin, Delete, MayWrite, Own, Share};
use sss_vault::sealed::{KeyImage, KeyPosition, Leaf};

use super::*;

/// When a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of it happens.
    Before,
    /// All of it has happened, and its answer is lost.
    After,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Often {
    /// The next call, and no other.
    Next,
    /// Each call whose number is a multiple of this; 1 is every call.
    EveryNth(usize),
}

type MakeError = dyn Fn() -> StoreError + Send;

struct Rule {
    /// Its method's name; `None`: any.
    call: Option<&'static str>,
    often: Often,
    moment: Moment,
    error: Box<MakeError>,
    seen: usize,
}

impl Rule {
    fn is_due(&mut self, call: &str) -> bool {
        if self.call.is_some_and(|own| own != call) {
            return false;
        }
        self.seen += 1;
        match self.often {
            Often::Next => true,
            Often::EveryNth(n) => self.seen.is_multiple_of(n),
        }
    }
}

/// Passes everything on to another store, except what a test wants to go wrong.
pub struct FaultyMeta {
    inner: Arc<dyn MetaStore>,
    rules: Mutex<Vec<Rule>>,
    failed: AtomicUsize,
}

impl FaultyMeta {
    /// Without faults so far.
    pub fn new(inner: Arc<dyn MetaStore>) -> Self {
        FaultyMeta { inner, rules: Mutex::default(), failed: AtomicUsize::new(0) }
    }

    /// Lets calls fail: `call` is a method's name, `None` means any.
    pub fn fail(
        &self,
        call: Option<&'static str>,
        often: Often,
        moment: Moment,
        error: impl Fn() -> StoreError + Send + 'static,
    ) {
        self.rules.lock().push(Rule { call, often, moment, error: Box::new(error), seen: 0 });
    }

    /// Forgets all faults. Answers how many calls have failed since the last time.
    pub fn heal(&self) -> usize {
        self.rules.lock().clear();
        self.failed.swap(0, Ordering::SeqCst)
    }

    /// The first rule that a call meets; one for the next call is used up.
    fn due(&self, call: &str) -> Option<(Moment, StoreError)> {
        let mut rules = self.rules.lock();
        let at = rules.iter_mut().position(|rule| rule.is_due(call))?;
        self.failed.fetch_add(1, Ordering::SeqCst);
        let fault = (rules[at].moment, (rules[at].error)());
        if rules[at].often == Often::Next {
            rules.remove(at);
        }
        Some(fault)
    }

    async fn call<T>(&self, name: &'static str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match self.due(name) {
            None => call.await,
            Some((Moment::Before, error)) => Err(error),
            Some((Moment::After, error)) => {
                call.await?;
                Err(error)
            }
        }
    }
}

/// A storage failure as SQLite reports one.
pub fn backend_failed() -> StoreError {
    StoreError::Backend("the disk does not answer".into())
}

/// Forwards each method under its own name.
macro_rules! forward {
    ($trait:ident: $($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl $trait for FaultyMeta {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out> {
                self.call(stringify!($name), self.inner.$name($($arg),*)).await
            })*
        }
    };
}

forward! {
    Users:
    add_user(user: NewUser, audit: AuditRow) -> ();
    user(uid: &Uid) -> Option<User>;
    users() -> Vec<User>;
    set_disabled(uid: &Uid, disabled: bool, audit: AuditRow) -> ();
    set_key(uid: &Uid, public_key: &str, audit: AuditRow) -> ();
    begin_session(session: NewSession, keep: usize, audit: AuditRow) -> Vec<TokenHash>;
    session(token: &TokenHash) -> Option<Session>;
    live_sessions() -> Vec<TokenHash>;
    revision() -> u64;
    end_session(token: &TokenHash, now: Timestamp, audit: AuditRow) -> ();
}

forward! {
    Names:
    home(owner: &Uid, user: &Uid, now: Timestamp) -> Option<Seen>;
    node(id: NodeId, user: &Uid, now: Timestamp) -> Option<Seen>;
    child(parent: NodeId, name: &Name, user: &Uid, now: Timestamp) -> Option<Seen>;
    children(folder: NodeId, after: Option<&Name>, limit: usize, user: &Uid, now: Timestamp) -> Vec<Seen>;
    shared_homes(user: &Uid, now: Timestamp) -> Vec<Uid>;
    path(id: NodeId) -> Option<String>;
    audience(id: NodeId, now: Timestamp) -> Audience;
    create(folder: &Allowed<Checkin>, new: NewNode, audit: AuditRow) -> Node;
    rename(proof: &Allowed<Own>, rename: Rename, audit: AuditRow) -> Node;
    remove(proof: &Allowed<Delete>, remove: Remove, audit: AuditRow) -> Deletion;
}

forward! {
    Content:
    version(id: NodeId, version: Version) -> Option<StoredVersion>;
    packs(ids: &[PackId]) -> Vec<PackRow>;
    commit(proof: &dyn MayWrite, commit: Commit, audit: AuditRow) -> Node;
    swap(proof: &Allowed<Own>, swap: Swap, audit: AuditRow) -> (Node, Node);
}

forward! {
    Sharing:
    set_attr(proof: &dyn MayWrite, set: SetAttr) -> Node;
    set_flag(proof: &Allowed<Own>, flag: Flag, audit: AuditRow) -> Node;
    xattrs(id: NodeId) -> Vec<(String, Vec<u8>)>;
    set_xattr(proof: &dyn MayWrite, name: &str, value: &[u8], mode: XattrMode, now: Timestamp) -> ();
    remove_xattr(proof: &dyn MayWrite, name: &str, now: Timestamp) -> ();
    grants(id: NodeId) -> Vec<GrantRow>;
    set_grant(proof: &Allowed<Share>, grant: NewGrant, audit: AuditRow) -> ();
    revoke_grant(proof: &Allowed<Share>, grantee: &Grantee, audit: AuditRow) -> ();
}

forward! {
    Keys:
    key_node(position: KeyPosition) -> Option<KeyImage>;
    key_nodes(level: u8, from: u64, limit: usize) -> Vec<KeyImage>;
    last_leaf() -> Option<Leaf>;
    last_queued() -> Option<Leaf>;
}

forward! {
    Reclaim:
    superseded(before: Timestamp, limit: usize) -> Vec<(NodeId, Version)>;
    drop_versions(versions: &[(NodeId, Version)]) -> ();
    erasures(limit: usize) -> Vec<Leaf>;
    erased(leaves: &[Leaf], keys: Vec<KeyImage>, at: Erased) -> ();
    unused(leaves: &[Leaf]) -> Vec<Leaf>;
    abandon(leaves: &[Leaf]) -> ();
    trash(limit: usize, now: Timestamp) -> Vec<PackId>;
    trashed(packs: &[PackId]) -> ();
    has_pack(id: PackId) -> bool;
    hold(name: &str, until: Timestamp) -> ();
    release(name: &str) -> ();
}

forward! {
    Deletions:
    deletion(document: NodeId) -> Option<Deletion>;
    deletions(after: DeletionSeq, limit: usize) -> Vec<Deletion>;
    remove_again(deletion: &Deletion) -> bool;
    last_deletion() -> DeletionSeq;
    skip_deletions(last: DeletionSeq) -> ();
}

forward! {
    Homes:
    shut(uid: &Uid, audit: AuditRow) -> ();
    empty(uid: &Uid, weight: usize, now: Timestamp) -> Vec<Deletion>;
    withdraw(uid: &Uid, limit: usize, now: Timestamp) -> usize;
    remove_user(uid: &Uid, audit: AuditRow) -> ();
    removed(uid: &Uid) -> Option<Timestamp>;
    transfer(from: &Uid, to: &Uid, into: Option<&Name>, audit: AuditRow) -> (Node, u64);
    reordered() -> u64;
}

forward! {
    Walk:
    totals() -> Totals;
    documents(after: Option<NodeId>, limit: usize) -> Vec<NodeId>;
    versions_of(id: NodeId) -> Option<Versions>;
    packs_after(after: Option<(Leaf, PackId)>, limit: usize) -> Vec<(Leaf, PackId)>;
    pack_blocks(id: PackId) -> Option<u64>;
    users_of(id: PackId) -> Vec<(NodeId, Version)>;
}

forward! {
    Moments:
    latest_moment() -> Timestamp;
    remember_moment(now: Timestamp) -> ();
    set_back(now: Timestamp, audit: AuditRow) -> SetBack;
}

#[async_trait]
impl Audit for FaultyMeta {
    fn audit(&self, rows: Vec<AuditRow>) -> Result<()> {
        match self.due("audit") {
            None => self.inner.audit(rows),
            Some((Moment::Before, error)) => Err(error),
            Some((Moment::After, error)) => self.inner.audit(rows).and(Err(error)),
        }
    }

    fn audit_works(&self) -> Result<()> {
        match self.due("audit_works") {
            None => self.inner.audit_works(),
            Some((_, error)) => Err(error),
        }
    }

    async fn audit_after(&self, seq: AuditSeq, limit: usize) -> Result<Vec<AuditEntry>> {
        self.call("audit_after", self.inner.audit_after(seq, limit)).await
    }

    async fn audit_head(&self) -> Result<AuditHead> {
        self.call("audit_head", self.inner.audit_head()).await
    }

    async fn audit_start(&self) -> Result<AuditHead> {
        self.call("audit_start", self.inner.audit_start()).await
    }

    async fn prune_audit(&self, before: Timestamp, most: usize, now: Timestamp) -> Result<u64> {
        self.call("prune_audit", self.inner.prune_audit(before, most, now)).await
    }

    async fn flush(&self) -> Result<()> {
        self.call("flush", self.inner.flush()).await
    }
}

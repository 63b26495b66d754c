//! What every metadata store must do. [`suite!`] makes one test of each case for a store; the cases take a fresh one.
#![allow(clippy::unwrap_used)]

mod audit;
mod content;
mod deletions;
mod grants;
mod homes;
mod moments;
mod names;
mod reclaim;
mod sequences;
mod users;
mod walk;

use std::sync::Arc;

use bytes::Bytes;

use sss_common::{
    Epoch, FileTime, Flag, Grantee, Kind, Name, NodeId, PackId, Right, Timestamp, Uid, Version, XattrMode,
};

use super::*;
use sss_policy::{Act, Allowed, Below, Checkin, Delete, Facts, Level, Own, Share, decide};
use sss_vault::sealed::{KeyImage, KeyPosition, Leaf};

/// Tests of all cases: `suite!(module, async || fresh store and what must outlive it)`.
macro_rules! suite {
    ($store:ident, $open:expr, [$($family:ident: $($case:ident),+;)+]) => {
        mod $store {
            $(mod $family {
                $(#[tokio::test]
                async fn $case() {
                    let (store, _keep) = $open;
                    super::super::super::$family::$case(super::super::super::Rig::new(store).await).await;
                })+
            })+
        }
    };
}

macro_rules! suites {
    ($($cases:tt)+) => {
        mod suites {
            suite!(memory, (std::sync::Arc::new(crate::store::memory::MemoryStore::new()), ()), [$($cases)+]);
            suite!(sqlite, {
                let folder = tempfile::tempdir().expect("a folder");
                let store = crate::store::sqlite::SqliteStore::create(&folder.path().join("meta.db"));
                (std::sync::Arc::new(store.expect("a store")), folder)
            }, [$($cases)+]);
        }
    };
}

suites! {
    users: adding, sessions_replace, sessions_are_kept, sessions_end, disabling, rekeying, revisions, forgetting_sessions;
    names: creating, creating_where_it_cannot_be, nesting_is_limited, looking_up, listing_pages, paths,
        renaming, renaming_onto, renaming_where_it_cannot_be, renaming_measures_the_subtree, removing,
        removing_a_version, swapping, swapping_too_late, whom_a_node_concerns, attributes, flags, extended_attributes, extended_attributes_are_limited;
    content: first_version, versions_move, newer_versions_share_packs, commits_that_make_no_sense,
        created_with_content, a_flag_that_moved,
        older_keys_never_replace_newer, consuming, consuming_attributes, consuming_too_late, many_at_once;
    grants: setting, all_replaces, revoking, facts_have_all_levels, below_shows_the_way, below_fades, below_is_asked_when_needed,
        a_later_own_grant_shadows_all, listings_have_the_same_facts, shared_homes, grants_go_with_the_node,
        guests_own, stale_proofs_change_nothing, a_disabled_users_proofs_change_nothing, guests_grants_are_known_as_such, folders_of_the_home, guests_take_nothing_of_others_along, copies_are_limited;
    reclaim: removing_queues, inline_packs_are_no_trash, shared_packs_stay, dropping_versions,
        superseded_in_order, erasing, abandoning, holding, key_nodes_in_order;
    deletions: logging, shared_keys_are_told, erased_when_the_last_key_is, replaced_ones_are_logged, removing_again,
        numbers_are_given_once;
    homes: shutting, emptying, one_step_takes_what_is_asked_for, withdrawing, removing_users, transferring, transferring_where_it_cannot_be;
    audit: the_chain_begins_and_goes_on, what_fails_leaves_no_row, handed_rows_come_in_order, pruning, pruning_all,
        sessions_and_users_are_logged;
    moments: the_latest_is_remembered, a_mistaken_moment_is_taken_back;
    walk: documents_in_pages, versions_with_their_packs, packs_in_the_order_of_their_leaves, totals_follow;
}

/// A store with users alice, bob and carol, and short words for what the cases do.
pub(super) struct Rig {
    pub(super) store: Arc<dyn MetaStore>,
}

pub(super) const NOW: Timestamp = Timestamp(1_000_000);
pub(super) const LATER: Timestamp = Timestamp(2_000_000);

impl Rig {
    pub(super) async fn new(store: Arc<dyn MetaStore>) -> Self {
        let rig = Rig { store };
        for name in ["alice", "bob", "carol"] {
            rig.store.add_user(new_user(name), audit("user-add")).await.unwrap();
        }
        rig
    }

    pub(super) async fn home(&self, name: &str) -> NodeId {
        self.store.user(&uid(name)).await.unwrap().unwrap().home
    }

    pub(super) async fn make(&self, parent: NodeId, name: &str, kind: Kind) -> NodeId {
        self.make_as("alice", parent, name, kind).await.unwrap().id
    }

    /// What a guest made where he may not make anything now: in a folder that was there for it, from where the home's owner moved it.
    /// That takes the number of one grant.
    pub(super) async fn make_as(&self, user: &str, parent: NodeId, name: &str, kind: Kind) -> Result<Node> {
        let lord = match self.store.node(parent, &uid(user), NOW).await.unwrap() {
            Some(seen) => seen.node.home,
            None => uid(user),
        };
        if lord.as_str() == user {
            return self.create_as(user, parent, name, kind).await;
        }
        let (lord, home) = (lord.as_str(), self.home(lord.as_str()).await);
        let lobby = self.create_as(lord, home, "lobby", Kind::Folder).await?.id;
        let grant = NewGrant { grantee: grantee(user), right: Right::Both, until: LATER };
        self.store.set_grant(&proof_as(lord, lobby, Share), grant, audit("grant")).await?;
        let made = self.create_as(user, lobby, name, kind).await?.id;
        let (into, name) = (proof_as(lord, parent, Checkin), self::name(name));
        let new_name = name.clone();
        let rename = Rename { parent: lobby, name, into, new_name, replacing: None, now_ns: FileTime(8) };
        let made = self.store.rename(&proof_as(lord, made, Own), rename, audit("rename")).await?;
        let remove = Remove { parent: home, name: self::name("lobby"), version: None, now_ns: FileTime(9) };
        self.store.remove(&proof_as(lord, lobby, Delete), remove, audit("delete")).await?;
        Ok(made)
    }

    async fn create_as(&self, user: &str, parent: NodeId, name: &str, kind: Kind) -> Result<Node> {
        self.store.create(&proof_as(user, parent, Checkin), new_node(name, kind), audit("create")).await
    }

    pub(super) async fn file(&self, name: &str) -> NodeId {
        self.make(self.home("alice").await, name, Kind::File).await
    }

    pub(super) async fn folder(&self, parent: NodeId, name: &str) -> NodeId {
        self.make(parent, name, Kind::Folder).await
    }

    pub(super) async fn commit(&self, node: NodeId, commit: Commit) -> Result<Node> {
        self.store.commit(&proof(node, Checkin), commit, audit("checkin")).await
    }

    pub(super) async fn remove(&self, node: NodeId, parent: NodeId, name: &str) -> Result<Deletion> {
        let remove = Remove { parent, name: self::name(name), version: None, now_ns: FileTime(9) };
        self.store.remove(&proof(node, Delete), remove, audit("delete")).await
    }

    pub(super) async fn rename(
        &self,
        node: NodeId,
        from: (NodeId, &str),
        to: (NodeId, &str),
    ) -> Result<Node> {
        self.rename_onto(node, from, to, None).await
    }

    pub(super) async fn rename_onto(
        &self,
        node: NodeId,
        (parent, old): (NodeId, &str),
        (new_parent, new): (NodeId, &str),
        replacing: Option<NodeId>,
    ) -> Result<Node> {
        let (name, new_name) = (name(old), name(new));
        let (into, replacing) = (proof(new_parent, Checkin), replacing.map(|id| proof(id, Delete)));
        let rename = Rename { parent, name, into, new_name, replacing, now_ns: FileTime(8) };
        self.store.rename(&proof(node, Own), rename, audit("rename")).await
    }

    /// A proof as the policy gives it to who has the home in which the node lies; to alice, where there is none.
    async fn lords<A: Act>(&self, node: NodeId, act: A) -> Allowed<A> {
        let seen = self.store.node(node, &uid("alice"), NOW).await.unwrap();
        proof_as(seen.as_ref().map_or("alice", |seen| seen.node.home.as_str()), node, act)
    }

    pub(super) async fn grant(&self, node: NodeId, to: &str, right: Right, until: Timestamp) {
        let grant = NewGrant { grantee: grantee(to), right, until };
        self.store.set_grant(&self.lords(node, Share).await, grant, audit("grant")).await.unwrap();
    }

    pub(super) async fn revoke(&self, node: NodeId, from: &str) -> Result<()> {
        self.store.revoke_grant(&self.lords(node, Share).await, &grantee(from), audit("revoke")).await
    }

    pub(super) async fn seen(&self, node: NodeId, user: &str) -> Seen {
        self.store.node(node, &uid(user), NOW).await.unwrap().unwrap()
    }

    pub(super) async fn below(&self, node: NodeId, user: &str) -> Below {
        self.seen(node, user).await.facts.below
    }
}

pub(super) fn uid(text: &str) -> Uid {
    text.parse().unwrap()
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn grantee(text: &str) -> Grantee {
    text.parse().unwrap()
}

pub(super) fn new_user(name: &str) -> NewUser {
    NewUser { uid: uid(name), public_key: format!("key of {name}"), now: NOW }
}

pub(super) fn new_node(text: &str, kind: Kind) -> NewNode {
    let flag = (kind == Kind::File).then_some(Flag::Confidentiality);
    NewNode {
        id: NodeId::random(),
        name: name(text),
        kind,
        mode: 0o640,
        flag,
        of_home: false,
        limited: Limited::No,
        now_ns: FileTime(7),
    }
}

/// A proof as the policy gives it to an owner.
pub(super) fn proof<A: Act>(node: NodeId, act: A) -> Allowed<A> {
    proof_as("alice", node, act)
}

pub(super) fn proof_as<A: Act>(user: &str, node: NodeId, act: A) -> Allowed<A> {
    decide(&Facts::at_home(uid(user), node), act, NOW).unwrap()
}

/// A row of this action.
pub(super) fn audit(word: &str) -> AuditRow {
    AuditRow {
        time: NOW,
        user: Some(uid("alice")),
        machine: Some("client1".parse().unwrap()),
        action: word.parse().unwrap(),
        document: None,
        path: "@alice/x".into(),
        outcome: AuditOutcome::allowed(),
        request_id: "r1".into(),
    }
}

/// A version on top of `base` with nothing but a record under `leaf`.
pub(super) fn version(base: u64, leaf: u64) -> Commit {
    Commit {
        base: Version(base),
        leaf: Leaf(leaf),
        sealed_record: Bytes::from(format!("record {leaf}")),
        pack: None,
        uses: Vec::new(),
        size: 10 * leaf,
        flag: Flag::Confidentiality,
        author: uid("alice"),
        now: Timestamp(NOW.0 + leaf as i64),
        mtime_ns: FileTime(5),
        mode: None,
        keys: Vec::new(),
        consumes: None,
        create: None,
    }
}

/// The same with a pack of its own; `inline` or in the blob store.
pub(super) fn version_with_pack(node: NodeId, base: u64, leaf: u64, inline: bool) -> (Commit, PackId) {
    let id = PackId::random();
    let inline = inline.then(|| Bytes::from_static(b"sealed"));
    let pack = PackRow { id, document: node, leaf: Leaf(leaf), length: 6, blocks: 1, inline };
    (Commit { pack: Some(pack), uses: vec![id], ..version(base, leaf) }, id)
}

pub(super) const ERASED: Erased = Erased { epoch: Epoch(7), time: Timestamp(NOW.0 + 7) };

pub(super) fn key(index: u64, sequence: u64) -> KeyImage {
    let sealed = Bytes::from(format!("image {index} {sequence}"));
    KeyImage { position: KeyPosition { level: 1, index }, sequence, sealed }
}

/// Fails unless the outcome is this error.
macro_rules! refused {
    ($outcome:expr, $pattern:pat) => {
        match $outcome {
            Err($pattern) => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern)),
        }
    };
}
use refused;

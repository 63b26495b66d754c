//! Random sequences of calls give the same on every store, errors included.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::SqliteStore;

/// Users, nodes and packs are numbers here: small ones, so that calls meet one another.
#[derive(Clone, Debug)]
enum Step {
    Create { parent: usize, name: u8, kind: Kind, user: usize },
    Commit { node: usize, stale: bool, own_pack: bool, shared: Option<usize>, consumes: Option<usize> },
    Rename { node: usize, to: usize, name: u8, replace: bool },
    Swap { node: usize, name: u8, commit: bool },
    Remove { node: usize },
    Grant { node: usize, grantee: usize, until: i64 },
    Revoke { node: usize, grantee: usize },
    Flag { node: usize },
    Xattr { node: usize, name: u8, mode: XattrMode },
    DropVersions { upto: i64 },
    Erase,
    Abandon { leaf: Leaf },
    Disable { user: usize, disabled: bool },
    Login { user: usize, keep: usize, after: i64 },
}

fn steps() -> impl Strategy<Value = Step> {
    use Step::*;
    // Mostly what fits, so that much succeeds: see `Run::new` for the numbers.
    let node = || 2..14usize;
    let folder = || prop_oneof![8 => 0..5usize, 1 => 0..14usize];
    let file = || prop_oneof![8 => 5..14usize, 1 => 0..14usize];
    let kind = prop_oneof![Just(Kind::File), Just(Kind::Folder), Just(Kind::Folder), Just(Kind::Symlink)];
    let mode = prop_oneof![Just(XattrMode::Any), Just(XattrMode::Create), Just(XattrMode::Replace)];
    prop_oneof![
        6 => (folder(), 0..4u8, kind, 0..3usize)
            .prop_map(|(parent, name, kind, user)| Create { parent, name, kind, user }),
        6 => (file(), prop::bool::weighted(0.1), any::<bool>(), prop::option::of(0..8usize),
              prop::option::weighted(0.2, file()))
            .prop_map(|(node, stale, own_pack, shared, consumes)| Commit { node, stale, own_pack, shared, consumes }),
        4 => (node(), folder(), 0..4u8, any::<bool>())
            .prop_map(|(node, to, name, replace)| Rename { node, to, name, replace }),
        2 => (file(), 0..4u8, any::<bool>()).prop_map(|(node, name, commit)| Swap { node, name, commit }),
        2 => node().prop_map(|node| Remove { node }),
        5 => (node(), 0..4usize, 0..3i64).prop_map(|(node, grantee, until)| Grant { node, grantee, until }),
        2 => (node(), 0..4usize).prop_map(|(node, grantee)| Revoke { node, grantee }),
        1 => node().prop_map(|node| Flag { node }),
        1 => (node(), 0..2u8, mode).prop_map(|(node, name, mode)| Xattr { node, name, mode }),
        1 => (0..40i64).prop_map(|upto| DropVersions { upto }),
        1 => Just(Erase),
        1 => (0..20u64).prop_map(|leaf| Abandon { leaf: Leaf(leaf) }),
        1 => (0..3usize, any::<bool>()).prop_map(|(user, disabled)| Disable { user, disabled }),
        2 => (0..3usize, 0..3usize, 0..90_000_000i64)
            .prop_map(|(user, keep, after)| Login { user, keep, after }),
    ]
}

const USERS: [&str; 4] = ["alice", "bob", "carol", "ALL"];

/// The same run on each store. Ids are numbered, except those of homes, which each store chooses for itself.
struct Run {
    rig: Rig,
    homes: Vec<NodeId>,
    /// Two homes first, then in the order of creation; removed ones stay.
    nodes: Vec<NodeId>,
    packs: Vec<PackId>,
    leaf: u64,
    told: Vec<String>,
}

impl Run {
    async fn new(store: Arc<dyn MetaStore>) -> Self {
        let rig = Rig::new(store).await;
        let homes = vec![rig.home("alice").await, rig.home("bob").await, rig.home("carol").await];
        let nodes = homes[..2].to_vec();
        let mut run = Run { rig, nodes, homes, packs: Vec::new(), leaf: 0, told: Vec::new() };
        // Two homes, three folders, files.
        for (parent, name, user) in [(0, 0, 0), (2, 0, 0), (1, 0, 1)] {
            run.step(&Step::Create { parent, name, kind: Kind::Folder, user }).await;
        }
        for (parent, name, user) in [(0, 1, 0), (0, 2, 0), (2, 1, 0), (3, 1, 0), (4, 1, 1)] {
            run.step(&Step::Create { parent, name, kind: Kind::File, user }).await;
        }
        run
    }

    fn tell(&mut self, what: impl Debug) {
        let mut text = format!("{what:?}");
        for (number, home) in self.homes.iter().enumerate() {
            text = text.replace(&home.to_string(), &format!("home {number}"));
        }
        self.told.push(text);
    }

    fn node(&self, number: usize) -> NodeId {
        self.nodes[number % self.nodes.len()]
    }

    fn fresh(&mut self) -> NodeId {
        let mut id = [0xaa; 16];
        id[8..].copy_from_slice(&(self.nodes.len() as u64).to_be_bytes());
        self.nodes.push(NodeId(id));
        NodeId(id)
    }

    async fn present(&self, number: usize) -> Option<Node> {
        let found = self.rig.store.node(self.node(number), &uid("alice"), NOW).await.unwrap();
        found.map(|seen| seen.node)
    }

    /// Where a node is; a place that is not for homes and nodes that are gone.
    async fn place(&self, number: usize) -> (NodeId, Name) {
        let node = self.present(number).await;
        let parent = node.as_ref().and_then(|node| node.parent).unwrap_or(NodeId([1; 16]));
        (parent, node.and_then(|node| node.name).unwrap_or_else(|| name("gone")))
    }

    fn commit(&mut self, node: NodeId, base: Version, own_pack: bool, shared: Option<usize>) -> Commit {
        self.leaf += 1;
        let mut commit = Commit { base, ..version(0, self.leaf) };
        if own_pack {
            let mut id = [0xbb; 16];
            id[8..].copy_from_slice(&self.leaf.to_be_bytes());
            let inline = self.leaf.is_multiple_of(2).then(|| Bytes::from_static(b"sealed"));
            let pack = PackRow {
                id: PackId(id),
                document: node,
                leaf: Leaf(self.leaf),
                length: 6,
                blocks: 1,
                inline,
            };
            commit.uses.push(pack.id);
            commit.pack = Some(pack);
            self.packs.push(PackId(id));
        }
        let known =
            shared.filter(|_| !self.packs.is_empty()).map(|number| self.packs[number % self.packs.len()]);
        commit.uses.extend(known.filter(|pack| !commit.uses.contains(pack)));
        commit.keys = vec![key(self.leaf % 3, self.leaf * 7 % 5)];
        commit
    }

    /// A proof as the policy gives it to who has the home in which a node lies.
    async fn proof<A: Act>(&self, number: usize, act: A) -> Allowed<A> {
        let lord = self.present(number).await.map_or_else(|| uid("alice"), |node| node.home);
        proof_as(lord.as_str(), self.node(number), act)
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Create { parent, name: text, kind, user } => {
                let parent = self.node(parent);
                let new = NewNode { id: self.fresh(), ..new_node(&format!("n{text}"), kind) };
                let allowed = proof_as(USERS[user], parent, Checkin);
                let outcome = self.rig.store.create(&allowed, new, audit("create")).await;
                self.tell(outcome);
            }
            Step::Commit { node, stale, own_pack, shared, consumes } => {
                let current = self.present(node).await.map_or(Version(0), |node| node.version);
                let base = if stale { current.next() } else { current };
                let source = match consumes {
                    Some(number) => {
                        let version = self.present(number).await.map_or(Version(0), |node| node.version);
                        Some((self.proof(number, Own).await, version))
                    }
                    None => None,
                };
                let id = self.node(node);
                let commit = self.commit(id, base, own_pack, shared);
                let commit = Commit { consumes: source, ..commit };
                let allowed = self.proof(node, Checkin).await;
                let outcome = self.rig.store.commit(&allowed, commit, audit("checkin")).await;
                self.tell(outcome);
            }
            Step::Rename { node, to, name: text, replace } => {
                let ((parent, old), own) = (self.place(node).await, self.proof(node, Own).await);
                let (new_parent, new_name) = (self.node(to), name(&format!("n{text}")));
                let there = self.rig.store.child(new_parent, &new_name, &uid("alice"), NOW).await.unwrap();
                let replacing =
                    there.filter(|_| replace).map(|seen| proof_as(own.user().as_str(), seen.node.id, Delete));
                let into = proof_as(own.user().as_str(), new_parent, Checkin);
                let rename = Rename { parent, name: old, into, new_name, replacing, now_ns: FileTime(8) };
                let outcome = self.rig.store.rename(&own, rename, audit("rename")).await;
                self.tell(outcome);
            }
            Step::Swap { node, name: text, commit } => {
                let ((folder, backup), own) = (self.place(node).await, self.proof(node, Own).await);
                let version = self.present(node).await.map_or(Version(0), |node| node.version);
                let copy = NewNode { id: self.fresh(), name: backup, ..new_node("copy", Kind::File) };
                let commit = commit.then(|| self.commit(copy.id, Version(0), true, None));
                let (folder, name) =
                    (proof_as(own.user().as_str(), folder, Checkin), name(&format!("n{text}")));
                let swap = Swap { folder, name, copy, commit, version };
                let outcome = self.rig.store.swap(&own, swap, audit("restore-name")).await;
                self.tell(outcome);
            }
            Step::Remove { node } => {
                let ((parent, name), allowed) = (self.place(node).await, self.proof(node, Delete).await);
                let remove = Remove { parent, name, version: None, now_ns: FileTime(9) };
                let outcome = self.rig.store.remove(&allowed, remove, audit("delete")).await;
                self.tell(outcome);
            }
            Step::Grant { node, grantee, until } => {
                let until = Timestamp(NOW.0 + until - 1);
                let grant = NewGrant { grantee: self::grantee(USERS[grantee]), right: Right::Both, until };
                let outcome =
                    self.rig.store.set_grant(&self.proof(node, Share).await, grant, audit("grant")).await;
                self.tell(outcome);
            }
            Step::Revoke { node, grantee } => {
                let (allowed, from) = (self.proof(node, Share).await, self::grantee(USERS[grantee]));
                let outcome = self.rig.store.revoke_grant(&allowed, &from, audit("revoke")).await;
                self.tell(outcome);
            }
            Step::Flag { node } => {
                let allowed = self.proof(node, Own).await;
                let outcome = self.rig.store.set_flag(&allowed, Flag::Integrity, audit("flag")).await;
                self.tell(outcome);
            }
            Step::Xattr { node, name, mode } => {
                let allowed = self.proof(node, Own).await;
                let outcome =
                    self.rig.store.set_xattr(&allowed, &format!("user.{name}"), b"v", mode, NOW).await;
                self.tell(outcome);
            }
            Step::DropVersions { upto } => {
                let old = self.rig.store.superseded(Timestamp(NOW.0 + upto), 3).await.unwrap();
                let outcome = self.rig.store.drop_versions(&old).await;
                self.tell((old, outcome));
            }
            Step::Erase => {
                let leaves = self.rig.store.erasures(2).await.unwrap();
                let trash = self.rig.store.trash(1, NOW).await.unwrap();
                let outcome = self.rig.store.erased(&leaves, vec![key(0, self.leaf)], ERASED).await;
                self.rig.store.trashed(&trash).await.unwrap();
                self.tell((leaves, trash, outcome));
            }
            Step::Abandon { leaf } => {
                let outcome = self.rig.store.abandon(&[leaf]).await;
                self.tell(outcome);
            }
            Step::Disable { user, disabled } => {
                let outcome =
                    self.rig.store.set_disabled(&uid(USERS[user]), disabled, audit("user-disable")).await;
                self.tell(outcome);
            }
            Step::Login { user, keep, after } => {
                let now = Timestamp(NOW.0 + after);
                let new = NewSession {
                    token: TokenHash([self.told.len() as u8; 32]),
                    uid: uid(USERS[user]),
                    public_key: format!("key of {}", USERS[user]),
                    machine: "client1".parse().unwrap(),
                    certificate: Fingerprint([1; 32]),
                    now,
                    expires: Timestamp(now.0 + 1000),
                };
                let outcome = self.rig.store.begin_session(new, keep, audit("login")).await;
                self.tell(
                    outcome.map(|replaced| replaced.into_iter().map(|hash| hash.0[0]).collect::<Vec<_>>()),
                );
            }
        }
    }

    /// All that can be asked.
    async fn look_around(&mut self) {
        let store = self.rig.store.clone();
        for user in ["alice", "bob", "carol"] {
            let user = uid(user);
            self.tell(store.shared_homes(&user, NOW).await);
            for id in self.nodes.clone() {
                self.tell(store.node(id, &user, NOW).await);
                self.tell(store.children(id, None, 99, &user, NOW).await);
            }
        }
        for id in self.nodes.clone() {
            self.tell((store.path(id).await, store.grants(id).await, store.xattrs(id).await));
            for version in 0..9 {
                self.tell(store.version(id, Version(version)).await);
            }
        }
        self.tell(store.packs(&self.packs.clone()).await);
        self.tell((store.erasures(99).await, store.trash(99, NOW).await, store.last_leaf().await));
        self.tell(store.superseded(LATER, 99).await);
        self.tell(store.deletions(DeletionSeq::NONE, 99).await);
        for index in 0..3 {
            self.tell(store.key_node(key(index, 0).position).await);
        }
        for byte in 0..60 {
            self.tell(store.session(&TokenHash([byte; 32])).await);
        }
        self.tell(store.users().await);
    }
}

async fn told(store: Arc<dyn MetaStore>, steps: &[Step]) -> Vec<String> {
    let mut run = Run::new(store).await;
    for step in steps {
        run.step(step).await;
    }
    run.look_around().await;
    run.told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn memory_and_sqlite_agree(steps in vec(steps(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let sqlite = SqliteStore::create(&folder.path().join("meta.db")).unwrap();
            let real = told(Arc::new(sqlite), &steps).await;
            let twin = told(Arc::new(MemoryStore::new()), &steps).await;
            for (real, twin) in real.iter().zip(&twin) {
                prop_assert_eq!(real, twin);
            }
            prop_assert_eq!(real.len(), twin.len());
            Ok(())
        })?;
    }
}

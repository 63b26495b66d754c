//! The tree against a table of keys, under check-ins, erasures, cancelled requests and crashes in any order.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use futures::executor::block_on;
use proptest::prelude::*;
use proptest::sample::Index;

use super::path::{FAN_OUT, LEVELS, ROOT, leaf_slot, on_path, parent};
use super::*;

type Failed = Box<dyn std::error::Error + Send + Sync>;
type Key = [u8; 32];

const STORE: StoreId = StoreId([9; 16]);

/// Rows as a store keeps them: an image never replaces a newer one.
#[derive(Default)]
struct Rows(Mutex<HashMap<KeyPosition, KeyImage>>);

impl Rows {
    fn apply(&self, images: &[KeyImage]) {
        let mut rows = self.0.lock();
        for image in images {
            let row = rows.entry(image.position).or_insert_with(|| image.clone());
            if image.sequence > row.sequence {
                *row = image.clone();
            }
        }
    }
}

#[async_trait]
impl KeySource for Rows {
    async fn load(&self, position: KeyPosition) -> std::result::Result<Option<KeyImage>, Failed> {
        Ok(self.0.lock().get(&position).cloned())
    }
}

fn tree(root: (Epoch, KeyNode), next_leaf: Leaf, capacity: usize, rows: Arc<dyn KeySource>) -> Arc<KeyTree> {
    let state = State::new(STORE, root.0, root.1, next_leaf, capacity);
    Arc::new(KeyTree { state: Mutex::new(state), source: rows, turns: Default::default() })
}

struct Flight {
    lease: Lease,
    key: Key,
    images: Option<Vec<KeyImage>>,
    applied: bool,
}

/// A tree, its store, its roots as the keyring has them, and what must be true of them.
struct Rig {
    rows: Arc<Rows>,
    tree: Arc<KeyTree>,
    capacity: usize,
    current: (Epoch, Key),
    next: Option<(Epoch, Key)>,
    /// Committed and not erased.
    live: BTreeMap<Leaf, Key>,
    /// In an erasure that is staged.
    dying: BTreeMap<Leaf, Key>,
    /// In one that was finished: nothing may open them any more.
    erased: Vec<Key>,
    flights: Vec<Flight>,
    /// Transactions of cancelled requests, which may yet happen.
    late: Vec<(Leaf, Key, Vec<KeyImage>)>,
    erasing: Option<ErasureImages>,
    /// Every image that ever was: what a thief may have copied.
    copies: Vec<KeyImage>,
    last_leaf: Option<Leaf>,
}

#[derive(Clone, Debug)]
enum Op {
    Begin(u8),
    Images(Index),
    Apply(Index),
    Commit(Index),
    Drop(Index),
    GiveUp(Index),
    Late(Index),
    EraseBegin(Vec<Index>),
    EraseApply,
    EraseFinish,
    EraseDrop,
    Crash,
}

impl Rig {
    fn new(first_leaf: Leaf, capacity: usize) -> Self {
        let rows = Arc::new(Rows::default());
        let key = SecretKey::random().unwrap();
        Rig {
            tree: tree((Epoch::FIRST, KeyNode::new(&key)), first_leaf, capacity, rows.clone()),
            rows,
            capacity,
            current: (Epoch::FIRST, *key.expose_bytes()),
            next: None,
            live: BTreeMap::new(),
            dying: BTreeMap::new(),
            erased: Vec::new(),
            flights: Vec::new(),
            late: Vec::new(),
            erasing: None,
            copies: Vec::new(),
            last_leaf: first_leaf.0.checked_sub(1).map(Leaf),
        }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Begin(count) => (0..*count).for_each(|_| {
                let (lease, key) = block_on(self.tree.begin()).unwrap();
                assert!(self.last_leaf.is_none_or(|last| lease.leaf() > last), "numbers go up");
                let key = *key.expose_bytes();
                self.flights.push(Flight { lease, key, images: None, applied: false });
            }),
            Op::Images(which) => {
                if let Some(n) = pick(which, &self.flights).filter(|n| !self.flights[*n].applied) {
                    self.images(n);
                }
            }
            Op::Apply(which) => drop(pick(which, &self.flights).map(|n| self.apply(n))),
            Op::Commit(which) => {
                if let Some(n) = pick(which, &self.flights) {
                    self.apply(n);
                    self.tree.committed(self.flights.swap_remove(n).lease);
                }
            }
            Op::Drop(which) => {
                if let Some(n) = pick(which, &self.flights) {
                    let flight = self.flights.swap_remove(n);
                    if let Some(images) = flight.images.filter(|_| !flight.applied) {
                        self.late.push((flight.lease.leaf(), flight.key, images));
                    }
                }
            }
            Op::GiveUp(which) => {
                if let Some(n) = pick(which, &self.flights).filter(|n| !self.flights[*n].applied) {
                    self.tree.give_up(self.flights.swap_remove(n).lease);
                }
            }
            Op::Late(which) => {
                if let Some(n) = pick(which, &self.late) {
                    let (leaf, key, images) = self.late.swap_remove(n);
                    self.transact(Some((leaf, key)), &images);
                }
            }
            Op::EraseBegin(which) => self.erase_begin(which),
            Op::EraseApply => {
                if let Some(images) = self.erasing.as_ref().map(|erasing| erasing.images.clone()) {
                    self.transact(None, &images);
                }
            }
            Op::EraseFinish => {
                self.run(&Op::EraseApply);
                if let Some(erasing) = self.erasing.take() {
                    self.tree.settle(&erasing);
                    self.drop_old();
                }
            }
            Op::EraseDrop => self.erasing = None,
            Op::Crash => self.crash(),
        }
    }

    fn images(&mut self, n: usize) {
        let images = self.tree.images(&self.flights[n].lease).unwrap();
        self.copies.extend(images.iter().cloned());
        self.flights[n].images = Some(images);
    }

    fn apply(&mut self, n: usize) {
        if self.flights[n].images.is_none() {
            self.images(n);
        }
        if !std::mem::replace(&mut self.flights[n].applied, true) {
            let images = self.flights[n].images.clone().unwrap();
            self.transact(Some((self.flights[n].lease.leaf(), self.flights[n].key)), &images);
        }
    }

    fn transact(&mut self, leaf: Option<(Leaf, Key)>, images: &[KeyImage]) {
        self.rows.apply(images);
        if let Some((leaf, key)) = leaf {
            self.live.insert(leaf, key);
            self.last_leaf = self.last_leaf.max(Some(leaf));
        }
    }

    fn erase_begin(&mut self, which: &[Index]) {
        if self.erasing.is_some() {
            return;
        }
        if let Some(again) = self.tree.staged().unwrap() {
            assert!(again.leaves.iter().all(|leaf| self.dying.contains_key(leaf)));
            self.copies.extend(again.images.iter().cloned());
            self.erasing = Some(again);
            return;
        }
        self.drop_old();
        let all: Vec<Leaf> = self.live.keys().copied().collect();
        let leaves: Vec<Leaf> = which.iter().filter_map(|i| pick(i, &all).map(|n| all[n])).collect();
        let held = block_on(self.tree.hold(&leaves)).unwrap();
        let (root, epoch) = (SecretKey::random().unwrap(), self.current.0.next());
        self.next = Some((epoch, *root.expose_bytes()));
        let erasing = self.tree.stage(epoch, &root, held).unwrap();
        assert_eq!(erasing.leaves, leaves);
        self.dying = leaves.iter().filter_map(|leaf| self.live.remove_entry(leaf)).collect();
        self.copies.extend(erasing.images.iter().cloned());
        self.erasing = Some(erasing);
    }

    /// The keyring's phase 3.
    fn drop_old(&mut self) {
        if let Some(next) = self.next.filter(|next| next.0 == self.tree.epoch()) {
            (self.current, self.next) = (next, None);
            self.erased.extend(std::mem::take(&mut self.dying).into_values());
        }
    }

    /// A tree as it would be after a crash now, and which of the roots it is at.
    fn reopened(&self, rows: Arc<Rows>) -> (Arc<KeyTree>, (Epoch, Key)) {
        let image = rows.0.lock().get(&ROOT).cloned();
        let open = |(epoch, key): (Epoch, Key)| {
            let key = SecretKey::from_exposed(&key);
            let node = match &image {
                None => KeyNode::new(&key),
                Some(image) => KeyNode::open(&key, &STORE, image).ok()?,
            };
            Some((epoch, node))
        };
        let (root, at) = std::iter::once(self.current)
            .chain(self.next)
            .find_map(|root| Some((open(root)?, root)))
            .expect("the stored root opens under one of the keyring's");
        let next_leaf = self.last_leaf.map_or(Leaf::FIRST, Leaf::next);
        (tree(root, next_leaf, self.capacity, rows), at)
    }

    fn crash(&mut self) {
        let (tree, at) = self.reopened(self.rows.clone());
        (self.tree, self.erasing) = (tree, None);
        self.flights.clear();
        self.late.clear();
        let dying = std::mem::take(&mut self.dying);
        if at.0 == self.current.0 {
            // As if the erasure had never begun.
            self.live.extend(dying);
        } else {
            self.erased.extend(dying.into_values());
        }
        (self.current, self.next) = (at, None);
    }

    fn check(&self) {
        let found = |tree: &KeyTree, leaf| block_on(tree.key(leaf)).map(|key| *key.expose_bytes());
        for (leaf, key) in &self.live {
            assert!(found(&self.tree, *leaf).unwrap() == *key, "{leaf} in memory");
        }
        for leaf in self.dying.keys() {
            assert!(matches!(found(&self.tree, *leaf), Err(VaultError::Erased)), "{leaf} is being erased");
        }
        let rows = Rows(Mutex::new(self.rows.0.lock().clone()));
        let (after, _) = self.reopened(Arc::new(rows));
        for (leaf, key) in &self.live {
            assert!(found(&after, *leaf).unwrap() == *key, "{leaf} after a crash");
        }
    }

    /// Everything that opens with today's root and every image that ever was.
    fn reach_of_a_thief(&self) -> HashSet<Key> {
        let mut keys: HashMap<KeyPosition, HashSet<Key>> =
            HashMap::from([(ROOT, HashSet::from([self.current.1]))]);
        let mut leaves = HashSet::new();
        for level in 0..LEVELS {
            for image in self.copies.iter().filter(|image| image.position.level == level) {
                for key in keys.get(&image.position).cloned().unwrap_or_default() {
                    let Ok(node) = KeyNode::open(&SecretKey::from_exposed(&key), &STORE, image) else {
                        continue;
                    };
                    for slot in 0..64 {
                        let Some(key) = node.expose_slot(slot).map(|key| *key.expose_bytes()) else {
                            continue;
                        };
                        let below =
                            KeyPosition { level: level + 1, index: image.position.index * 64 + slot as u64 };
                        if level + 1 == LEVELS {
                            leaves.insert(key);
                        } else {
                            keys.entry(below).or_default().insert(key);
                        }
                    }
                }
            }
        }
        leaves
    }
}

fn pick<T>(which: &Index, from: &[T]) -> Option<usize> {
    (!from.is_empty()).then(|| which.index(from.len()))
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    prop_oneof![
        6 => (1..24u8).prop_map(Op::Begin),
        3 => index().prop_map(Op::Images),
        3 => index().prop_map(Op::Apply),
        12 => index().prop_map(Op::Commit),
        3 => index().prop_map(Op::Drop),
        2 => index().prop_map(Op::GiveUp),
        3 => index().prop_map(Op::Late),
        3 => proptest::collection::vec(index(), 0..6).prop_map(Op::EraseBegin),
        2 => Just(Op::EraseApply),
        3 => Just(Op::EraseFinish),
        1 => Just(Op::EraseDrop),
        1 => Just(Op::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_order_of_events_loses_a_leaf_or_keeps_an_erased_one(
        ops in proptest::collection::vec(op(), 1..50),
        first in proptest::sample::select(vec![0u64, 40, 4096 - 30, 262_144 - 30]),
        capacity in 1..4usize,
    ) {
        let mut rig = Rig::new(Leaf(first), capacity);
        for op in &ops {
            rig.run(op);
            rig.check();
        }
        // The end of whatever was under way.
        rig.run(&Op::EraseBegin(Vec::new()));
        rig.run(&Op::EraseFinish);
        rig.check();
        let reach = rig.reach_of_a_thief();
        prop_assert!(rig.live.values().all(|key| reach.contains(key)), "the thief reaches what is there");
        prop_assert!(!rig.erased.iter().any(|key| reach.contains(key)), "and nothing that was erased");
    }
}

#[test]
fn positions() {
    assert_eq!(on_path(Leaf(0), 5), KeyPosition { level: 5, index: 0 });
    assert_eq!(on_path(Leaf(64 * 64 + 65), 5), KeyPosition { level: 5, index: 65 });
    assert_eq!(on_path(LAST_LEAF, 0), ROOT);
    assert_eq!(on_path(LAST_LEAF, 5).index, 64u64.pow(6) / 64 - 1);
    assert_eq!(parent(on_path(Leaf(64 * 64 + 65), 5)), Some((KeyPosition { level: 4, index: 1 }, 1)));
    assert_eq!(parent(ROOT), None);
    assert_eq!(leaf_slot(Leaf(64 * 64 + 65)), 1);
}

#[test]
fn a_commit_writes_one_node_when_its_path_is_stored() {
    let mut rig = Rig::new(Leaf(0), 8);
    rig.run(&Op::Begin(2));
    rig.images(0);
    assert_eq!(rig.flights[0].images.as_ref().unwrap().len(), 6, "the first writes its whole path");
    rig.images(1);
    assert_eq!(
        rig.flights[1].images.as_ref().unwrap().len(),
        6,
        "so does the second until the first is known"
    );
    rig.apply(0);
    rig.tree.committed(rig.flights.remove(0).lease);
    rig.run(&Op::Begin(1));
    rig.images(1);
    assert_eq!(rig.flights[1].images.as_ref().unwrap().len(), 1);
}

#[test]
fn an_idle_parent_leaves_memory_and_comes_back() {
    let mut rig = Rig::new(Leaf(0), 2);
    for _ in 0..300 {
        rig.run(&Op::Begin(1));
        rig.apply(0);
        rig.tree.committed(rig.flights.remove(0).lease);
    }
    assert!(rig.tree.state.lock().cached() <= 2);
    rig.check();
}

#[test]
fn failed_checkins_do_not_pile_up() {
    let tree = Rig::new(Leaf(0), 4).tree;
    for _ in 0..64 * (leasing::STALE_MAX + 100) {
        drop(block_on(tree.begin()).unwrap());
    }
    assert!(tree.state.lock().cached() <= leasing::STALE_MAX + 5);
}

#[test]
fn a_slot_that_a_crash_left_taken_is_passed_over() {
    let mut rig = Rig::new(Leaf(0), 4);
    rig.run(&Op::Begin(3));
    // The first one's images hold all three keys; the others never commit.
    rig.apply(0);
    rig.crash();
    let (lease, _) = block_on(rig.tree.begin()).unwrap();
    assert_eq!(lease.leaf(), Leaf(3));
    rig.check();
}

#[test]
fn one_erasure_takes_a_bounded_number_of_nodes() {
    let rig = Rig::new(Leaf(0), 4);
    let leaves: Vec<Leaf> = (0..2000).map(|n| Leaf(n * FAN_OUT / 2)).collect();
    let held = block_on(rig.tree.hold(&leaves)).unwrap();
    assert_eq!(held.leaves, leaves[..2 * ERASE_PARENTS_MAX]);
    assert!(held.paths.is_empty(), "there are no such leaves");
}

#[test]
fn the_last_leaf_is_the_last() {
    let rig = Rig::new(LAST_LEAF, 4);
    let (lease, _) = block_on(rig.tree.begin()).unwrap();
    assert_eq!(lease.leaf(), LAST_LEAF);
    assert!(matches!(block_on(rig.tree.begin()), Err(VaultError::Refused(_))));
    assert!(matches!(block_on(rig.tree.key(LAST_LEAF.next())), Err(VaultError::Erased)));
    assert!(matches!(block_on(rig.tree.key(Leaf(u64::MAX))), Err(VaultError::Erased)));
}

proptest! {
    #[test]
    fn a_changed_image_does_not_open(at in any::<Index>(), bit in 0..8u8, filled in 0..64usize) {
        let key = SecretKey::random().unwrap();
        let mut node = KeyNode::new(&key);
        (0..filled).for_each(|slot| node.put(slot, &SecretKey::random().unwrap()));
        let position = KeyPosition { level: 5, index: 77 };
        let image = node.image(&STORE, position, 12).unwrap();
        prop_assert!(KeyNode::open(&key, &STORE, &image).is_ok());
        let is_refused = |store: &StoreId, image: &KeyImage| {
            matches!(KeyNode::open(&key, store, image), Err(VaultError::Integrity(_)))
        };
        let mut sealed = image.sealed.to_vec();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        let changed = KeyImage { sealed: sealed.into(), ..image.clone() };
        prop_assert!(is_refused(&STORE, &changed));
        let changed = KeyImage { sequence: 13, ..image.clone() };
        prop_assert!(is_refused(&STORE, &changed), "another sequence number");
        let changed = KeyImage { position: KeyPosition { level: 4, index: 77 }, ..image.clone() };
        prop_assert!(is_refused(&STORE, &changed), "another level");
        let changed = KeyImage { position: KeyPosition { level: 5, index: 78 }, ..image.clone() };
        prop_assert!(is_refused(&STORE, &changed), "another index");
        prop_assert!(is_refused(&StoreId([8; 16]), &image), "another store");
        let cut = KeyImage { sealed: image.sealed.slice(..at), ..image };
        prop_assert!(is_refused(&STORE, &cut), "cut");
    }
}

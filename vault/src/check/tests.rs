#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use sss_common::Epoch;
use sss_common::record::merkle_root;

use super::*;
use crate::layout::Extent;
use crate::tests::{Store, allowed, body, checkin, new_files, open};
use crate::{KeySource, PACK_HEADER, sealed_block};
use sss_policy::Own;

/// A document of two blocks and a hole between them, checked in under `integrity`.
struct Made {
    vault: Vault,
    document: NodeId,
    pack: PackId,
    leaf: Leaf,
    sealed: Vec<u8>,
    body: RecordBody,
    _folder: tempfile::TempDir,
}

const TAIL: &[u8] = b"the end";

impl Made {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(&new_files(folder.path()), &Arc::new(Store::default())).await.unwrap();
        let (document, pack) = (NodeId::random(), PackId::random());
        let mut sealer = vault.begin(&allowed(document, Own), pack).await.unwrap();
        let mut sealed = sealer.header().to_vec();
        let whole = vec![7; BLOCK_SIZE];
        sealer.seal_block(&whole, false, &mut sealed).unwrap();
        sealer.seal_block(TAIL, true, &mut sealed).unwrap();
        let mut body = body(document, "client1");
        body.record.size = 2 * BLOCK_SIZE as u64 + 5;
        body.layout.put(Extent { first: 0, count: 1, pack, at: 0 });
        body.layout.put(Extent { first: 2, count: 1, pack, at: 1 });
        body.digests = vec![block_hash(&whole), zero_hash(BLOCK_SIZE), block_hash(&TAIL[..5])];
        body.record.root = merkle_root(&body.digests);
        let leaf = sealer.leaf();
        let (store, images) = (Store::default(), vault.images(&sealer).await.unwrap());
        store.apply(images, Some(leaf));
        vault.committed(sealer);
        let mut made = Made { vault, document, pack, leaf, sealed, body, _folder: folder };
        made.sign();
        made
    }

    fn sign(&mut self) {
        self.body.signature = Some(self.vault.sign(&self.body.record.encode()).unwrap());
    }

    /// The record as the vault would have sealed it.
    async fn record(&self) -> Bytes {
        let cipher = Cipher::new(&self.vault.tree.key(self.leaf).await.unwrap()).unwrap();
        super::super::record::seal(&cipher, &self.body).unwrap()
    }

    async fn check(&self) -> Result<Outline> {
        self.vault.check_record(self.document, Version(1), self.leaf, &self.record().await).await
    }

    async fn check_pack(&self) -> PackCheck {
        self.vault.check_pack(self.document, self.pack, self.leaf).await.unwrap()
    }

    fn block(&self, index: u64) -> &[u8] {
        let (start, length) = sealed_block(index);
        let start = start as usize;
        &self.sealed[start..(start + length).min(self.sealed.len())]
    }
}

fn what<T>(result: Result<T>) -> &'static str {
    match result {
        Ok(_) => "fine",
        Err(VaultError::Integrity(what)) => what,
        Err(VaultError::Erased) => "erased",
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_record_is_held_to_its_row_its_signature_and_its_digests() {
    let mut made = Made::new().await;
    let outline = made.check().await.unwrap();
    assert_eq!((outline.size(), outline.packs()), (made.body.record.size, vec![made.pack]));
    assert!(outline.reads(made.pack, 0) && outline.reads(made.pack, 1) && !outline.reads(made.pack, 2));
    assert!(!outline.reads(PackId::random(), 0));
    assert_eq!((outline.reach(made.pack), outline.reach(PackId::random())), (2, 0));

    let record = made.record().await;
    let ask = async |document, version, leaf, sealed: &[u8]| {
        what(made.vault.check_record(document, Version(version), leaf, sealed).await)
    };
    assert_eq!(ask(made.document, 2, made.leaf, &record).await, "a version's record", "another row's");
    assert_eq!(ask(NodeId::random(), 1, made.leaf, &record).await, "a version's record");
    assert_eq!(ask(made.document, 1, made.leaf.next(), &record).await, "erased");
    for at in 0..record.len() {
        let mut bad = record.to_vec();
        bad[at] ^= 1;
        assert_eq!(ask(made.document, 1, made.leaf, &bad).await, "a version's record", "byte {at}");
    }

    let good = made.body.clone();
    made.body.signature.as_mut().unwrap()[100] ^= 1;
    assert_eq!(what(made.check().await), "a version's signature");
    made.body.signature = None;
    assert_eq!(what(made.check().await), "a version's signature");
    // Signed as it is, but the digests are others.
    made.body = good.clone();
    made.body.digests[0] = BlockHash([0; 32]);
    assert_eq!(what(made.check().await), "a version's signature", "the root is another");
    // All of it made anew by somebody with the keys, and still not true.
    for digests in [vec![good.digests[0]; 3], good.digests[..2].to_vec(), vec![good.digests[0]; 4]] {
        made.body.record.root = merkle_root(&digests);
        made.body.digests = digests;
        made.sign();
        assert_eq!(what(made.check().await), "a version's digests");
    }
}

#[tokio::test]
async fn a_confidentiality_record_has_no_signature_to_check() {
    let mut made = Made::new().await;
    made.body.record.flag = Flag::Confidentiality;
    (made.body.signature, made.body.digests) = (None, Vec::new());
    made.check().await.unwrap();
}

#[tokio::test]
async fn a_packs_header_and_every_block_are_checked_in_their_places() {
    let made = Made::new().await;
    let mut check = made.check_pack().await;
    check.header(&made.sealed[..PACK_HEADER]).unwrap();
    check.block(0, false, made.block(0)).unwrap();
    check.block(1, true, made.block(1)).unwrap();

    for at in 0..PACK_HEADER {
        let mut bad = made.sealed[..PACK_HEADER].to_vec();
        bad[at] ^= 1;
        assert_eq!(what(check.header(&bad)), "a pack's header", "byte {at}");
    }
    assert_eq!(what(check.header(b"")), "a pack's header");
    for (index, last, sealed) in [
        (1, false, made.block(0)),
        (0, true, made.block(0)),
        (1, false, made.block(1)),
        (2, true, made.block(1)),
        (0, false, &made.block(0)[1..]),
        (0, false, b""),
        (0, false, &[0; 2 * BLOCK_SIZE]),
    ] {
        assert_eq!(what(check.block(index, last, sealed)), "a block");
    }
    let mut bad = made.block(0).to_vec();
    bad[40_000] ^= 1;
    assert_eq!(what(check.block(0, false, &bad)), "a block");
    let stranger = made.vault.check_pack(NodeId::random(), made.pack, made.leaf).await;
    assert_eq!(what(stranger.unwrap().block(0, false, made.block(0))), "a block");
    assert_eq!(what(made.vault.check_pack(made.document, made.pack, Leaf(77)).await), "erased");
}

/// A block that opens, but is not what the version's record says.
#[tokio::test]
async fn blocks_are_held_to_every_versions_digests() {
    let mut made = Made::new().await;
    let right = made.check().await.unwrap();
    // The same document, a little longer, as the next version might read the same pack.
    made.body.record.size += 10;
    made.body.digests[2] = block_hash(&[TAIL, &[0; 8]].concat());
    let longer = Outline { body: made.body.clone() };
    let mut check = made.check_pack().await;
    for outline in [&right, &right, &longer] {
        check.expect(outline);
    }
    assert_eq!(check.expected.len(), 3, "what versions agree on is kept once");
    check.block(0, false, made.block(0)).unwrap();
    check.block(1, true, made.block(1)).unwrap();

    made.body.digests[2] = block_hash(TAIL);
    check.expect(&Outline { body: made.body.clone() });
    check.block(0, false, made.block(0)).unwrap();
    assert_eq!(what(check.block(1, true, made.block(1))), "a block's digest");
    let other = PackId::random();
    let mut check = made.vault.check_pack(made.document, other, made.leaf).await.unwrap();
    check.expect(&right);
    assert!(check.expected.is_empty(), "of this pack only");
}

/// Blocks that follow one another, in the document and in the pack, from the middle of both.
#[tokio::test]
async fn each_block_of_a_run_is_held_to_its_own_digest() {
    let mut made = Made::new().await;
    made.body.layout = Default::default();
    made.body.layout.put(Extent { first: 1, count: 3, pack: made.pack, at: 5 });
    made.body.record.size = 3 * BLOCK_SIZE as u64 + 9;
    made.body.digests = (0..4).map(|block| BlockHash([block; 32])).collect();
    let mut check = made.check_pack().await;
    check.expect(&Outline { body: made.body.clone() });
    let told = check.expected.iter().map(|expected| (expected.at, expected.length, expected.digest.0[0]));
    assert_eq!(told.collect::<Vec<_>>(), [(5, BLOCK_SIZE, 1), (6, BLOCK_SIZE, 2), (7, 9, 3)]);
}

#[tokio::test]
async fn opened_to_read_it_writes_nothing_and_reads_all() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let to_read = async || {
        let source: Arc<dyn KeySource> = store.clone();
        Vault::open_to_read(&paths, source, store.last_leaf()).await
    };
    to_read().await.unwrap(); // before the first check-in too
    let vault = open(&paths, &store).await.unwrap();
    let kept = checkin(&vault, &store, "kept").await;
    let gone = checkin(&vault, &store, "gone").await;

    let reader = to_read().await.unwrap();
    assert_eq!((reader.store_id(), reader.epoch()), (vault.store_id(), Epoch(1)));
    reader.outline(kept.document, kept.leaf, &kept.sealed).await.unwrap();
    let refused = |result: Result<()>| matches!(result, Err(VaultError::Refused(_)));
    let (document, pack) = (NodeId::random(), PackId::random());
    assert!(refused(reader.begin(&allowed(document, Own), pack).await.map(drop)));
    assert!(refused(reader.begin_erase(&[gone.leaf]).await.map(drop)));
    assert!(refused(reader.forget_old().await));
    assert!(refused(reader.sign(b"anything").map(drop)));

    // In every window of an erasure it opens, says which root it found, and leaves the keyring as it is.
    let erasing = vault.begin_erase(&[gone.leaf]).await.unwrap();
    let keyring = || std::fs::read(&paths.keyring).unwrap();
    let two_roots = keyring();
    assert_eq!(to_read().await.unwrap().epoch(), Epoch(1));
    store.apply(erasing.images(), None);
    let moved = to_read().await.unwrap();
    assert_eq!(moved.epoch(), Epoch(2));
    assert!(keyring() == two_roots, "settling the erasure is the server's");
    vault.finish_erase(erasing).await.unwrap();
    assert_eq!(to_read().await.unwrap().epoch(), Epoch(2));
    for vault in [&moved, &to_read().await.unwrap()] {
        vault.outline(kept.document, kept.leaf, &kept.sealed).await.unwrap();
        assert_eq!(what(vault.outline(gone.document, gone.leaf, &gone.sealed).await), "erased");
    }
}

/// A keyring that is replaced between the two looks, and one that is caught while it is written over.
#[tokio::test(start_paused = true)]
async fn a_keyring_that_is_just_being_replaced_is_read_again() {
    struct Late {
        store: Arc<Store>,
        mend: parking_lot::Mutex<Option<Box<dyn FnOnce() + Send>>>,
    }
    #[async_trait::async_trait]
    impl KeySource for Late {
        async fn load(
            &self,
            position: crate::sealed::KeyPosition,
        ) -> std::result::Result<Option<crate::sealed::KeyImage>, Box<dyn std::error::Error + Send + Sync>>
        {
            let found = self.store.load(position).await;
            if let Some(mend) = self.mend.lock().take() {
                mend();
            }
            found
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    checkin(&vault, &store, "kept").await;
    let old = std::fs::read(&paths.keyring).unwrap();
    let erasing = vault.begin_erase(&[Leaf(5)]).await.unwrap();
    store.apply(erasing.images(), None);
    vault.finish_erase(erasing).await.unwrap();
    let new = std::fs::read(&paths.keyring).unwrap();

    let (path, bytes) = (paths.keyring.clone(), new.clone());
    std::fs::write(&path, &old).unwrap();
    let mend: Box<dyn FnOnce() + Send> = Box::new(move || std::fs::write(path, bytes).unwrap());
    let late = Arc::new(Late { store: store.clone(), mend: parking_lot::Mutex::new(Some(mend)) });
    assert_eq!(Vault::open_to_read(&paths, late, store.last_leaf()).await.unwrap().epoch(), Epoch(2));

    // One that never fits is refused in the end, with both lines.
    for keyring in [old, vec![0; new.len()]] {
        std::fs::write(&paths.keyring, keyring).unwrap();
        let refused = Vault::open_to_read(&paths, store.clone(), store.last_leaf()).await;
        let Err(VaultError::Keys(words)) = refused else { panic!("a keyring that does not fit") };
        assert_eq!(words.lines().count(), 2, "{words}");
    }
}

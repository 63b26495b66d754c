//! The room as a whole, with files: opening, the two-phase erasure and its crashes, the format's vectors.
#![allow(clippy::unwrap_used)]

mod crashes;
mod rotation;
mod vectors;

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use parking_lot::Mutex;
use sss_common::record::{RecordHash, RootHash};
use sss_common::{Flag, NodeId, Timestamp, Version};

use super::*;
use sss_policy::{Act, Allowed, Checkin, Checkout, Facts, Own, decide};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A store: rows of the key tree, sealed records, the largest leaf.
#[derive(Default, Clone)]
struct Rows {
    nodes: HashMap<KeyPosition, KeyImage>,
    last_leaf: Option<Leaf>,
}

#[derive(Default)]
pub(super) struct Store(Mutex<Rows>);

impl Store {
    pub(super) fn apply(&self, images: Vec<KeyImage>, leaf: Option<Leaf>) {
        let mut rows = self.0.lock();
        for image in images {
            if rows.nodes.get(&image.position).is_none_or(|row| row.sequence < image.sequence) {
                rows.nodes.insert(image.position, image);
            }
        }
        rows.last_leaf = rows.last_leaf.max(leaf);
    }

    pub(super) fn images(&self) -> Vec<KeyImage> {
        self.0.lock().nodes.values().cloned().collect()
    }

    pub(super) fn last_leaf(&self) -> Option<Leaf> {
        self.0.lock().last_leaf
    }

    fn copy(&self) -> Arc<Store> {
        Arc::new(Store(Mutex::new(self.0.lock().clone())))
    }
}

#[async_trait]
impl KeySource for Store {
    async fn load(&self, position: KeyPosition) -> std::result::Result<Option<KeyImage>, Failed> {
        Ok(self.0.lock().nodes.get(&position).cloned())
    }
}

pub(super) fn allowed<A: Act>(node: NodeId, act: A) -> Allowed<A> {
    decide(&Facts::at_home("alice".parse().unwrap(), node), act, Timestamp(0)).unwrap()
}

fn paths(folder: &Path) -> VaultPaths {
    VaultPaths {
        server_key: folder.join("server.key"),
        server_pub: folder.join("server.pub"),
        keyring: folder.join("keyring"),
    }
}

/// A new store's files. Making an RSA key takes long, so the tests share one pair; the keyrings differ.
pub(super) fn new_files(folder: &Path) -> VaultPaths {
    static PAIR: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (private, public) = PAIR.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        Vault::create(&paths).unwrap();
        (std::fs::read(&paths.server_key).unwrap(), std::fs::read(&paths.server_pub).unwrap())
    });
    let paths = paths(folder);
    std::fs::write(&paths.server_key, private).unwrap();
    std::fs::write(&paths.server_pub, public).unwrap();
    let (server, _) = ServerKey::read(&paths.server_key).unwrap();
    let mut store = StoreId([0; 16]);
    aws_lc_rs::rand::fill(&mut store.0).unwrap();
    let current = erasing::wrap_root(&server, &store, Epoch::FIRST, &SecretKey::random().unwrap()).unwrap();
    keyring::create(&paths.keyring, &Keyring { store, current, next: None }).unwrap();
    paths
}

pub(super) async fn open(paths: &VaultPaths, store: &Arc<Store>) -> Result<Vault> {
    let last_leaf = store.0.lock().last_leaf;
    Vault::open(paths.clone(), store.clone(), last_leaf).await
}

pub(super) fn body(document: NodeId, text: &str) -> RecordBody {
    let record = VersionRecord {
        document,
        version: Version(1),
        previous: RecordHash::NONE,
        size: 0,
        flag: Flag::Integrity,
        author: "alice".parse().unwrap(),
        machine: text.parse().unwrap(),
        time: Timestamp(0),
        root: RootHash([0; 32]),
    };
    RecordBody { record, layout: Default::default(), digests: Vec::new(), signature: None }
}

/// A version that was checked in: its leaf, and what it sealed.
pub(super) struct Kept {
    pub(super) document: NodeId,
    pub(super) leaf: Leaf,
    pub(super) sealed: bytes::Bytes,
    body: RecordBody,
}

pub(super) async fn checkin(vault: &Vault, store: &Store, name: &str) -> Kept {
    let document = NodeId::random();
    let sealer = vault.begin(&allowed(document, Checkin), PackId::random()).await.unwrap();
    let body = body(document, name);
    let (leaf, sealed) = (sealer.leaf(), sealer.seal_record(&body).unwrap());
    store.apply(vault.images(&sealer).await.unwrap(), Some(leaf));
    vault.committed(sealer);
    Kept { document, leaf, sealed, body }
}

async fn checkout(vault: &Vault, kept: &Kept) -> Result<()> {
    let opener = vault.opener(&allowed(kept.document, Checkout), kept.leaf).await?;
    let body = opener.open_record(kept.document, &kept.sealed)?;
    assert_eq!(body, kept.body, "never anything but what was sealed");
    Ok(())
}

fn words(result: Result<Vault>) -> String {
    let Err(VaultError::Keys(text)) = result else { panic!("not a refusal") };
    assert_eq!(text.lines().count(), 2, "{text}");
    text
}

#[tokio::test]
async fn a_store_is_made_once_and_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(folder.path());
    Vault::create(&paths).unwrap();
    assert!(matches!(Vault::create(&paths), Err(VaultError::Keys(_))));
    let store = Arc::new(Store::default());
    let vault = open(&paths, &store).await.unwrap();
    assert_eq!(vault.public_key_pem(), std::fs::read_to_string(&paths.server_pub).unwrap());
    let (a, b) = (checkin(&vault, &store, "a").await, checkin(&vault, &store, "b").await);
    assert_ne!(a.leaf, b.leaf);
    let again = open(&paths, &store).await.unwrap();
    assert_eq!(again.store_id(), vault.store_id());
    checkout(&again, &a).await.unwrap();
    checkout(&again, &b).await.unwrap();
    let c = checkin(&again, &store, "c").await;
    assert!(c.leaf > b.leaf);
}

#[tokio::test]
async fn a_pack_goes_through_sealer_and_opener() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(&new_files(folder.path()), &Arc::new(Store::default())).await.unwrap();
    let (document, pack) = (NodeId::random(), PackId::random());
    let mut sealer = vault.begin(&allowed(document, Own), pack).await.unwrap();
    let mut out = sealer.header().to_vec();
    sealer.seal_block(&[7; BLOCK_SIZE], false, &mut out).unwrap();
    sealer.seal_block(b"end", true, &mut out).unwrap();
    assert_eq!(sealer.blocks(), 2);
    let opener = vault.opener(&allowed(document, Checkin), sealer.leaf()).await.unwrap();
    opener.check_header(document, pack, &out[..PACK_HEADER]).unwrap();
    let mut block = out[sealed_block(1).0 as usize..].to_vec();
    opener.open_block(document, pack, 1, true, &mut block).unwrap();
    assert_eq!(block, b"end");
}

#[tokio::test]
async fn what_was_not_committed_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let begin = || async { vault.begin(&allowed(NodeId([1; 16]), Own), PackId([1; 16])).await.unwrap() };
    let is_gone = |leaf| {
        let vault = &vault;
        async move { matches!(vault.opener(&allowed(NodeId([1; 16]), Own), leaf).await, Err(VaultError::Erased)) }
    };
    let (dropped, given_up, cancelled) = (begin().await, begin().await, begin().await);
    let (a, b, c) = (dropped.leaf(), given_up.leaf(), cancelled.leaf());
    drop(dropped);
    vault.images(&given_up).await.unwrap();
    vault.give_up(given_up);
    let images = vault.images(&cancelled).await.unwrap();
    drop(cancelled);
    assert!(is_gone(a).await);
    assert!(is_gone(b).await);
    // Nobody knows whether a cancelled request's transaction happened, so its key stays.
    assert!(!is_gone(c).await);
    checkin(&vault, &store, "next").await;
    store.apply(images, Some(c));
    assert!(open(&paths, &store).await.unwrap().opener(&allowed(NodeId([1; 16]), Own), c).await.is_ok());
    assert!(is_gone(Leaf(1 << 20)).await, "never was there");
}

#[tokio::test]
async fn signatures_are_the_contracts() {
    use rsa::pkcs8::DecodePublicKey;
    let folder = tempfile::tempdir().unwrap();
    let vault = open(&new_files(folder.path()), &Arc::new(Store::default())).await.unwrap();
    let record = body(NodeId([1; 16]), "a").record;
    let signature = vault.sign(&record.encode()).unwrap();
    let client = rsa::RsaPublicKey::from_public_key_pem(vault.public_key_pem()).unwrap();
    assert!(vault.verify(&record, &signature) && record.is_signed_by(&client, &signature));
    let mut other = record;
    other.version = Version(2);
    assert!(!vault.verify(&other, &signature));
}

#[tokio::test]
async fn keys_that_do_not_fit_say_so_and_are_left_alone() {
    let (folder, other_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (files, other) = (new_files(folder.path()), new_files(other_folder.path()));
    let store = Arc::new(Store::default());
    let kept = checkin(&open(&files, &store).await.unwrap(), &store, "a").await;

    // The keyring of another store, same server key; then of another server key.
    let mixed = VaultPaths { keyring: other.keyring.clone(), ..files.clone() };
    let before = std::fs::read(&mixed.keyring).unwrap();
    assert!(words(open(&mixed, &store).await).contains("does not open this store"));
    assert_eq!(std::fs::read(&mixed.keyring).unwrap(), before);
    let strange_folder = tempfile::tempdir().unwrap();
    let strange = paths(strange_folder.path());
    Vault::create(&strange).unwrap();
    let mixed = VaultPaths { keyring: files.keyring.clone(), ..strange };
    assert!(words(open(&mixed, &store).await).contains("another server key"));

    // A database that lost its key tree.
    let empty = Arc::new(Store::default());
    empty.0.lock().last_leaf = Some(kept.leaf);
    assert!(words(open(&files, &empty).await).contains("does not open this store"));

    let missing = VaultPaths { keyring: folder.path().join("none"), ..files.clone() };
    assert!(words(open(&missing, &store).await).contains("is missing"));
    checkout(&open(&files, &store).await.unwrap(), &kept).await.unwrap();
}

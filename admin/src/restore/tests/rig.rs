//! A store of one user that runs in this process, and its backups.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use bytes::Bytes;
use rsa::pkcs8::{Document, LineEnding, SecretDocument};
use sss_common::record::{RecordHash, RootHash, VersionRecord};

use sss_common::{Clock as _, FileTime, Flag, Kind, NodeId, PackId, Uid, Version};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::super::*;
use crate::backup;
use sss_policy::{Act, Allowed, Checkin, Checkout, Delete, Facts, decide};
use sss_server::run::compose::{self, Paths};
use sss_server::store::{
    AuditAction, AuditRow, Commit, Limited, MetaStore, NewNode, NewUser, PackRow, Remove,
};
use sss_vault::sealed::Leaf;
use sss_vault::{RecordBody, Vault, VaultError, sealed_block};

/// A folder with `backup.key` and `backup.pub` that the tests share.
pub(super) fn pair() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate(KeySize::Rsa3072).unwrap();
        let private = SecretDocument::try_from(key.as_der().unwrap().as_ref()).unwrap();
        fs::write(folder.path().join("backup.key"), private.to_pem("PRIVATE KEY", LineEnding::LF).unwrap())
            .unwrap();
        let key = aws_lc_rs::rsa::PrivateDecryptingKey::from_pkcs8(private.as_bytes()).unwrap();
        let public = Document::try_from(key.public_key().as_der().unwrap().as_ref()).unwrap();
        fs::write(folder.path().join("backup.pub"), public.to_pem("PUBLIC KEY", LineEnding::LF).unwrap())
            .unwrap();
        folder
    });
    folder.path()
}

pub(super) fn alice() -> Uid {
    "alice".parse().unwrap()
}

pub(super) fn proof<A: Act>(node: NodeId, act: A) -> Allowed<A> {
    decide(&Facts::at_home(alice(), node), act, Timestamp(0)).unwrap()
}

pub(super) fn audit() -> AuditRow {
    AuditRow { user: Some(alice()), ..AuditRow::administrative(SystemClock.now(), AuditAction::Checkin, "") }
}

/// A data directory with one user, opened as a server does.
pub(super) struct Store {
    pub(super) folder: TempDir,
    pub(super) runtime: Runtime,
    pub(super) meta: Arc<dyn MetaStore>,
    pub(super) blobs: Arc<dyn BlobStore>,
    pub(super) vault: Vault,
    pub(super) home: NodeId,
}

impl Store {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        compose::init(&data, None).unwrap();
        let runtime = Runtime::new().unwrap();
        let meta = compose::open_meta(&data).unwrap();
        let user = NewUser { uid: alice(), public_key: "key".into(), now: Timestamp(1) };
        runtime.block_on(meta.add_user(user, audit())).unwrap();
        drop(meta);
        Store::open(folder, &data, runtime)
    }

    pub(super) fn open(folder: TempDir, data: &Path, runtime: Runtime) -> Self {
        let paths = Paths::of(data, None);
        let meta = compose::open_meta(data).unwrap();
        let blobs = compose::open_blobs(&paths).unwrap();
        let vault = runtime.block_on(compose::open_vault(&paths, &meta)).unwrap();
        let home = runtime.block_on(meta.user(&alice())).unwrap().unwrap().home;
        Store { folder, runtime, meta, blobs, vault, home }
    }

    /// The store that was restored to `name` in this one's folder.
    pub(super) fn restored(self, name: &str) -> Self {
        let Store { folder, runtime, meta, vault, .. } = self;
        drop((meta, vault));
        let data = folder.path().join(name);
        Store::open(folder, &data, runtime)
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn create(&self, parent: NodeId, name: &str, kind: Kind) -> NodeId {
        let flag = (kind == Kind::File).then_some(Flag::Confidentiality);
        let new = NewNode {
            id: NodeId::random(),
            name: name.parse().unwrap(),
            kind,
            mode: 0o600,
            flag,
            of_home: false,
            limited: Limited::No,
            now_ns: FileTime(1),
        };
        let id = new.id;
        self.runtime.block_on(self.meta.create(&proof(parent, Checkin), new, audit())).unwrap();
        id
    }

    /// A document of one block in a pack of its own; says under which leaf.
    pub(super) fn checkin(&self, parent: NodeId, name: &str, content: &[u8]) -> (NodeId, Leaf) {
        let node = self.create(parent, name, Kind::File);
        let allowed = proof(node, Checkin);
        let pack = PackId::random();
        let leaf = self.runtime.block_on(async {
            let mut sealer = self.vault.begin(&allowed, pack).await.unwrap();
            let mut bytes = sealer.header().to_vec();
            sealer.seal_block(content, true, &mut bytes).unwrap();
            let length = bytes.len() as u64;
            let mut writer = self.blobs.begin(pack).await.unwrap();
            writer.write(Bytes::from(bytes)).await.unwrap();
            writer.finish().await.unwrap();
            let record = VersionRecord {
                document: node,
                version: Version(1),
                previous: RecordHash::NONE,
                size: content.len() as u64,
                flag: Flag::Confidentiality,
                author: alice(),
                machine: "client1".parse().unwrap(),
                time: Timestamp(1),
                root: RootHash([0; 32]),
            };
            let body =
                RecordBody { record, layout: Default::default(), digests: Vec::new(), signature: None };
            let leaf = sealer.leaf();
            let commit = Commit {
                base: Version(0),
                leaf,
                sealed_record: sealer.seal_record(&body).unwrap(),
                pack: Some(PackRow { id: pack, document: node, leaf, length, blocks: 1, inline: None }),
                uses: vec![pack],
                size: content.len() as u64,
                flag: Flag::Confidentiality,
                author: alice(),
                now: SystemClock.now(),
                mtime_ns: FileTime(1),
                mode: None,
                keys: self.vault.images(&sealer).await.unwrap(),
                consumes: None,
                create: None,
            };
            self.meta.commit(&allowed, commit, audit()).await.unwrap();
            self.vault.committed(sealer);
            leaf
        });
        (node, leaf)
    }

    pub(super) fn remove(&self, node: NodeId, parent: NodeId, name: &str) {
        let remove = Remove { parent, name: name.parse().unwrap(), version: None, now_ns: FileTime(2) };
        self.runtime.block_on(async {
            self.meta.remove(&proof(node, Delete), remove, audit()).await.unwrap();
            erase_all(&*self.meta, &self.vault, &SystemClock).await.unwrap();
        });
    }

    /// What a reader gets of a document, by its rows, keys and packs.
    pub(super) fn read(&self, node: NodeId) -> Option<Vec<u8>> {
        self.runtime.block_on(async {
            let version = self.meta.version(node, Version(1)).await.unwrap()?;
            let opener = self.vault.opener(&proof(node, Checkout), version.leaf).await.unwrap();
            opener.open_record(node, &version.sealed_record).unwrap();
            // One pack a document, so by its leaf.
            let snapshot = compose::open_snapshot(&self.meta_path()).unwrap();
            let packs: Vec<PackId> =
                snapshot.packs(None, 99).unwrap().into_iter().map(|(id, _)| id).collect();
            let rows = self.meta.packs(&packs).await.unwrap();
            let row = rows.into_iter().find(|row| row.document == node).unwrap();
            let (at, _) = sealed_block(0);
            let sealed = self.blobs.read(row.id, at, (row.length - at) as usize).await.unwrap();
            let mut block = sealed.to_vec();
            opener.open_block(node, row.id, 0, true, &mut block).unwrap();
            Some(block)
        })
    }

    pub(super) fn meta_path(&self) -> PathBuf {
        let restored = self.at("new/meta.db");
        if restored.exists() { restored } else { self.at("data/meta.db") }
    }

    pub(super) fn has_key(&self, leaf: Leaf) -> bool {
        let opened = self.runtime.block_on(self.vault.opener(&proof(self.home, Checkout), leaf));
        match opened {
            Ok(_) => true,
            Err(VaultError::Erased) => false,
            Err(other) => panic!("{other}"),
        }
    }

    pub(super) fn backup(&self, name: &str) -> anyhow::Result<backup::Made> {
        let order = backup::Order {
            data_dir: self.at("data"),
            out: self.at(name),
            key: Some(pair().join("backup.pub")),
            keyring: None,
        };
        backup::backup(&order, &ProgressBar::hidden())
    }

    pub(super) fn restore(&self, from: &str, to: &str, deletions: Deletions) -> anyhow::Result<Restored> {
        self.restore_with_keyring(from, to, None, deletions)
    }

    pub(super) fn restore_with_keyring(
        &self,
        from: &str,
        to: &str,
        keyring: Option<PathBuf>,
        deletions: Deletions,
    ) -> anyhow::Result<Restored> {
        let key = pair().join("backup.key");
        let order = Order { from: self.at(from), data_dir: self.at(to), key, keyring, deletions };
        restore(&order, &ProgressBar::hidden())
    }

    /// What lies in the folder, sorted.
    pub(super) fn listing(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A failure for people, in two lines or more.
pub(super) fn words<T>(failed: anyhow::Result<T>) -> String {
    let words = format!("{:#}", failed.err().expect("it must fail"));
    assert!(words.lines().count() >= 2, "{words}");
    words
}

pub(super) fn packs_in(folder: &Path) -> usize {
    let folders = fs::read_dir(folder.join("packs")).unwrap();
    folders.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

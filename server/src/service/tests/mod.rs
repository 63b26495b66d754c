//! The service on the memory and the SQLite store, with a clock that the tests move.
#![allow(clippy::unwrap_used)]

mod damage;
mod editors;
mod ends;
mod erasing;
mod faults;
mod homes;
mod late;
mod names;
mod pins;
mod receipts;
mod room;
mod sessions;
mod sharing;
mod versions;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use sss_common::clock::ManualClock;
use sss_common::framing::{data_header, end_frame};
use sss_common::limits::FRAME_MAX;
use sss_common::receipt::SignedReceipt;
use sss_common::wire::calls::*;
use sss_common::{Code, DocPath, Grantee, Kind, NodeId, Right, Timestamp, Uid, Version, When};
use tempfile::TempDir;

use super::*;
use crate::store::blobs::LocalBlobs;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{AuditAction, AuditRow, Fingerprint, MetaStore, NewUser, Stores};
use sss_vault::{Vault, VaultPaths};

/// Runs each test on both stores.
macro_rules! on_both_stores {
    ($($name:ident)*) => {
        mod on_memory { $(#[tokio::test] async fn $name() {
            super::$name(crate::service::tests::World::on_memory().await).await;
        })* }
        mod on_sqlite { $(#[tokio::test] async fn $name() {
            super::$name(crate::service::tests::World::on_sqlite().await).await;
        })* }
    };
}
pub(crate) use on_both_stores;

/// A service with alice, bob and carol.
pub(super) struct World {
    pub(super) service: Arc<Service>,
    pub(super) stores: Stores,
    pub(super) vault: Arc<Vault>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<ManualClock>,
    pub(super) dir: TempDir,
}

pub(super) const START: Timestamp = Timestamp(1_795_359_845_000);

impl World {
    pub(super) async fn on_memory() -> Self {
        Self::on(|_| Arc::new(MemoryStore::default())).await
    }

    pub(super) async fn on_sqlite() -> Self {
        Self::on(|dir| Arc::new(SqliteStore::create(&dir.join("meta.db")).unwrap())).await
    }

    pub(super) async fn on(meta: impl FnOnce(&std::path::Path) -> Arc<dyn MetaStore>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let meta = meta(dir.path());
        for uid in ["alice", "bob", "carol"] {
            let user = NewUser { uid: uid.parse().unwrap(), public_key: user_key(uid).1, now: START };
            let added = AuditRow::administrative(START, AuditAction::UserAdd, uid);
            meta.add_user(user, added).await.unwrap();
            let Caller { uid, token, peer } = caller(uid);
            let expires = START.after(Duration::from_secs(366 * 24 * 3600));
            let session = crate::store::NewSession {
                token,
                public_key: user_key(uid.as_str()).1,
                uid,
                machine: peer.machine,
                certificate: peer.certificate,
                now: START,
                expires,
            };
            let begun = AuditRow::administrative(START, AuditAction::Login, "");
            meta.begin_session(session, 1, begun).await.unwrap();
        }
        let blobs = Arc::new(LocalBlobs::open(&dir.path().join("packs")).unwrap());
        let vault =
            Vault::open(copy_of_keys(dir.path()), Arc::new(StoredKeys(meta.clone())), None).await.unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let settings = Settings { min_free: 0, ..Settings::default() };
        let (stores, vault) = (Stores { meta, blobs }, Arc::new(vault));
        let service = Service::new(stores.clone(), vault.clone(), clock.clone(), settings.clone());
        World { service, stores, vault, settings, clock, dir }
    }

    /// The server's next start, with other settings: what only its memory had is gone.
    pub(super) async fn restart(&mut self, settings: Settings) {
        let stores = self.stores.clone();
        let last_leaf = stores.meta.last_leaf().await.unwrap();
        let keys = Arc::new(StoredKeys(stores.meta.clone()));
        let vault = Vault::open(paths(self.dir.path()), keys, last_leaf).await.unwrap();
        if let Some(queued) = stores.meta.last_queued().await.unwrap() {
            vault.pass_over(queued);
        }
        (self.vault, self.settings) = (Arc::new(vault), settings.clone());
        self.service = Service::new(stores, self.vault.clone(), self.clock.clone(), settings);
    }

    pub(super) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) async fn home(&self, who: &Caller) -> NodeId {
        self.service.fs_home(who, HomeRequest { uid: who.uid.clone() }).await.unwrap().node
    }

    /// PUT without a precondition.
    pub(super) async fn put(&self, who: &Caller, path: &str, content: &[u8]) -> Outcome<Version> {
        let path: DocPath = path.parse().unwrap();
        let body = whole(content);
        Ok(self.service.put_document(who, &path, None, Precondition::None, body).await?.0.version)
    }

    pub(super) async fn get(&self, who: &Caller, path: &str) -> Outcome<Vec<u8>> {
        let checkout = self.service.get_document(who, &path.parse().unwrap(), RangeRequest::All).await?;
        collect(checkout.body).await
    }

    pub(super) async fn attr(&self, who: &Caller, path: &str) -> Outcome<Attr> {
        let seen = self.service.rights.seen_path(who, &path.parse().unwrap()).await?;
        Ok(self.service.rights.attr_of(&seen))
    }

    pub(super) async fn grant(&self, who: &Caller, path: &str, to: &str, right: Right, seconds: u64) {
        let node = self.attr(who, path).await.unwrap().node;
        let when = Some(When::Seconds(seconds));
        let request = SetGrantRequest { node, grantee: to.parse().unwrap(), right, when };
        self.service.fs_grant(who, request).await.unwrap();
    }

    /// `both` for an hour, as who asks may.
    pub(super) async fn share(&self, who: &Caller, path: &str, to: &str) -> Outcome<()> {
        let node = self.attr(who, path).await?.node;
        let (grantee, when) = (to.parse().unwrap(), Some(When::Seconds(3600)));
        let request = SetGrantRequest { node, grantee, right: Right::Both, when };
        self.service.fs_grant(who, request).await.map(drop)
    }

    pub(super) async fn delete(&self, who: &Caller, path: &str) -> Outcome<SignedReceipt> {
        self.service.delete_document(who, &path.parse().unwrap(), Precondition::None).await
    }

    pub(super) async fn revoke(&self, who: &Caller, path: &str, from: &str) {
        let grantee: Grantee = from.parse().unwrap();
        self.service.sharing.delete_grant(who, &path.parse().unwrap(), &grantee).await.unwrap();
    }

    pub(super) async fn mkdir(&self, who: &Caller, path: &str) -> NodeId {
        self.create(who, path, Kind::Folder).await.unwrap().attr.node
    }

    pub(super) async fn create(&self, who: &Caller, path: &str, kind: Kind) -> Outcome<CreateResponse> {
        let mut path: DocPath = path.parse().unwrap();
        let name = path.names.pop().unwrap();
        let parent = self.service.rights.seen_path(who, &path).await?.node.id;
        let request =
            CreateRequest { parent, name, kind, mode: 0o644, flag: None, target: None, copy_of: None };
        self.service.fs_create(who, request).await
    }

    pub(super) async fn rename(&self, who: &Caller, from: &str, to: &str) -> Outcome<RenameResponse> {
        let (mut from, mut to): (DocPath, DocPath) = (from.parse().unwrap(), to.parse().unwrap());
        let (name, new_name) = (from.names.pop().unwrap(), to.names.pop().unwrap());
        let parent = self.service.rights.seen_path(who, &from).await?.node.id;
        let new_parent = self.service.rights.seen_path(who, &to).await?.node.id;
        let request = RenameRequest { parent, name, new_parent, new_name, no_replace: false };
        self.service.fs_rename(who, request).await
    }

    /// The mount's check-in of some ranges.
    pub(super) async fn checkin(
        &self,
        who: &Caller,
        node: NodeId,
        base: Version,
        ranges: &[(u64, &[u8])],
        size: u64,
    ) -> Outcome<Attr> {
        self.service.fs_checkin(who, node, base, None, framed(ranges, size)).await
    }

    pub(super) async fn read(&self, who: &Caller, node: NodeId, version: Version) -> Outcome<Vec<u8>> {
        collect(self.service.fs_read(who, node, version, 0, 8 << 20).await?.1).await
    }
}

pub(super) fn caller(uid: &str) -> Caller {
    let mut token = [0; 32];
    token[..uid.len()].copy_from_slice(uid.as_bytes());
    Caller { uid: uid.parse().unwrap(), token: TokenHash(token), peer: peer("client1") }
}

pub(super) fn peer(node: &str) -> Peer {
    let mut certificate = [0; 32];
    certificate[..node.len()].copy_from_slice(node.as_bytes());
    Peer {
        machine: node.parse().unwrap(),
        certificate: Fingerprint(certificate),
        serves: Serves::Anyone,
        server: ServerKey::of(b"server"),
        request_id: "test".into(),
    }
}

pub(super) fn whole(content: &[u8]) -> ByteStream {
    let chunks: Vec<_> = content.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    futures::stream::iter(chunks).boxed()
}

pub(super) fn framed(ranges: &[(u64, &[u8])], size: u64) -> ByteStream {
    let mut body = Vec::new();
    for (offset, bytes) in ranges {
        for (n, part) in bytes.chunks(FRAME_MAX).enumerate() {
            body.extend_from_slice(&data_header(offset + (n * FRAME_MAX) as u64, part.len()).unwrap());
            body.extend_from_slice(part);
        }
    }
    let end = CheckinEnd { size, ..Default::default() };
    body.extend_from_slice(&end_frame(&serde_json::to_vec(&end).unwrap()));
    whole(&body)
}

pub(super) async fn collect(mut body: ByteStream) -> Outcome<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => out.extend_from_slice(&chunk),
            Err(error) => match error.into_inner().and_then(|inner| inner.downcast::<StreamFailed>().ok()) {
                Some(failed) => return Err(failed.0),
                None => panic!("a stream failed without a reason"),
            },
        }
    }
    Ok(out)
}

/// Content that differs from place to place.
pub(super) fn bytes(count: usize, seed: u8) -> Vec<u8> {
    (0..count).map(|i| (i / 251) as u8 ^ (i % 251) as u8 ^ seed).collect()
}

pub(super) fn code<T>(outcome: Outcome<T>) -> Code {
    match outcome {
        Ok(_) => panic!("this must be refused"),
        Err(failure) => failure.code,
    }
}

/// A user's login key; made once, and small, for speed.
pub(super) fn user_key(uid: &str) -> (rsa::RsaPrivateKey, String) {
    use rsa::pkcs8::EncodePublicKey as _;
    static KEYS: OnceLock<parking_lot::Mutex<std::collections::HashMap<String, rsa::RsaPrivateKey>>> =
        OnceLock::new();
    let mut keys = KEYS.get_or_init(Default::default).lock();
    let key = keys
        .entry(uid.into())
        .or_insert_with(|| rsa::RsaPrivateKey::new(&mut rand::rngs::OsRng, 1024).unwrap())
        .clone();
    let public = key.to_public_key().to_public_key_pem(rsa::pkcs8::LineEnding::LF).unwrap();
    (key, public)
}

/// A server's keys; the pair is made once.
fn copy_of_keys(to: &std::path::Path) -> VaultPaths {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        Vault::create(&paths(dir.path())).unwrap();
        dir
    });
    let (from, to) = (paths(made.path()), paths(to));
    for (from, to) in
        [(&from.server_key, &to.server_key), (&from.server_pub, &to.server_pub), (&from.keyring, &to.keyring)]
    {
        std::fs::copy(from, to).unwrap();
    }
    to
}

fn paths(dir: &std::path::Path) -> VaultPaths {
    VaultPaths {
        server_key: dir.join("server.key"),
        server_pub: dir.join("server.pub"),
        keyring: dir.join("keyring"),
    }
}

/// The row of an act that an administrator does beside the server.
pub(super) fn by_administrator() -> AuditRow {
    AuditRow::administrative(START, AuditAction::UserDisable, "")
}

pub(super) fn alice() -> Caller {
    caller("alice")
}

pub(super) fn bob() -> Caller {
    caller("bob")
}

pub(super) fn carol() -> Caller {
    caller("carol")
}

pub(super) fn uid(text: &str) -> Uid {
    text.parse().unwrap()
}

//! The scratch store, its service, and a user who checks documents in and removes two of them, as any user would.

use std::sync::Arc;

use anyhow::anyhow;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use rsa::pkcs8::{Document, LineEnding};
use sss_common::wire::fs::{HomeRequest, RemoveRequest};
use sss_common::wire::session::{ChallengeRequest, LoginRequest};
use sss_common::{Clock as _, DocPath, Flag, NodeId, SystemClock, Uid, login};

use super::scratch::Scratch;
use sss_server::run::Advice;
use sss_server::run::compose::{open_blobs, open_metadata, open_vault};
use sss_server::service::{Caller, Failure, Outcome, Peer, Precondition, Serves, Service, Settings};
use sss_server::store::{
    AuditAction, AuditRow, Fingerprint, MetaStore, NewUser, PackRow, StoredVersion, Stores,
};

/// A document of the drill.
pub(super) struct Drilled {
    name: &'static str,
    pub(super) kept: bool,
    pub(super) node: NodeId,
    pub(super) row: StoredVersion,
    pub(super) content: Vec<u8>,
    /// Filled in by the thief who opens the record.
    pub(super) packs: Vec<PackRow>,
}

impl Drilled {
    /// As the user calls it.
    pub(super) fn name(&self) -> &str {
        self.name
    }

    /// Text that stands in each of the documents and nowhere else.
    pub(super) fn mark(documents: &[Drilled]) -> &[u8] {
        documents.first().map_or(&[], |document| &document.content[..MARK])
    }
}

/// Bytes of the mark.
const MARK: usize = 48;

/// The scratch store, opened.
pub(super) struct Stage {
    pub(super) meta: Arc<dyn MetaStore>,
    service: Arc<Service>,
    caller: Caller,
}

impl Stage {
    /// Opens the scratch store and logs a new user in.
    pub(super) async fn open(scratch: &Scratch) -> anyhow::Result<Stage> {
        let paths = scratch.paths();
        let meta = open_metadata(&paths.meta)?;
        let blobs = open_blobs(paths)?;
        let vault = Arc::new(open_vault(paths, &meta).await?);
        let stores = Stores { meta: meta.clone(), blobs };
        let service = Service::new(stores, vault, Arc::new(SystemClock), Settings::default());
        let caller = log_in(&service, &meta).await?;
        Ok(Stage { meta, service, caller })
    }

    /// Checks in a small document, which lies in its metadata row, a larger one with a signature, and one that is kept.
    pub(super) async fn check_in(&self) -> anyhow::Result<Vec<Drilled>> {
        // The store's own keyring holds the root key that the copy began with; the drill needs one that it can take away.
        self.put("first", b"moves the copy to a root key of its own".to_vec(), Flag::Confidentiality).await?;
        self.remove_named(&["first"]).await?;
        let mark = format!("3S drill {:032x} ", rand::random::<u128>());
        let text = |bytes: usize| mark.bytes().cycle().take(bytes).collect::<Vec<u8>>();
        let mut documents = Vec::new();
        for (name, bytes, flag, kept) in [
            ("small", 1_000, Flag::Confidentiality, false),
            ("large", 200_000, Flag::Integrity, false),
            ("kept", 150_000, Flag::Confidentiality, true),
        ] {
            let content = text(bytes);
            let (node, row) = self.put(name, content.clone(), flag).await?;
            documents.push(Drilled { name, kept, node, row, content, packs: Vec::new() });
        }
        self.meta.flush().await.advice("the scratch copy's disk may be full")?;
        Ok(documents)
    }

    async fn put(&self, name: &str, content: Vec<u8>, flag: Flag) -> anyhow::Result<(NodeId, StoredVersion)> {
        let path: DocPath = format!("@{}/{name}", self.caller.uid()).parse()?;
        let body = futures::stream::iter([Ok(Bytes::from(content))]).boxed();
        let put = self.service.put_document(&self.caller, &path, Some(flag), Precondition::None, body).await;
        let version = told(put)?.0.version;
        let node = told(self.service.head_document(&self.caller, &path).await)?.node;
        let row =
            self.meta.version(node, version).await?.ok_or_else(|| anyhow!("a document is not there"))?;
        Ok((node, row))
    }

    /// Removes those that are not kept, and waits until all that follows from it is done.
    pub(super) async fn remove(&self, documents: &[Drilled]) -> anyhow::Result<()> {
        let doomed: Vec<&str> = documents.iter().filter(|d| !d.kept).map(Drilled::name).collect();
        self.remove_named(&doomed).await
    }

    async fn remove_named(&self, names: &[&str]) -> anyhow::Result<()> {
        let uid = self.caller.uid().clone();
        let home = told(self.service.fs_home(&self.caller, HomeRequest { uid }).await)?.node;
        for name in names {
            let request = RemoveRequest { parent: home, name: name.parse()?, folder: false };
            told(self.service.fs_remove(&self.caller, request).await)?;
        }
        told(self.service.upkeep.maintain().await)?;
        self.meta.flush().await.advice("the scratch copy's disk may be full")
    }
}

async fn log_in(service: &Service, meta: &Arc<dyn MetaStore>) -> anyhow::Result<Caller> {
    let uid: Uid = format!("drill-{:016x}", rand::random::<u64>()).parse()?;
    let (key, public_key) = key_pair().ok_or_else(|| anyhow!("the drill's user got no key"))?;
    let now = SystemClock.now();
    let row = AuditRow::administrative(now, AuditAction::UserAdd, uid.as_str());
    meta.add_user(NewUser { uid: uid.clone(), public_key, now }, row).await?;
    let peer = Peer {
        machine: "drill".parse()?,
        certificate: Fingerprint([0; 32]),
        serves: Serves::Only(uid.clone()),
        server: login::ServerKey::of(b""),
        request_id: "drill".into(),
    };
    let challenge =
        told(service.logins.challenge(&peer, ChallengeRequest { uid: uid.clone() }).await)?.challenge;
    let statement = login::statement(&peer.machine, &uid, &challenge);
    let mut signature = vec![0; key.public_modulus_len()];
    let signed = key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), statement.as_bytes(), &mut signature);
    signed.map_err(|_| anyhow!("the drill's user cannot sign"))?;
    let signature = STANDARD.encode(signature);
    let token = told(service.logins.login(&peer, LoginRequest { uid, statement, signature }).await)?.token;
    told(service.logins.authenticate(&peer, &token).await)
}

fn key_pair() -> Option<(RsaKeyPair, String)> {
    let pair = KeyPair::generate(KeySize::Rsa2048).ok()?;
    let key = RsaKeyPair::from_pkcs8(AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).ok()?.as_ref()).ok()?;
    let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).ok()?;
    let pem = Document::try_from(spki.as_ref()).ok()?.to_pem("PUBLIC KEY", LineEnding::LF).ok()?;
    Some((key, pem))
}

/// The service's refusals in words.
fn told<T>(outcome: Outcome<T>) -> anyhow::Result<T> {
    outcome.map_err(|Failure { code, detail, cause, .. }| match cause {
        Some(cause) => anyhow!("the scratch store refused ({code}): {detail}: {cause}"),
        None => anyhow!("the scratch store refused ({code}): {detail}"),
    })
}

//! The routes on a real service: what a client with curl does, header by header.

use std::sync::OnceLock;

use axum::body::Body;
use axum::extract::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, WWW_AUTHENTICATE};
use http_body_util::BodyExt;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use serde_json::{Value, json};
use sss_common::framing::{data_header, end_frame};
use sss_common::receipt::SignedReceipt;
use sss_common::{SystemClock, Timestamp, login};
use tempfile::TempDir;
use tower::ServiceExt;

use super::super::*;
use crate::service::{Settings, StoredKeys};
use crate::store::blobs::LocalBlobs;
use crate::store::memory::MemoryStore;
use crate::store::{AuditAction, AuditRow, Fingerprint, MetaStore, NewUser, Stores};
use sss_vault::{Vault, VaultPaths};

fn user_key() -> &'static RsaPrivateKey {
    static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| RsaPrivateKey::new(&mut rand::rngs::OsRng, 2048).unwrap())
}

struct World {
    app: Router,
    stopping: CancellationToken,
    _dir: TempDir,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        self.json()["code"].as_str().unwrap().into()
    }
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let paths = || VaultPaths {
            server_key: path("server.key"),
            server_pub: path("server.pub"),
            keyring: path("keyring"),
        };
        Vault::create(&paths()).unwrap();
        let meta: Arc<dyn MetaStore> = Arc::new(MemoryStore::default());
        let public_key = user_key().to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        for uid in ["alice", "bob"] {
            let user =
                NewUser { uid: uid.parse().unwrap(), public_key: public_key.clone(), now: Timestamp(0) };
            let row = AuditRow::administrative(Timestamp(0), AuditAction::UserAdd, uid);
            meta.add_user(user, row).await.unwrap();
        }
        let vault = Vault::open(paths(), Arc::new(StoredKeys(meta.clone())), None).await.unwrap();
        let stores = Stores { meta, blobs: Arc::new(LocalBlobs::open(&path("packs")).unwrap()) };
        let settings = Settings { min_free: 0, ..Settings::default() };
        let service = Service::new(stores, Arc::new(vault), Arc::new(SystemClock), settings);
        let running = Running::default();
        let stopping = running.stopping.clone();
        World { app: router(service, running), stopping, _dir: dir }
    }

    async fn ask(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let machine = Machine {
            name: "client1".parse().unwrap(),
            certificate: Fingerprint([7; 32]),
            serves: Serves::Anyone,
            server: ServerKey::of(b"server"),
        };
        let request = request.extension(machine).body(body.into()).unwrap();
        let (parts, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn login(&self, uid: &str) -> String {
        let challenge = self.ask("", "POST", "/v1/challenge", &[], json!({ "uid": uid }).to_string()).await;
        let challenge = challenge.json()["challenge"].as_str().unwrap().to_owned();
        let statement = format!("client1 as {uid} logs into the Server\nchallenge: {challenge}");
        let signature = STANDARD.encode(login::sign(user_key(), statement.as_bytes()));
        let request = json!({ "uid": uid, "statement": statement, "signature": signature });
        let reply = self.ask("", "POST", "/v1/login", &[], request.to_string()).await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        reply.json()["token"].as_str().unwrap().into()
    }
}

#[tokio::test]
async fn sessions() {
    let world = World::new().await;
    let health = world.ask("", "GET", "/v1/health", &[], "").await;
    assert_eq!(health.json(), json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }));
    let anonymous = world.ask("", "GET", "/v1/documents/@alice/a", &[], "").await;
    assert_eq!((anonymous.status, &*anonymous.code()), (401, "not_logged_in"));
    assert!(anonymous.headers.contains_key(WWW_AUTHENTICATE));
    let first = world.login("alice").await;
    let second = world.login("alice").await;
    let replaced = world.ask(&first, "GET", "/v1/documents/@alice/a", &[], "").await;
    assert_eq!((replaced.status, &*replaced.code()), (401, "session_replaced"));
    assert_eq!(world.ask(&second, "POST", "/v1/logout", &[], "").await.status, 204);
    assert_eq!(world.ask(&second, "GET", "/v1/grants/@alice", &[], "").await.code(), "session_expired");
    let forged = json!({ "uid": "alice", "statement": "x", "signature": "eA==" });
    let refused = world.ask("", "POST", "/v1/login", &[], forged.to_string()).await;
    assert_eq!((refused.status, &*refused.code()), (401, "login_refused"));
}

#[tokio::test]
async fn a_document_from_its_making_to_its_end() {
    let world = World::new().await;
    let alice = world.login("alice").await;
    let url = "/v1/documents/@alice/new%20folder/report.txt";
    let made = world.ask(&alice, "PUT", url, &[("if-none-match", "*")], "hello world").await;
    assert_eq!((made.status, made.json()), (201, json!({ "version": 1 })));
    assert_eq!(made.headers[ETAG], "\"1\"");
    let again = world.ask(&alice, "PUT", url, &[("if-none-match", "*")], "other").await;
    assert_eq!((again.status, &*again.code()), (412, "version_moved"));

    let got = world.ask(&alice, "GET", url, &[], "").await;
    assert_eq!((got.status, &*got.body), (200, &b"hello world"[..]));
    assert_eq!(
        (&got.headers[ETAG], &got.headers[CONTENT_LENGTH]),
        (&"\"1\"".parse().unwrap(), &"11".parse().unwrap())
    );
    for (range, status, body) in [
        ("bytes=6-", 206, "world"),
        ("bytes=0-4", 206, "hello"),
        ("bytes=-5", 206, "world"),
        ("bytes=0-1,3-4", 200, "hello world"),
    ] {
        let part = world.ask(&alice, "GET", url, &[("range", range)], "").await;
        assert_eq!((part.status, &*part.body), (status, body.as_bytes()), "{range}");
    }
    for range in ["bytes=11-", "bytes=-0"] {
        let beyond = world.ask(&alice, "GET", url, &[("range", range)], "").await;
        assert_eq!((beyond.status, &*beyond.code()), (416, "bad_range"));
        assert_eq!(beyond.headers[CONTENT_RANGE], "bytes */11");
    }
    let head = world.ask(&alice, "HEAD", url, &[], "").await;
    assert_eq!(
        (head.status, &head.headers[CONTENT_LENGTH], head.body.len()),
        (200, &"11".parse().unwrap(), 0)
    );
    assert_eq!(world.ask(&alice, "GET", url, &[("if-none-match", "\"1\"")], "").await.status, 304);

    let next = world.ask(&alice, "PUT", url, &[("if-match", "\"1\"")], "second").await;
    assert_eq!((next.status, next.json()), (200, json!({ "version": 2 })));
    assert_eq!(world.ask(&alice, "PUT", url, &[("if-match", "\"1\"")], "late").await.status, 412);
    assert_eq!(
        world.ask(&alice, "PUT", url, &[("if-match", "*")], "third").await.json(),
        json!({ "version": 3 })
    );
    let absent = world.ask(&alice, "PUT", "/v1/documents/@alice/none", &[("if-match", "*")], "x").await;
    assert_eq!(absent.status, 412);
    for (tag, status, body) in [("\"3\"", 206, "thi"), ("\"2\"", 200, "third")] {
        let part = world.ask(&alice, "GET", url, &[("range", "bytes=0-2"), ("if-range", tag)], "").await;
        assert_eq!((part.status, &*part.body), (status, body.as_bytes()), "{tag}");
    }
    let folder = world.ask(&alice, "GET", "/v1/documents/@alice/new%20folder", &[], "").await;
    assert_eq!((folder.status, &*folder.code()), (409, "is_folder"));
    let misspelt = world.ask(&alice, "PUT", "/v1/documents/@alice/x?flga=integrity", &[], "x").await;
    assert_eq!(misspelt.code(), "bad_request");
    let wrong = world.ask(&alice, "POST", url, &[], "x").await;
    assert_eq!((wrong.status, &*wrong.code()), (405, "method_not_allowed"));
    assert!(wrong.headers.contains_key(ALLOW));

    assert_eq!(world.ask(&alice, "DELETE", url, &[("if-match", "\"1\"")], "").await.status, 412);
    let gone = world.ask(&alice, "DELETE", url, &[], "").await;
    assert_eq!(gone.status, 200, "{:?}", gone.body);
    assert_eq!(world.ask(&alice, "GET", url, &[], "").await.code(), "not_found");

    let receipt = SignedReceipt::from_json(&gone.body).unwrap();
    let said = receipt.receipt().unwrap();
    assert_eq!((said.path.as_str(), said.deleted_by.as_str()), ("@alice/new folder/report.txt", "alice"));
    let request = json!({ "document": said.document });
    let again = world.ask(&alice, "POST", "/v1/fs/receipt", &[], request.to_string()).await;
    assert_eq!((again.status, &again.json()["statement"]), (200, &gone.json()["statement"]));
    let bob = world.login("bob").await;
    let refused = world.ask(&bob, "POST", "/v1/fs/receipt", &[], request.to_string()).await;
    assert_eq!((refused.status, &*refused.code()), (404, "not_found"));
}

#[tokio::test]
async fn grants_and_hidden_documents() {
    let world = World::new().await;
    let (alice, bob) = (world.login("alice").await, world.login("bob").await);
    let (document, grants) = ("/v1/documents/@alice/a", "/v1/grants/@alice/a");
    world.ask(&alice, "PUT", document, &[], "secret").await;
    let hidden = world.ask(&bob, "GET", document, &[], "").await;
    let missing = world.ask(&bob, "GET", "/v1/documents/@alice/b", &[], "").await;
    assert_eq!((hidden.status, hidden.json()["detail"].clone()), (404, missing.json()["detail"].clone()));

    let request = json!({ "grantee": "bob", "right": "checkout", "seconds": 100 });
    let granted = world.ask(&alice, "PUT", grants, &[], request.to_string()).await;
    assert_eq!((granted.status, &granted.json()["right"]), (200, &json!("checkout")));
    assert_eq!(&*world.ask(&bob, "GET", document, &[], "").await.body, b"secret");
    assert_eq!(world.ask(&bob, "PUT", document, &[], "x").await.code(), "no_right");
    assert_eq!(world.ask(&alice, "GET", grants, &[], "").await.json()["grants"][0], granted.json());
    for bad in [
        json!({ "grantee": "bob", "right": "read" }),
        json!({ "grantee": "bob", "right": "both", "seconds": 0 }),
    ] {
        assert_eq!(world.ask(&alice, "PUT", grants, &[], bad.to_string()).await.code(), "bad_grant");
    }
    assert_eq!(world.ask(&alice, "DELETE", &format!("{grants}?grantee=bob"), &[], "").await.status, 204);
    assert_eq!(world.ask(&bob, "GET", document, &[], "").await.status, 403);
}

#[tokio::test]
async fn the_mounts_calls() {
    let world = World::new().await;
    let alice = world.login("alice").await;
    let call = async |name: &str, body: Value| {
        let reply = world.ask(&alice, "POST", &format!("/v1/fs/{name}"), &[], body.to_string()).await;
        assert_eq!(reply.status, 200, "{name}: {:?}", reply.body);
        reply.json()
    };
    let home = call("home", json!({ "uid": "alice" })).await;
    let new = json!({ "parent": home["node"], "name": "a", "kind": "file", "mode": 0o644 });
    let node = call("create", new).await["attr"]["node"].as_str().unwrap().to_owned();
    let frames =
        [&data_header(0, 5).unwrap()[..], b"hello", &end_frame(json!({ "size": 5 }).to_string().as_bytes())]
            .concat();
    let url = format!("/v1/fs/checkin/{node}?base=0&id={}", "ab".repeat(16));
    let first = world.ask(&alice, "POST", &url, &[], frames.clone()).await;
    assert_eq!((first.status, &first.json()["version"]), (200, &json!(1)));
    assert_eq!(world.ask(&alice, "POST", &url, &[], frames.clone()).await.json(), first.json(), "sent again");
    let moved = world.ask(&alice, "POST", &format!("/v1/fs/checkin/{node}?base=0"), &[], frames).await;
    assert_eq!(moved.code(), "version_moved");

    call("open", json!({ "node": node, "want": "checkout" })).await;
    let read = format!("/v1/fs/read/{node}/1");
    let part = world.ask(&alice, "GET", &read, &[("range", "bytes=1-100")], "").await;
    assert_eq!(
        (part.status, &*part.body, &part.headers[CONTENT_RANGE]),
        (206, &b"ello"[..], &"bytes 1-4/*".parse().unwrap())
    );
    assert_eq!(world.ask(&alice, "GET", &read, &[("range", "bytes=5-9")], "").await.code(), "bad_range");
    assert_eq!(world.ask(&alice, "GET", &read, &[], "").await.code(), "bad_request");
    assert_eq!(call("close", json!({ "pins": [{ "node": node, "version": 1 }] })).await, json!({}));
    for name in ["homes", "statfs"] {
        assert_eq!(world.ask(&alice, "POST", &format!("/v1/fs/{name}"), &[], "").await.status, 200, "{name}");
    }
    call("list", json!({ "folder": home["node"], "limit": 10 })).await;
    call("setxattr", json!({ "node": node, "xattr": { "name": "user.x", "value": "eA==" } })).await;
    assert_eq!(call("xattrs", json!({ "node": node })).await["xattrs"][0]["value"], "eA==");
    call("removexattr", json!({ "node": node, "name": "user.x" })).await;
    call("remove", json!({ "parent": home["node"], "name": "a", "folder": false })).await;
}

#[tokio::test]
async fn events_end_when_the_server_stops() {
    let world = World::new().await;
    let alice = world.login("alice").await;
    world.stopping.cancel();
    let events =
        tokio::time::timeout(Duration::from_secs(20), world.ask(&alice, "GET", "/v1/fs/events", &[], ""));
    let events = events.await.unwrap();
    assert_eq!(
        (events.status, &events.headers["content-type"]),
        (200, &"application/x-ndjson".parse().unwrap())
    );
}

//! A certificate authority and a server for the client's tests: real TLS, real HTTP, answers as a test wants them.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use futures::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sss_common::framing::{Decoder, Piece};
use sss_common::login::{Challenge, ServerKey};
use sss_common::{Code, Problem, login};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub const NODE: &str = "client1";

/// A user's key pair; making one takes long, so the tests share it.
pub fn user_key() -> &'static RsaPrivateKey {
    static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| RsaPrivateKey::new(&mut rand::rngs::OsRng, 2048).unwrap())
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    der: CertificateDer<'static>,
}

pub struct Issued {
    pub pem: String,
    pub key_pem: String,
    der: CertificateDer<'static>,
    key_der: Vec<u8>,
    server_key: ServerKey,
    serial: SerialNumber,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    pub fn issue(&self, name: &str, hosts: &[&str]) -> Issued {
        self.issue_until(name, hosts, 2040)
    }

    pub fn issue_until(&self, name: &str, hosts: &[&str], year: i32) -> Issued {
        static SERIAL: AtomicUsize = AtomicUsize::new(100);
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let serial = SerialNumber::from(SERIAL.fetch_add(1, Ordering::Relaxed) as u64);
        params.serial_number = Some(serial.clone());
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().clone(),
            key_der: key.serialize_der(),
            server_key: ServerKey::of(&key.subject_public_key_info()),
            serial,
        }
    }

    /// Writes an ID_DIR as `3s-ca enroll` does.
    pub fn enroll(&self, dir: &Path) -> Issued {
        let issued = self.issue(NODE, &[]);
        std::fs::create_dir_all(dir).unwrap();
        write(&dir.join("ca.crt"), &self.pem);
        write(&dir.join("client.crt"), &issued.pem);
        write(&dir.join("client.key"), &issued.key_pem);
        write(&dir.join("user.key"), &user_key().to_pkcs8_pem(LineEnding::LF).unwrap());
        let public = user_key().to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        write(&dir.join("user.pub"), &public);
        issued
    }

    fn server_config(
        &self,
        hosts: &[&str],
        revoked: &[&Issued],
        node_authority: &Authority,
    ) -> (rustls::ServerConfig, ServerKey) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(node_authority.der.clone()).unwrap();
        let crl = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2040, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|issued| RevokedCertParams {
                    serial_number: issued.serial.clone(),
                    revocation_time: date_time_ymd(2021, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = crl.signed_by(&node_authority.issuer).unwrap();
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .with_crls([crl.der().clone()])
                .build()
                .unwrap();
        let issued = self.issue("server", hosts);
        let server_key = issued.server_key;
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![issued.der], PrivateKeyDer::Pkcs8(issued.key_der.into()))
            .unwrap();
        (config, server_key)
    }
}

pub fn write(path: &Path, text: &str) {
    use std::io::Write;
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// What the server does with a call instead of what it would do.
pub enum Reply {
    Json(Value),
    Problem(Code, &'static str),
    Raw(u16, &'static str, Bytes),
    /// Reads the request, then hangs up.
    Break,
    /// Carries the request out, then hangs up.
    DoAndBreak,
    /// Says nothing.
    Hang,
    /// Answers before the body is read.
    Early(Code),
    /// Sends these bytes as the body, piece by piece; then ends.
    Pieces(&'static str, futures::channel::mpsc::UnboundedReceiver<Bytes>),
}

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: String,
    pub query: String,
    pub token: Option<String>,
    pub range: Option<String>,
    pub body: Bytes,
}

pub struct State {
    server_key: ServerKey,
    script: Mutex<HashMap<String, VecDeque<Reply>>>,
    calls: Mutex<Vec<Call>>,
    challenge: Mutex<Option<Challenge>>,
    /// The live token, and what the others are answered with.
    token: Mutex<Option<String>>,
    dead: Mutex<Option<(Code, &'static str)>>,
    logins: AtomicUsize,
    pub connections: AtomicUsize,
    pub content: Mutex<Vec<u8>>,
    pub version: Mutex<u64>,
    done: Mutex<HashMap<String, Value>>,
}

pub struct Server {
    pub address: SocketAddr,
    pub state: Arc<State>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    pub async fn start(authority: &Authority) -> Self {
        Self::with(authority, &["127.0.0.1"], &[], authority, "127.0.0.1:0").await
    }

    pub async fn with(
        authority: &Authority,
        hosts: &[&str],
        revoked: &[&Issued],
        node_authority: &Authority,
        listen: &str,
    ) -> Self {
        let (config, server_key) = authority.server_config(hosts, revoked, node_authority);
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::new(server_key));
        let task = Some(tokio::spawn(serve(listener, Arc::new(config), state.clone())));
        Server { address, state, task }
    }

    /// Ends at once, connections and all.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    pub fn target(&self) -> String {
        format!("alice@{}", self.address)
    }

    pub fn next(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.state.script.lock().unwrap().entry(path.into()).or_default().extend(replies);
    }

    /// All tokens are answered so from now on, until the next login.
    pub fn end_session(&self, code: Code, detail: &'static str) {
        *self.state.token.lock().unwrap() = None;
        *self.state.dead.lock().unwrap() = Some((code, detail));
    }

    pub fn logins(&self) -> usize {
        self.state.logins.load(Ordering::SeqCst)
    }

    pub fn calls(&self, path: &str) -> Vec<Call> {
        self.state.calls.lock().unwrap().iter().filter(|call| call.path == path).cloned().collect()
    }

    pub fn count(&self) -> usize {
        self.state.calls.lock().unwrap().len()
    }
}

async fn serve(listener: TcpListener, config: Arc<rustls::ServerConfig>, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        state.connections.fetch_add(1, Ordering::SeqCst);
        let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
        let state = state.clone();
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let service = service_fn(move |request| handle(state.clone(), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Body = BoxBody<Bytes, Infallible>;

#[derive(Debug, thiserror::Error)]
#[error("hangs up")]
struct HangUp;

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, HangUp> {
    let path = request.uri().path().to_owned();
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut call = Call {
        query: request.uri().query().unwrap_or_default().into(),
        token: header(AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer ").map(str::to_owned)),
        range: header(RANGE),
        body: Bytes::new(),
        path: path.clone(),
    };
    let scripted = {
        let mut script = state.script.lock().unwrap();
        script.get_mut(&path).and_then(VecDeque::pop_front)
    };
    match scripted {
        Some(Reply::Hang) => std::future::pending::<()>().await,
        Some(Reply::Early(code)) => return Ok(problem(code, "early")),
        _ => {}
    }
    call.body = request.into_body().collect().await.map_err(|_| HangUp)?.to_bytes();
    state.calls.lock().unwrap().push(call.clone());
    match scripted {
        Some(Reply::Json(value)) => Ok(answer(200, "application/json", value.to_string())),
        Some(Reply::Problem(code, detail)) => Ok(problem(code, detail)),
        Some(Reply::Raw(status, kind, body)) => Ok(answer(status, kind, body)),
        Some(Reply::Break) => Err(HangUp),
        Some(Reply::DoAndBreak) => {
            state.perform(&call);
            Err(HangUp)
        }
        Some(Reply::Pieces(kind, pieces)) => {
            let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
            let body = Body::new(BodyExt::boxed(SyncBody(Mutex::new(StreamBody::new(frames)))));
            Ok(Response::builder().header(CONTENT_TYPE, kind).body(body).unwrap())
        }
        _ => Ok(state.perform(&call)),
    }
}

/// `BoxBody` wants `Sync`.
struct SyncBody<B>(Mutex<B>);

impl<B: hyper::body::Body + Unpin> hyper::body::Body for SyncBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        std::pin::Pin::new(this.0.get_mut().unwrap()).poll_frame(cx)
    }
}

fn answer(status: u16, kind: &str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).boxed();
    Response::builder().status(status).header(CONTENT_TYPE, kind).body(body).unwrap()
}

fn problem(code: Code, detail: &str) -> Response<Body> {
    let body = serde_json::to_vec(&Problem::new(code, detail, "0123456789abcdef")).unwrap();
    answer(code.status(), "application/problem+json", body)
}

/// An event stream on which nothing happens.
fn alive() -> Response<Body> {
    let first = Bytes::from("{\"event\":\"alive\",\"every_ms\":10000}\n");
    let frames = futures::stream::iter([first]).chain(futures::stream::pending());
    let frames = frames.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let body = Body::new(BodyExt::boxed(SyncBody(Mutex::new(StreamBody::new(frames)))));
    Response::builder().header(CONTENT_TYPE, "application/x-ndjson").body(body).unwrap()
}

pub fn attr(version: u64, size: u64) -> Value {
    json!({
        "node": "07".repeat(16), "kind": "folder", "size": size, "mode": 0o755, "mtime_ns": 0, "ctime_ns": 0,
        "version": version, "owner": "alice", "right": {"owner": true, "checkout": true, "checkin": true},
    })
}

impl State {
    fn new(server_key: ServerKey) -> Self {
        State {
            server_key,
            script: Mutex::default(),
            calls: Mutex::default(),
            challenge: Mutex::default(),
            token: Mutex::default(),
            dead: Mutex::default(),
            logins: AtomicUsize::default(),
            connections: AtomicUsize::default(),
            content: Mutex::default(),
            version: Mutex::default(),
            done: Mutex::default(),
        }
    }

    /// A challenge as whoever asks this server gets one.
    pub fn give_challenge(&self) -> Value {
        let mut random = [0; 32];
        rand::RngCore::fill_bytes(&mut rand::rngs::OsRng, &mut random);
        let challenge = Challenge::new(&random, self.server_key);
        let answer = json!({"challenge": challenge.as_str(), "expires_in": 60});
        *self.challenge.lock().unwrap() = Some(challenge);
        answer
    }

    fn perform(&self, call: &Call) -> Response<Body> {
        let ok = |value: Value| answer(200, "application/json", value.to_string());
        match call.path.as_str() {
            "/v1/challenge" => return ok(self.give_challenge()),
            "/v1/login" => return self.login(call),
            _ => {}
        }
        let live = self.token.lock().unwrap().clone();
        if live.is_none() || call.token != live {
            let (code, detail) = self.dead.lock().unwrap().unwrap_or((Code::NotLoggedIn, "no session"));
            return problem(code, detail);
        }
        if call.path.starts_with("/v1/fs/read/") {
            return self.read(call);
        }
        if call.path.starts_with("/v1/fs/checkin/") {
            return self.checkin(call);
        }
        match call.path.as_str() {
            "/v1/logout" => {
                *self.token.lock().unwrap() = None;
                answer(204, "application/json", "")
            }
            "/v1/fs/home" | "/v1/fs/attr" | "/v1/fs/lookup" | "/v1/fs/open" | "/v1/fs/setattr" => {
                ok(attr(0, 0))
            }
            "/v1/fs/create" => ok(json!({"attr": attr(0, 0)})),
            "/v1/fs/rename" => ok(json!({"attr": attr(0, 0)})),
            "/v1/fs/homes" => ok(json!({"uids": []})),
            "/v1/fs/list" => ok(json!({"entries": [], "more": false})),
            "/v1/fs/xattrs" => ok(json!({"xattrs": []})),
            "/v1/fs/grants" => ok(json!({"grants": []})),
            "/v1/fs/events" => alive(),
            "/v1/fs/statfs" => ok(json!({"total": 100, "available": 50})),
            "/v1/fs/close" | "/v1/fs/remove" => ok(json!({})),
            path => panic!("{path} is not scripted"),
        }
    }

    fn login(&self, call: &Call) -> Response<Body> {
        let request: sss_common::wire::session::LoginRequest = serde_json::from_slice(&call.body).unwrap();
        use base64::Engine;
        let signature = base64::engine::general_purpose::STANDARD.decode(request.signature).unwrap();
        let challenge = self.challenge.lock().unwrap().take();
        let statement = challenge.map(|c| login::statement(&NODE.parse().unwrap(), &request.uid, c.as_str()));
        let good = statement.as_deref() == Some(request.statement.as_str())
            && login::verify(&user_key().to_public_key(), request.statement.as_bytes(), &signature);
        if !good {
            return problem(Code::LoginRefused, "uid, key or challenge did not match");
        }
        let token = format!("token-{}", self.logins.fetch_add(1, Ordering::SeqCst));
        *self.token.lock().unwrap() = Some(token.clone());
        answer(200, "application/json", json!({"token": token, "expires_in": 3600}).to_string())
    }

    fn read(&self, call: &Call) -> Response<Body> {
        let content = self.content.lock().unwrap();
        let range = call.range.as_deref().and_then(|range| range.strip_prefix("bytes=")).unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        if first >= content.len() {
            return problem(Code::BadRange, "behind the end");
        }
        let last = last.min(content.len() - 1);
        let mut response = answer(206, "application/octet-stream", content[first..=last].to_vec());
        let shown = format!("bytes {first}-{last}/{}", content.len());
        response.headers_mut().insert(CONTENT_RANGE, shown.parse().unwrap());
        response
    }

    /// Like the server: a repeated id gets the first one's outcome.
    fn checkin(&self, call: &Call) -> Response<Body> {
        let query: HashMap<&str, &str> =
            call.query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        if let Some(outcome) = self.done.lock().unwrap().get(query["id"]) {
            return answer(200, "application/json", outcome.to_string());
        }
        let mut version = self.version.lock().unwrap();
        if query["base"] != version.to_string() {
            return problem(Code::VersionMoved, "somebody else checked in");
        }
        let (mut decoder, mut chunk, mut ended) = (Decoder::default(), call.body.clone(), None);
        let mut content = Vec::new();
        while let Some(piece) = decoder.next(&mut chunk).unwrap() {
            match piece {
                Piece::Data { offset, bytes } => {
                    assert_eq!(offset, content.len() as u64);
                    content.extend_from_slice(&bytes);
                }
                Piece::End(json) => ended = Some(json),
            }
        }
        if ended.is_none() {
            return problem(Code::BadRequest, "no end frame");
        }
        *version += 1;
        let outcome = attr(*version, content.len() as u64);
        *self.content.lock().unwrap() = content;
        self.done.lock().unwrap().insert(query["id"].into(), outcome.clone());
        answer(200, "application/json", outcome.to_string())
    }
}

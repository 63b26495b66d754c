#![allow(clippy::unwrap_used)]

mod lists;
mod pki;

use std::net::SocketAddr;

use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::ServerName;
use sss_common::login::{Challenge, ServerKey};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use sss_common::Timestamp;
use sss_common::clock::{ManualClock, SystemClock};

use super::*;
use crate::routes::Machine;
use pki::{Authority, Holder};

/// Everything in these tests that should happen, happens within this.
const SOON: Duration = Duration::from_secs(20);

/// A server on a free port, its authority, and a machine `client1` with the serial number 1.
struct World {
    authority: Authority,
    client1: Holder,
    dir: TempDir,
    tls: Arc<Tls>,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
    /// What `/stream` sends.
    feed: mpsc::UnboundedSender<Bytes>,
    /// `/wait` says that it runs, and goes on.
    waiting: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl World {
    async fn new() -> Self {
        World::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        World::at(limits, SystemClock).await
    }

    async fn at(limits: Limits, clock: impl Clock + 'static) -> Self {
        let authority = Authority::new("Test CA");
        let dir = tempfile::tempdir().unwrap();
        authority.write_tls_dir(dir.path(), &authority.issue("server", 100), &[99]);
        let tls = Arc::new(load_at(&dir, clock).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (waiting, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (feed, fed) = mpsc::unbounded_channel();
        let app = app(fed, waiting.clone(), go_on.clone());
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, tls.clone(), app, limits, stop.clone()));
        let client1 = authority.issue("client1", 1);
        World { authority, client1, dir, tls, address, stop, server, feed, waiting, go_on }
    }

    async fn connect(&self, config: ClientConfig) -> std::io::Result<Talk> {
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        Ok(Talk(TlsConnector::from(Arc::new(config)).connect(name, socket).await?))
    }

    async fn client1(&self) -> Talk {
        self.connect(self.authority.client(Some(&self.client1), &[&TLS13])).await.unwrap()
    }

    /// Whether a client gets an answer at all.
    async fn serves(&self, config: ClientConfig) -> bool {
        let Ok(mut talk) = self.connect(config).await else { return false };
        talk.get("/hello").await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn revoke(&self, serials: &[u64]) {
        std::fs::write(self.dir.path().join("ca.crl"), self.authority.crl(serials, 2099)).unwrap();
        self.tls.reload().unwrap();
    }
}

fn load(dir: &TempDir) -> Result<Tls, TlsError> {
    load_at(dir, SystemClock)
}

fn load_at(dir: &TempDir, clock: impl Clock + 'static) -> Result<Tls, TlsError> {
    Tls::load(dir.path(), &dir.path().join("lists"), Arc::new(clock))
}

fn app(fed: mpsc::UnboundedReceiver<Bytes>, waiting: Arc<Notify>, go_on: Arc<Notify>) -> Router {
    let fed = Arc::new(Mutex::new(fed));
    let stream = async move || {
        let fed = fed.clone().lock_owned().await;
        Body::from_stream(futures::stream::unfold(fed, async |mut fed| {
            Some((Ok::<_, std::convert::Infallible>(fed.recv().await?), fed))
        }))
    };
    let wait = async move || {
        waiting.notify_one();
        go_on.notified().await;
        "done"
    };
    Router::new()
        .route("/hello", get(async |Extension(machine): Extension<Machine>| machine.name.to_string()))
        .route("/key", get(async |Extension(machine): Extension<Machine>| told(machine.server)))
        .route("/stream", get(stream))
        .route("/wait", get(wait))
}

/// A key as a challenge tells it.
fn told(server: ServerKey) -> String {
    Challenge::new(&[0; 32], server).to_string()
}

/// One connection that speaks HTTP/1.1.
struct Talk(TlsStream<TcpStream>);

impl Talk {
    async fn send(&mut self, path: &str) -> std::io::Result<()> {
        self.0.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
        self.0.flush().await
    }

    /// The key in the certificate that this connection was shown.
    fn shown(&self) -> ServerKey {
        let shown = &self.0.get_ref().1.peer_certificates().unwrap()[0];
        let (_, parsed) = x509_parser::parse_x509_certificate(shown).unwrap();
        ServerKey::of(parsed.public_key().raw)
    }

    /// Reads until the text is there; `None` when the connection ends before.
    async fn read_until(&mut self, done: impl Fn(&str) -> bool) -> Option<String> {
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !done(&text) {
            let count = tokio::time::timeout(SOON, self.0.read(&mut buffer)).await.unwrap().ok()?;
            if count == 0 {
                return None;
            }
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        Some(text)
    }

    /// An answer with a `content-length`.
    async fn answer(&mut self) -> Option<String> {
        self.read_until(|text| {
            let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            length.is_none_or(|length| body.len() >= length.parse::<usize>().unwrap())
        })
        .await
    }

    async fn get(&mut self, path: &str) -> Option<String> {
        self.send(path).await.ok()?;
        self.answer().await
    }

    async fn ends(&mut self) -> bool {
        self.read_until(|_| false).await.is_none()
    }
}

#[tokio::test]
async fn a_machine_of_the_authority_is_served_by_its_name_and_quantum_safe() {
    let world = World::new().await;
    let mut talk = world.client1().await;
    let answer = talk.get("/hello").await.unwrap();
    assert!(answer.ends_with("\r\n\r\nclient1"), "{answer}");
    let tls = talk.0.get_ref().1;
    assert_eq!(tls.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = tls.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(tls.tls13_tickets_received(), 0, "a ticket would outlive a revocation");
}

#[tokio::test]
async fn http2_is_agreed_on_where_it_is_offered() {
    let world = World::new().await;
    for offer in ["h2", "http/1.1"] {
        let mut config = world.authority.client(Some(&world.client1), &[&TLS13]);
        config.alpn_protocols = vec![offer.into()];
        let talk = world.connect(config).await.unwrap();
        assert_eq!(talk.0.get_ref().1.alpn_protocol(), Some(offer.as_bytes()));
    }
    let mut config = world.authority.client(Some(&world.client1), &[&TLS13]);
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let talk = world.connect(config).await.unwrap();
    assert_eq!(talk.0.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn strangers_are_refused() {
    let world = World::new().await;
    let ours = &world.authority;
    let foreign = Authority::new("Test CA").issue("client1", 1);
    let revoked = ours.issue("client9", 99);
    let nameless = ours.issue("not a node name", 7);
    assert!(world.serves(ours.client(Some(&world.client1), &[&TLS13])).await);
    assert!(!world.serves(ours.client(None, &[&TLS13])).await, "no certificate");
    assert!(!world.serves(ours.client(Some(&foreign), &[&TLS13])).await, "another authority's");
    assert!(!world.serves(ours.client(Some(&revoked), &[&TLS13])).await, "revoked");
    assert!(!world.serves(ours.client(Some(&nameless), &[&TLS13])).await, "no node name");
    assert!(!world.serves(ours.client(Some(&world.client1), &[&TLS12])).await, "TLS 1.2");
}

/// The first request of a revoked certificate is refused too; but the handshake must fail already, so that who was revoked
/// holds no connection and no place.
#[tokio::test]
async fn a_revoked_certificate_does_not_finish_its_handshake() {
    let world = World::new().await;
    let revoked = world.authority.issue("client9", 99);
    let config = world.authority.client(Some(&revoked), &[&TLS13]);
    // With TLS 1.3 the client is done before the server has looked at its certificate: the alert comes with the first read.
    let error = match world.connect(config).await {
        Ok(mut talk) => tokio::time::timeout(SOON, talk.0.read(&mut [0; 16])).await.unwrap().unwrap_err(),
        Err(error) => error,
    };
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let expected = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRevoked);
    assert_eq!(alert, Some(&expected), "{error}");
}

#[tokio::test]
async fn plain_http_on_the_tls_port_gets_no_http() {
    let world = World::new().await;
    let mut socket = TcpStream::connect(world.address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(SOON, socket.read_to_end(&mut bytes)).await.unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("HTTP"));
}

#[tokio::test]
async fn a_revocation_reaches_new_connections_open_ones_and_running_answers() {
    let world = World::new().await;
    let other = world.authority.issue("client2", 2);
    let (mut open, mut streaming) = (world.client1().await, world.client1().await);
    assert!(open.get("/hello").await.is_some());
    streaming.send("/stream").await.unwrap();
    world.feed.send("first".into()).unwrap();
    assert!(streaming.read_until(|text| text.contains("first")).await.is_some());

    world.revoke(&[99, 1]);

    let answer = open.get("/hello").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(
        answer.contains("\"code\":\"session_revoked\"") && answer.contains("connection: close"),
        "{answer}"
    );
    assert!(open.ends().await);
    world.feed.send("second".into()).unwrap();
    assert!(streaming.read_until(|text| text.contains("second")).await.is_none(), "the answer went on");
    assert!(!world.serves(world.authority.client(Some(&world.client1), &[&TLS13])).await);
    assert!(world.serves(world.authority.client(Some(&other), &[&TLS13])).await);
}

#[tokio::test]
async fn a_revocation_ends_an_answer_that_stands_still() {
    let world = World::new().await;
    let mut streaming = world.client1().await;
    streaming.send("/stream").await.unwrap();
    world.feed.send("first".into()).unwrap();
    assert!(streaming.read_until(|text| text.contains("first")).await.is_some());
    world.revoke(&[99]);
    world.feed.send("second".into()).unwrap();
    assert!(streaming.read_until(|text| text.contains("second")).await.is_some(), "another's revocation");
    world.revoke(&[99, 1]);
    assert!(streaming.ends().await);
}

#[tokio::test]
async fn new_files_count_and_bad_ones_do_not() {
    let world = World::new().await;
    let file = |name: &str| world.dir.path().join(name);
    let good = std::fs::read(file("server.crt")).unwrap();
    let words = |result: Result<(), TlsError>| result.unwrap_err().to_string();

    std::fs::write(file("server.crt"), "garbage").unwrap();
    assert!(words(world.tls.reload()).contains("server.crt"));
    std::fs::write(file("server.crt"), good).unwrap();
    std::fs::write(file("ca.crl"), Authority::new("Test CA").crl(&[], 2099)).unwrap();
    assert!(words(world.tls.reload()).contains("not signed by the CA"));
    std::fs::remove_file(file("ca.crl")).unwrap();
    let gone = words(world.tls.reload());
    assert!(gone.contains("gone") && gone.lines().count() == 2, "{gone}");
    let revoked = world.authority.issue("client9", 99);
    assert!(!world.serves(world.authority.client(Some(&revoked), &[&TLS13])).await, "the old CRL counts");
    assert!(world.serves(world.authority.client(Some(&world.client1), &[&TLS13])).await);

    let renewed = world.authority.issue("server", 101);
    world.authority.write_tls_dir(world.dir.path(), &renewed, &[]);
    world.tls.reload().unwrap();
    let talk = world.client1().await;
    let shown = &talk.0.get_ref().1.peer_certificates().unwrap()[0];
    assert_eq!(x509_parser::parse_x509_certificate(shown).unwrap().1.raw_serial(), &[101]);
}

#[tokio::test]
async fn all_that_ends_is_known() {
    let world = World::new().await;
    let material = world.tls.current();
    let files: Vec<_> =
        material.ends.iter().map(|end| end.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(files, ["server.crt", "ca.crt", "ca.crl"]);
    let due = &material.ends[2];
    assert_eq!(due.at.to_string(), "2099-12-31T00:00:00Z");
    std::fs::write(world.dir.path().join("ca.crl"), world.authority.crl(&[], 2031)).unwrap();
    world.tls.reload().unwrap();
    assert_eq!(world.tls.current().ends[2].at.to_string(), "2031-12-31T00:00:00Z");
}

#[tokio::test]
async fn stopping_lets_requests_finish_and_takes_no_more() {
    let world = World::new().await;
    let mut talk = world.client1().await;
    talk.send("/wait").await.unwrap();
    world.waiting.notified().await;
    world.stop.cancel();
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!world.server.is_finished());
    world.go_on.notify_one();
    assert!(talk.answer().await.unwrap().ends_with("done"));
    tokio::time::timeout(SOON, world.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_waits_for_no_request_beyond_its_limit() {
    let limits = Limits { stop: Duration::from_millis(200), ..Limits::default() };
    let world = World::with(limits).await;
    let mut talk = world.client1().await;
    talk.send("/wait").await.unwrap();
    world.waiting.notified().await;
    world.stop.cancel();
    tokio::time::timeout(SOON, world.server).await.unwrap().unwrap();
    assert!(talk.ends().await);
}

#[tokio::test]
async fn who_does_not_shake_hands_is_hung_up_on() {
    let limits = Limits { handshake: Duration::from_millis(100), ..Limits::default() };
    let world = World::with(limits).await;
    let mut socket = TcpStream::connect(world.address).await.unwrap();
    let read = tokio::time::timeout(SOON, socket.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn handshakes_and_connections_have_places() {
    let world = World::with(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = world.client1().await;
    assert!(first.get("/hello").await.is_some());
    assert!(!world.serves(world.authority.client(Some(&world.client1), &[&TLS13])).await);
    assert!(first.get("/hello").await.is_some(), "who is in stays in");

    let world = World::with(Limits { handshakes: 0, ..Limits::default() }).await;
    assert!(!world.serves(world.authority.client(Some(&world.client1), &[&TLS13])).await);
}

#[tokio::test]
async fn idle_connections_and_slow_heads_end() {
    let world = World::with(Limits { idle: Duration::from_millis(100), ..Limits::default() }).await;
    let mut talk = world.client1().await;
    assert!(talk.get("/hello").await.is_some());
    assert!(talk.ends().await);

    let world = World::with(Limits { header: Duration::from_millis(100), ..Limits::default() }).await;
    let mut talk = world.client1().await;
    talk.0.write_all(b"GET /hello HTTP/1.1\r\nhost: loc").await.unwrap();
    talk.0.flush().await.unwrap();
    assert!(talk.ends().await);
}

#[tokio::test]
async fn a_request_that_waits_is_not_idle() {
    let world = World::with(Limits { idle: Duration::from_millis(50), ..Limits::default() }).await;
    let mut talk = world.client1().await;
    talk.send("/wait").await.unwrap();
    world.waiting.notified().await;
    tokio::time::sleep(Duration::from_millis(300)).await; // Longer than idle is the point.
    world.go_on.notify_one();
    assert!(talk.answer().await.unwrap().ends_with("done"));
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let world = World::new().await;
    let mut talk = world.client1().await;
    let head = format!("GET /hello HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(2 * HEAD_MAX));
    let _ = talk.0.write_all(head.as_bytes()).await;
    let answer = talk.answer().await.unwrap_or_default();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

/// Whatever the machine's clock says: it may have been set back.
#[tokio::test]
async fn certificates_end_by_the_stores_clock() {
    let world = World::at(Limits::default(), ManualClock::at(Timestamp::MAX)).await;
    assert!(!world.serves(world.authority.client(Some(&world.client1), &[&TLS13])).await);
}

#[tokio::test]
async fn who_does_not_read_is_hung_up_on() {
    let (server, _client) = tokio::io::duplex(16);
    let mut patient = patience::Patient::new(server, Duration::from_millis(50));
    let written = tokio::time::timeout(SOON, patient.write_all(&[0; 64])).await.unwrap();
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

/// What is handed out cannot be called back: hyper, TLS and the kernel take little of it before the peer reads.
#[tokio::test]
async fn who_does_not_read_is_handed_out_little() {
    const BLOCK: usize = 64 * 1024;
    const MOST: usize = 512 * 1024;
    let authority = Authority::new("Test CA");
    let dir = tempfile::tempdir().unwrap();
    authority.write_tls_dir(dir.path(), &authority.issue("server", 100), &[99]);
    let tls = Arc::new(load(&dir).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (handed_out, mut count) = watch::channel(0);
    let body = async move || {
        Body::from_stream(futures::stream::repeat_with(move || {
            handed_out.send_modify(|count| *count += BLOCK);
            Ok::<_, std::convert::Infallible>(Bytes::from_static(&[7; BLOCK]))
        }))
    };
    let app = Router::new().route("/", get(body));
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, tls, app, Limits::default(), stop.clone()));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let socket = socket.connect(address).await.unwrap();
    let config = authority.client(Some(&authority.issue("client1", 1)), &[&TLS13]);
    let name = ServerName::try_from("localhost").unwrap();
    let mut talk = Talk(TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap());
    talk.send("/").await.unwrap();
    tokio::time::timeout(SOON, count.wait_for(|count| *count > 0)).await.unwrap().unwrap();
    // It has come to a halt when nothing more is taken for a moment.
    while tokio::time::timeout(Duration::from_millis(300), count.changed()).await.is_ok() {}
    let count = *count.borrow();
    assert!(count <= MOST, "{count} bytes wait for a peer that does not read");
    drop(talk);
    stop.cancel();
    tokio::time::timeout(SOON, server).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_redirect_redirects_and_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve_redirect(listener, 8443, stop.clone()));
    let ask = async |request: &str| {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(SOON, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    };
    let answer =
        ask("POST /v1/login?x HTTP/1.1\r\nhost: files.example:80\r\ncontent-length: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(answer.contains("location: https://files.example:8443/v1/login?x\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = ask("GET / HTTP/1.1\r\nhost: a b\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains("location"), "{answer}");
    let answer = ask(&format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(20_000))).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    stop.cancel();
    tokio::time::timeout(SOON, server).await.unwrap().unwrap();
}

/// After a renewal the connections that were open show the certificate of before, and the new ones the new one.
#[tokio::test]
async fn a_request_knows_the_key_that_its_connection_was_shown() {
    let world = World::new().await;
    let mut before = world.client1().await;
    world.authority.write_tls_dir(world.dir.path(), &world.authority.issue("server", 101), &[99]);
    world.tls.reload().unwrap();
    let mut behind = world.client1().await;
    assert_ne!(told(before.shown()), told(behind.shown()));
    for connection in [&mut before, &mut behind] {
        let shown = told(connection.shown());
        let answer = connection.get("/key").await.unwrap();
        assert!(answer.contains(&shown), "{answer}");
    }
}

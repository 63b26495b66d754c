//! What is under way ends with its right: attacks with an HTTP/2 client that keeps its window shut or its body standing.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode};
use rustix::io::Errno;
use rustix::process::Signal;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sss_integration::{Mount, Store, eventually, noise, with_curl};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// What has been handed out cannot be called back: one block that waits for the window, one that follows it.
const HANDED_OUT: usize = 2 * 64 * 1024;

/// When a server that notices has noticed.
const SOON: Duration = Duration::from_secs(10);

/// A connection of alice's, logged in by hand.
struct Client {
    requests: SendRequest<Bytes>,
    /// Sets what the server may send on each stream.
    window: mpsc::UnboundedSender<u32>,
    token: String,
}

impl Client {
    async fn connect(store: &Store, window: u32) -> Self {
        let token = with_curl(store, "printf %s \"$token\"").ok().out().trim().to_owned();
        let socket = TcpStream::connect(store.addr()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(tls(store))).connect(name, socket).await.unwrap();
        let (requests, mut connection) =
            h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
        let (window, mut windows) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = &mut connection => return,
                    Some(size) = windows.recv() => connection.set_initial_window_size(size).unwrap(),
                }
            }
        });
        Client { requests, window, token }
    }

    fn send(&mut self, method: Method, path: &str, end: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .header("authorization", format!("Bearer {}", self.token))
            .body(())
            .unwrap();
        self.requests.send_request(request, end).unwrap()
    }

    async fn get(&mut self, path: &str) -> Response<RecvStream> {
        timeout(SOON, self.send(Method::GET, path, true).0).await.unwrap().unwrap()
    }
}

fn tls(store: &Store) -> ClientConfig {
    let file = |name| store.identity("alice").join(name);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file("ca.crt")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let chain = CertificateDer::pem_file_iter(file("client.crt")).unwrap().collect::<Result<_, _>>().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(file("client.key")).unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// A store in which bob shares 4 MiB with alice, who has no mount.
fn shared(right: &str) -> (Store, Mount) {
    let store = Store::start();
    let bob = store.mount("bob");
    bob.write("f", noise(4 << 20, 1));
    bob.grant("f", "alice", right);
    (store, bob)
}

/// Everything that still comes; the stream must break off.
async fn rest(mut body: RecvStream) -> usize {
    let mut count = 0;
    while let Some(piece) = timeout(SOON, body.data()).await.expect("the stream goes on or ends") {
        let Ok(piece) = piece else { return count };
        let _ = body.flow_control().release_capacity(piece.len());
        count += piece.len();
    }
    panic!("{count} bytes came as if they were the whole rest");
}

#[test]
fn a_shut_window_keeps_no_bytes_for_later() {
    let (store, bob) = shared("checkout,1h");
    Runtime::new().unwrap().block_on(async {
        let mut client = Client::connect(&store, 0).await;
        let whole = client.get("/v1/documents/@bob/f").await;
        assert_eq!(whole.status(), StatusCode::OK);
        bob.unset("f", "user.3s.grant.alice").unwrap();
        client.window.send(8 << 20).unwrap();
        let count = rest(whole.into_body()).await;
        assert!(count <= HANDED_OUT, "{count} bytes were handed out after the revocation");
    });
}

#[test]
fn an_upload_that_stands_still_is_cut() {
    let (store, bob) = shared("both,1h");
    Runtime::new().unwrap().block_on(async {
        for (end, expected) in [("revoked", StatusCode::FORBIDDEN), ("disabled", StatusCode::UNAUTHORIZED)] {
            bob.grant("f", "alice", "both,1h");
            let mut client = Client::connect(&store, 65_535).await;
            let (answer, mut body) = client.send(Method::PUT, "/v1/documents/@bob/f", false);
            body.send_data(Bytes::from_static(b"the first bytes"), false).unwrap();
            // An answer on the same connection: the upload's head is there too.
            assert_eq!(client.get("/v1/documents/@bob/f").await.status(), StatusCode::OK);
            match end {
                "revoked" => bob.unset("f", "user.3s.grant.alice").unwrap(),
                _ => user(&store, "disable", "alice"),
            }
            let answer = timeout(SOON, answer).await.unwrap_or_else(|_| panic!("{end}: it goes on"));
            assert_eq!(answer.unwrap().status(), expected, "{end}");
        }
    });
    assert_eq!(bob.read("f"), noise(4 << 20, 1), "nothing of it counts");
}

fn user(store: &Store, act: &str, uid: &str) {
    store.tool("3s-server").args(["user", act]).arg(store.path("data")).arg(uid).ok();
}

/// One byte at the start, by the descriptor.
fn first_byte(file: &File) -> Result<u8, Errno> {
    let mut byte = [0];
    let read = file.read_at(&mut byte, 0).map_err(|error| Errno::from_io_error(&error).unwrap())?;
    assert_eq!(read, 1);
    Ok(byte[0])
}

#[test]
fn a_disabled_user_is_out_at_once_and_comes_back_by_himself() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("own", "own");
    bob.write("f", "f");
    bob.grant("f", "alice", "checkout,1h");
    let own = File::options().read(true).write(true).open(alice.at("own")).unwrap();
    let bobs = File::open(alice.at("@bob/f")).unwrap();
    assert_eq!((first_byte(&own), first_byte(&bobs)), (Ok(b'o'), Ok(b'f')));

    user(&store, "disable", "alice");
    // The bound is one second; a machine that is busy with other tests gets another.
    eventually(Duration::from_secs(2), "no descriptor reads any more", || {
        first_byte(&own) == Err(Errno::KEYEXPIRED) && first_byte(&bobs) == Err(Errno::KEYEXPIRED)
    });
    eventually(Duration::from_secs(2), "nor does one write", || own.write_at(b"o", 0).is_err());
    assert!(alice.why(".").contains("disabled"), "{}", alice.why("."));
    alice.sh_fails("ls @bob").says("Key has expired");
    assert_eq!(bob.read("f"), b"f", "nobody else notices");

    user(&store, "enable", "alice");
    eventually(Duration::from_secs(60), "the mount logs in by itself", || first_byte(&own) == Ok(b'o'));
    assert_eq!(first_byte(&bobs), Ok(b'f'));
    own.write_at(b"O", 0).unwrap();
    drop(own);
    assert_eq!(alice.read("own"), b"Own");
    alice.write("new", "new");
}

#[test]
fn a_revoked_machine_is_out_at_once() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("own", "own");
    let own = File::open(alice.at("own")).unwrap();
    assert_eq!(first_byte(&own), Ok(b'o'));
    let certificate = store.identity("alice").join("client.crt");
    store.tool("3s-ca").arg("revoke").arg(store.path("ca")).arg(&certificate).ok();
    std::fs::copy(store.path("ca").join("ca.crl"), store.path("tls").join("ca.crl")).unwrap();
    store.signal_server(Signal::HUP);
    eventually(Duration::from_secs(3), "its own documents too", || {
        first_byte(&own) == Err(Errno::KEYEXPIRED)
    });
    assert!(alice.why(".").contains("revoked"), "{}", alice.why("."));
}

/// The next line of the event stream, without waiting for more than two signs of life.
async fn event(events: &mut RecvStream) -> String {
    let line = timeout(SOON, events.data()).await.expect("a sign of life").unwrap().unwrap();
    let _ = events.flow_control().release_capacity(line.len());
    String::from_utf8(line.to_vec()).unwrap()
}

/// The number and the times of somebody's work are nobody else's business.
#[test]
fn a_neighbour_hears_of_no_private_work() {
    let (store, bob) = shared("checkout,1h");
    Runtime::new().unwrap().block_on(async {
        let mut client = Client::connect(&store, 1 << 20).await;
        let mut events = client.get("/v1/fs/events").await.into_body();
        assert!(event(&mut events).await.contains("alive"), "the greeting");
        bob.sh("for n in 1 2 3; do echo x > private$n && mv private$n secret$n && rm secret$n; done");
        let heard = event(&mut events).await;
        assert!(heard.contains("alive") && !heard.contains("rights_changed"), "{heard}");
        bob.sh("rm f");
        let heard = event(&mut events).await;
        assert!(heard.contains("rights_changed"), "{heard}");
    });
}

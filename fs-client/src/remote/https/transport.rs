//! One request out, one answer back: the connection pool, the deadline, the circuit, and errors in words.

use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use reqwest::tls::TlsInfo;
use reqwest::{Client, Method, RequestBuilder, Response};
use rustls::ClientConfig;
use tokio::sync::Semaphore;

use sss_common::Advised;
use sss_common::clock::monotonic;
use sss_common::login::ServerKey;

use super::ServerAddress;
use super::circuit::Circuit;
use super::tls;
use crate::remote::RemoteError;

/// Calls on their way at once; further ones wait. Check-in streams and the event stream are not counted,
/// since a stream that waits for its program must not keep the others from being read.
pub const CONCURRENT_MAX: usize = 64;

/// Longest wait for a TCP and TLS handshake.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Idle connections are kept so long: less than servers and firewalls usually do.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long a server that hangs up is asked why.
const DIAGNOSE_MAX: Duration = Duration::from_millis(300);

/// Why there is no answer.
#[derive(Debug)]
pub enum Lost {
    /// The connection broke with the request on it: it may or may not have been carried out.
    Broken(String),
    /// Nothing that sending again would change.
    Final(RemoteError),
}

impl From<RemoteError> for Lost {
    fn from(error: RemoteError) -> Self {
        Lost::Final(error)
    }
}

/// Connections of one certificate, and how further ones are made.
struct Way {
    client: Client,
    tls: Arc<ClientConfig>,
}

/// The way to one server.
pub struct Transport {
    address: ServerAddress,
    base: String,
    way: RwLock<Arc<Way>>,
    timeout: Duration,
    circuit: Circuit,
    places: Semaphore,
}

impl Transport {
    /// A pool of HTTP/1.1 connections; TLS as `tls` says, no proxy, no redirect.
    pub fn new(address: ServerAddress, tls: ClientConfig, timeout: Duration) -> Result<Self, Advised> {
        Ok(Transport {
            base: format!("https://{address}"),
            address,
            way: RwLock::new(Arc::new(Way::new(tls, timeout)?)),
            timeout,
            circuit: Circuit::default(),
            places: Semaphore::new(CONCURRENT_MAX),
        })
    }

    /// From now on requests go over new connections, with TLS as `tls` says. Those that are under way end on theirs.
    pub fn replace(&self, tls: ClientConfig) -> Result<(), Advised> {
        let way = Arc::new(Way::new(tls, self.timeout)?);
        *self.way.write() = way;
        Ok(())
    }

    fn way(&self) -> Arc<Way> {
        self.way.read().clone()
    }

    /// How long an answer may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Begins a request to a path like `/v1/login`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.way().client.request(method, format!("{}{path}", self.base))
    }

    /// Waits for one of the [`CONCURRENT_MAX`] places.
    pub async fn place(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }

    /// Sends and waits for the answer's head, without a deadline of its own.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Lost> {
        let pass = self.circuit.enter(monotonic()).map_err(RemoteError::Unreachable)?;
        match request.send().await {
            Ok(response) => {
                pass.reached();
                Ok(response)
            }
            Err(error) => {
                let lost = self.lost(&error);
                match &lost {
                    Lost::Final(RemoteError::Unreachable(reason)) => self.circuit.open(monotonic(), reason),
                    _ => pass.reached(),
                }
                Err(lost)
            }
        }
    }

    /// An error of the HTTP client, sorted.
    pub fn lost(&self, error: &reqwest::Error) -> Lost {
        if let Some(words) = tls::explain(error, &self.address) {
            return Lost::Final(words);
        }
        let address = &self.address;
        if error.is_connect() {
            let why = match error.is_timeout() {
                true => "no answer to the connection request".to_owned(),
                false => innermost(error),
            };
            return RemoteError::Unreachable(format!("{address} cannot be reached: {why}")).into();
        }
        Lost::Broken(format!("the connection to {address} broke: {}", innermost(error)))
    }

    /// The key in the certificate that the server showed on the connection of this answer.
    pub fn shown_key(&self, response: &Response) -> Result<ServerKey, Lost> {
        let shown = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        shown.and_then(tls::public_key).ok_or_else(|| self.not_a_server("its certificate cannot be read"))
    }

    /// The error for a challenge that another server gave.
    pub fn in_between(&self) -> Lost {
        RemoteError::Unreachable(format!(
            "{} passes on the challenge of another server: it is not the server it says it is",
            self.address
        ))
        .into()
    }

    /// The error for an answer that no 3S server gives.
    pub fn not_a_server(&self, why: &str) -> Lost {
        RemoteError::Unreachable(format!("{} does not answer like a 3S server: {why}", self.address)).into()
    }

    /// Bounds `work` by the timeout; running out opens the circuit.
    pub async fn within<T, E: From<RemoteError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.within_limit(self.timeout, work).await
    }

    /// [`Transport::within`] with a limit of its own.
    pub async fn within_limit<T, E: From<RemoteError>>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match tokio::time::timeout(limit, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.timed_out(limit).into()),
        }
    }

    /// The error for silence; further calls fail at once for a moment.
    pub fn timed_out(&self, limit: Duration) -> RemoteError {
        let reason = format!("no answer from {} within {} s", self.address, limit.as_secs_f32());
        self.circuit.open(monotonic(), &reason);
        RemoteError::Unreachable(reason)
    }

    /// What to report for a connection that broke and is not tried again: the server's reason if it gives
    /// one.
    pub async fn why_broken(&self, broken: String) -> RemoteError {
        let (config, address) = (self.way().tls.clone(), self.address.clone());
        let asked = tokio::task::spawn_blocking(move || tls::diagnose(&config, &address, DIAGNOSE_MAX)).await;
        asked.ok().flatten().unwrap_or(RemoteError::Unreachable(broken))
    }
}

impl Way {
    fn new(tls: ClientConfig, timeout: Duration) -> Result<Self, Advised> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .tls_info(true)
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .connect_timeout(timeout.min(CONNECT_MAX))
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(CONCURRENT_MAX)
            .user_agent(concat!("3s/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                Advised::new(
                    format!("the HTTPS client cannot be set up: {}", innermost(&error)),
                    "report this as a bug",
                )
            })?;
        Ok(Way { client, tls: Arc::new(tls) })
    }
}

/// The text at the bottom of an error's chain: the operating system's or TLS's own words.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    match last.downcast_ref::<io::Error>().map(io::Error::kind) {
        // rustls explains this at length, with a link.
        Some(io::ErrorKind::UnexpectedEof) => "the server hung up".into(),
        _ => last.to_string(),
    }
}

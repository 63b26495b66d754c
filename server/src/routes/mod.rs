//! HTTP in and out: which URL is which call, headers to arguments, outcomes to answers. No decisions.
//!
//! The URL table below and that of the mount's calls (`sss_common::wire::calls`) are the whole surface;
//! `server/openapi.json` says the same for programs and WIRE.md for people, and a test holds them together.
//! Every error leaves as `application/problem+json`.

mod conditions;
mod documents;
mod extract;
mod fs;
mod grants;
mod lifetime;
mod observe;
mod problem;
mod session;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on, post};
use sss_common::login::ServerKey;
use sss_common::wire::calls::{Lifetime, Url, call};
use sss_common::{Code, MachineName, fs_calls};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::service::{Failure, Serves, Service};
use crate::store::Fingerprint;

/// What a handler gives back.
type Answer = Result<Response, Failure>;

macro_rules! urls {
    ($($method:ident $path:literal $lifetime:ident $handler:path;)*) => {
        /// Every public URL. Those below `/v1/fs` are in `sss_common::wire::calls::URLS`.
        pub const PUBLIC: &[Url] = &[$(Url {
            method: stringify!($method),
            path: $path,
            lifetime: Lifetime::$lifetime,
        },)*];

        fn public_routes(running: &Running) -> Router<App> {
            Router::new()
                $(.route($path, with_lifetime(running, Lifetime::$lifetime, on(MethodFilter::$method, $handler))))*
        }
    };
}

urls! {
    GET    "/v1/health"            Ask  session::health;
    POST   "/v1/challenge"         Ask  session::challenge;
    POST   "/v1/login"             Act  session::login;
    POST   "/v1/logout"            Act  session::logout;

    PUT    "/v1/documents/{*path}" Load documents::put;
    GET    "/v1/documents/{*path}" Ask  documents::get;
    HEAD   "/v1/documents/{*path}" Ask  documents::head;
    DELETE "/v1/documents/{*path}" Act  documents::delete;

    PUT    "/v1/grants/{*path}"    Act  grants::put;
    GET    "/v1/grants/{*path}"    Ask  grants::get;
    DELETE "/v1/grants/{*path}"    Act  grants::delete;
}

macro_rules! fs_routes {
    (
        plain { $($(#[$doc:meta])* $name:ident($($plain:tt)*) -> $answer:ty, $lifetime:ident, $($repeat:ident)::+;)* }
        streamed { $(
            $(#[$s_doc:meta])*
            $s_name:ident: $method:ident $path:literal, $s_lifetime:ident, $($s_repeat:ident)::+;
        )* }
    ) => {
        /// The mount's calls: each has a handler of its name in `fs`.
        fn fs_routes(running: &Running) -> Router<App> {
            Router::new()
                $(.route(call::$name.url.path, with_lifetime(running, Lifetime::$lifetime, post(fs::$name))))*
                $(.route($path, with_lifetime(running, Lifetime::$s_lifetime, on(MethodFilter::$method, fs::$s_name))))*
        }
    };
}

fs_calls!(fs_routes);

/// Most bytes in a JSON body: an extended attribute of 64 KiB in base64, with room around it.
pub const JSON_MAX: usize = 128 * 1024;

/// The machine that a request came from, by its certificate. `tls` puts it into every request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The certificate's common name.
    pub name: MachineName,
    /// SHA-256 of the certificate.
    pub certificate: Fingerprint,
    /// Whom the certificate serves.
    pub serves: Serves,
    /// The key that this server showed it on the connection.
    pub server: ServerKey,
}

/// What the routes allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a JSON request may take, its arrival included.
    pub request: Duration,
    /// The longest silence inside a body that streams.
    pub idle: Duration,
    /// Largest document in bytes.
    pub document_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            document_max: sss_common::limits::DOCUMENT_MAX,
        }
    }
}

/// What the routes share with the rooms above, so that the server can stop in good order.
#[derive(Clone, Debug, Default)]
pub struct Running {
    /// What requests may cost.
    pub limits: Limits,
    /// Requests that run to their end even when their peer leaves.
    pub tasks: TaskTracker,
    /// Cancelled when the server stops; streams without an end then end.
    pub stopping: CancellationToken,
}

#[derive(Clone)]
struct App {
    service: Arc<Service>,
    running: Running,
}

/// The whole HTTP surface of a service.
pub fn router(service: Arc<Service>, running: Running) -> Router {
    let app = App { service, running: running.clone() };
    with_common_layers(table(&running)).with_state(app)
}

/// The answer to a request that must not reach the routes: `tls` knows that its certificate was revoked.
pub fn refuse(failure: Failure, machine: &Machine) -> Response {
    observe::refuse(failure, machine)
}

fn table(running: &Running) -> Router<App> {
    public_routes(running).merge(fs_routes(running))
}

/// What goes around one URL's handler.
fn with_lifetime<S: Clone + Send + Sync + 'static>(
    running: &Running,
    lifetime: Lifetime,
    handler: MethodRouter<S>,
) -> MethodRouter<S> {
    handler.route_layer(from_fn_with_state((running.clone(), lifetime), lifetime::live))
}

/// What goes around every handler: request ids, the log, and problems for what no handler answers.
fn with_common_layers<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(async || Failure::new(Code::NotFound, "there is no such URL"))
        .method_not_allowed_fallback(async || {
            Failure::new(Code::MethodNotAllowed, "the method is not for this URL; see the Allow header")
        })
        .layer(from_fn(lifetime::drain_refused))
        .layer(from_fn(observe::observe))
}

#[cfg(test)]
mod tests;

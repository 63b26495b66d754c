//! HTTP in and out: which URL is which call, headers to arguments, outcomes to answers. No decisions.
//!
//! The URL table below is the whole surface; `server/openapi.json` says the same for programs and WIRE.md for
//! people, and a test holds them together. Every error leaves as `application/problem+json`.

mod conditions;
mod documents;
mod extract;
mod fs;
mod grants;
mod habit;
mod observe;
mod problem;
mod session;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use sss_common::{Code, MachineName};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::service::{Failure, Service};
use crate::store::Fingerprint;

/// What a handler gives back.
type Answer = Result<Response, Failure>;

/// A URL of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url {
    /// `GET`, `PUT`…
    pub method: &'static str,
    /// With `{…}` where something is named.
    pub path: &'static str,
}

macro_rules! urls {
    ($($method:ident $path:literal $habit:ident $handler:path;)*) => {
        /// Every URL that there is.
        pub const TABLE: &[Url] = &[$(Url { method: stringify!($method), path: $path },)*];

        fn table(running: &Running) -> Router<App> {
            Router::new()
                $(.route($path, on(MethodFilter::$method, $handler)
                    .route_layer(from_fn_with_state(running.clone(), habit::$habit))))*
        }
    };
}

// `ask` changes nothing and stops when its peer leaves; `act` and `load` (an upload) run to their end (see `habit`).
urls! {
    GET    "/v1/health"                    ask  session::health;
    POST   "/v1/challenge"                 ask  session::challenge;
    POST   "/v1/login"                     act  session::login;
    POST   "/v1/logout"                    act  session::logout;

    PUT    "/v1/documents/{*path}"         load documents::put;
    GET    "/v1/documents/{*path}"         ask  documents::get;
    HEAD   "/v1/documents/{*path}"         ask  documents::head;
    DELETE "/v1/documents/{*path}"         act  documents::delete;

    PUT    "/v1/grants/{*path}"            act  grants::put;
    GET    "/v1/grants/{*path}"            ask  grants::get;
    DELETE "/v1/grants/{*path}"            act  grants::delete;

    POST   "/v1/fs/home"                   ask  fs::home;
    POST   "/v1/fs/homes"                  ask  fs::homes;
    POST   "/v1/fs/lookup"                 ask  fs::lookup;
    POST   "/v1/fs/attr"                   ask  fs::attr;
    POST   "/v1/fs/list"                   ask  fs::list;
    POST   "/v1/fs/create"                 act  fs::create;
    POST   "/v1/fs/open"                   act  fs::open;
    POST   "/v1/fs/close"                  act  fs::close;
    GET    "/v1/fs/read/{node}/{version}"  ask  fs::read;
    POST   "/v1/fs/checkin/{node}"         load fs::checkin;
    POST   "/v1/fs/setattr"                act  fs::setattr;
    POST   "/v1/fs/rename"                 act  fs::rename;
    POST   "/v1/fs/remove"                 act  fs::remove;
    POST   "/v1/fs/xattrs"                 ask  fs::xattrs;
    POST   "/v1/fs/setxattr"               act  fs::setxattr;
    POST   "/v1/fs/removexattr"            act  fs::removexattr;
    POST   "/v1/fs/grants"                 ask  fs::grants;
    POST   "/v1/fs/grant"                  act  fs::grant;
    POST   "/v1/fs/revoke"                 act  fs::revoke;
    POST   "/v1/fs/setflag"                act  fs::setflag;
    POST   "/v1/fs/record"                 ask  fs::record;
    POST   "/v1/fs/receipt"                act  fs::receipt;
    POST   "/v1/fs/statfs"                 ask  fs::statfs;
    GET    "/v1/fs/events"                 ask  fs::events;
}

/// Most bytes in a JSON body: an extended attribute of 64 KiB in base64, with room around it.
pub const JSON_MAX: usize = 128 * 1024;

/// The machine that a request came from, by its certificate. `tls` puts it into every request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The certificate's common name.
    pub name: MachineName,
    /// SHA-256 of the certificate.
    pub certificate: Fingerprint,
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
    dress(table(&running)).with_state(app)
}

/// The answer to a request that must not reach the routes: `tls` knows that its certificate was revoked.
pub fn refuse(failure: Failure, machine: &Machine) -> Response {
    observe::refuse(failure, machine)
}

/// What goes around every handler: request ids, the log, and problems for what no handler answers.
fn dress<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(async || Failure::new(Code::NotFound, "there is no such URL"))
        .method_not_allowed_fallback(async || {
            Failure::new(Code::MethodNotAllowed, "the method is not for this URL; see the Allow header")
        })
        .layer(from_fn(habit::linger))
        .layer(from_fn(observe::observe))
}

#[cfg(test)]
mod tests;

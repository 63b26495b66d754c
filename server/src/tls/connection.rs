//! One connection after its handshake: HTTP/2 or HTTP/1 as agreed by ALPN, each request behind the gate.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use sss_common::Code;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::guard::{Activity, Gate, Guarded};
use super::patience::Patient;
use super::{HEAD_MAX, Limits};
use crate::routes::{self, Machine};
use crate::service::Failure;

/// What one HTTP/2 stream, and all of a connection's together, may send before the server reads on.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
const FRAME_SIZE: u32 = 256 * 1024;

/// Serves until the peer leaves, is idle, is revoked, or the server stops.
pub(super) async fn serve(
    stream: TlsStream<Patient<TcpStream>>,
    machine: Machine,
    gate: Arc<Gate>,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let builder = builder(&limits, stream.get_ref().1.alpn_protocol());
    let activity = Activity::new();
    let leave = stop.child_token();
    let service = service_fn(|request| {
        let handled = Handled { machine: machine.clone(), gate: gate.clone(), activity: activity.clone() };
        handled.answer(request, app.clone(), leave.clone())
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut until = None;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(node = %machine.name, %error, "a connection broke");
                }
                return;
            }
            () = leave.cancelled(), if until.is_none() => {}
            () = activity.idle(limits.idle), if until.is_none() => {}
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => return,
        }
        connection.as_mut().graceful_shutdown();
        until = Some(Instant::now() + limits.stop);
    }
}

struct Handled {
    machine: Machine,
    gate: Arc<Gate>,
    activity: Arc<Activity>,
}

impl Handled {
    async fn answer(
        self,
        request: Request<Incoming>,
        app: Router,
        leave: CancellationToken,
    ) -> Result<Response<Body>, Infallible> {
        if self.gate.is_shut() {
            leave.cancel();
            return Ok(self.refuse(request.version()));
        }
        let busy = self.activity.begin();
        let gate = self.gate.clone();
        let mut request = request.map(|body| Body::new(Guarded::new(body, gate, None)));
        request.extensions_mut().insert(self.machine);
        let answer = app.oneshot(request).await?;
        Ok(answer.map(|body| Body::new(Guarded::new(body, self.gate, Some(busy)))))
    }

    fn refuse(&self, version: Version) -> Response<Body> {
        let failure = Failure::new(Code::SessionRevoked, "this machine's certificate was revoked");
        let mut answer = routes::refuse(failure, &self.machine);
        if version < Version::HTTP_2 {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

fn builder(limits: &Limits, protocol: Option<&[u8]>) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header).max_buf_size(HEAD_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_MAX as u32)
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .keep_alive_interval(limits.header)
        .keep_alive_timeout(limits.header);
    match protocol {
        Some(b"h2") => builder.http2_only(),
        _ => builder.http1_only(),
    }
}

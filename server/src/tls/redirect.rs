//! Plain HTTP, for who forgot the `s`: 308 to the HTTPS address, and nothing else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at once, and what one may cost.
const CONNECTIONS: usize = 128;
const PATIENCE: Duration = Duration::from_secs(10);
const HEAD_MAX: usize = 16 * 1024;

/// Longest host name (RFC 1035, section 2.3.4).
const HOST_MAX: usize = 253;

/// Redirects to `tls_port` until `stop`.
pub async fn serve_redirect(listener: TcpListener, tls_port: u16, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let tasks = TaskTracker::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    if let Ok(place) = places.clone().try_acquire_owned() {
                        let stop = stop.clone();
                        tasks.spawn(async move {
                            let _place = place;
                            let answered = timeout(PATIENCE, answer(socket, tls_port));
                            let _ = stop.run_until_cancelled(answered).await;
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn answer(socket: TcpStream, tls_port: u16) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(redirect(&request, tls_port)) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a redirected connection broke");
    }
}

fn redirect<B>(request: &Request<B>, tls_port: u16) -> Response<Empty<bytes::Bytes>> {
    let mut response = Response::new(Empty::new());
    match location(request, tls_port) {
        Some(location) => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
        }
        None => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

fn location<B>(request: &Request<B>, tls_port: u16) -> Option<HeaderValue> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    let host = host_name(host.to_str().ok()?)?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path } else { "/" };
    HeaderValue::from_str(&format!("https://{host}:{tls_port}{path}")).ok()
}

/// The host without its port: a name, an IPv4 address, or an IPv6 address in brackets.
fn host_name(text: &str) -> Option<&str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            rest[..end].parse::<std::net::Ipv6Addr>().ok()?;
            text.split_at(end + 2)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            if host.is_empty() || host.len() > HOST_MAX || !host.bytes().all(plain) {
                return None;
            }
            (host, port)
        }
    };
    let fits = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok();
    fits.then_some(host)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn redirected(host: &str, path: &str) -> Option<String> {
        let request = Request::builder().uri(path).header(HOST, host).body(()).unwrap();
        location(&request, 8443).map(|value| value.to_str().unwrap().into())
    }

    #[test]
    fn the_port_is_replaced_and_the_path_kept() {
        for (host, path, expected) in [
            ("files.example", "/", "https://files.example:8443/"),
            ("files.example:80", "/v1/x?y=1", "https://files.example:8443/v1/x?y=1"),
            ("127.0.0.1:8080", "/a%20b", "https://127.0.0.1:8443/a%20b"),
            ("[::1]:8080", "/", "https://[::1]:8443/"),
            ("[::1]", "//other.example/", "https://[::1]:8443//other.example/"),
            ("a.example", "http://b.example/x", "https://a.example:8443/x"),
        ] {
            assert_eq!(redirected(host, path).as_deref(), Some(expected), "{host} {path}");
        }
    }

    #[test]
    fn hosts_that_are_none_are_refused() {
        let long = "a".repeat(HOST_MAX + 1);
        for bad in
            ["", ":80", "a b", "a/b", "a@b", "user:pw@host", "[::1", "[zz]", "[::1]x", "a:99999", "a:", &long]
        {
            assert_eq!(redirected(bad, "/"), None, "{bad}");
        }
        let request = Request::builder().uri("/").body(()).unwrap();
        assert_eq!(location(&request, 8443), None);
    }

    proptest! {
        #[test]
        fn a_location_always_leads_to_the_tls_port_of_a_plain_host(host in "[ -~]{0,30}", path in "/[a-z0-9/?=%.:@-]{0,30}") {
            let Ok(request) = Request::builder().uri(&path).header(HOST, &host).body(()) else { return Ok(()) };
            if let Some(location) = location(&request, 8443) {
                let uri: http::Uri = location.to_str().unwrap().parse().unwrap();
                prop_assert_eq!(uri.scheme_str(), Some("https"));
                prop_assert_eq!(uri.port_u16(), Some(8443));
                prop_assert!(!uri.authority().unwrap().as_str().contains('@'));
            }
        }
    }
}

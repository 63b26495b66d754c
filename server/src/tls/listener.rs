//! The accept loop: a flood of strangers costs handshakes of limited number and time, never an open connection's place.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::Gate;
use super::identity::{CertificateId, identify};
use super::patience::Patient;
use super::{Limits, Tls, connection};
use crate::routes::Machine;

/// What the kernel takes of an answer before the peer has room for it: it would send that also when the right to read it has
/// ended. Linux alone would take up to `net.ipv4.tcp_wmem`, megabytes.
const UNSENT_MAX: u32 = 128 * 1024;

/// What to wait when the system has no more sockets.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until `stop`; then accepts no more and returns when the open connections have finished, within
/// `limits.stop`.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<Tls>,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let door = Arc::new(Door {
        tls,
        app,
        limits,
        stop,
        handshakes: Arc::new(Semaphore::new(limits.handshakes)),
        connections: Arc::new(Semaphore::new(limits.connections)),
    });
    let tasks = TaskTracker::new();
    loop {
        tokio::select! {
            biased;
            () = door.stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, from)) => { tasks.spawn(door.clone().receive(socket, from)); }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(BREATH).await;
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

struct Door {
    tls: Arc<Tls>,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl Door {
    async fn receive(self: Arc<Self>, socket: TcpStream, from: SocketAddr) {
        let Ok(handshake) = self.handshakes.clone().try_acquire_owned() else {
            return tracing::debug!(%from, "too many handshakes at once");
        };
        let greeted = tokio::select! {
            () = self.stop.cancelled() => return,
            greeted = timeout(self.limits.handshake, self.greet(socket)) => greeted,
        };
        drop(handshake);
        let (stream, machine, certificate) = match greeted {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(error)) => return log_refusal(from, &error),
            Err(_) => return tracing::debug!(%from, "the handshake took too long"),
        };
        let Ok(_place) = self.connections.clone().try_acquire_owned() else {
            return tracing::warn!(%from, node = %machine.name, "too many connections at once");
        };
        tracing::debug!(%from, node = %machine.name, "connected");
        let gate = Arc::new(Gate { tls: self.tls.clone(), certificate });
        connection::serve(stream, machine, gate, self.app.clone(), self.limits, self.stop.clone()).await;
    }

    async fn greet(
        &self,
        socket: TcpStream,
    ) -> io::Result<(TlsStream<Patient<TcpStream>>, Machine, CertificateId)> {
        socket.set_nodelay(true)?;
        socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_MAX)?;
        let material = self.tls.current();
        let acceptor = TlsAcceptor::from(material.config.clone());
        let stream = acceptor.accept(Patient::new(socket, self.limits.unread)).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.ok_or_else(|| io::Error::other("there is no client certificate"))?;
        let (machine, certificate) = identify(certificate, material.server_key).map_err(io::Error::other)?;
        Ok((stream, machine, certificate))
    }
}

/// A machine that is turned away is worth a line; noise on the port is not.
fn log_refusal(from: SocketAddr, error: &io::Error) {
    let cause = error.get_ref();
    let noise = match cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => false,
        Some(_) => true,
        None => cause.is_none(),
    };
    if noise {
        tracing::debug!(%from, %error, "no handshake");
    } else {
        tracing::info!(%from, %error, "refused a connection");
    }
}

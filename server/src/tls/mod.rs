//! Which machine speaks: the TLS handshake, limits on connections, and reload without restart.
//!
//! TLS 1.3 only, with X25519MLKEM768 first; both sides present certificates of the CA, and a certificate that the
//! CRL names is refused: new connections in the handshake, open ones at their next request; bodies under way break off at
//! once. There are no session tickets, so nothing resumes past a revocation.
//!
//! Ends of certificates, and the CRL's `nextUpdate`, are told of 30, 7 and 1 days before (`ends`).
//!
//! A CRL past its `nextUpdate` still counts, with a warning: it is a file that the operator puts there, so
//! no attacker can hold back a newer one, and a forgotten renewal must not lock every machine out. Without `ca.crl` nothing
//! is revoked; but a list that was in force is remembered (`lists`), and an older one, or none, does not take its place.

mod connection;
mod ends;
mod files;
mod guard;
mod identity;
mod listener;
mod lists;
mod patience;
mod redirect;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use sss_common::Clock;
use tokio::sync::watch;

pub use ends::warn_in_time;
use files::Material;
pub use files::TlsError;
use identity::CertificateId;
pub use listener::serve;
use lists::Lists;
pub use redirect::serve_redirect;

/// The files of a `TLS_DIR`, as last read: `server.crt`, `server.key`, `ca.crt`, `ca.crl`.
pub struct Tls {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    current: RwLock<Arc<Material>>,
    lists: Mutex<Lists>,
    reloads: watch::Sender<()>,
}

impl Tls {
    /// Reads the files. `lists` remembers which revocation lists were in force: an older one is refused, and a missing one
    /// where there was one. By `clock` certificates begin and end.
    pub fn load(dir: &Path, lists: &Path, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let mut lists = Lists::load(lists).map_err(|error| TlsError::of_lists(lists, error))?;
        let material = Material::load(dir, &clock)?;
        material.take_over(&mut lists, dir)?;
        let (current, lists) = (RwLock::new(Arc::new(material)), Mutex::new(lists));
        Ok(Tls { dir: dir.into(), clock, current, lists, reloads: watch::Sender::new(()) })
    }

    /// Reads them again. When they cannot be used, those in use stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        let material = Material::load(&self.dir, &self.clock)?;
        material.take_over(&mut self.lists.lock(), &self.dir)?;
        *self.current.write() = Arc::new(material);
        self.reloads.send_replace(());
        Ok(())
    }

    /// The revocation lists of the files, as DER.
    pub fn revocation_lists(&self) -> Vec<Vec<u8>> {
        self.current().crls.iter().map(|list| list.as_ref().to_vec()).collect()
    }

    /// Wakes whenever the files were read again from now on.
    fn reloads(&self) -> watch::Receiver<()> {
        self.reloads.subscribe()
    }

    fn current(&self) -> Arc<Material> {
        self.current.read().clone()
    }

    fn is_revoked(&self, certificate: &CertificateId) -> bool {
        self.current.read().revoked.contains(certificate)
    }
}

/// What connections may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a handshake may take.
    pub handshake: Duration,
    /// Handshakes at once; a peer beyond is hung up on.
    pub handshakes: usize,
    /// Connections at once; a peer beyond is hung up on.
    pub connections: usize,
    /// How long a request's head may take, and how long an HTTP/1 connection may wait for the next.
    pub header: Duration,
    /// How long a connection lives without a request.
    pub idle: Duration,
    /// How long a peer may leave what was sent to it unread.
    pub unread: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// How long a connection that is to close may finish its requests.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            handshake: Duration::from_secs(10),
            handshakes: 128,
            connections: 1024,
            header: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            unread: Duration::from_secs(60),
            streams: 256,
            stop: Duration::from_secs(20),
        }
    }
}

/// Most bytes in a request's head. Hyper answers beyond with 431.
const HEAD_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;

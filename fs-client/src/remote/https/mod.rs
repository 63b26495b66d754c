//! The server over HTTPS.
//!
//! - `address`: where it is. `tls`: what both sides show, and a failed handshake in words.
//! - `transport`: one request out, one answer back; connections, deadlines, the circuit.
//! - `answer`: an answer's body within its limit, or the problem that it is.
//! - `session`: the token, one login at a time.
//! - `attempts`: what is sent again, and when.
//! - `calls`: the `Remote` trait, a line or two for each call. `checkin` and `events` are its two streams.
//!
//! A call is one round trip on a pooled connection. A login is two (challenge, login), once for each session.

mod address;
mod answer;
mod attempts;
mod calls;
mod checkin;
mod circuit;
mod events;
mod session;
mod tls;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls_pki_types::CertificateDer;
use sss_common::{Advised, MachineName, Uid};
use tokio::sync::Notify;

pub use address::{NotAnAddress, ServerAddress, Target};
pub use transport::CONCURRENT_MAX;

use crate::identity::{Identity, UserKey};
use session::Session;
use transport::Transport;

/// How long a call may take, unless the mount says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The server, reached over HTTPS.
pub struct Https {
    transport: Arc<Transport>,
    session: Arc<Session>,
    uid: Uid,
    machine: MachineName,
    shown: RwLock<Shown>,
    revocations: Arc<Notify>,
}

/// What the server is shown of an identity.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<UserKey>,
}

impl Shown {
    fn of(identity: &Identity) -> Self {
        Shown { chain: identity.chain.clone(), key: identity.expose_user_key() }
    }
}

impl Https {
    /// Prepares the connection; nothing is sent before the first call or [`Https::log_in`].
    pub fn new(target: &Target, identity: &Identity, timeout: Duration) -> Result<Self, Advised> {
        let tls = tls::client_config(identity)?;
        Ok(Https {
            transport: Arc::new(Transport::new(target.server.clone(), tls, timeout)?),
            session: Arc::new(Session::new()),
            uid: target.uid.clone(),
            machine: identity.machine.clone(),
            shown: RwLock::new(Shown::of(identity)),
            revocations: Arc::default(),
        })
    }

    /// Waits until the server's revocation lists may be others than those that were asked for last: at each new stream of
    /// events, so after each login, and when the server says so.
    pub async fn revocations_may_differ(&self) {
        self.revocations.notified().await;
    }

    /// Goes on with a renewed identity of the same node. What is under way ends on its own connection; a session is bound to
    /// the certificate that it was made with, so the next call logs in anew where that is another one.
    pub fn renew(&self, identity: &Identity) -> Result<(), Advised> {
        if identity.machine != self.machine {
            return Err(Advised::new(
                format!("it is of the node {}, and this mount of {}", identity.machine, self.machine),
                "unmount, and mount again as the other node",
            ));
        }
        self.transport.replace(tls::client_config(identity)?)?;
        let before = std::mem::replace(&mut *self.shown.write(), Shown::of(identity));
        if before.chain != identity.chain {
            self.session.restart();
        }
        Ok(())
    }
}

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

use sss_common::{Advised, MachineName, Uid};

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
    key: Arc<UserKey>,
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
            key: identity.expose_user_key(),
        })
    }
}

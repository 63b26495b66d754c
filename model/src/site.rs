//! A server as the harness needs it: something to log in to, a clock that is moved by hand, and things that go wrong.

use std::sync::Arc;

use sss_common::clock::ManualClock;
use sss_fs_client::remote::{Remote, RemoteError};

use crate::step::{Fault, Seat};

/// A server.
#[allow(async_fn_in_trait)] // nothing here is spawned
pub trait Site {
    /// Its clock.
    fn clock(&self) -> &Arc<ManualClock>;
    /// A new session for the user of a seat; it ends the user's earlier one.
    async fn log_in(&self, seat: Seat) -> Result<Arc<dyn Remote>, RemoteError>;
    /// Tells everyone who listens to events that it speaks so often, behind everything that it told before.
    fn say_alive(&self, every_ms: u64);
    /// Stops it and starts it anew on the same data.
    async fn restart(&mut self);
    /// As the administrator's command line does. Returns once the server goes by it.
    async fn set_disabled(&mut self, user: usize, disabled: bool);
    /// Reclaims what nobody uses any more.
    async fn maintain(&self);
    /// What is to go wrong with the next commit; `None` takes it back.
    fn arm(&self, fault: Option<Fault>);
    /// What must hold of the server's data when nothing is under way.
    async fn check(&self) -> Result<(), String>;
}

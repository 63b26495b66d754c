//! The client's memory twin as a site.

use std::sync::Arc;

use sss_common::clock::ManualClock;
use sss_common::{Code, Timestamp};
use sss_fs_client::remote::memory::{CommitFault, MemoryServer};
use sss_fs_client::remote::{Remote, RemoteError};

use crate::site::Site;
use crate::step::{Fault, Seat, USERS};

/// A server in this process.
pub struct Memory {
    server: Arc<MemoryServer>,
    clock: Arc<ManualClock>,
}

impl Memory {
    /// An empty server.
    pub fn start(now: Timestamp) -> Self {
        let clock = Arc::new(ManualClock::at(now));
        let server = MemoryServer::new(clock.clone());
        USERS.iter().for_each(|uid| server.add_user(uid));
        Memory { server, clock }
    }
}

impl Site for Memory {
    fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }

    async fn log_in(&self, seat: Seat) -> Result<Arc<dyn Remote>, RemoteError> {
        let remote = self.server.log_in(USERS[seat.user()], seat.machine())?;
        Ok(remote)
    }

    fn say_alive(&self, every_ms: u64) {
        self.server.say_alive(every_ms);
    }

    async fn restart(&mut self) {
        self.server.restart();
    }

    async fn set_disabled(&mut self, user: usize, disabled: bool) {
        self.server.set_disabled(USERS[user], disabled);
    }

    async fn maintain(&self) {}

    fn arm(&self, fault: Option<Fault>) {
        self.server.fail_next_commit(fault.map(|fault| match fault {
            Fault::Full => CommitFault { code: Code::DiskFull, late: false },
            Fault::Backend => CommitFault { code: Code::Internal, late: false },
            Fault::Late => CommitFault { code: Code::Internal, late: true },
        }));
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

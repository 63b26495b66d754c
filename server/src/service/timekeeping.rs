//! The clock by which rights are decided: it never goes back, also over restarts.
//!
//! It shows the machine's time, except while that is behind what was shown before: then it goes on by itself, from what it
//! showed, at [`SLOW`] of the speed, until the machine's clock has caught up. So a right that ended stays ended, one that was given for an hour
//! then lasts an hour and nine minutes at most, and a step of some seconds is made good within a minute.
//!
//! What it showed is kept in the store: by the rows of the audit log, at no cost, and by a transaction each [`EVERY`]. A jump of
//! the machine's clock is told of in the log, either way. One that went forward by mistake is taken back by the
//! administrator (`3s-server clock --reset`): no rule could tell it from time that passed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use sss_common::{Clock, FileTime, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::store::MetaStore;

/// How fast the clock goes while the machine's is behind: seven seconds in eight.
const SLOW: (u32, u32) = (7, 8);

/// A step of the machine's clock that is told of: nothing that slews a clock makes it.
const JUMP: Duration = Duration::from_secs(10);

/// How often the time is remembered: after a crash in which no row of the audit log was written, it may be this much earlier.
const EVERY: Duration = Duration::from_secs(60);

/// The machine's clock, made to go forward only.
pub struct StoreClock {
    machine: Arc<dyn Clock>,
    steady: Mutex<Steady>,
}

impl StoreClock {
    /// A clock that never shows less than `latest`. A machine's clock that is behind it is told of.
    pub fn new(machine: Arc<dyn Clock>, latest: Timestamp) -> Self {
        let (at, now) = (since_boot(), machine.now());
        let ahead = latest.since(now);
        if ahead >= JUMP {
            tell(&Jump::Back(ahead), latest);
        }
        let steady = Steady { shown: latest.max(now), shown_at: at, machine: now, read_at: at };
        StoreClock { machine, steady: Mutex::new(steady) }
    }

    fn read(&self) -> Timestamp {
        let mut steady = self.steady.lock();
        // Inside the lock: readings come in the order of their times.
        let (shown, jump) = steady.read(self.machine.now(), since_boot());
        drop(steady);
        if let Some(jump) = jump {
            tell(&jump, shown);
        }
        shown
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        self.read()
    }

    fn of_machine(&self) -> Timestamp {
        self.machine.now()
    }

    fn now_ns(&self) -> FileTime {
        self.read().nanos().max(self.machine.now_ns())
    }
}

/// Time since the machine's start, the time in which it slept included: a machine that wakes up has made no jump.
fn since_boot() -> Duration {
    let at = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(at.tv_sec).unwrap_or_default(), u32::try_from(at.tv_nsec).unwrap_or_default())
}

fn tell(jump: &Jump, shown: Timestamp) {
    match jump {
        Jump::Forward(by) => tracing::error!(
            "the machine's clock went forward by {} s: what was to end until {shown} has ended; where that is wrong, stop the server, \
             set the clock right and run `3s-server clock DATA_DIR --reset`",
            by.as_secs()
        ),
        Jump::Back(by) => tracing::error!(
            "the machine's clock is {} s behind the store's, which goes on slowly from {shown} until they meet; set the machine's clock \
             right; where the store's is wrong, stop the server and run `3s-server clock DATA_DIR --reset`",
            by.as_secs()
        ),
    }
}

/// A step of the machine's clock, and by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jump {
    Forward(Duration),
    Back(Duration),
}

/// What was shown last by the machine's clock, and what was read last.
struct Steady {
    shown: Timestamp,
    /// Since the machine's start, as below.
    shown_at: Duration,
    machine: Timestamp,
    read_at: Duration,
}

impl Steady {
    /// The time to show where the machine says `machine`, at the moment `at`; and whether its clock jumped since the last reading.
    fn read(&mut self, machine: Timestamp, at: Duration) -> (Timestamp, Option<Jump>) {
        let expected = self.machine.after(at.saturating_sub(self.read_at));
        let (forward, back) = (machine.since(expected), expected.since(machine));
        let jump = match () {
            () if forward >= JUMP => Some(Jump::Forward(forward)),
            () if back >= JUMP => Some(Jump::Back(back)),
            () => None,
        };
        (self.machine, self.read_at) = (machine, at);
        let slow = at.saturating_sub(self.shown_at) / SLOW.1 * SLOW.0;
        let by_itself = self.shown.after(slow);
        if machine < by_itself {
            return (by_itself, jump);
        }
        (self.shown, self.shown_at) = (machine, at);
        (machine, jump)
    }
}

/// Keeps the time in the store.
pub struct Timekeeper {
    meta: Arc<dyn MetaStore>,
    clock: Arc<dyn Clock>,
}

impl Timekeeper {
    /// Keeps what this clock shows.
    pub fn new(meta: Arc<dyn MetaStore>, clock: Arc<dyn Clock>) -> Self {
        Timekeeper { meta, clock }
    }

    /// Remembers the time now and then, and a last time when it is cancelled. Failures are logged, and tried again.
    pub async fn run(&self, cancel: CancellationToken) {
        loop {
            self.remember().await;
            if cancel.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return self.remember().await;
            }
        }
    }

    async fn remember(&self) {
        if let Err(error) = self.meta.remember_moment(self.clock.now()).await {
            tracing::error!(%error, "the time cannot be remembered");
        }
    }
}

#[cfg(test)]
mod tests;

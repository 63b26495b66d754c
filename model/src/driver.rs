//! Plays steps on mounts; what a path or a handle is concerned with goes through [`Vfs`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sss_common::clock::{ManualClock, monotonic};
use sss_common::wire::fs::HomeRequest;
use sss_common::{Clock, FileTime, Timestamp};
use sss_fs_client::fs::{Fs, MountOptions};
use sss_fs_client::remote::{Remote, RemoteError};
use tokio::runtime::Handle;

use crate::answer::Answer;
use crate::events::{Line, Watched, mark};
use crate::reference::steps::seat_of;
use crate::site::Site;
use crate::step::{Seat, Step, To};
use crate::vfs::{Open, Tried, Vfs};

/// How long a server that was started anew may stay away.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server and the mounts of it.
pub struct Driver<S> {
    /// The server.
    pub site: S,
    clock: Arc<Ticking>,
    mounts: BTreeMap<Seat, Mounted>,
    /// Marks that the server has said.
    marks: u64,
}

/// The machines' clock: the server's, and no nanosecond twice.
struct Ticking {
    clock: Arc<ManualClock>,
    ticks: AtomicI64,
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn now_ns(&self) -> FileTime {
        FileTime(self.clock.now_ns().0 + self.ticks.fetch_add(1, Ordering::Relaxed))
    }
}

/// One mount.
pub struct Mounted {
    /// What the kernel would call.
    fs: Arc<Fs>,
    /// The session beneath it, for looking without leaving traces in the mount.
    pub remote: Arc<dyn Remote>,
    handles: BTreeMap<u8, Open>,
    line: Line,
}

impl<S: Site> Driver<S> {
    /// Nobody is logged in yet.
    pub fn new(site: S) -> Self {
        let clock = Arc::new(Ticking { clock: site.clock().clone(), ticks: AtomicI64::new(0) });
        Driver { site, clock, mounts: BTreeMap::new(), marks: 0 }
    }

    /// The mount at a seat.
    pub fn mounted(&self, seat: Seat) -> Option<&Mounted> {
        self.mounts.get(&seat)
    }

    /// Plays a step.
    pub async fn play(&mut self, step: &Step) -> Answer {
        let answer = match step {
            Step::Failing(fault, step) => {
                self.site.arm(Some(*fault));
                let answer = self.play_plain(step).await;
                self.site.arm(None);
                answer
            }
            step => self.play_plain(step).await,
        };
        self.tell(step).await;
        match answer {
            Ok(answer) => answer,
            Err(failure) => Answer::Failed(failure.errno.code()),
        }
    }

    /// Every mount hears what it is told of the step, before anything else happens.
    async fn tell(&mut self, step: &Step) {
        self.marks += 1;
        self.site.say_alive(mark(self.marks));
        for (seat, mount) in &self.mounts {
            mount.line.has_heard(self.marks).await;
            if !is_told(step, *seat) {
                mount.fs.rights_changed().await;
            }
        }
    }

    /// A mount that called while the server was away does not try again for a moment: that moment is waited for.
    async fn find_again(&self) {
        let deadline = monotonic() + PATIENCE;
        for mount in self.mounts.values() {
            let away = |answer| matches!(answer, Err(RemoteError::Unreachable(_)));
            while monotonic() < deadline
                && away(mount.remote.home(HomeRequest { uid: mount.remote.uid().clone() }).await)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    async fn play_plain(&mut self, step: &Step) -> Tried<Answer> {
        match step {
            Step::Wait(seconds) => self.site.clock().advance(Duration::from_secs(*seconds)),
            Step::Disable(_) | Step::Enable(_) | Step::Restart => {
                self.mounts.values().for_each(|mount| mount.line.hush());
                match step {
                    Step::Disable(user) => self.site.set_disabled(*user, true).await,
                    Step::Enable(user) => self.site.set_disabled(*user, false).await,
                    _ => self.site.restart().await,
                }
                self.find_again().await;
                // Who finds the stream broken asks for it again after a moment: that moment is not waited for.
                for mount in self.mounts.values_mut() {
                    mount.line.listen().await;
                }
            }
            Step::Maintain => self.site.maintain().await,
            Step::Mount(seat) => return self.mount(*seat).await,
            Step::Unmount(seat) => return Ok(self.unmount(*seat).await),
            _ => return self.play_at_seat(step).await,
        }
        Ok(Answer::Done)
    }

    async fn mount(&mut self, seat: Seat) -> Tried<Answer> {
        self.mounts.remove(&seat);
        let remote = self.site.log_in(seat).await?;
        let (machine, clock) = (seat.machine().parse().ok(), self.clock.clone());
        let options = MountOptions { machine, clock, ..MountOptions::default() };
        let watched = Watched::new(remote.clone());
        let fs = Fs::new(watched.clone(), options, Handle::current());
        fs.start().await?;
        let mut line = Line::new(watched, fs.clone());
        line.listen().await;
        self.mounts.insert(seat, Mounted { fs, remote, handles: BTreeMap::new(), line });
        Ok(Answer::Done)
    }

    async fn unmount(&mut self, seat: Seat) -> Answer {
        let Some(mount) = self.mounts.remove(&seat) else { return Answer::Skipped };
        let failed = mount.fs.shutdown().await;
        let mut failed: Vec<String> = failed.iter().map(|f| f.errno.code().to_string()).collect();
        failed.sort();
        Answer::Lines(failed)
    }

    async fn play_at_seat(&mut self, step: &Step) -> Tried<Answer> {
        let mount = seat_of(step).and_then(|seat| self.mounts.get_mut(&seat).map(|mount| (seat, mount)));
        let Some((seat, mount)) = mount else { return Ok(Answer::Skipped) };
        let vfs = Vfs { fs: mount.fs.clone(), seat };
        match step {
            Step::Open { handle, path, mode, .. } => {
                if mount.handles.contains_key(handle) {
                    return Ok(Answer::Skipped);
                }
                mount.handles.insert(*handle, vfs.open(path, *mode).await?);
                Ok(Answer::Done)
            }
            Step::Write { handle, .. }
            | Step::Append { handle, .. }
            | Step::Resize { handle, .. }
            | Step::Read { handle, .. }
            | Step::Sync { handle, .. } => match mount.handles.get(handle) {
                Some(open) => vfs.on_handle(*open, step).await,
                None => Ok(Answer::Skipped),
            },
            Step::Close { handle, .. } => match mount.handles.remove(handle) {
                Some(open) => vfs.close(open.fh).await.map(|()| Answer::Done),
                None => Ok(Answer::Skipped),
            },
            Step::Retry(_) => {
                mount.fs.retry_now().await;
                Ok(Answer::Done)
            }
            _ => vfs.on_path(step).await,
        }
    }
}

/// Whether a mount hears of all that a step changes for it, or need not: the rest goes by the machine's clock, or comes within
/// a second.
fn is_told(step: &Step, seat: Seat) -> bool {
    match step {
        Step::Failing(_, step) => is_told(step, seat),
        Step::Wait(_) | Step::Disable(_) | Step::SetAttribute { .. } | Step::RemoveAttribute { .. } => false,
        Step::Grant { to: To::User(user), .. } | Step::Revoke { to: To::User(user), .. } => {
            seat.user() == *user
        }
        _ => true,
    }
}

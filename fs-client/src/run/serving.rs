//! A mount from the first question for its home to the last check-in. It knows of the server only that it is
//! a [`Remote`], so that the tests mount by this code too.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use sss_common::{Advised, MachineName};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::plan::Plan;
use super::unmount;
use crate::fs::{Failure, Fs, MountOptions};
use crate::fuse::{self, MountError, SessionOptions};
use crate::recovery::Store;
use crate::remote::Remote;

/// Why a mount was not served to its end.
#[derive(Debug)]
pub enum Unserved {
    /// Nothing was mounted, so nothing was written.
    NeverMounted(Advised),
    /// It was, and not everything that was written there is on the server.
    NotCheckedIn(Advised),
}

impl Unserved {
    /// The two lines for a person.
    pub fn into_failure(self) -> Advised {
        match self {
            Unserved::NeverMounted(failure) | Unserved::NotCheckedIn(failure) => failure,
        }
    }
}

/// Mounts `remote`'s user's home, serves it until it is unmounted, checks in what is left and logs out.
/// `ready` is told when the mount answers. What cannot be checked in goes into `recovery`, and what an earlier mount left
/// there is made conflict copies. The first item of `stops` unmounts it; after the second nothing waits for the server.
pub async fn serve(
    remote: Arc<dyn Remote>,
    plan: &Plan,
    machine: MachineName,
    recovery: Option<Arc<Store>>,
    mut stops: impl Stream<Item = ()> + Unpin,
    ready: impl FnOnce(&Path) -> Result<(), Advised>,
) -> Result<(), Unserved> {
    let fs = Fs::new(remote, fs_options(plan, machine, recovery), Handle::current());
    fs.start().await.map_err(|failure| Unserved::NeverMounted(no_home(plan, &failure.full_why())))?;
    let mut mount = mount(&fs, plan).await.map_err(Unserved::NeverMounted)?;
    let cancel = CancellationToken::new();
    let events = tokio::spawn(fs.clone().run_events(cancel.clone()));
    let retries = tokio::spawn(fs.clone().run_retries(cancel.clone()));

    let mut offering = None;
    let outcome = match answers(plan).await.and_then(|()| ready(&plan.mountpoint)) {
        Ok(()) => {
            offering = Some(tokio::spawn(fs.clone().offer_kept(cancel.clone())));
            tokio::select! {
                () = mount.ended() => tracing::info!("unmounted"),
                Some(()) = stops.next() => detach(plan).await,
            }
            Ok(())
        }
        Err(failure) => {
            detach(plan).await;
            Err(Unserved::NeverMounted(failure))
        }
    };
    cancel.cancel();
    events.abort();
    let mut finished = std::pin::pin!(async {
        // A retry and a copy that are under way end by themselves; what they leave is for the shutdown.
        fs.unless_given_up(async {
            let _ = retries.await;
            if let Some(offering) = offering {
                let _ = offering.await;
            }
        })
        .await;
        fs.shutdown().await
    });
    let left = tokio::select! {
        left = &mut finished => left,
        Some(()) = stops.next() => {
            fs.give_up();
            finished.await
        }
    };
    match left.is_empty() {
        true => outcome,
        false => {
            let whys: Vec<String> = left.iter().map(Failure::full_why).collect();
            outcome.and(Err(not_checked_in(&whys.join("; "))))
        }
    }
}

fn no_home(plan: &Plan, why: &str) -> Advised {
    Advised::new(
        format!("the home of {} cannot be shown: {why}", plan.target),
        "the server's log has the cause; try again, and tell its administrator",
    )
}

fn not_checked_in(left: &str) -> Unserved {
    Unserved::NotCheckedIn(Advised::new(
        format!("not everything could be checked in and logged out: {left}"),
        format!("what was in conflict is under `NAME (conflict …)`; {}", unmount::KEPT),
    ))
}

/// The files are shown as this process's user's, which is the default.
fn fs_options(plan: &Plan, machine: MachineName, recovery: Option<Arc<Store>>) -> MountOptions {
    let default = MountOptions::default();
    let bytes = |mib: u64| usize::try_from(mib << 20).unwrap_or(usize::MAX);
    MountOptions {
        flag: plan.options.flag,
        read_only: plan.options.read_only,
        follow_symlinks: plan.options.follow_symlinks,
        memory_budget: plan.options.memory_mib.map_or(default.memory_budget, bytes),
        machine: Some(machine),
        recovery,
        ..default
    }
}

fn session_options(plan: &Plan) -> SessionOptions {
    SessionOptions {
        source: plan.target.to_string(),
        read_only: plan.options.read_only,
        allow_other: plan.options.allow_other,
        no_exec: plan.options.no_exec,
    }
}

/// Mounts; returns when the kernel has opened the session.
async fn mount(fs: &Arc<Fs>, plan: &Plan) -> Result<fuse::Mount, Advised> {
    let (fs, mountpoint, options) = (fs.clone(), plan.mountpoint.clone(), session_options(plan));
    let mounting = tokio::task::spawn_blocking(move || fuse::mount(&fs, &mountpoint, &options)).await;
    let outcome = mounting.unwrap_or_else(|error| Err(MountError::Refused(io::Error::other(error))));
    outcome.map_err(|error| match error {
        MountError::Refused(error) => not_mounted(&plan.mountpoint, &error),
        MountError::NoThreads(_) => {
            Advised::new(error.to_string(), "check the limits on processes and memory")
        }
    })
}

fn not_mounted(mountpoint: &Path, error: &io::Error) -> Advised {
    let said = error.to_string();
    let said = said.trim();
    let hint = if said.contains("user_allow_other") {
        "leave allow_other out, or have the administrator put `user_allow_other` into /etc/fuse.conf"
    } else if !Path::new("/dev/fuse").exists() {
        "the kernel has no FUSE here: modprobe fuse, or give the container /dev/fuse"
    } else if error.kind() == io::ErrorKind::PermissionDenied && !is_open_to_us(Path::new("/dev/fuse")) {
        "this user may not open /dev/fuse: chmod 666 /dev/fuse, as udev does where it runs"
    } else if error.kind() == io::ErrorKind::NotFound {
        "install fuse3 (its fusermount3 mounts for ordinary users): apt install fuse3"
    } else if said.contains("ermission denied") || said.contains("no write access") {
        "an ordinary user mounts on a folder of his own, and needs fusermount3 (apt install fuse3)"
    } else {
        "check the folder, /dev/fuse, and that fusermount3 is installed (apt install fuse3)"
    };
    let said = if said.is_empty() { "fusermount3 failed without a word" } else { said };
    Advised::new(format!("{} could not be mounted: {said}", mountpoint.display()), hint)
}

fn is_open_to_us(device: &Path) -> bool {
    std::fs::OpenOptions::new().read(true).write(true).open(device).is_ok()
}

/// Asks the mount for its root, as the first program will.
async fn answers(plan: &Plan) -> Result<(), Advised> {
    let mountpoint = plan.mountpoint.clone();
    let limit = plan.options.timeout() * 2;
    let asked = tokio::task::spawn_blocking(move || std::fs::metadata(mountpoint));
    let why = match tokio::time::timeout(limit, asked).await {
        Ok(Ok(Ok(_))) => return Ok(()),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", limit.as_secs()),
    };
    Err(Advised::new(
        format!("{} was mounted but does not answer: {why}", plan.mountpoint.display()),
        "check the server and the network, and mount again",
    ))
}

/// Takes the mount away, also from under programs that still use it.
async fn detach(plan: &Plan) {
    let mountpoint = plan.mountpoint.clone();
    let detached = tokio::task::spawn_blocking(move || {
        unmount::detach(&mountpoint, false).or_else(|_| unmount::detach(&mountpoint, true))
    })
    .await;
    if let Ok(Err(error)) = detached {
        tracing::warn!("{}: {error}", plan.mountpoint.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_mounts_come_with_the_way_on() {
        let hint = |error: io::Error| not_mounted(Path::new("/mnt"), &error).hint;
        let other = |text: &str| io::Error::other(text.to_owned());
        assert!(
            hint(other("option allow_other only allowed if 'user_allow_other' is set")).contains("fuse.conf")
        );
        if Path::new("/dev/fuse").exists() {
            assert!(hint(io::Error::from(io::ErrorKind::NotFound)).contains("install fuse3"));
            assert!(hint(other("user has no write access to mountpoint")).contains("folder of his own"));
        }
    }
}

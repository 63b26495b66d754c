//! A mount, from the identity to the last check-in. Here the concrete types are named.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sss_common::{Code, SystemClock};
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::plan::Plan;
use super::registry::{Claim, Outcome, Record, Registry};
use super::{mountinfo, unmount};
use crate::config::Log;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::remote::https::Https;
use crate::remote::{Remote, RemoteError};
use crate::{fs, fuse};

/// How long a mount waits for an earlier one's last check-ins.
pub const CLAIM_WAIT: Duration = Duration::from_secs(60);

/// Memory for what is being written, unless the mount says otherwise.
const MEMORY_MIB: u64 = 256;

/// Threads that take the kernel's requests; the work is done by tasks.
const THREADS: usize = 2;

/// Mounts, serves until the mount ends, checks in what is left and logs out. `ready` is told when the mount answers.
pub fn serve(plan: &Plan, ready: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let identity = Identity::load(&plan.identity, &SystemClock)?;
    let https = Arc::new(Https::new(&plan.target, &identity, plan.options.timeout())?);
    let claim = claim(plan)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        log_in(&https, plan).await?;
        let served = mounted(plan, fs_options(plan, &identity), https.clone(), ready).await;
        if let Err(Unserved::NeverMounted(_)) = &served {
            // Nothing was written; the session must not stay behind.
            let _ = https.logout().await;
        }
        served.map_err(Unserved::into_failure)
    });
    claim.finish(match &outcome {
        Ok(()) => Outcome::Done,
        Err(failure) => Outcome::Failed(failure.what.clone()),
    });
    runtime.shutdown_background();
    outcome
}

enum Unserved {
    NeverMounted(Failure),
    NotCheckedIn(Failure),
}

impl Unserved {
    fn into_failure(self) -> Failure {
        match self {
            Unserved::NeverMounted(failure) | Unserved::NotCheckedIn(failure) => failure,
        }
    }
}

fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("3s").build().map_err(|error| {
        Failure::new(
            format!("no threads can be started: {error}"),
            "check the limits on processes and memory",
        )
    })
}

/// The record for this mountpoint, once no earlier mount of the same user checks in any more: its session would end with the
/// new login.
fn claim(plan: &Plan) -> Result<Claim, Failure> {
    let registry = Registry::own()?;
    let target = plan.target.to_string();
    for found in registry.all() {
        let finishing = found.record.target == target
            && found.record.mountpoint != plan.mountpoint
            && mountinfo::on(&found.record.mountpoint)?.is_none();
        if finishing {
            let (pid, point) = (found.record.pid, found.record.mountpoint.clone());
            found.ended(CLAIM_WAIT).ok_or_else(|| {
                Failure::new(
                    format!(
                        "process {pid} still checks in what was written to {} as {target}",
                        point.display()
                    ),
                    "a new login would cut it off: wait until it has ended, then mount again",
                )
            })?;
        }
    }
    let log = match &plan.options.log {
        Some(Log::File(path)) => Some(path.clone()),
        _ => None,
    };
    let record = Record {
        pid: std::process::id(),
        mountpoint: plan.mountpoint.clone(),
        target,
        identity: plan.identity.clone(),
        log,
        outcome: None,
    };
    registry.claim(record, CLAIM_WAIT)
}

async fn log_in(https: &Https, plan: &Plan) -> Result<(), Failure> {
    https.log_in().await.map_err(|error| {
        let hint = match &error {
            RemoteError::Unreachable(_) => {
                format!("check that the server runs, and that {} is its address", plan.target.server)
            }
            RemoteError::Refused { code: Code::LoginRefused, .. } => format!(
                "have the server's administrator add this key: 3s-server user add DATA_DIR {} user.pub",
                plan.target.uid
            ),
            RemoteError::Refused { code: Code::Throttled, .. } => "wait a minute, then try once".into(),
            RemoteError::Refused { .. } => {
                "ask the server's administrator; a new certificate comes from `3s-ca enroll`".into()
            }
        };
        Failure::new(format!("{} cannot log in: {error}", plan.target), hint)
    })
}

async fn mounted(
    plan: &Plan,
    options: fs::MountOptions,
    remote: Arc<dyn Remote>,
    ready: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<(), Unserved> {
    let mut signals = Signals::new().map_err(Unserved::NeverMounted)?;
    let config = session_config(&options, plan);
    let fs = fs::Fs::new(remote, options, Handle::current());
    fs.start().await.map_err(|failure| Unserved::NeverMounted(no_home(plan, &failure.why)))?;
    let adapter = fuse::Adapter::new(fs.clone(), Handle::current());
    let session = fuse_session(adapter, plan, config).await.map_err(Unserved::NeverMounted)?;
    fs.set_notifier(session.notifier());
    let mut ended = session_end(session).map_err(Unserved::NeverMounted)?;
    let cancel = CancellationToken::new();
    let events = tokio::spawn(fs.clone().run_events(cancel.clone()));
    let retries = tokio::spawn(fs.clone().run_retries(cancel.clone()));

    let outcome = match answers(plan).await.and_then(|()| ready(&plan.mountpoint)) {
        Ok(()) => {
            tokio::select! {
                _ = &mut ended => tracing::info!("unmounted"),
                () = signals.next() => detach(plan).await,
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
    let finished = async {
        // A retry that is under way ends by itself; what it leaves is for the shutdown.
        let _ = retries.await;
        fs.shutdown().await
    };
    tokio::select! {
        left = finished => match left.is_empty() {
            true => outcome,
            false => outcome.and(Err(not_checked_in(&left.iter().map(|left| &*left.why).collect::<Vec<_>>().join("; ")))),
        },
        () = signals.next() => outcome.and(Err(not_checked_in("interrupted a second time"))),
    }
}

fn no_home(plan: &Plan, why: &str) -> Failure {
    Failure::new(
        format!("the home of {} cannot be shown: {why}", plan.target),
        "the server's log has the cause; try again, and tell its administrator",
    )
}

fn not_checked_in(left: &str) -> Unserved {
    Unserved::NotCheckedIn(Failure::new(
        format!("not everything could be checked in and logged out: {left}"),
        "mount again and compare; what was in conflict is kept under `NAME (conflict …)`",
    ))
}

/// The files are shown as this process's user's, which is the default.
fn fs_options(plan: &Plan, identity: &Identity) -> fs::MountOptions {
    let memory = plan.options.memory_mib.unwrap_or(MEMORY_MIB) << 20;
    fs::MountOptions {
        flag: plan.options.flag,
        read_only: plan.options.read_only,
        allow_other: plan.options.allow_other,
        memory_budget: usize::try_from(memory).unwrap_or(usize::MAX),
        spool_folder: spool_folder(),
        machine: Some(identity.machine.clone()),
        source: plan.target.to_string(),
        threads: THREADS,
        ..fs::MountOptions::default()
    }
}

/// On a disk rather than in memory, which the spool is to spare: the user's cache folder, or `/var/tmp`.
fn spool_folder() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let own = cache.map(|cache| cache.join("3s")).filter(|own| std::fs::create_dir_all(own).is_ok());
    own.unwrap_or_else(|| "/var/tmp".into())
}

/// The session's options with the mount's name. The kernel takes `subtype` itself, so that a mount by root is `fuse.3s` too
/// (fuser hands its own `Subtype` to fusermount3 only).
fn session_config(options: &fs::MountOptions, plan: &Plan) -> fuser::Config {
    use fuser::MountOption;
    let mut config = fuse::session_config(options);
    let named = |option: &MountOption| matches!(option, MountOption::FSName(_) | MountOption::Subtype(_));
    config.mount_options.retain(|option| !named(option));
    config.mount_options.push(MountOption::FSName(plan.target.to_string()));
    config.mount_options.push(MountOption::CUSTOM("subtype=3s".into()));
    let asked = [(plan.options.no_exec, MountOption::NoExec), (plan.options.no_atime, MountOption::NoAtime)];
    for (asked, option) in asked {
        if asked && !config.mount_options.contains(&option) {
            config.mount_options.push(option);
        }
    }
    config
}

/// Mounts; returns when the kernel has opened the session.
async fn fuse_session(
    adapter: fuse::Adapter,
    plan: &Plan,
    config: fuser::Config,
) -> Result<fuser::Session<fuse::Adapter>, Failure> {
    let mountpoint = plan.mountpoint.clone();
    let mounting =
        tokio::task::spawn_blocking(move || fuser::Session::new(adapter, &mountpoint, &config)).await;
    let outcome = mounting.unwrap_or_else(|error| Err(io::Error::other(error)));
    outcome.map_err(|error| not_mounted(&plan.mountpoint, &error))
}

fn not_mounted(mountpoint: &Path, error: &io::Error) -> Failure {
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
    Failure::new(format!("{} could not be mounted: {said}", mountpoint.display()), hint)
}

fn is_open_to_us(device: &Path) -> bool {
    std::fs::OpenOptions::new().read(true).write(true).open(device).is_ok()
}

/// Serves the session on its threads; what is returned resolves when it is unmounted.
fn session_end(session: fuser::Session<fuse::Adapter>) -> Result<oneshot::Receiver<()>, Failure> {
    let failed = |error: io::Error| {
        Failure::new(
            format!("no threads can be started: {error}"),
            "check the limits on processes and memory",
        )
    };
    let (sender, receiver) = oneshot::channel();
    let background = session.spawn().map_err(failed)?;
    std::thread::Builder::new()
        .name("3s-session".into())
        .spawn(move || {
            if let Err(error) = background.join() {
                tracing::error!(%error, "the kernel's session failed");
            }
            // The other end is gone when a signal came first.
            let _ = sender.send(());
        })
        .map_err(failed)?;
    Ok(receiver)
}

/// Asks the mount for its root, as the first program will.
async fn answers(plan: &Plan) -> Result<(), Failure> {
    let mountpoint = plan.mountpoint.clone();
    let limit = plan.options.timeout() * 2;
    let asked = tokio::task::spawn_blocking(move || std::fs::metadata(mountpoint));
    let why = match tokio::time::timeout(limit, asked).await {
        Ok(Ok(Ok(_))) => return Ok(()),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", limit.as_secs()),
    };
    Err(Failure::new(
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

/// SIGTERM, SIGINT, SIGHUP.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(format!("signals cannot be listened to: {error}"), "report this as a bug")
            })
        };
        let [term, int, hup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(listen);
        Ok(Signals([term?, int?, hup?]))
    }

    async fn next(&mut self) {
        let [term, int, hup] = &mut self.0;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {}
        }
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

//! `3s unmount`: takes the mount away and waits until everything is on the server.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::mount::UnmountFlags;

use sss_common::Advised;
use sss_common::clock::monotonic;

use super::registry::{Found, Outcome, Registry};
use super::{mountinfo, registry};
use crate::cli::UnmountArgs;
use crate::recovery::store;
use crate::remote::retries::LAST_CHECK_INS_WITHIN;

/// Unmounts, then waits for the mount's process: it checks in what is dirty and logs out.
pub fn unmount(args: &UnmountArgs) -> Result<(), Advised> {
    let point = mountinfo::resolve(&args.mountpoint);
    let shown = args.mountpoint.display();
    let Some(mounted) = mountinfo::on(&point)? else {
        return Err(Advised::new(
            format!("{shown} is not a 3S mount"),
            "`3s status` lists the mounts; name the folder that was mounted on",
        ));
    };
    let process = Registry::of(mounted.user).find(&point);
    detach_soon(&point).map_err(|error| refused(&args.mountpoint, &error))?;
    match process {
        Some(process) => finished(process, args),
        // Its process is gone (killed): there is nothing to wait for.
        None => Ok(()),
    }
}

fn finished(process: Found, args: &UnmountArgs) -> Result<(), Advised> {
    let shown = args.mountpoint.display();
    let registry::Record { pid, log, target, .. } = process.record.clone();
    let log = log.map_or_else(|| "it has no log".into(), |path| format!("its log is {}", path.display()));
    let Some(record) = ended(process, args) else {
        return Err(Advised::new(
            format!("{shown} is unmounted, but process {pid} is still checking in after {} s", args.timeout),
            format!("it goes on by itself; {log}"),
        ));
    };
    match record.outcome {
        Some(Outcome::Done) => Ok(()),
        Some(Outcome::Failed(what)) => {
            Err(Advised::new(format!("{shown} is unmounted, but {what}"), way_on(&target, &log)))
        }
        None => Err(Advised::new(
            format!(
                "{shown} is unmounted, but its process {pid} ended before it said that all was checked in"
            ),
            format!("mount again and look at what was written last; {log}"),
        )),
    }
}

/// What to do about what is not on the server.
fn way_on(target: &str, log: &str) -> String {
    let kept = store::folder().map(|folder| store::all(&folder)).unwrap_or_default();
    match kept.iter().any(|kept| kept.label.target == target) {
        true => format!("{KEPT}; {log}"),
        false => log.into(),
    }
}

/// What becomes of what is kept.
pub const KEPT: &str = "what is kept on this machine becomes a conflict copy at the next mount, and `3s recover --to DIR` gives it back at once";

/// Waits for the mount's process; whoever sits before a terminal is told what it waits for.
fn ended(process: Found, args: &UnmountArgs) -> Option<registry::Record> {
    let shown = args.mountpoint.display().to_string();
    let (sender, done) = mpsc::channel::<()>();
    let telling = std::thread::spawn(move || {
        if done.recv_timeout(TELL_AFTER).is_err_and(|error| error == RecvTimeoutError::Timeout)
            && io::stderr().is_terminal()
        {
            let within = LAST_CHECK_INS_WITHIN.as_secs();
            eprintln!(
                "3s: {shown} still checks in; where the server does not answer it tries for up to {within} s, then keeps the rest \
                 on this machine"
            );
        }
    });
    let record = process.ended(args.wait());
    drop(sender);
    // It only speaks.
    let _ = telling.join();
    record
}

/// How long the last check-ins may take before a word is said.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// How long a mount may be in use before that is an error: whoever lists or stats it just now is done by then.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// Unmounts, also when something looks at the mount for a moment (a file manager, an indexer, `df`).
fn detach_soon(point: &Path) -> io::Result<()> {
    let deadline = monotonic() + BUSY_WAIT;
    loop {
        match detach(point, false) {
            Err(error) if is_busy(&error) && monotonic() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            outcome => return outcome,
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY) || error.to_string().contains("busy")
}

fn refused(point: &Path, error: &io::Error) -> Advised {
    let shown = point.display();
    if is_busy(error) {
        return Advised::new(
            format!("{shown} is in use by a program"),
            format!("end what uses it, then unmount again; this lists it: lsof +f -- {shown}"),
        );
    }
    let hint = match error.kind() {
        io::ErrorKind::NotFound => {
            "install fuse3 (its fusermount3 unmounts for ordinary users): apt install fuse3"
        }
        _ => "unmount as the user who mounted it, or as root",
    };
    Advised::new(format!("{shown} could not be unmounted: {error}"), hint)
}

/// Unmounts: root by itself, everyone else with fusermount3. `lazily` takes the mount away from under who
/// uses it.
pub fn detach(point: &Path, lazily: bool) -> io::Result<()> {
    let flags = if lazily { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match rustix::mount::unmount(point, flags | UnmountFlags::NOFOLLOW) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let mut command = Command::new("fusermount3");
    command.arg("-u").args(lazily.then_some("-z")).arg("--").arg(point);
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C").output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_mount_is_said() {
        let busy = io::Error::other("fusermount3: failed to unmount /mnt: Device or resource busy");
        for error in [io::Error::from_raw_os_error(libc::EBUSY), busy] {
            let failure = refused(Path::new("/mnt"), &error);
            assert!(failure.what.contains("in use") && failure.hint.contains("lsof"), "{failure}");
        }
        assert!(refused(Path::new("/mnt"), &io::ErrorKind::NotFound.into()).hint.contains("fuse3"));
    }
}

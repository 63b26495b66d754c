//! What a mount is asked for, checked before anything is started.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::io::Errno;
use sss_common::{Advised, complain};

use super::{mountinfo, unmount};
use crate::cli::MountArgs;
use crate::config::{Log, Options};
use crate::remote::https::Target;

/// What `3s mount` was asked for, checked as far as that is possible without the server. All paths are
/// absolute.
#[derive(Debug)]
pub struct Plan {
    /// Who, from where.
    pub target: Target,
    /// The folder that it is mounted on; none of our mounts stands there.
    pub mountpoint: PathBuf,
    /// The ID_DIR.
    pub identity: PathBuf,
    /// The `-o` options, without the identity.
    pub options: Options,
}

impl Plan {
    /// Checks the mountpoint and that an identity is named.
    pub fn new(args: MountArgs) -> Result<Self, Advised> {
        let mut options = args.all_options()?;
        let identity = options.identity.take().ok_or_else(|| {
            Advised::new(
                "no identity was given",
                "add --identity ID_DIR (or -o identity=ID_DIR), made by `3s-ca enroll`",
            )
        })?;
        if let Some(Log::File(path)) = &mut options.log {
            *path = absolute(path);
        }
        let mountpoint = mountpoint(&args.mountpoint)?;
        Ok(Plan { target: args.target, mountpoint, identity: absolute(&identity), options })
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// An existing folder on which none of our mounts stands; one that is dead is taken away.
fn mountpoint(path: &Path) -> Result<PathBuf, Advised> {
    let resolved = mountinfo::resolve(path);
    let shown = path.display();
    take_dead_away(&resolved)?;
    if let Some(mounted) = mountinfo::on(&resolved)? {
        return Err(Advised::new(
            format!("{shown} is already a mount of {}", mounted.target),
            format!("3s unmount {shown}   (or, when its process is gone: fusermount3 -u {shown})"),
        ));
    }
    match std::fs::metadata(&resolved) {
        Ok(meta) if meta.is_dir() => Ok(resolved),
        Ok(_) => Err(Advised::new(
            format!("{shown} is not a folder"),
            "a mount needs an existing folder: mkdir it",
        )),
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => Err(Advised::new(
            format!("{shown} is a mount whose process is gone ({error})"),
            format!("fusermount3 -u {shown}   and mount again"),
        )),
        Err(error) => {
            Err(Advised::new(format!("{shown} cannot be mounted on: {error}"), format!("mkdir -p {shown}")))
        }
    }
}

/// Takes away what stands there when it is a 3S mount of this user whose process is gone: the kernel then answers
/// ENOTCONN, and never while one that is only slow still has its connection. Killed several times there are several.
fn take_dead_away(point: &Path) -> Result<(), Advised> {
    let user = rustix::process::geteuid().as_raw();
    while mountinfo::on_top(point)?.is_some_and(|mounted| mounted.user == user) && is_dead(point) {
        unmount::detach(point, true).map_err(|error| {
            let shown = point.display();
            Advised::new(
                format!("{shown} is a mount whose process is gone, and could not be taken away: {error}"),
                format!("fusermount3 -u -z {shown}   and mount again"),
            )
        })?;
        complain!(
            "3s: the mount that stood on {} is taken away: its process was killed, and what it had not saved is lost",
            point.display()
        );
    }
    Ok(())
}

/// Asked in a thread of its own, as one that does not answer may take as long as it likes. Of the root's attributes the
/// kernel may still know an answer by itself; of the room it asks.
fn is_dead(point: &Path) -> bool {
    let (sender, receiver) = mpsc::channel();
    let point = point.to_owned();
    std::thread::spawn(move || sender.send(rustix::fs::statvfs(&point).err()));
    receiver.recv_timeout(ANSWER_MAX) == Ok(Some(Errno::NOTCONN))
}

/// A mount that has not answered by then is not dead.
const ANSWER_MAX: Duration = Duration::from_secs(2);

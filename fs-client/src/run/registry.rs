//! The process behind a mount: a file in a folder of the user's, locked for as long as the process lives.
//!
//! The kernel forgets a mount at once when it is unmounted, but its process goes on until the last check-in
//! is durable. Who waits for the lock waits for that, and then reads in the file how it went. The folder
//! depends on the user only (`/run/3s` for root, else `/run/user/UID/3s`), so that a mount from one shell is found from
//! another; where there is no such place, it is in `$XDG_RUNTIME_DIR`, else in the user's home. None of these can be made by
//! somebody else before the user comes, and a folder that is open to others is not used.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use sss_common::Advised;

use crate::places;

/// Largest record.
const RECORD_MAX: u64 = 64 * 1024;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The process that serves the mount.
    pub pid: u32,
    /// The folder it serves.
    pub mountpoint: PathBuf,
    /// UID@HOST:PORT
    pub target: String,
    /// The identity that it mounted with.
    pub identity: PathBuf,
    /// The daemon's log file, if it has one.
    pub log: Option<PathBuf>,
    /// How it ended; missing while it runs, and for ever when it was killed.
    pub outcome: Option<Outcome>,
}

/// How a mount's process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything was checked in.
    Done,
    /// What was not.
    Failed(String),
}

/// The records of one user of this machine.
#[derive(Debug)]
pub struct Registry {
    dir: PathBuf,
}

/// The own record, locked until it is dropped.
#[derive(Debug)]
pub struct Claim {
    file: File,
    path: PathBuf,
    record: Record,
}

/// A record of a process, which may still run.
#[derive(Debug)]
pub struct Found {
    /// As it was when it was found.
    pub record: Record,
    file: File,
}

impl Registry {
    /// This process's user's records; makes the folder.
    pub fn own() -> Result<Self, Advised> {
        let user = rustix::process::geteuid().as_raw();
        let Some(dir) = places(user).into_iter().next() else {
            return Err(Advised::new(
                "there is no folder in which the mount could note its process",
                format!("give user {user} a home, or set XDG_RUNTIME_DIR to a folder of mode 0700"),
            ));
        };
        let registry = Registry { dir };
        match DirBuilder::new().recursive(true).mode(0o700).create(&registry.dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(registry.unusable(&error.to_string()))
            }
            _ => registry.checked(user),
        }
    }

    /// Another user's records, as far as they may be read; or the own ones.
    pub fn of(user: u32) -> Self {
        let dir = places(user).into_iter().next().unwrap_or_else(|| "/nonexistent".into());
        Registry { dir }
    }

    /// Refuses a folder that somebody else put there, or may write to.
    fn checked(self, user: u32) -> Result<Self, Advised> {
        let meta = self.dir.symlink_metadata().map_err(|error| self.unusable(&error.to_string()))?;
        if !meta.is_dir() || meta.uid() != user {
            return Err(self.unusable("it is not a folder that belongs to this user"));
        }
        match meta.mode() & 0o077 {
            0 => Ok(self),
            _ => Err(Advised::new(
                format!(
                    "the folder {} is open to other users (mode {:04o})",
                    self.dir.display(),
                    meta.mode() & 0o7777
                ),
                format!("chmod 700 {}", self.dir.display()),
            )),
        }
    }

    fn unusable(&self, why: &str) -> Advised {
        Advised::new(
            format!("the folder {} cannot be used: {why}", self.dir.display()),
            "it is where mounts note their processes: remove what stands there, or make its parent writable",
        )
    }

    fn path(&self, mountpoint: &Path) -> PathBuf {
        let digest = Sha256::digest(mountpoint.as_os_str().as_encoded_bytes());
        let name: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(format!("{name}.json"))
    }

    /// Takes the record of a mountpoint. Waits for a process that still checks in what was written to an
    /// earlier mount there.
    pub fn claim(&self, record: Record, wait: Duration) -> Result<Claim, Advised> {
        let path = self.path(&record.mountpoint);
        let failed = |error: io::Error| {
            Advised::new(
                format!("{} cannot be written: {error}", path.display()),
                "it is where the mount notes its process: check the folder and its disk",
            )
        };
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(failed)?;
            if !locked(&file, wait).map_err(failed)? {
                return Err(still_busy(&record.mountpoint, &file));
            }
            // The earlier process removes its file before it lets go of it.
            let same = |meta: std::fs::Metadata| file.metadata().is_ok_and(|own| own.ino() == meta.ino());
            if path.metadata().is_ok_and(same) {
                let mut claim = Claim { file, path: path.clone(), record };
                claim.write().map_err(failed)?;
                return Ok(claim);
            }
        }
    }

    /// The record for a mountpoint.
    pub fn find(&self, mountpoint: &Path) -> Option<Found> {
        Found::open(&self.path(mountpoint)).filter(|found| found.record.mountpoint == mountpoint)
    }

    /// All records.
    pub fn all(&self) -> Vec<Found> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return Vec::new() };
        entries.flatten().filter_map(|entry| Found::open(&entry.path())).collect()
    }
}

fn still_busy(mountpoint: &Path, file: &File) -> Advised {
    let pid = read(file).map(|record| record.pid.to_string()).unwrap_or_else(|| "?".into());
    Advised::new(
        format!("an earlier mount on {} is still checking in (process {pid})", mountpoint.display()),
        "wait until it has ended, then mount again; its log says what keeps it",
    )
}

impl Claim {
    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.record)?;
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(&text)
    }

    /// Notes the outcome for who waits, and lets go.
    pub fn finish(mut self, outcome: Outcome) {
        self.record.outcome = Some(outcome);
        if let Err(error) = self.write() {
            tracing::warn!(%error, "the outcome could not be noted in {}", self.path.display());
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Removed while it is locked, so that nobody else's file is hit.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Found {
    fn open(path: &Path) -> Option<Self> {
        // Another user's folder may hold anything under this name: nothing that blocks or leads elsewhere is opened.
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
        file.metadata().ok().filter(|meta| meta.is_file())?;
        Some(Found { record: read(&file)?, file })
    }

    /// Waits until the process has ended. `None`: it has not. Without an outcome in the record it was killed.
    pub fn ended(self, wait: Duration) -> Option<Record> {
        locked(&self.file, wait).ok()?.then(|| read(&self.file).unwrap_or(self.record))
    }
}

fn read(file: &File) -> Option<Record> {
    let mut file = file;
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.take(RECORD_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Where the records of a user may stand, the best place first.
fn places(user: u32) -> Vec<PathBuf> {
    let own = user == rustix::process::geteuid().as_raw();
    // Only of the own user is more known than what the system says about every user.
    let absolute = |name: &str| own.then(|| places::named(name)).flatten();
    let runtime = match user {
        0 => PathBuf::from("/run"),
        _ => PathBuf::from(format!("/run/user/{user}")),
    };
    let home = home_of(user).or_else(|| absolute("HOME"));
    let system = (runtime.is_dir()).then_some(runtime);
    let places = [system, absolute("XDG_RUNTIME_DIR")].into_iter().flatten().map(|dir| dir.join("3s"));
    places.chain(home.map(|home| home.join(".local/state/3s/mounts"))).collect()
}

/// A user's home, as `/etc/passwd` has it. Of the own user rather than `$HOME`, which may differ from shell to shell.
fn home_of(user: u32) -> Option<PathBuf> {
    let table = std::fs::read_to_string("/etc/passwd").ok()?;
    home_in(&table, user).filter(|home| home.is_dir())
}

fn home_in(table: &str, user: u32) -> Option<PathBuf> {
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, uid, _, _, home, ..] = fields[..] else { return None };
        (uid.parse() == Ok(user) && home.starts_with('/')).then(|| home.into())
    })
}

/// Takes the file's lock; `false` when it is not to be had in time.
fn locked(file: &File, wait: Duration) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error.into()),
    }
    // flock(2) has no deadline. A thread that waits in vain ends with this process; a duplicate shares the
    // lock.
    let (sender, receiver) = mpsc::channel();
    let duplicate = file.try_clone()?;
    std::thread::spawn(move || sender.send(flock(&duplicate, FlockOperation::LockExclusive)));
    match receiver.recv_timeout(wait) {
        Ok(outcome) => outcome.map(|()| true).map_err(Into::into),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    fn registry(dir: &tempfile::TempDir) -> Registry {
        Registry { dir: dir.path().into() }
    }

    fn record(mountpoint: &str) -> Record {
        Record {
            pid: 7,
            mountpoint: mountpoint.into(),
            target: "alice@h:1".into(),
            identity: "/id".into(),
            log: None,
            outcome: None,
        }
    }

    #[test]
    fn who_waits_learns_the_outcome() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(&dir);
        let claim = registry.claim(record("/mnt"), SHORT).unwrap();
        assert!(registry.find(&PathBuf::from("/other")).is_none());
        assert!(registry.find(Path::new("/mnt")).unwrap().ended(SHORT).is_none(), "it still runs");

        let found = registry.find(Path::new("/mnt")).unwrap();
        let waiting = std::thread::spawn(move || found.ended(LONG));
        claim.finish(Outcome::Failed("a.txt".into()));
        assert_eq!(waiting.join().unwrap().unwrap().outcome, Some(Outcome::Failed("a.txt".into())));
        assert!(registry.find(Path::new("/mnt")).is_none(), "nothing is left behind");
    }

    #[test]
    fn a_mountpoint_is_served_by_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(&dir);
        let first = registry.claim(record("/mnt"), SHORT).unwrap();
        let refused = registry.claim(record("/mnt"), SHORT).unwrap_err();
        assert!(refused.what.contains("process 7"), "{refused}");
        drop(registry.claim(record("/elsewhere"), SHORT).unwrap());
        drop(first);
        drop(registry.claim(record("/mnt"), LONG).unwrap());
    }

    #[test]
    fn a_killed_process_leaves_a_record_without_an_outcome() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(&dir);
        let path = registry.path(Path::new("/mnt"));
        std::fs::write(path, serde_json::to_vec(&record("/mnt")).unwrap()).unwrap();
        assert_eq!(registry.all().len(), 1);
        assert_eq!(registry.find(Path::new("/mnt")).unwrap().ended(SHORT).unwrap().outcome, None);
        drop(registry.claim(record("/mnt"), SHORT).unwrap());
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(registry(&dir).checked(user).is_ok());
        assert!(registry(&dir).checked(user + 1).is_err());
        for (mode, good) in [(0o700, true), (0o750, false), (0o705, false), (0o777, false)] {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let checked = registry(&dir).checked(user);
            assert_eq!(checked.is_ok(), good, "{mode:o}");
            if let Err(failure) = checked {
                assert_eq!(failure.hint, format!("chmod 700 {}", dir.path().display()));
            }
        }
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(Registry { dir: file }.checked(user).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(Registry { dir: link }.checked(user).is_err());
    }

    #[test]
    fn no_place_can_be_made_by_somebody_else() {
        let user = rustix::process::geteuid().as_raw();
        for user in [0, user, 4_000_000_000] {
            for place in places(user) {
                assert!(!place.starts_with("/tmp") && !place.starts_with("/var/tmp"), "{}", place.display());
            }
        }
        assert_eq!(places(4_000_000_000), [] as [PathBuf; 0], "a user without a home and without a session");
    }

    #[test]
    fn homes_are_found_in_the_table_of_users() {
        let table = "root:x:0:0:root:/root:/bin/bash\n# a comment\nbob:x:1000:1000::relative:\ncarol:x:1001:1001::/home/carol:/bin/sh\n";
        assert_eq!(home_in(table, 0), Some("/root".into()));
        assert_eq!(home_in(table, 1000), None);
        assert_eq!(home_in(table, 1001), Some("/home/carol".into()));
        assert_eq!(home_in(table, 1002), None);
    }
}

//! A mount that goes away with its guard, also while a test panics.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::command::{Cmd, Done, bash};
use crate::home::Home;
use crate::wait::{eventually, holds_within};

/// How long a mount may take to come, and to go with all that is to be checked in.
const MOUNT_DEADLINE: Duration = Duration::from_secs(60);

/// A mounted store.
pub struct Mount {
    home: Arc<Home>,
    path: PathBuf,
    gone: bool,
}

impl Mount {
    pub(crate) fn new(home: Arc<Home>, server: &str, identity: &Path, more: &[&str]) -> Self {
        let path = home.fresh_dir("mnt-");
        // The guard is there before the mount is: a mount command that fails half way is cleaned up too.
        let mount = Mount { home, path, gone: false };
        mount
            .home
            .tool("3s")
            .args(["mount", server])
            .arg(&mount.path)
            .arg("--identity")
            .arg(identity)
            .args(more)
            .within(MOUNT_DEADLINE)
            .ok();
        assert!(is_mounted(&mount.path), "`3s mount` returned without a mount on {}", mount.path.display());
        mount
    }

    /// The mount point.
    pub fn root(&self) -> &Path {
        &self.path
    }

    /// A path in the mount.
    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// A script that runs in the mount's root; `$M` is the root.
    pub fn script(&self, script: &str) -> Cmd {
        bash(script).cwd(&self.path).env("M", &self.path)
    }

    /// Runs a script in the mount's root and panics unless it succeeds.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Done {
        self.script(script).ok()
    }

    /// Runs a script in the mount's root and panics unless it fails.
    #[track_caller]
    pub fn sh_fails(&self, script: &str) -> Done {
        self.script(script).fails()
    }

    /// Writes a whole document.
    #[track_caller]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.at(name), content)
            .unwrap_or_else(|e| panic!("write {name}: {e}; why: {}", self.why(".")));
    }

    /// Reads a whole document.
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.at(name)).unwrap_or_else(|e| panic!("read {name}: {e}; why: {}", self.why(".")))
    }

    /// Sets an extended attribute.
    #[track_caller]
    pub fn set(&self, name: &str, attribute: &str, value: &str) {
        self.try_set(name, attribute, value)
            .unwrap_or_else(|e| panic!("{attribute}={value} on {name}: {e}; why: {}", self.why(".")));
    }

    /// Tries to set an extended attribute.
    pub fn try_set(&self, name: &str, attribute: &str, value: &str) -> Result<(), Errno> {
        rustix::fs::setxattr(self.at(name), attribute, value.as_bytes(), rustix::fs::XattrFlags::empty())
    }

    /// Removes an extended attribute.
    pub fn unset(&self, name: &str, attribute: &str) -> Result<(), Errno> {
        rustix::fs::removexattr(self.at(name), attribute)
    }

    /// Reads an extended attribute as text.
    pub fn get(&self, name: &str, attribute: &str) -> Result<String, Errno> {
        let mut buffer = vec![0; 64 * 1024];
        let length = rustix::fs::getxattr(self.at(name), attribute, &mut buffer[..])?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into())
    }

    /// Grants: `mount.grant("f", "bob", "checkout,1h")`.
    #[track_caller]
    pub fn grant(&self, name: &str, grantee: &str, text: &str) {
        self.set(name, &format!("user.3s.grant.{grantee}"), text);
    }

    /// The reason of the last refusal; empty when there is none to be had.
    pub fn why(&self, name: &str) -> String {
        self.get(name, "user.3s.why").unwrap_or_default()
    }

    /// Unmounts with `3s unmount` and waits until nothing of the mount runs any more.
    #[track_caller]
    pub fn unmount(mut self) {
        self.home.tool("3s").arg("unmount").arg(&self.path).within(MOUNT_DEADLINE).ok();
        self.gone = true;
        assert!(!is_mounted(&self.path), "`3s unmount` returned with the mount still there");
        eventually(MOUNT_DEADLINE, "the mount's process ends", || self.processes().is_empty());
    }

    /// Processes of ours whose command line names the mount point: the one that serves the mount.
    pub fn processes(&self) -> Vec<Pid> {
        let needle = self.path.as_os_str().as_encoded_bytes();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let cmdline = fs::read(entry.path().join("cmdline")).ok()?;
            let program = cmdline.split(|b| *b == 0).next()?.rsplit(|b| *b == b'/').next()?;
            let named = cmdline.windows(needle.len()).any(|window| window == needle);
            (named && program == b"3s").then(|| Pid::from_raw(pid)).flatten()
        });
        processes.collect()
    }

    /// The ends of the logs of this store's mounts.
    pub fn log(&self) -> String {
        let logs = fs::read_dir(self.home.path().join("state/3s")).into_iter().flatten().flatten();
        let tails = logs.filter_map(|entry| {
            let text = fs::read(entry.path()).ok()?;
            let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(4000)..]).into_owned();
            Some(format!("--- {}\n{tail}\n", entry.path().display()))
        });
        tails.collect()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        let ended =
            |deadline| holds_within(deadline, || !is_mounted(&self.path) && self.processes().is_empty());
        // Each harder than the one before; all of them speak of this mount point only.
        let quietly = |cmd: Cmd| {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cmd.run()));
        };
        if is_mounted(&self.path) {
            quietly(self.home.tool("3s").arg("unmount").arg(&self.path).within(Duration::from_secs(20)));
        }
        if !ended(Duration::from_secs(5)) {
            quietly(Cmd::new("fusermount3").arg("-uz").arg(&self.path).within(Duration::from_secs(5)));
            if !ended(Duration::from_secs(5)) {
                for pid in self.processes() {
                    let _ = kill_process(pid, Signal::KILL);
                }
                quietly(Cmd::new("fusermount3").arg("-uz").arg(&self.path).within(Duration::from_secs(5)));
            }
        }
        if thread::panicking() {
            let _ = writeln!(
                std::io::stderr(),
                "--- {} was unmounted after a panic\n{}",
                self.path.display(),
                self.log()
            );
        }
    }
}

/// Whether something is mounted there. Reads the mount table, so a mount that does not answer cannot block it.
pub fn is_mounted(path: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at) == path))
}

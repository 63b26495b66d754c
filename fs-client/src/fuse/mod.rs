//! The kernel's side: mounts, unpacks arguments, hands call and reply to a task, answers. No decisions.

mod adapter;
mod reply;
mod span;

use std::io;
use std::path::Path;
use std::sync::Arc;

use fuser::{Config, MountOption, Session, SessionACL};
use tokio::sync::oneshot;

pub use adapter::Adapter;

use crate::fs::Fs;

/// Threads that take the kernel's requests; the work is done by tasks.
const THREADS: usize = 2;

/// How the kernel is to show a mount.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// What the mount table shows as the source.
    pub source: String,
    /// Nothing can be changed.
    pub read_only: bool,
    /// Other users of this machine may use the mount, with the mounting user's rights as far as mode bits go.
    pub allow_other: bool,
    /// No program runs from the mount.
    pub no_exec: bool,
}

impl SessionOptions {
    /// The kernel takes `subtype` itself, so that a mount by root is `fuse.3s` too (fuser hands its own
    /// `Subtype` to fusermount3 only).
    fn config(&self) -> Config {
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName(self.source.clone()),
            MountOption::CUSTOM("subtype=3s".into()),
            MountOption::NoDev,
            MountOption::NoSuid,
            MountOption::NoAtime,
        ];
        let asked = [(self.read_only, MountOption::RO), (self.no_exec, MountOption::NoExec)];
        config.mount_options.extend(asked.into_iter().filter_map(|(asked, option)| asked.then_some(option)));
        // The kernel holds everybody to owner and mode, which are the mounting user's. Without others the server alone decides.
        config.mount_options.extend(self.allow_other.then_some(MountOption::DefaultPermissions));
        config.acl = if self.allow_other { SessionACL::All } else { SessionACL::Owner };
        config.n_threads = Some(THREADS);
        config
    }
}

/// Why there is no mount.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel, or fusermount3, did not mount it.
    #[error("{0}")]
    Refused(io::Error),
    /// It was mounted, but no thread could be started to serve it.
    #[error("no threads can be started: {0}")]
    NoThreads(io::Error),
}

/// A mounted file system. It stays mounted when this is dropped.
pub struct Mount {
    ended: oneshot::Receiver<()>,
}

/// Mounts `fs` and serves it from threads of its own; its requests are answered by tasks on the `fs`'s
/// runtime. Blocks until the kernel has opened the session.
pub fn mount(fs: &Arc<Fs>, mountpoint: &Path, options: &SessionOptions) -> Result<Mount, MountError> {
    let adapter = Adapter::new(fs.clone(), fs.runtime().clone());
    let session = Session::new(adapter, mountpoint, &options.config()).map_err(MountError::Refused)?;
    fs.set_notifier(session.notifier());
    let (sender, ended) = oneshot::channel();
    let background = session.spawn().map_err(MountError::NoThreads)?;
    let wait = move || {
        if let Err(error) = background.join() {
            tracing::error!(%error, "the kernel's session failed");
        }
        // The other end is gone when the program ends before its mount.
        let _ = sender.send(());
    };
    std::thread::Builder::new().name("3s-session".into()).spawn(wait).map_err(MountError::NoThreads)?;
    Ok(Mount { ended })
}

impl Mount {
    /// Resolves once it is unmounted and the kernel's last request is taken.
    pub async fn ended(&mut self) {
        // The sending thread sends or is gone; either way the session is over.
        let _ = (&mut self.ended).await;
    }
}

//! The kernel's side: unpacks arguments, hands call and reply to a task, answers. No decisions.

mod adapter;

use std::io;
use std::path::Path;
use std::sync::Arc;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};

pub use adapter::Adapter;

use crate::fs::{Fs, MountOptions};

/// How fuser is to mount it.
pub fn session_config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(options.source.clone()),
        MountOption::Subtype("3s".into()),
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoAtime,
    ];
    if options.read_only {
        config.mount_options.push(MountOption::RO);
    }
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(options.threads.max(1));
    config
}

/// A mounted file system; dropping it unmounts.
pub struct Mount(BackgroundSession);

/// Mounts `fs` and serves it from threads of its own. The kernel's requests are answered by tasks on the `fs`'s runtime.
pub fn mount(fs: &Arc<Fs>, mountpoint: &Path) -> io::Result<Mount> {
    let adapter = Adapter::new(fs.clone(), fs.runtime().clone());
    let session = Session::new(adapter, mountpoint, &session_config(fs.options()))?;
    fs.set_notifier(session.notifier());
    Ok(Mount(session.spawn()?))
}

impl Mount {
    /// Blocks until someone unmounts it.
    pub fn wait(self) -> io::Result<()> {
        self.0.join()
    }

    /// Unmounts, and blocks until the kernel's last request is answered.
    pub fn unmount(self) -> io::Result<()> {
        self.0.umount_and_join()
    }
}

//! Stands in for the rooms `fs` and `fuse` until they are merged: a mount whose root answers and is empty. Then this file
//! goes, and `mount.rs` names `crate::{fs, fuse}`.

#![allow(dead_code, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::remote::Remote;

pub mod fs {
    use super::*;

    #[derive(Clone, Debug, Default)]
    pub struct MountOptions {
        pub flag: Option<sss_common::Flag>,
        pub read_only: bool,
        pub allow_other: bool,
        pub timeout: Duration,
        pub memory_budget: usize,
        pub uid: u32,
        pub gid: u32,
    }

    pub struct Fs {
        pub(super) remote: Arc<dyn Remote>,
        pub(super) options: MountOptions,
    }

    impl Fs {
        pub fn new(remote: Arc<dyn Remote>, options: MountOptions, _handle: Handle) -> Arc<Fs> {
            Arc::new(Fs { remote, options })
        }

        pub fn set_notifier(&self, _notifier: fuser::Notifier) {}

        pub async fn run_events(&self, cancel: CancellationToken) {
            cancel.cancelled().await;
        }

        pub async fn shutdown(&self) -> Result<(), String> {
            self.remote.logout().await.map_err(|error| error.to_string())
        }
    }
}

pub mod fuse {
    use super::*;

    pub struct Adapter(Arc<fs::Fs>, Handle);

    impl Adapter {
        pub fn new(fs: Arc<fs::Fs>, handle: Handle) -> Self {
            Adapter(fs, handle)
        }
    }

    pub fn session_config(options: &fs::MountOptions) -> fuser::Config {
        let mut config = fuser::Config::default();
        if options.read_only {
            config.mount_options.push(fuser::MountOption::RO);
        }
        if options.allow_other {
            config.acl = fuser::SessionACL::All;
        }
        config
    }

    impl fuser::Filesystem for Adapter {
        fn getattr(
            &self,
            _req: &fuser::Request,
            ino: fuser::INodeNo,
            _fh: Option<fuser::FileHandle>,
            reply: fuser::ReplyAttr,
        ) {
            let fs = self.0.clone();
            self.1.spawn(async move {
                match fs.remote.home(fs.remote.uid()).await {
                    Ok(attr) => reply.attr(
                        &Duration::ZERO,
                        &fuser::FileAttr {
                            ino,
                            size: 0,
                            blocks: 0,
                            atime: UNIX_EPOCH,
                            mtime: UNIX_EPOCH,
                            ctime: UNIX_EPOCH,
                            crtime: UNIX_EPOCH,
                            kind: fuser::FileType::Directory,
                            perm: (attr.mode & 0o777) as u16,
                            nlink: 2,
                            uid: fs.options.uid,
                            gid: fs.options.gid,
                            rdev: 0,
                            blksize: 4096,
                            flags: 0,
                        },
                    ),
                    Err(_) => reply.error(fuser::Errno::ETIMEDOUT),
                }
            });
        }
    }
}

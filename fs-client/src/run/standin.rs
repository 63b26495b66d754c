//! Stands in for the rooms `fs` and `fuse` until they are merged: a mount whose root answers and is empty. Then this file
//! goes, and `mount.rs` names `crate::{fs, fuse}`.

#![allow(dead_code, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::remote::Remote;

#[derive(Clone, Copy, Debug, Default)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

pub mod fs {
    use std::path::PathBuf;

    use super::Owner;
    use super::*;

    #[derive(Clone, Debug, Default)]
    pub struct MountOptions {
        pub flag: Option<sss_common::Flag>,
        pub read_only: bool,
        pub allow_other: bool,
        pub memory_budget: usize,
        pub spool_folder: PathBuf,
        pub owner: Owner,
        pub node: Option<sss_common::NodeName>,
        pub source: String,
        pub threads: usize,
    }

    #[derive(Debug)]
    pub struct Failure {
        pub why: String,
    }

    impl From<crate::remote::RemoteError> for Failure {
        fn from(error: crate::remote::RemoteError) -> Self {
            Failure { why: error.to_string() }
        }
    }

    pub struct Fs {
        pub(super) remote: Arc<dyn Remote>,
        pub(super) options: MountOptions,
    }

    impl Fs {
        pub fn new(remote: Arc<dyn Remote>, options: MountOptions, _handle: Handle) -> Arc<Fs> {
            Arc::new(Fs { remote, options })
        }

        pub async fn start(&self) -> Result<(), Failure> {
            self.remote.home(self.remote.uid()).await?;
            Ok(())
        }

        pub fn set_notifier(&self, _notifier: fuser::Notifier) {}

        pub async fn run_events(self: Arc<Self>, cancel: CancellationToken) {
            cancel.cancelled().await;
        }

        pub async fn shutdown(self: &Arc<Self>) -> Vec<Failure> {
            self.remote.logout().await.err().map(Into::into).into_iter().collect()
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
                            uid: fs.options.owner.uid,
                            gid: fs.options.owner.gid,
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

//! What a mount is asked for, checked before anything is started.

use std::path::{Path, PathBuf};

use sss_common::Advised;

use super::mountinfo;
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

/// An existing folder on which none of our mounts stands.
fn mountpoint(path: &Path) -> Result<PathBuf, Advised> {
    let resolved = mountinfo::resolve(path);
    let shown = path.display();
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

//! Who else could read or change an identity on this machine: nobody, or it is refused.
//!
//! Who reads `client.key` and `user.key` is the user; who writes `ca.crt` says which servers are believed; who writes into the
//! folder can put another file in the place of each.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sss_common::Advised;

/// What others of this machine may do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Nothing: a private key.
    Secret,
    /// Read it: a certificate, a list, the folder.
    Public,
}

/// Refuses a file or folder that others could use beyond `keeping`, or that belongs to another user than this process's or root.
pub fn check(path: &Path, meta: &Metadata, keeping: Keeping) -> Result<(), Advised> {
    let user = rustix::process::geteuid().as_raw();
    check_for(user, path, meta, keeping)
}

fn check_for(user: u32, path: &Path, meta: &Metadata, keeping: Keeping) -> Result<(), Advised> {
    let shown = path.display();
    let mode = meta.mode() & 0o7777;
    if meta.uid() != user && meta.uid() != 0 {
        return Err(Advised::new(
            format!(
                "{shown} belongs to user {} of this machine, who can change it (mode {mode:04o})",
                meta.uid()
            ),
            format!("use 3s as that user, or: chown {user} {shown} && chmod {} {shown}", keeping.chmod(meta)),
        ));
    }
    let what = match keeping {
        Keeping::Secret if mode & 0o077 != 0 => "is open to other users",
        Keeping::Public if mode & 0o022 != 0 => "can be written by other users",
        _ => return Ok(()),
    };
    Err(Advised::new(
        format!("{shown} {what} (mode {mode:04o})"),
        format!("chmod {} {shown}   (and look whether somebody used it)", keeping.chmod(meta)),
    ))
}

impl Keeping {
    fn chmod(self, meta: &Metadata) -> &'static str {
        match self {
            Keeping::Secret => "600",
            Keeping::Public if meta.is_dir() => "700",
            Keeping::Public => "go-w",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn modes_and_owners() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "").unwrap();
        let own = rustix::process::geteuid().as_raw();
        for (mode, secret, public) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o644, false, true),
            (0o640, false, true),
            (0o604, false, true),
            (0o620, false, false),
            (0o602, false, false),
            (0o666, false, false),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let meta = path.metadata().unwrap();
            assert_eq!(check(&path, &meta, Keeping::Secret).is_ok(), secret, "{mode:o}");
            assert_eq!(check(&path, &meta, Keeping::Public).is_ok(), public, "{mode:o}");
            // Root's files are good for everybody, an ordinary user's are not.
            let anybody = check_for(own + 1, &path, &meta, Keeping::Public);
            assert_eq!(anybody.is_ok(), public && own == 0, "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let failure = check(&path, &path.metadata().unwrap(), Keeping::Public).unwrap_err();
        assert!(failure.what.ends_with("f can be written by other users (mode 0666)"), "{failure}");
        assert!(failure.hint.starts_with(&format!("chmod go-w {}", path.display())), "{failure}");
    }
}

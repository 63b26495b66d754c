//! The temporary folder that a store and its mounts share.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::binaries::program;
use crate::command::Cmd;
use crate::fixture;

/// The temporary folder of a store; it goes away with the last who holds it.
pub(crate) struct Home(TempDir);

impl Home {
    /// With a certificate authority, the users' identities, and folders for what the programs keep.
    pub(crate) fn new() -> Self {
        let home = tempfile::Builder::new().prefix("3s-").tempdir().expect("a temporary folder can be made");
        fixture::copy_to(home.path());
        for private in ["run", "state", "cache"] {
            let dir = home.path().join(private);
            fs::create_dir(&dir).expect("a folder can be made in a fresh one");
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("it is ours");
        }
        Home(home)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// An empty folder in it.
    pub(crate) fn fresh_dir(&self, prefix: &str) -> PathBuf {
        let dir = tempfile::Builder::new().prefix(prefix).tempdir_in(self.path());
        dir.expect("a folder can be made in ours").keep()
    }

    /// One of our programs, with its own runtime and state folders.
    pub(crate) fn tool(&self, name: &str) -> Cmd {
        Cmd::new(program(name))
            .env("XDG_RUNTIME_DIR", self.path().join("run"))
            .env("XDG_STATE_HOME", self.path().join("state"))
            .env("XDG_CACHE_HOME", self.path().join("cache"))
    }
}

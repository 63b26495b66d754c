//! An ordinary user of this machine, for tests that run as root.

use std::path::{Path, PathBuf};

use crate::binaries::program;
use crate::command::{Cmd, bash};
use crate::store::Store;

/// `nobody`, with a folder of his own in the store's, a copy of an identity in it, and `3s`.
pub struct Nobody {
    folder: PathBuf,
    server: String,
}

impl Nobody {
    /// Needs root ([`crate::needs_root`]). The identity's folder is `id` in his own.
    pub fn new(store: &Store, id: &str) -> Self {
        let folder = store.path("nobody");
        bash("chmod 755 \"$H\"; mkdir -p \"$N\"/{mnt,run,state}; cp -a \"$ID\" \"$N/id\"; chown -R nobody \"$N\"; chmod 700 \"$N\"/run")
            .env("H", store.path(""))
            .env("N", &folder)
            .env("ID", store.identity(id))
            .ok();
        // The build folder need not be open to `nobody`.
        Cmd::new("install").args(["-m", "755"]).arg(program("3s")).arg(folder.join("3s")).ok();
        Nobody { folder, server: format!("{id}@{}", store.addr()) }
    }

    /// His folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A script that he runs: `$N` is his folder, `$PROGRAM` is `3s`, `$SERVER` what he mounts.
    pub fn script(&self, script: &str) -> Cmd {
        self.script_in(
            &[("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "state")],
            script,
        )
    }

    /// The same with other variables, whose values are folders in his own.
    pub fn script_in(&self, variables: &[(&str, &str)], script: &str) -> Cmd {
        let variables =
            variables.iter().map(|(name, folder)| format!("{name}={}", self.folder.join(folder).display()));
        Cmd::new("runuser")
            .args(["-u", "nobody", "--", "env", "-u", "XDG_RUNTIME_DIR"])
            .args(variables)
            .args(["bash", "-euc", script])
            .env("PROGRAM", self.folder.join("3s"))
            .env("SERVER", &self.server)
            .env("N", &self.folder)
            .cwd("/")
    }
}

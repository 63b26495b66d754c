//! `3s-server drill`: proves on a scratch copy that what is removed stays closed.

use std::path::PathBuf;

use clap::Args;

use crate::drill::{self, Options, Search};
use crate::owner::Owner;

/// What to drill with.
#[derive(Debug, Args)]
pub(super) struct DrillArgs {
    /// The data directory.
    data_dir: PathBuf,
    /// The keyring, where it is not in DATA_DIR.
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Where to make the scratch copy (the metadata's size and a MiB) rather than in DATA_DIR.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// A disk or disk image, the one that the scratch copy and the keyring lie on, to be searched raw as well.
    #[arg(long, value_name = "DEVICE_OR_IMAGE")]
    search: Option<PathBuf>,
}

impl DrillArgs {
    /// Does what the command line says.
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let DrillArgs { data_dir, keyring, scratch, search } = self;
        // Root alone may read a device.
        let search = Search::begin(search)?;
        Owner::become_of(&data_dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(drill::drill(Options { data_dir, keyring, scratch, search }))
    }
}

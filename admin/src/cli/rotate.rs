//! `3s-server rotate-key`: what it says.

use std::path::{Path, PathBuf};

use clap::Args;
use sss_common::say;

use crate::owner::Owner;
use crate::rotate::{Rotation, rotate};

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// The data directory. No server may run on it.
    data_dir: PathBuf,
    /// The keyring, where it is not in DATA_DIR.
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
}

/// Does what the command line says.
pub(super) fn rotate_key(args: RotateArgs) -> anyhow::Result<()> {
    Owner::become_of(&args.data_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rotation = runtime.block_on(rotate(&args.data_dir, args.keyring))?;
    say!("{}", told(&rotation, &args.data_dir).trim_end());
    Ok(())
}

fn told(rotation: &Rotation, data_dir: &Path) -> String {
    let Rotation { keys, finished } = rotation;
    let first = if *finished {
        "finished the rotation that was cut short; run the command again for yet another key"
    } else {
        "the server has a new key"
    };
    let shown = data_dir.display();
    format!(
        "{first}
old: SHA-256 {old}  (now in {shown}/retired.pub)
new: SHA-256 {new}  {shown}/server.pub
Signatures by the old key stay good; packs and documents are as they were.
next: hand {shown}/server.pub to every user, by a way that they trust; who runs `3s verify` adds it to the
  kept key: cat server.pub >> ID_DIR/server.pub. Then back up server.key, server.pub and retired.pub.
",
        old = keys.old,
        new = keys.new,
    )
}

//! `3s-server backup` and `3s-server restore`: what was done goes to stdout, a bar to the terminal.

use std::path::PathBuf;

use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use sss_common::say;

use crate::{backup, restore};

pub(super) const BACKUP_EXAMPLES: &str = "Examples:
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out backup.key     (on another machine; it stays there)
  openssl pkey -in backup.key -pubout -out backup.pub                              (this one goes to the server)
  3s-server backup /var/lib/3s /mnt/backups/monday.3sb --key backup.pub
  3s-server backup /var/lib/3s /mnt/backups/monday.3sb --keyring /media/usb/keyring

Without --key it takes DATA_DIR/backup.pub. A backup holds the keyring too: with its private key it opens what was deleted
after it, for as long as there is a copy of it. UPKEEP.md has more.";

pub(super) const RESTORE_EXAMPLES: &str = "Examples:
  3s-server restore monday.3sb /var/lib/3s --key backup.key --deletions /mnt/log/3s-deletions
  3s-server restore monday.3sb /var/lib/3s --key backup.key --deletions /mnt/old-disk/3s --keyring /media/usb/keyring
  3s-server restore monday.3sb /tmp/drill --key backup.key --no-deletions

With --no-deletions all that was deleted after the backup comes back. Check-ins, grants and revocations since the backup are
lost in any case. UPKEEP.md has more.";

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The data directory.
    data_dir: PathBuf,
    /// The file to make.
    out: PathBuf,
    /// The administrator's public key, RSA of 3072 bits or more, PEM; DATA_DIR/backup.pub where none is given.
    #[arg(long, value_name = "BACKUP_PUB")]
    key: Option<PathBuf>,
    /// The keyring, where it is not in DATA_DIR. It is only read.
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The file that `backup` made.
    backup: PathBuf,
    /// The folder to make; it may be there and empty.
    data_dir: PathBuf,
    /// The private half of the key that the backup was made with, PEM.
    #[arg(long, value_name = "BACKUP_PRIVATE")]
    key: PathBuf,
    /// Put the keyring here rather than into DATA_DIR.
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    #[command(flatten)]
    deletions: DeletionsArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct DeletionsArgs {
    /// The deletion log that `run --deletion-log` wrote, or the old data directory: what it says was deleted stays deleted.
    #[arg(long, value_name = "FILE_OR_OLD_DATA_DIR")]
    deletions: Option<PathBuf>,
    /// Restore without a deletion log: what was deleted after the backup comes back.
    #[arg(long)]
    no_deletions: bool,
}

/// Makes a backup.
pub(super) fn backup(args: BackupArgs) -> anyhow::Result<()> {
    let BackupArgs { data_dir, out, key, keyring } = args;
    let order = backup::Order { data_dir, out, key, keyring };
    let bar = bar("backup");
    let made = backup::backup(&order, &bar);
    bar.finish_and_clear();
    let backup::Made { time, nodes, packs, bytes } = made?;
    say!(
        "made {}: the store as of {time}, {} documents and folders, {} packs, {}",
        order.out.display(),
        HumanCount(nodes),
        HumanCount(packs),
        HumanBytes(bytes)
    );
    Ok(())
}

/// Restores one.
pub(super) fn restore(args: RestoreArgs) -> anyhow::Result<()> {
    let RestoreArgs { backup, data_dir, key, keyring, deletions } = args;
    let deletions = match deletions.deletions {
        Some(path) => restore::Deletions::In(path),
        None => restore::Deletions::Unknown,
    };
    let order = restore::Order { from: backup, data_dir, key, keyring, deletions };
    let bar = bar("restore");
    let restored = restore::restore(&order, &bar);
    bar.finish_and_clear();
    let restored = restored?;
    say!("made {}: the store as of {}", order.data_dir.display(), restored.time);
    report(&restored).iter().for_each(|line| say!("{line}"));
    Ok(())
}

/// What an administrator must know of a store that was restored.
fn report(restored: &restore::Restored) -> Vec<String> {
    let time = restored.time;
    let mut lines = Vec::new();
    match restored.replayed {
        None => lines.push(format!("no deletion log was applied: all that was deleted after {time} is back")),
        Some(restore::Replayed { applied, kept, last }) => {
            let reach = match last {
                Some((_, last)) if last < time => {
                    format!(
                        "the log ends at {last}, before the backup: what was deleted after {time} is back, if anything was"
                    )
                }
                Some((_, last)) => format!("the log reaches to {last}; what was deleted later is back"),
                None => format!("the log is empty: what was deleted after {time} is back, if anything was"),
            };
            lines.push(format!("deleted again, with their keys: {}; {reach}", HumanCount(applied)));
            if kept > 0 {
                lines.push(format!(
                    "folders that were deleted and stay, because they have entries: {}",
                    HumanCount(kept)
                ));
            }
        }
    }
    lines.push(format!(
        "check-ins, names, users and grants are as of {time}: a grant that was revoked since, and a user that was disabled since, \
         is in force again; see to that before you start the server"
    ));
    lines
}

/// A bar on a terminal; nothing in a pipe.
fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}%, {eta} left");
    let bar = ProgressBar::no_length().with_message(what);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use sss_common::Timestamp;

    #[test]
    fn the_report_says_what_is_back() {
        let mut restored = restore::Restored { time: Timestamp(1_795_359_845_000), nodes: 9, replayed: None };
        let lines = |restored: &restore::Restored| report(restored).join("\n");
        assert!(lines(&restored).contains("all that was deleted after 2026-11-22T15:04:05Z is back"));
        assert!(lines(&restored).contains("revoked"));
        let last = Some((sss_server::store::DeletionSeq(7), Timestamp(1_795_359_905_000)));
        restored.replayed = Some(restore::Replayed { applied: 3, kept: 0, last });
        assert!(
            lines(&restored)
                .contains("deleted again, with their keys: 3; the log reaches to 2026-11-22T15:05:05Z")
        );
        assert!(!lines(&restored).contains("folders"));
        let early = Some((sss_server::store::DeletionSeq(7), Timestamp(1_795_359_785_000)));
        restored.replayed = Some(restore::Replayed { applied: 0, kept: 0, last: early });
        assert!(lines(&restored).contains("ends at 2026-11-22T15:03:05Z, before the backup"));
        restored.replayed = Some(restore::Replayed { applied: 0, kept: 2, last: None });
        assert!(lines(&restored).contains("the log is empty") && lines(&restored).contains("entries: 2"));
    }
}

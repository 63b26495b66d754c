//! The command line of `3s`, and of `mount.3s` as mount(8) calls it.

mod helper;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use sss_common::{Advised, Grantee, NodeId, Right, When};

use crate::config::Options;
use crate::remote::https::Target;
pub use helper::{Helper, helper};

/// Secure Shared Store: a mounted folder whose files live, sealed, on a server.
#[derive(Debug, Parser)]
#[command(
    name = "3s",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  3s mount alice@files.example.org:8443 ~/store --identity ~/.3s/alice
  3s grant ~/store/report.pdf bob checkout 2h
  3s unmount ~/store

Sharing, flags and versions are also extended attributes (user.3s.*), for setfattr and getfattr."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mounts a user's home from a server
    #[command(after_help = "Examples:
  3s mount alice@files.example.org:8443 ~/store --identity ~/.3s/alice
  3s mount alice@[::1]:8443 /mnt/3s --identity ID_DIR -f -o flag=integrity,timeout=5

Options of -o, between commas:
  identity=ID_DIR                 same as --identity
  flag=confidentiality|integrity  what new documents get where their folder does not say
  ro                              nothing can be changed through this mount
  allow_other                     other users of this machine may use it as far as mode bits go; grants stay the mounting user's
  follow_symlinks                 links that others made may lead out of the mount
  timeout=SECONDS                 how long the server may take to answer (1 to 600; 10)
  memory=MIB                      memory for what is being written (16 to 65536)
  log=FILE|none                   where the log goes; ~/.local/state/3s/UID@HOST:PORT.log without -f
  noexec, noatime                 as mount(8) has them; its nofail, _netdev, user, x-… are passed over

In /etc/fstab, with `3s` installed as /usr/sbin/mount.3s too (a symbolic link does):
  alice@files.example.org:8443 /mnt/3s 3s identity=/etc/3s/alice,_netdev,nofail 0 0

Without -f the command returns when the mount answers. Its exit code and stderr say why if it does not.")]
    Mount(MountArgs),
    /// Unmounts: checks in what is not yet on the server, logs out
    #[command(after_help = "Example:
  3s unmount ~/store

Returns when everything is on the server, or says what is not, and where that is kept on this machine (see `3s recover`).
`fusermount3 -u` and `umount` do the same without waiting; then the log says it, and `3s status`.")]
    Unmount(UnmountArgs),
    /// Lets a user, or ALL, use a document or a folder for a limited time
    #[command(after_help = "Examples:
  3s grant ~/store/report.pdf bob checkout 2h
  3s grant ~/store/drop-box ALL checkin 7d

The latest grant is the rule. The same as: setfattr -n user.3s.grant.bob -v checkout,2h FILE")]
    Grant(GrantArgs),
    /// Takes a grant back
    #[command(after_help = "Example:
  3s revoke ~/store/report.pdf bob")]
    Revoke(RevokeArgs),
    /// Deletes documents for good, and keeps what the server signs about it
    #[command(after_help = "Examples:
  3s rm ~/store/draft.txt ~/store/notes.txt
  3s rm --receipt contract.receipt ~/store/contract.pdf
  3s verify contract.receipt --server-key server.pub

With --receipt it returns when the document's keys are erased, with the server's signed statement of that in FILE. Nothing
is deleted when FILE exists or cannot be made. When the document is deleted and the receipt does not come, because the
server's keyring cannot be written at the moment, the error names the command that fetches it later:
  3s rm --receipt FILE --again DOCUMENT MOUNTPOINT")]
    Rm(RmArgs),
    /// Shows owner, version, protection, rights and grants
    #[command(after_help = "Example:
  3s info ~/store/report.pdf")]
    Info(FileArgs),
    /// Lists the mounts and whether they answer
    #[command(after_help = "Examples:
  3s status
  3s status ~/store

Behind the mounts stands what earlier ones could not check in and kept on this machine; see `3s recover`.
Exits with 1 when a mount does not answer.")]
    Status(StatusArgs),
    /// Gives back what a mount could not check in before it ended
    #[command(after_help = "Examples:
  3s recover
  3s recover --to ~/recovered
  3s recover --discard

What a mount cannot check in when it ends (the server is away, the session was replaced, the user is disabled, the
certificate has ended) is kept on this machine, sealed to the user's key, below ~/.local/state/3s/recovery ($XDG_STATE_HOME).
The next mount of that user at that server makes a conflict copy of each and removes what was kept.
Without an option it lists what is kept. --to never writes over a file.")]
    Recover(RecoverArgs),
    /// Checks a document's content, or a deletion receipt, against the server's signature
    #[command(after_help = "Examples:
  3s verify ~/store/contract.pdf --server-key server.pub
  3s verify contract.receipt --server-key server.pub

Reads the whole document, computes its hash here, and checks the version's record and its signature with the
server's public key. That key must have come to you by a way that you trust, not from the server while it is asked:
have the administrator hand you DATA_DIR/server.pub. A copy at ID_DIR/server.pub is used without --server-key; \
where there is none, the first verify keeps the key that the server shows.
The file may hold several keys one behind the other, as after the administrator rotated the server's key
(cat server.pub >> ID_DIR/server.pub): a signature by any of them is good.
Only documents with the flag `integrity` are signed.

A receipt is a file that `3s rm --receipt` wrote, outside of the mounts. It is checked without the server.")]
    Verify(VerifyArgs),
}

/// `3s mount`.
#[derive(Debug, Args)]
pub struct MountArgs {
    /// UID@HOST:PORT
    pub target: Target,
    /// An existing folder
    pub mountpoint: PathBuf,
    /// The folder with ca.crt, client.crt, client.key, user.key
    #[arg(long, value_name = "ID_DIR")]
    pub identity: Option<PathBuf>,
    /// Stay in the foreground, log to stderr
    #[arg(short, long)]
    pub foreground: bool,
    /// Mount options, see below
    #[arg(short, value_name = "OPTIONS", value_parser = options, action = clap::ArgAction::Append)]
    pub options: Vec<String>,
    /// This process is the daemon of a `3s mount` that waits for it.
    #[arg(long, hide = true)]
    pub daemon_child: bool,
}

impl MountArgs {
    /// The `-o` options and `--identity` together.
    pub fn all_options(&self) -> Result<Options, Advised> {
        let mut all = Options::default();
        self.options.iter().try_for_each(|text| all.add(text, false))?;
        if let Some(dir) = &self.identity {
            all.identity = Some(dir.clone());
        }
        Ok(all)
    }
}

fn options(text: &str) -> Result<String, String> {
    match Options::default().add(text, false) {
        Ok(()) => Ok(text.into()),
        Err(failure) => Err(failure.to_string()),
    }
}

/// `3s unmount`.
#[derive(Debug, Args)]
pub struct UnmountArgs {
    /// The folder it is mounted on
    pub mountpoint: PathBuf,
    /// How many seconds to wait for the last check-ins
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
}

impl UnmountArgs {
    /// The wait as a duration.
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// `3s grant`.
#[derive(Debug, Args)]
pub struct GrantArgs {
    /// A document or folder on a mount
    pub file: PathBuf,
    /// A user, or ALL
    #[arg(value_name = "UID|ALL")]
    pub grantee: Grantee,
    /// checkin (write), checkout (read) or both
    #[arg(value_name = "RIGHT")]
    pub right: Right,
    /// 50s, 10m, 2h, 7d, or a time like 2026-11-22T15:04:05Z
    #[arg(value_name = "DURATION", value_parser = when)]
    pub when: GrantEnd,
}

/// A grant's end, in the words in which it was given.
#[derive(Clone, Debug)]
pub struct GrantEnd(pub String);

fn when(text: &str) -> Result<GrantEnd, String> {
    match text.parse::<When>() {
        Ok(_) => Ok(GrantEnd(text.into())),
        Err(error) => Err(error.to_string()),
    }
}

/// `3s revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// A document or folder on a mount
    pub file: PathBuf,
    /// A user, or ALL
    #[arg(value_name = "UID|ALL")]
    pub grantee: Grantee,
}

/// `3s info`.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// A document or folder on a mount
    pub file: PathBuf,
}

/// `3s status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only this mount
    pub mountpoint: Option<PathBuf>,
}

/// `3s recover`.
#[derive(Clone, Debug, Args)]
pub struct RecoverArgs {
    /// Lists what is kept
    #[arg(long, conflicts_with_all = ["to", "discard"])]
    pub list: bool,
    /// Decrypts what is kept into this folder; it stays kept
    #[arg(long, value_name = "DIR", conflicts_with = "discard")]
    pub to: Option<PathBuf>,
    /// Removes what is kept
    #[arg(long)]
    pub discard: bool,
    /// The folder with the user.key; the one that the mount used when missing
    #[arg(long, value_name = "ID_DIR")]
    pub identity: Option<PathBuf>,
}

/// `3s rm`.
#[derive(Clone, Debug, Args)]
pub struct RmArgs {
    /// A new file for the server's signed statement, outside of the mounts
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// Deletes nothing: fetches the receipt of a document that is deleted; PATH is the mountpoint
    #[arg(long, value_name = "DOCUMENT", requires = "receipt")]
    pub again: Option<NodeId>,
    /// Documents or links on a mount; with --receipt one document
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
}

/// `3s verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// A document on a mount, or a deletion receipt elsewhere
    pub file: PathBuf,
    /// The server's public key (PEM; or several), from a source that you trust
    #[arg(long, value_name = "server.pub")]
    pub server_key: Option<PathBuf>,
    /// The folder with a trusted copy of server.pub
    #[arg(long, value_name = "ID_DIR", conflicts_with = "server_key")]
    pub identity: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_an_example() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example") && help.contains("  3s "), "{}", command.get_name());
        }
    }

    #[test]
    fn the_contracts_lines_parse() {
        for line in [
            "3s mount alice@localhost:8443 /mnt --identity /id",
            "3s mount alice@[::1]:8443 /mnt --identity /id -f",
            "3s mount alice@localhost:8443 /mnt --identity /id --foreground -o flag=integrity,ro",
            "3s unmount /mnt",
            "3s grant /mnt/f bob checkout 50s",
            "3s grant /mnt/f ALL both 7d",
            "3s revoke /mnt/f ALL",
            "3s info /mnt/f",
            "3s status",
            "3s status /mnt",
            "3s verify /mnt/f --server-key server.pub",
            "3s verify f.receipt --identity /id",
            "3s recover",
            "3s recover --list",
            "3s recover --to /tmp/back",
            "3s recover --discard",
            "3s rm /mnt/f /mnt/g",
            "3s rm --receipt f.receipt /mnt/f",
            "3s rm --receipt f.receipt --again 000102030405060708090a0b0c0d0e0f /mnt",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "3s mount localhost:8443 /mnt",
            "3s mount alice@localhost /mnt",
            "3s mount alice@localhost:1 /mnt -o bogus",
            "3s grant /mnt/f bob read 50s",
            "3s grant /mnt/f bob checkout soon",
            "3s grant /mnt/f b/b checkout 50s",
            "3s grant /mnt/f bob checkout",
            "3s recover --list --discard",
            "3s recover --to /tmp/back --discard",
            "3s rm",
            "3s rm --again 000102030405060708090a0b0c0d0e0f /mnt",
            "3s rm --receipt f.receipt --again f /mnt",
            "3s verify f --identity /id --server-key server.pub",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}

//! The command line: one file for each family of commands.

mod audit;
mod backup;
mod clock;
mod drill;
mod rotate;
mod scrub;
mod user;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use rustix::process::geteuid;
use sss_common::say;

use crate::owner::{self, Owner};
use audit::AuditArgs;
use backup::{BackupArgs, RestoreArgs};
use clock::ClockArgs;
use drill::DrillArgs;
use rotate::RotateArgs;
use scrub::ScrubArgs;
use sss_server::config::Config;
use sss_server::run::{self, compose};
use user::UserCommand;

/// The Secure Shared Store's server.
#[derive(Debug, Parser)]
#[command(name = "3s-server", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  3s-server init /var/lib/3s
  3s-server user add /var/lib/3s alice alice/user.pub
  3s-server run /var/lib/3s --tls /etc/3s/tls --listen 0.0.0.0:8443";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a data directory: document key pair, keyring, database.
    #[command(after_help = "Examples:
  3s-server init /var/lib/3s
  3s-server init /var/lib/3s --keyring /media/usb/keyring")]
    Init {
        /// The folder to make; it may be there and empty.
        data_dir: PathBuf,
        /// Put the keyring here rather than into DATA_DIR.
        #[arg(long, value_name = "FILE")]
        keyring: Option<PathBuf>,
    },
    /// Add, rekey, list, disable, enable and remove users, or hand their documents over. Works while the server runs.
    #[command(subcommand, after_help = "Example: 3s-server user add /var/lib/3s alice alice/user.pub")]
    User(UserCommand),
    /// Read the audit log, follow it, or check that it is whole. Works while the server runs.
    #[command(after_help = audit::EXAMPLES)]
    Audit(AuditArgs),
    /// Show the time by which rights end, or take a mistaken one back.
    #[command(after_help = clock::EXAMPLES)]
    Clock(ClockArgs),
    /// Prove that what is removed stays closed: an attack on a scratch copy, with all that was ever on the disk.
    #[command(after_help = "Examples:
  3s-server drill /var/lib/3s
  3s-server drill /mnt/image/3s --search /srv/image.ext4

Checks three documents into a scratch copy, copies everything but the keyring, removes two, and then attacks with the copy,
today's files, today's keyring and the RSA key. Changes nothing in the store; exit code 0 if the drill passes.")]
    Drill(DrillArgs),
    /// List the places where a test can let the process die; debug builds only.
    #[cfg(debug_assertions)]
    #[command(hide = true, after_help = "Example: SSS_FAILPOINT=erase.staged 3s-server run ...")]
    Failpoints,
    /// Give the server a new key pair. The server must be stopped; documents are not touched.
    #[command(after_help = "Examples:
  3s-server rotate-key /var/lib/3s
  3s-server rotate-key /var/lib/3s --keyring /media/usb/keyring

Signatures by the old key stay good (retired.pub). Hand the new server.pub to the users. A rotation that a crash cut
short is undone or finished by the next start of the server, or of this command.")]
    RotateKey(RotateArgs),
    /// Serve until SIGTERM or SIGINT. SIGHUP reads the files of TLS_DIR again.
    #[command(after_help = "Examples:
  3s-server run /var/lib/3s --tls /etc/3s/tls --listen 0.0.0.0:8443
  3s-server run /var/lib/3s --tls tls --listen 127.0.0.1:0 --http-redirect 127.0.0.1:8080 --config 3s-server.toml

Prints `listening on ADDR:PORT` once it answers. Logs go to stderr; RUST_LOG sets how much, as in RUST_LOG=debug.")]
    Run(RunArgs),
    /// Read all that is kept and report by path what does not verify. Works while the server runs.
    #[command(after_help = scrub::EXAMPLES)]
    Scrub(ScrubArgs),
    /// Seal all of the store, as of one moment, to an administrator's public key. Works while the server runs.
    #[command(after_help = backup::BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Make a data directory out of a backup, without what was deleted since.
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The data directory that `init` made.
    data_dir: PathBuf,
    /// The folder with server.crt, server.key, ca.crt and ca.crl.
    #[arg(long, value_name = "TLS_DIR")]
    tls: PathBuf,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Where to answer plain HTTP with a redirect.
    #[arg(long, value_name = "ADDR:PORT")]
    http_redirect: Option<SocketAddr>,
    /// Limits and habits; see 3s-server.example.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The keyring, where it is not in DATA_DIR.
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Keep a copy of the deletion log here, on another disk: a restored backup needs it, to leave deleted what was.
    #[arg(long, value_name = "FILE")]
    deletion_log: Option<PathBuf>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Cli {
    /// Does what the command line says. Root becomes the account that the data directory belongs to: before any thread is
    /// started, and behind what the command reads elsewhere.
    pub fn execute(self) -> anyhow::Result<()> {
        // Everything that the server writes is its own user's only.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let began = geteuid();
        let done = self.command.execute();
        done.map_err(|error| match geteuid() == began || error.is::<audit::Broken>() {
            true => error,
            false => owner::noted(error),
        })
    }
}

impl Command {
    fn execute(self) -> anyhow::Result<()> {
        match self {
            Command::Init { data_dir, keyring } => init(&data_dir, keyring),
            Command::User(command) => user::user(command),
            Command::Audit(args) => args.execute(),
            Command::Clock(args) => args.execute(),
            Command::Drill(args) => args.execute(),
            #[cfg(debug_assertions)]
            Command::Failpoints => {
                sss_failpoint::ALL.iter().for_each(|name| say!("{name}"));
                Ok(())
            }
            Command::RotateKey(args) => rotate::rotate_key(args),
            Command::Scrub(args) => args.execute(),
            Command::Backup(args) => backup::backup(args),
            Command::Restore(args) => backup::restore(args),
            Command::Run(args) => {
                run::start_log(args.log_format == LogFormat::Json);
                let config = args.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
                Owner::become_of(&args.data_dir)?;
                run::run(run::Options {
                    data_dir: args.data_dir,
                    tls_dir: args.tls,
                    listen: args.listen,
                    redirect: args.http_redirect,
                    keyring: args.keyring,
                    deletion_log: args.deletion_log,
                    config,
                })
            }
        }
    }
}

/// What a command that failed ends with: 3 where `audit --verify` found the log broken, else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<audit::Broken>() { 3 } else { 1 }
}

fn init(data_dir: &Path, keyring: Option<PathBuf>) -> anyhow::Result<()> {
    Owner::become_of(data_dir)?;
    compose::init(data_dir, keyring)?;
    say!("made {}", data_dir.display());
    say!("next: 3s-server user add {} UID PUBLIC_KEY_FILE", data_dir.display());
    Ok(())
}

#[cfg(test)]
mod tests;

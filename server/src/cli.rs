//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Parser, Subcommand, ValueEnum};
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;
use sss_common::{Clock, SystemClock, Uid};

use crate::config::Config;
use crate::run::{self, Advice, compose};
use crate::store::{NewUser, StoreError};

/// Fewest and most bits of a user's key. More than 4096 make each login slow, and no safer against what is feared.
const KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

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
    /// Add, list, disable and enable users. Works while the server runs.
    #[command(subcommand, after_help = "Example: 3s-server user add /var/lib/3s alice alice/user.pub")]
    User(UserCommand),
    /// Serve until SIGTERM or SIGINT. SIGHUP reads the files of TLS_DIR again.
    #[command(after_help = "Examples:
  3s-server run /var/lib/3s --tls /etc/3s/tls --listen 0.0.0.0:8443
  3s-server run /var/lib/3s --tls tls --listen 127.0.0.1:0 --http-redirect 127.0.0.1:8080 --config 3s-server.toml

Prints `listening on ADDR:PORT` once it answers. Logs go to stderr; RUST_LOG sets how much, as in RUST_LOG=debug.")]
    Run(RunArgs),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user with an empty home.
    #[command(after_help = "Example: 3s-server user add /var/lib/3s alice alice/user.pub")]
    Add {
        /// The data directory.
        data_dir: PathBuf,
        /// 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter, a digit or _.
        uid: Uid,
        /// An RSA public key of 2048 to 4096 bits, PEM, as `3s-ca enroll` writes it into user.pub.
        public_key_file: PathBuf,
    },
    /// List the users: name, `enabled` or `disabled`, since when.
    #[command(after_help = "Example: 3s-server user list /var/lib/3s")]
    List {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// End a user's sessions and refuse further logins; the documents stay.
    #[command(after_help = "Example: 3s-server user disable /var/lib/3s bob")]
    Disable {
        /// The data directory.
        data_dir: PathBuf,
        /// Who.
        uid: Uid,
    },
    /// Let a disabled user log in again.
    #[command(after_help = "Example: 3s-server user enable /var/lib/3s bob")]
    Enable {
        /// The data directory.
        data_dir: PathBuf,
        /// Who.
        uid: Uid,
    },
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
    /// Does what the command line says.
    pub fn execute(self) -> anyhow::Result<()> {
        // Everything that the server writes is its own user's only.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        match self.command {
            Command::Init { data_dir, keyring } => init(&data_dir, keyring),
            Command::User(command) => user(command),
            Command::Run(args) => {
                run::start_log(args.log_format == LogFormat::Json);
                let config = args.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
                run::run(run::Options {
                    data_dir: args.data_dir,
                    tls_dir: args.tls,
                    listen: args.listen,
                    redirect: args.http_redirect,
                    keyring: args.keyring,
                    config,
                })
            }
        }
    }
}

fn init(data_dir: &Path, keyring: Option<PathBuf>) -> anyhow::Result<()> {
    compose::init(data_dir, keyring)?;
    println!("made {}", data_dir.display());
    println!("next: 3s-server user add {} UID PUBLIC_KEY_FILE", data_dir.display());
    Ok(())
}

fn user(command: UserCommand) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            UserCommand::Add { data_dir, uid, public_key_file } => {
                add_user(&data_dir, uid, &public_key_file).await
            }
            UserCommand::List { data_dir } => list_users(&data_dir).await,
            UserCommand::Disable { data_dir, uid } => set_disabled(&data_dir, &uid, true).await,
            UserCommand::Enable { data_dir, uid } => set_disabled(&data_dir, &uid, false).await,
        }
    })
}

async fn add_user(data_dir: &Path, uid: Uid, file: &Path) -> anyhow::Result<()> {
    let shown = file.display();
    let pem = std::fs::read_to_string(file)
        .map_err(|error| anyhow::anyhow!("{shown}: {error}"))
        .advice("give the user.pub that `3s-ca enroll` wrote")?;
    let public_key = checked_key(&pem)
        .map_err(|words| anyhow::anyhow!("{shown}: {words}"))
        .advice("give the user.pub that `3s-ca enroll` wrote, or `openssl rsa -in KEY -pubout`")?;
    let meta = compose::open_meta(data_dir)?;
    match meta.add_user(NewUser { uid: uid.clone(), public_key, now: SystemClock.now() }).await {
        Ok(()) => {
            println!("added {uid}");
            Ok(())
        }
        Err(StoreError::Exists) => {
            bail!(
                "there is a user {uid} already\nchoose another name; `3s-server user list` shows those taken"
            )
        }
        Err(error) => Err(error).advice("see whether DATA_DIR is right and its disk has room"),
    }
}

/// An RSA public key of a fitting size, as SPKI PEM; else why not. Reads PKCS #1 PEM too.
fn checked_key(pem: &str) -> Result<String, String> {
    if pem.contains("PRIVATE KEY") {
        return Err("this is a private key; keep it to its owner".into());
    }
    let key = RsaPublicKey::from_public_key_pem(pem)
        .or_else(|_| RsaPublicKey::from_pkcs1_pem(pem))
        .map_err(|_| "not an RSA public key of at most 4096 bits in PEM".to_owned())?;
    let bits = key.n().bits();
    if !KEY_BITS.contains(&bits) {
        return Err(format!("the key has {bits} bits; it needs {} to {}", KEY_BITS.start(), KEY_BITS.end()));
    }
    key.to_public_key_pem(LineEnding::LF).map_err(|error| error.to_string())
}

async fn list_users(data_dir: &Path) -> anyhow::Result<()> {
    let users = compose::open_meta(data_dir)?.users().await.advice("see whether DATA_DIR is right")?;
    for user in users {
        let state = if user.disabled { "disabled" } else { "enabled" };
        println!("{}\t{state}\tsince {}", user.uid, user.created);
    }
    Ok(())
}

async fn set_disabled(data_dir: &Path, uid: &Uid, disabled: bool) -> anyhow::Result<()> {
    match compose::open_meta(data_dir)?.set_disabled(uid, disabled).await {
        Ok(()) => {
            println!("{} {uid}", if disabled { "disabled" } else { "enabled" });
            Ok(())
        }
        Err(StoreError::NotFound) => {
            bail!("there is no user {uid}\n`3s-server user list` shows who is there")
        }
        Err(error) => Err(error).advice("see whether DATA_DIR is right and its disk has room"),
    }
}

#[cfg(test)]
mod tests;

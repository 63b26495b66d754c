//! `3s-server user`: who may log in. Works on the data directory, also while a server runs on it.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand};
use indicatif::{HumanCount, ProgressBar};
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;
use sss_common::limits::DEPTH_MAX;
use sss_common::say;
use sss_common::{Clock, Name, SystemClock, Uid};

use crate::owner::Owner;
use crate::removal::{self, Order, Removed, Watch};
use crate::words::shown;
use sss_server::run::{Advice, compose};
use sss_server::store::{AuditAction, AuditRow, MetaStore, NewUser, StoreError};

/// Fewest and most bits of a user's key. More than 4096 make each login slow, and no safer against what is feared.
const KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
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
    /// Give a user another key: the old one logs nobody in any more, and the sessions end; documents and grants stay.
    #[command(after_help = "Example: 3s-server user rekey /var/lib/3s alice alice-new/user.pub")]
    Rekey {
        /// The data directory.
        data_dir: PathBuf,
        /// Who.
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
    /// Remove a user with all documents of the home, and erase their keys. The name is never given again.
    #[command(after_help = "Examples:
  3s-server user remove /var/lib/3s bob
  3s-server user remove /var/lib/3s bob --yes --receipts bobs-receipts

What bob made in others' homes becomes theirs, and what others granted him goes. To keep his documents, hand them over first: see
`3s-server user transfer --help`. A removal that was cut short is finished by the same command.")]
    Remove(RemoveArgs),
    /// Put all that is in a user's home into a new folder of another's, who owns it from then on.
    #[command(after_help = "Examples:
  3s-server user transfer /var/lib/3s bob alice
  3s-server user transfer /var/lib/3s bob alice --into from-bob

Versions and signatures stay as they are, and so do grants to others, until their ends.")]
    Transfer(TransferArgs),
    /// Let a disabled user log in again.
    #[command(after_help = "Example: 3s-server user enable /var/lib/3s bob")]
    Enable {
        /// The data directory.
        data_dir: PathBuf,
        /// Who.
        uid: Uid,
    },
}

/// `DATA_DIR UID` of a removal, with what it takes along.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The data directory.
    data_dir: PathBuf,
    /// Who.
    uid: Uid,
    /// Do not ask; needed where no terminal is there to answer.
    #[arg(long)]
    yes: bool,
    /// Write a deletion receipt for each document of the home that was ever deleted into this folder, as ID.receipt.
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
    /// The keyring, where it is not in DATA_DIR.
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
}

/// From whom to whom.
#[derive(Debug, Args)]
pub(super) struct TransferArgs {
    /// The data directory.
    data_dir: PathBuf,
    /// Whose documents.
    from: Uid,
    /// To whom.
    to: Uid,
    /// The folder's name in TO's home; FROM's name where none is given, with a number behind it if that is taken.
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    into: Option<Name>,
}

fn folder(text: &str) -> Result<Name, String> {
    match text.parse::<Name>() {
        Ok(name) if name.is_owner_link() => Err("a name in a home does not begin with `@`".into()),
        Ok(name) => Ok(name),
        Err(error) => Err(error.to_string()),
    }
}

/// Does what the command line says.
pub(super) fn user(command: UserCommand) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            UserCommand::Add { data_dir, uid, public_key_file } => {
                add_user(&data_dir, uid, &public_key_file).await
            }
            UserCommand::Rekey { data_dir, uid, public_key_file } => {
                rekey(&data_dir, &uid, &public_key_file).await
            }
            UserCommand::Remove(args) => remove(args).await,
            UserCommand::Transfer(args) => transfer(args).await,
            UserCommand::List { data_dir } => list_users(&data_dir).await,
            UserCommand::Disable { data_dir, uid } => set_disabled(&data_dir, &uid, true).await,
            UserCommand::Enable { data_dir, uid } => set_disabled(&data_dir, &uid, false).await,
        }
    })
}

async fn add_user(data_dir: &Path, uid: Uid, file: &Path) -> anyhow::Result<()> {
    let public_key = read_key(file)?;
    let meta = open_meta(data_dir)?;
    let now = SystemClock.now();
    let row = AuditRow::administrative(now, AuditAction::UserAdd, uid.as_str());
    match meta.add_user(NewUser { uid: uid.clone(), public_key, now }, row).await {
        Ok(()) => {
            say!("added {uid}");
            Ok(())
        }
        Err(StoreError::Exists) if meta.removed(&uid).await.is_ok_and(|removed| removed.is_some()) => {
            bail!(
                "a user {uid} was removed, and the name is not given again: versions, grants and the audit log go on naming that one\n\
                 choose another name"
            )
        }
        Err(StoreError::Exists) => {
            bail!(
                "there is a user {uid} already\nchoose another name; `3s-server user list` shows those taken"
            )
        }
        Err(error) => Err(error).advice("see whether DATA_DIR is right and its disk has room"),
    }
}

async fn rekey(data_dir: &Path, uid: &Uid, file: &Path) -> anyhow::Result<()> {
    let public_key = read_key(file)?;
    let meta = open_meta(data_dir)?;
    let present = meta.user(uid).await.advice("see whether DATA_DIR is right")?;
    if present.is_some_and(|user| user.public_key == public_key) {
        bail!(
            "{} is the key that {uid} has already\n`3s-ca enroll` into a new folder makes a new one",
            file.display()
        );
    }
    let row = AuditRow::administrative(SystemClock.now(), AuditAction::UserRekey, uid.as_str());
    match meta.set_key(uid, &public_key, row).await {
        Ok(()) => {
            say!("{uid} has another key; the sessions have ended");
            Ok(())
        }
        Err(error) => Err(unknown_or_failed(error, uid)),
    }
}

/// The data directory's metadata, as the one to whom it belongs.
fn open_meta(data_dir: &Path) -> anyhow::Result<Arc<dyn MetaStore>> {
    Owner::become_of(data_dir)?;
    compose::open_meta(data_dir)
}

/// A user's public key from its file.
fn read_key(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let pem = std::fs::read_to_string(file)
        .map_err(|error| anyhow::anyhow!("{shown}: {error}"))
        .advice("give the user.pub that `3s-ca enroll` wrote")?;
    checked_key(&pem)
        .map_err(|words| anyhow::anyhow!("{shown}: {words}"))
        .advice("give the user.pub that `3s-ca enroll` wrote, or `openssl rsa -in KEY -pubout`")
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
    let users = open_meta(data_dir)?.users().await.advice("see whether DATA_DIR is right")?;
    for user in users {
        let state = if user.disabled { "disabled" } else { "enabled" };
        say!("{}\t{state}\tsince {}", user.uid, user.created);
    }
    Ok(())
}

async fn set_disabled(data_dir: &Path, uid: &Uid, disabled: bool) -> anyhow::Result<()> {
    let action = if disabled { AuditAction::UserDisable } else { AuditAction::UserEnable };
    let row = AuditRow::administrative(SystemClock.now(), action, uid.as_str());
    match open_meta(data_dir)?.set_disabled(uid, disabled, row).await {
        Ok(()) => {
            say!("{} {uid}", if disabled { "disabled" } else { "enabled" });
            Ok(())
        }
        Err(error) => Err(unknown_or_failed(error, uid)),
    }
}

/// Removes a user. Asks for the name once more where somebody can answer.
async fn remove(args: RemoveArgs) -> anyhow::Result<()> {
    let RemoveArgs { data_dir, uid, yes, receipts, keyring } = args;
    Owner::become_of(&data_dir)?;
    if !yes {
        confirmed(&uid)?;
    }
    let bar = Progress(ProgressBar::new_spinner());
    let order = Order { data_dir, keyring, uid, receipts };
    let removed = removal::remove(&order, &bar).await;
    bar.0.finish_and_clear();
    let Removed { nodes, receipts } = removed?;
    say!("removed {}, with {} documents and folders; their keys are erased", order.uid, HumanCount(nodes));
    if let Some(folder) = order.receipts {
        say!("wrote {} deletion receipts to {}", HumanCount(receipts), folder.display());
    }
    Ok(())
}

/// Whether a person says so.
fn confirmed(uid: &Uid) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "this removes {uid} and all documents of the home for good\nsay --yes where nobody can be asked"
        );
    }
    // Nobody who cannot read the question answers it by mistake: the name must be typed.
    let _ = write!(
        std::io::stderr(),
        "this removes {uid} and all documents of the home for good; type the user's name to go on: "
    );
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).advice("say --yes where nobody can be asked")?;
    match answer.trim() == uid.as_str() {
        true => Ok(()),
        false => bail!("nothing was removed\ntype the user's name, or say --yes"),
    }
}

/// A bar on a terminal; nothing in a pipe.
struct Progress(ProgressBar);

impl Watch for Progress {
    fn removed(&self, nodes: u64) {
        self.0.inc(nodes);
        self.0.set_message(format!("{} documents and folders removed", HumanCount(self.0.position())));
    }

    fn waiting(&self, deletions: u64) {
        self.0.set_message(format!("the server erases the keys of {} documents", HumanCount(deletions)));
        self.0.tick();
    }
}

async fn transfer(args: TransferArgs) -> anyhow::Result<()> {
    let TransferArgs { data_dir, from, to, into } = args;
    let meta = open_meta(&data_dir)?;
    let detail = format!("{from} to {to}");
    let row = AuditRow::administrative(SystemClock.now(), AuditAction::UserTransfer, detail);
    match meta.transfer(&from, &to, into.as_ref(), row).await {
        Ok((folder, nodes)) => {
            let name = folder.name.as_ref().map(Name::as_str).unwrap_or_default();
            say!("{} documents and folders of {from} are @{to}/{} now", HumanCount(nodes), shown(name));
            Ok(())
        }
        Err(StoreError::Loop) => bail!("{from} has these documents already\nname two users"),
        Err(StoreError::Exists) => bail!("the name is taken in the home of {to}\ngive another with --into"),
        Err(StoreError::TooDeep) => bail!(
            "folders would be nested deeper than {DEPTH_MAX}\nlet {from} move the deepest ones up first"
        ),
        Err(StoreError::NotFound) => {
            bail!("there is no user {from}, or no user {to}\n`3s-server user list` shows who is there")
        }
        Err(error) => {
            Err(error).advice("see whether DATA_DIR is right and its disk has room; nothing was changed")
        }
    }
}

/// Why a user was not changed.
fn unknown_or_failed(error: StoreError, uid: &Uid) -> anyhow::Error {
    match error {
        StoreError::NotFound => {
            anyhow::anyhow!("there is no user {uid}\n`3s-server user list` shows who is there")
        }
        error => anyhow::anyhow!("{error}\nsee whether DATA_DIR is right and its disk has room"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use rsa::RsaPrivateKey;
    use rsa::pkcs1::EncodeRsaPublicKey;
    use rsa::pkcs8::EncodePrivateKey;

    #[test]
    fn keys() {
        let mut rng = rand::rngs::OsRng;
        let key = RsaPrivateKey::new(&mut rng, 2048).unwrap();
        let public = key.to_public_key();
        let spki = public.to_public_key_pem(LineEnding::LF).unwrap();
        assert_eq!(checked_key(&spki).unwrap(), spki);
        assert_eq!(checked_key(&public.to_pkcs1_pem(LineEnding::LF).unwrap()).unwrap(), spki);

        let small = RsaPrivateKey::new(&mut rng, 1024).unwrap().to_public_key();
        let words = checked_key(&small.to_public_key_pem(LineEnding::LF).unwrap()).unwrap_err();
        assert!(words.contains("1024 bits"), "{words}");
        let private = key.to_pkcs8_pem(LineEnding::LF).unwrap();
        assert!(checked_key(&private).unwrap_err().contains("private"));
        for bad in ["", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert!(checked_key(bad).is_err(), "{bad}");
        }
    }
}

//! Deletion receipts on this side: checked against the server's public key, and told in words.
//!
//! Works offline: the statement, the signature and the key are all there is to it. What the statement says
//! is the server's word; the signature proves that it is the server's, and that nobody changed it since.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sss_common::receipt::{JSON_MAX, Receipt, ReceiptError, SignedReceipt, quoted};
use sss_common::say;
use sss_common::{Advised, NodeId};

use super::mountinfo::Mounted;
use super::registry::Registry;
use super::server_keys::{ServerKeys, copy_in};
use crate::cli::VerifyArgs;

/// Public keys of the server that somebody here trusts.
pub struct Trusted {
    path: PathBuf,
    keys: ServerKeys,
}

impl Trusted {
    /// Reads a file of keys.
    pub fn read(path: PathBuf) -> Result<Self, Advised> {
        let keys = ServerKeys::read(&path)?;
        Ok(Trusted { path, keys })
    }

    /// The copy beside the identity that a mount was made with, if there is one.
    pub fn of_mount(mounted: &Mounted) -> Result<Option<Self>, Advised> {
        let found = Registry::of(mounted.user).find(&mounted.point);
        let copy = found.map(|found| copy_in(&found.record.identity)).transpose()?;
        copy.filter(|copy| copy.exists()).map(Trusted::read).transpose()
    }

    /// Checks a receipt's signature, and says which key it is good by. `place` is for the error.
    pub fn check(&self, place: &str, signed: &SignedReceipt) -> Result<String, Advised> {
        signed.signature().map_err(|error| unreadable(place, &error))?;
        let path = self.path.display();
        let signer = self.keys.signer(|key| signed.is_signed_by(key)).ok_or_else(|| {
            Advised::new(
                format!("{place}: the signature is not by {} in {path}", self.keys.named()),
                format!(
                    "do not rely on this receipt: it was altered, or it is another server's; or the administrator rotated \
                     the key (3s-server rotate-key): then add what you lack of the server's server.pub and retired.pub, \
                     cat server.pub retired.pub >> {path}"
                ),
            )
        })?;
        Ok(match self.keys.len() {
            1 => format!("key {path}"),
            _ => format!("key {path}, SHA-256 {}", signer.fingerprint),
        })
    }
}

/// What a receipt says, if it is about this document.
pub fn about(document: NodeId, place: &str, signed: &SignedReceipt) -> Result<Receipt, Advised> {
    let receipt = signed.receipt().map_err(|error| unreadable(place, &error))?;
    match receipt.document == document {
        true => Ok(receipt),
        false => Err(Advised::new(
            format!("{place}: it is about document {}, not {document}", receipt.document),
            "the server answered with another document's receipt: tell its administrator",
        )),
    }
}

/// `3s verify` of a file that is not on a mount.
pub fn verify(args: &VerifyArgs) -> Result<(), Advised> {
    let file = &args.file;
    let signed = read(file)?;
    let place = file.display().to_string();
    let receipt = signed.receipt().map_err(|error| unreadable(&place, &error))?;
    let key = match (&args.server_key, &args.identity) {
        (Some(key), _) => Trusted::read(key.clone())?,
        (None, Some(identity)) => Trusted::read(copy_in(identity)?)?,
        (None, None) => {
            return Err(Advised::new(
                format!("{place} is a deletion receipt, and there is no key to check it against"),
                "name the server's public key, DATA_DIR/server.pub there: --server-key server.pub, or --identity ID_DIR \
                 with a copy in it",
            ));
        }
    };
    let signer = key.check(&place, &signed)?;
    say!("{place}: receipt of a deletion\n{}", words(&receipt).join("\n"));
    say!("signature: good ({signer})");
    Ok(())
}

fn unreadable(place: &str, error: &ReceiptError) -> Advised {
    Advised::new(
        format!("{place} is no receipt that could be checked: {error}"),
        "it was altered or cut short; `3s rm --receipt FILE --again DOCUMENT MOUNTPOINT` fetches a receipt again",
    )
}

fn read(file: &Path) -> Result<SignedReceipt, Advised> {
    let shown = file.display();
    let foreign = |what: &str| {
        Advised::new(
            format!("{shown} is not on a 3S mount, and {what}"),
            "name a file below a mountpoint (`3s status` lists the mounts), or a receipt that `3s rm --receipt` wrote",
        )
    };
    let failed = |error: std::io::Error| foreign(&format!("cannot be read: {error}"));
    let meta = std::fs::metadata(file).map_err(failed)?;
    if !meta.is_file() {
        return Err(foreign("is no file that could be a deletion receipt"));
    }
    let mut json = Vec::new();
    let limit = JSON_MAX as u64 + 1;
    File::open(file).and_then(|open| open.take(limit).read_to_end(&mut json)).map_err(failed)?;
    SignedReceipt::from_json(&json).map_err(|_| foreign("is no deletion receipt"))
}

/// A receipt for a person, line by line. Nothing in it does anything to a terminal.
pub fn words(receipt: &Receipt) -> Vec<String> {
    let erased = match &receipt.erasure {
        None => "none: it had no key of its own".into(),
        Some(erasure) => {
            let (count, at) = (receipt.keys.count(), erasure.time.precise());
            format!("{} ({count} in all), {at}, epoch {}", receipt.keys, erasure.epoch)
        }
    };
    let shared = match receipt.shared_keys.is_empty() {
        true => "none".into(),
        false => format!("{} (a copy that an editor made still needs them)", receipt.shared_keys),
    };
    vec![
        format!("store:     {}", receipt.store),
        format!("document:  {}", receipt.document),
        format!("path:      {} in {}'s home", quoted(&receipt.path), receipt.home),
        format!("deleted:   {} by {}", receipt.deleted.precise(), receipt.deleted_by),
        format!("versions:  {}", receipt.versions),
        format!("erased:    keys {erased}"),
        format!("kept:      keys {shared}"),
    ]
}

#[cfg(test)]
mod tests;

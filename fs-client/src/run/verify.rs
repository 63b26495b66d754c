//! `3s verify`: a document's content against the server's signature, checked here.
//!
//! Reads the document once, block by block. The record and the signature come from the mount; they prove
//! nothing by themselves, the public key does. Best it comes from the administrator. Without that, the key
//! that the server shows at the first `verify` is kept beside the identity, and every later version must be
//! signed with the same one: what a server of the CA's showed once, no other can replace unnoticed. Where
//! the administrator rotated the server's key, the file holds several: a signature by any of them is good.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::io::Errno;
use sss_common::durable::{self, Access};
use sss_common::limits::BLOCK_SIZE;
use sss_common::record::{RootHash, VersionRecord, block_hash, merkle_root};
use sss_common::say;
use sss_common::{Advised, Flag};

use super::mountinfo::{self, Mounted};
use super::receipt;
use super::registry::Registry;
use super::server_keys::{ServerKeys, TrustedKey, copy_in};
use super::xattr;
use crate::cli::VerifyArgs;

/// A new version may be checked in while this one is read; then it is read again, so often.
const TRIES: usize = 3;

/// Checks a document and prints what it found.
pub fn verify(args: &VerifyArgs) -> Result<(), Advised> {
    let file = &args.file;
    let Some(mounted) = mountinfo::around(&mountinfo::resolve(file))? else { return receipt::verify(args) };
    let key_path = match key_path(args, &mounted)? {
        KeyAt::Trusted(path) => path,
        KeyAt::Unknown(keep) => first_use(file, keep)?,
    };
    let keys = ServerKeys::read(&key_path)?;
    for _ in 0..TRIES {
        let (record, signature) = record(file)?;
        let key = check_signature(file, &record, signature.as_deref(), &keys, &key_path)?;
        let content = read(file)?;
        if content.fits(&record) {
            show(file, &record, &key_path, (keys.len() > 1).then_some(key));
            return Ok(());
        }
        if self::record(file)?.0.version == record.version {
            return Err(changed(file, &record, &content));
        }
    }
    Err(Advised::new(
        format!("{} is being checked in again and again", file.display()),
        "try again when its writer is done",
    ))
}

/// What was read.
#[derive(Debug)]
struct Content {
    size: u64,
    root: RootHash,
}

impl Content {
    fn fits(&self, record: &VersionRecord) -> bool {
        self.size == record.size && self.root == record.root
    }
}

/// Whether the server signed this record, and with which key; what the record says of the content is another
/// question.
fn check_signature<'a>(
    file: &Path,
    record: &VersionRecord,
    signature: Option<&[u8]>,
    keys: &'a ServerKeys,
    key_path: &Path,
) -> Result<&'a TrustedKey, Advised> {
    let shown = file.display();
    let version = record.version;
    if record.flag != Flag::Integrity {
        return Err(Advised::new(
            format!("{shown} has the flag `{}`: its versions carry no signature", record.flag),
            "its owner can have it signed from now on: setfattr -n user.3s.flag -v integrity FILE",
        ));
    }
    let Some(signature) = signature else {
        return Err(Advised::new(
            format!("{shown}, version {version}, has the flag `integrity` but no signature"),
            "do not trust this content; tell the server's administrator",
        ));
    };
    keys.signer_of(record, signature).ok_or_else(|| {
        Advised::new(
            format!("{shown}, version {version}: the signature is not by {} in {}", keys.named(), key_path.display()),
            format!(
                "do not trust this content; check that the key is this server's, and tell its administrator, who may have \
                 rotated it (3s-server rotate-key): then add what you lack of the server's server.pub and retired.pub, \
                 cat server.pub retired.pub >> {}",
                key_path.display()
            ),
        )
    })
}

fn changed(file: &Path, record: &VersionRecord, content: &Content) -> Advised {
    Advised::new(
        format!(
            "{}, version {}: the content ({} bytes) is not what was signed ({} bytes)",
            file.display(),
            record.version,
            content.size,
            record.size
        ),
        "do not trust this content; tell the server's administrator",
    )
}

/// `key` is the one that signed, where there are several.
fn show(file: &Path, record: &VersionRecord, key_path: &Path, key: Option<&TrustedKey>) {
    say!("{}: version {}, {} bytes", file.display(), record.version, record.size);
    say!("checked in by {} from {} at {}", record.author, record.machine, record.time);
    let which = key.map_or_else(String::new, |key| format!(", SHA-256 {}", key.fingerprint));
    say!("signature: good (key {}{which})", key_path.display());
}

/// Where the key to check against lies.
enum KeyAt {
    /// Here.
    Trusted(PathBuf),
    /// Nowhere yet; it belongs here, if the identity's folder is known.
    Unknown(Option<PathBuf>),
}

/// `--server-key`, or the trusted copy beside the identity that the mount was made with.
fn key_path(args: &VerifyArgs, mounted: &Mounted) -> Result<KeyAt, Advised> {
    if let Some(path) = &args.server_key {
        return Ok(KeyAt::Trusted(path.clone()));
    }
    if let Some(dir) = &args.identity {
        return copy_in(dir).map(KeyAt::Trusted);
    }
    let identity = Registry::of(mounted.user).find(&mounted.point).map(|found| found.record.identity);
    Ok(match identity.map(|dir| copy_in(&dir)).transpose()? {
        Some(copy) if copy.exists() => KeyAt::Trusted(copy),
        copy => KeyAt::Unknown(copy),
    })
}

/// Takes the key that the server shows and keeps it; one that is there already is never written over.
fn first_use(file: &Path, keep: Option<PathBuf>) -> Result<PathBuf, Advised> {
    let hint = "have the administrator hand you the server's DATA_DIR/server.pub; give it with --server-key, \
                or keep it as ID_DIR/server.pub";
    let no_key =
        |what: String| Advised::new(format!("there is no server key to check against: {what}"), hint);
    let shown =
        xattr::text(file, "user.3s.server_key")?.ok_or_else(|| no_key("the server shows none".into()))?;
    let keep = keep.ok_or_else(|| no_key("the mount's identity folder is not known here".into()))?;
    durable::create(&keep, format!("{}\n", shown.trim_end()).as_bytes(), Access::Public)
        .map_err(|failed| no_key(format!("{} cannot be written: {}", keep.display(), failed.cause)))?;
    say!("first use: the key that the server shows is kept as {}", keep.display());
    say!("  compare it with the administrator's: sha256sum DATA_DIR/server.pub");
    for key in ServerKeys::read(&keep)?.iter() {
        say!("  SHA-256 {}", key.fingerprint);
    }
    Ok(keep)
}

fn record(file: &Path) -> Result<(VersionRecord, Option<Vec<u8>>), Advised> {
    let unreadable = |what: &str| {
        Advised::new(
            format!("{}: the mount's {what} cannot be read", file.display()),
            "the mount may be of another version of 3s: unmount, and mount again",
        )
    };
    let Some(record) = xattr::text(file, "user.3s.record")? else {
        return Err(Advised::new(
            format!("{} has no version that could be verified", file.display()),
            "only documents have versions, and only once they are checked in",
        ));
    };
    let record = BASE64.decode(record).ok().and_then(|bytes| VersionRecord::decode(&bytes).ok());
    let signature = match xattr::text(file, "user.3s.signature")?.filter(|text| !text.is_empty()) {
        Some(text) => Some(BASE64.decode(text).map_err(|_| unreadable("signature"))?),
        None => None,
    };
    Ok((record.ok_or_else(|| unreadable("version record"))?, signature))
}

fn read(path: &Path) -> Result<Content, Advised> {
    let failed = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        xattr::refused(path, "cannot be read", errno)
    };
    let mut file = File::open(path).map_err(failed)?;
    content_of(&mut file).map_err(failed)
}

fn content_of(source: &mut impl Read) -> std::io::Result<Content> {
    let mut block = vec![0; BLOCK_SIZE];
    let (mut size, mut leaves) = (0, Vec::new());
    loop {
        let mut filled = 0;
        while filled < BLOCK_SIZE {
            match source.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled > 0 {
            leaves.push(block_hash(&block[..filled]));
            size += filled as u64;
        }
        if filled < BLOCK_SIZE {
            return Ok(Content { size, root: merkle_root(&leaves) });
        }
    }
}

#[cfg(test)]
mod tests;

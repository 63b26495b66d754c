//! ID_DIR: who this user is on this machine.
//!
//! `ca.crt` says which servers to believe, `ca.crl` (if there) which not any more, `client.crt` and `client.key` are the node's, `user.key` (with
//! `user.pub`) is the user's. Keys are accepted as PKCS#8, PKCS#1 or SEC1, as `3s-ca` and `openssl` write
//! them. Everything is read and checked once, before anything is asked of the server.
//!
//! The user's key stays in memory as long as the mount, because a session that ran out is answered by a new
//! login; it lies on locked pages, is wiped when it is dropped, and file contents are wiped after parsing. Files that others of this machine could
//! read or change are refused (`keeping`).

mod ends;
mod keeping;
mod lists;
mod locked;
mod stamp;
mod user_key;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey};
use rsa::traits::PublicKeyParts;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sss_common::{Advised, Clock, MachineName, Timestamp};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

pub use ends::ends_in;
pub use keeping::{Keeping, check as check_keeping};
pub use lists::Lists;
pub use locked::Locked;
pub use stamp::Stamp;
pub use user_key::UserKey;

/// Largest file that is read from an ID_DIR, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// Shortest user key that is accepted, in bits.
const KEY_BITS_MIN: usize = 2048;

/// The checked contents of an ID_DIR.
pub struct Identity {
    /// Where it was read from.
    pub dir: PathBuf,
    /// What the files were like when they were about to be read.
    pub stamp: Stamp,
    /// The node's name: the common name in `client.crt`.
    pub machine: MachineName,
    /// The certificates in `ca.crt`.
    pub roots: Vec<CertificateDer<'static>>,
    /// The lists in `ca.crl`; none when there is no such file.
    pub lists: Lists,
    /// `client.crt`, the node's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    client_key: PrivateKeyDer<'static>,
    user_key: Arc<UserKey>,
}

impl Identity {
    /// Reads and checks an ID_DIR.
    pub fn load(dir: &Path, clock: &dyn Clock) -> Result<Self, Advised> {
        if !dir.is_dir() {
            return Err(Advised::new(
                format!("{} is not a folder, so it cannot be an identity", dir.display()),
                "give the ID_DIR that `3s-ca enroll … -o ID_DIR` made, with --identity ID_DIR",
            ));
        }
        let stamp = Stamp::of(dir);
        check_folder(dir)?;
        let roots = certificates(&dir.join("ca.crt"))?;
        let lists = Lists::load(&dir.join("ca.crl"), &roots)?;
        let chain = certificates(&dir.join("client.crt"))?;
        let machine = machine_name(&chain[0], &dir.join("client.crt"), clock.now())?;
        let client_key = client_key(&dir.join("client.key"))?;
        let user_key = user_key(&dir.join("user.key"))?;
        check_public_half(&user_key, &dir.join("user.pub"))?;
        let user_key = UserKey::of(&user_key).ok_or_else(|| no_rsa_key(&dir.join("user.key")))?;
        Ok(Identity {
            dir: dir.into(),
            stamp,
            machine,
            roots,
            lists,
            chain,
            client_key,
            user_key: Arc::new(user_key),
        })
    }

    /// The same with other lists.
    pub fn with_lists(&self, lists: Lists) -> Self {
        Identity {
            dir: self.dir.clone(),
            stamp: self.stamp.clone(),
            machine: self.machine.clone(),
            roots: self.roots.clone(),
            lists,
            chain: self.chain.clone(),
            client_key: self.client_key.clone_key(),
            user_key: self.user_key.clone(),
        }
    }

    /// Refuses a node's certificate that none of `ca.crt` signed. Asked of a renewed one only: of the first, the server says more.
    pub fn check_issuer(&self) -> Result<(), Advised> {
        let (_, own) = X509Certificate::from_der(&self.chain[0]).map_err(|_| self.foreign())?;
        let signed = |root: &CertificateDer<'_>| {
            X509Certificate::from_der(root).is_ok_and(|(_, root)| {
                root.subject().as_raw() == own.issuer().as_raw()
                    && own.verify_signature(Some(root.public_key())).is_ok()
            })
        };
        // Certificates between the two are for the server to follow.
        match self.chain.len() > 1 || self.roots.iter().any(signed) {
            true => Ok(()),
            false => Err(self.foreign()),
        }
    }

    fn foreign(&self) -> Advised {
        let dir = self.dir.display();
        Advised::new(
            format!("{dir}/client.crt is not from the authority in {dir}/ca.crt"),
            "put back what belongs together, or renew it with `3s-ca enroll`",
        )
    }

    /// The node's private key, for the TLS configuration only.
    pub fn expose_client_key(&self) -> PrivateKeyDer<'static> {
        self.client_key.clone_key()
    }

    /// The user's private key, for signing logins and opening kept drafts only.
    pub fn expose_user_key(&self) -> Arc<UserKey> {
        self.user_key.clone()
    }
}

/// Reads only the user's key of an ID_DIR: it opens what was sealed to the user, also when the node's certificate has ended.
pub fn load_user_key(dir: &Path) -> Result<UserKey, Advised> {
    let path = dir.join("user.key");
    UserKey::of(&user_key(&path)?).ok_or_else(|| no_rsa_key(&path))
}

/// Refuses a folder into which others could put files of their own.
fn check_folder(dir: &Path) -> Result<(), Advised> {
    let meta = dir.metadata().map_err(|error| {
        Advised::new(format!("{} cannot be read: {error}", dir.display()), "check the folder and its disk")
    })?;
    keeping::check(dir, &meta, Keeping::Public)
}

/// Reads a file of bounded size that others cannot use beyond `keeping`; the contents are wiped when dropped.
fn read(path: &Path, keeping: Keeping) -> Result<Zeroizing<Vec<u8>>, Advised> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Advised::new(
            format!("{shown} is missing"),
            "an ID_DIR holds ca.crt, client.crt, client.key, user.key and user.pub; make one with `3s-ca enroll`",
        ),
        ErrorKind::PermissionDenied => Advised::new(
            format!("{shown} cannot be read: {error}"),
            "mount as the user whom the identity belongs to, or hand it over with chown",
        ),
        _ => Advised::new(format!("{shown} cannot be read: {error}"), "check the file and its disk"),
    })?;
    let unreadable = |error: std::io::Error| {
        Advised::new(format!("{shown} cannot be read: {error}"), "check the file and its disk")
    };
    // Of the file that is open, so that nobody changes it in between.
    let meta = file.metadata().map_err(unreadable)?;
    keeping::check(path, &meta, keeping)?;
    // Room for all of it at once: a vector that grows leaves copies that are not wiped.
    let room = usize::try_from(meta.len().min(FILE_MAX)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Advised::new(
            format!("{shown} is larger than {FILE_MAX} bytes"),
            "this is no PEM file of 3s; make the identity again with `3s-ca enroll`",
        ));
    }
    Ok(bytes)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Advised> {
    let pem = read(path, Keeping::Public)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Advised::new(
            format!("{} holds no PEM certificate", path.display()),
            "`openssl x509 -in FILE -noout -text` must be able to read it; make it again with `3s-ca enroll`",
        )),
    }
}

/// The common name of the node's certificate, which must be in force.
fn machine_name(
    certificate: &CertificateDer<'_>,
    path: &Path,
    now: Timestamp,
) -> Result<MachineName, Advised> {
    let shown = path.display();
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Err(Advised::new(
            format!("{shown} is not a certificate that can be read"),
            "make it again with `3s-ca enroll`",
        ));
    };
    let ends = Timestamp(parsed.validity().not_after.timestamp().saturating_mul(1000));
    if ends < now {
        return Err(Advised::new(
            format!("{shown} ended on {ends}"),
            "renew it with `3s-ca enroll` into the same ID_DIR; the user's key is kept",
        ));
    }
    let begins = Timestamp(parsed.validity().not_before.timestamp().saturating_mul(1000));
    if begins > now {
        return Err(Advised::new(
            format!("{shown} counts only from {begins} on, and this machine's clock says {now}"),
            "set this machine's clock",
        ));
    }
    let name = parsed.subject().iter_common_name().next().and_then(|cn| cn.as_str().ok()).unwrap_or_default();
    name.parse().map_err(|reason| {
        Advised::new(
            format!("{shown} names the node {name:?}, which cannot be: {reason}"),
            "the certificate's common name (CN) is the node's name: letters, digits, `.`, `_` and `-`",
        )
    })
}

fn client_key(path: &Path) -> Result<PrivateKeyDer<'static>, Advised> {
    let pem = read(path, Keeping::Secret)?;
    refuse_encrypted(&pem, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        Advised::new(
            format!("{} holds no PEM private key", path.display()),
            "it must be PKCS#8, PKCS#1 or SEC1, as `3s-ca enroll` and `openssl genpkey` write it",
        )
    })
}

fn user_key(path: &Path) -> Result<RsaPrivateKey, Advised> {
    let pem = read(path, Keeping::Secret)?;
    refuse_encrypted(&pem, path)?;
    let text = std::str::from_utf8(&pem).unwrap_or_default();
    let key = RsaPrivateKey::from_pkcs8_pem(text)
        .or_else(|_| RsaPrivateKey::from_pkcs1_pem(text))
        .map_err(|_| no_rsa_key(path))?;
    let bits = key.n().bits();
    if bits < KEY_BITS_MIN {
        return Err(Advised::new(
            format!("{} is an RSA key of only {bits} bits", path.display()),
            format!("make one of 3072 bits (at least {KEY_BITS_MIN}) with `3s-ca enroll`"),
        ));
    }
    Ok(key)
}

fn no_rsa_key(path: &Path) -> Advised {
    Advised::new(
        format!("{} holds no RSA private key", path.display()),
        "it must be an RSA key as PKCS#8 or PKCS#1, as `3s-ca enroll` and `openssl genrsa 3072` write it",
    )
}

fn refuse_encrypted(pem: &[u8], path: &Path) -> Result<(), Advised> {
    let text = String::from_utf8_lossy(pem);
    if !text.contains("BEGIN ENCRYPTED PRIVATE KEY") && !text.contains("Proc-Type: 4,ENCRYPTED") {
        return Ok(());
    }
    let shown = path.display();
    Err(Advised::new(
        format!("{shown} is protected by a passphrase, and a mount cannot ask for one"),
        format!("openssl pkey -in {shown} -out NEW_FILE, then use that file with mode 0600 as {shown}"),
    ))
}

/// `user.pub` is for the server's administrator and not needed here; one that belongs to another key means
/// trouble at the first login, so it is refused now.
fn check_public_half(key: &RsaPrivateKey, path: &Path) -> Result<(), Advised> {
    if !path.exists() {
        return Ok(());
    }
    let pem = read(path, Keeping::Public)?;
    let public = rsa::RsaPublicKey::from_public_key_pem(std::str::from_utf8(&pem).unwrap_or_default());
    match public {
        Ok(public) if public == key.to_public_key() => Ok(()),
        _ => Err(Advised::new(
            format!("{} is not the public half of user.key", path.display()),
            format!(
                "openssl rsa -in user.key -pubout -out {}, and have the server's administrator add that",
                path.display()
            ),
        )),
    }
}

#[cfg(test)]
mod tests;

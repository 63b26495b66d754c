//! What can go wrong, and what the person before the screen does about it.

use std::io;
use std::path::{Path, PathBuf};

use sss_common::{Advised, MachineName, Timestamp, Uid};

use crate::Serial;

/// A failed command. [`Error::advised`] is what people see.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The verb: read, write, …
        doing: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file beyond its limit, in bytes.
    #[error("{} is larger than {max} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// A new file found its name taken.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// `init` on a CA.
    #[error("{} already holds a certificate authority", .0.display())]
    CaExists(PathBuf),
    /// An `init` that did not get to its end.
    #[error("{} holds the leftovers of an interrupted init", .0.display())]
    CaUnfinished(PathBuf),
    /// A folder without a CA.
    #[error("{} holds no certificate authority", .0.display())]
    NotACa(PathBuf),
    /// `ca.key` cannot be used.
    #[error("{} cannot be used: {reason}", path.display())]
    CaKey {
        /// The key.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `ca.key` and `ca.crt` are not of one pair.
    #[error("{} is not the key of the ca.crt beside it", .0.display())]
    CaKeyMismatch(PathBuf),
    /// The root has run out.
    #[error("the certificate authority ended at {0}")]
    CaExpired(Timestamp),
    /// A line of the index makes no sense.
    #[error("{}, line {line}: {reason}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The revocation list is missing, damaged, or not this CA's.
    #[error("{} cannot be used: {reason}", path.display())]
    Crl {
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file without a certificate in it.
    #[error("{} is no X.509 certificate in PEM", .0.display())]
    NotACertificate(PathBuf),
    /// A key file that cannot be used.
    #[error("{} cannot be used: {reason}", path.display())]
    Key {
        /// The key.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `user.pub` without its `user.key`, or of another one.
    #[error("{} is not the public half of the user.key beside it", .0.display())]
    PublicKey(PathBuf),
    /// An identity folder that is somebody else's.
    #[error("{} is the identity of {theirs}, not of {asked}", dir.display())]
    OtherUser {
        /// The folder.
        dir: PathBuf,
        /// Whose it is.
        theirs: String,
        /// For whom it was named.
        asked: Uid,
    },
    /// A machine's name that is taken.
    #[error("the node name {node} is already {theirs}'s")]
    NodeOfOther {
        /// The name.
        node: MachineName,
        /// Who has it.
        theirs: String,
        /// For whom it was named.
        asked: Uid,
    },
    /// An identity whose certificate was taken back.
    #[error("the certificate in {} was revoked, and its key may be in other hands", .0.display())]
    RevokedIdentity(PathBuf),
    /// Keys for others written into the CA's own folder.
    #[error("{} is a certificate authority's own folder", .0.display())]
    OutputIsCa(PathBuf),
    /// A server key that is in use.
    #[error("{} already holds a server's key or certificate", .0.display())]
    ServerExists(PathBuf),
    /// A server certificate for nobody.
    #[error("a server's certificate needs at least one host")]
    NoHost,
    /// A certificate that another CA issued.
    #[error("{} was not issued by this certificate authority", .0.display())]
    ForeignCertificate(PathBuf),
    /// The root cannot revoke itself.
    #[error("this is the certificate authority's own certificate")]
    IsRoot,
    /// A serial that was never issued here.
    #[error("no certificate with serial {0} was issued here")]
    NotIssued(Serial),
    /// Neither a file nor a serial.
    #[error("`{0}` is neither a certificate file nor a serial")]
    NotATarget(String),
    /// Nothing in the file that `show` knows.
    #[error("{} holds no certificate, revocation list or key in PEM", .0.display())]
    NothingToShow(PathBuf),
    /// The signing library refused.
    #[error("signing failed: {0}")]
    Signing(String),
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    }

    pub(crate) fn signing(cause: impl std::fmt::Display) -> Error {
        Error::Signing(cause.to_string())
    }

    pub(crate) fn key(path: &Path, reason: &'static str) -> Error {
        Error::Key { path: path.to_owned(), reason }
    }

    pub(crate) fn crl(path: &Path, reason: &'static str) -> Error {
        Error::Crl { path: path.to_owned(), reason }
    }

    /// What people see of it.
    pub fn advised(&self) -> Advised {
        Advised::new(self.to_string(), self.hint())
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Error::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::NotFound => "check the path; the folder above it must exist".into(),
                io::ErrorKind::PermissionDenied => {
                    format!("run this as the user who owns it: ls -ld {}", path.display())
                }
                io::ErrorKind::IsADirectory => "name a file in it".into(),
                io::ErrorKind::NotADirectory => "check the path: a part of it is a file".into(),
                io::ErrorKind::StorageFull => "free some space and run the same command again".into(),
                _ => "put that right and run the same command again; nothing half-made is left behind".into(),
            },
            Error::TooLarge { .. } => "name a file that 3s-ca or openssl wrote".into(),
            Error::Exists(path) => {
                format!("move {} away first; 3s-ca never replaces a key", path.display())
            }
            Error::CaExists(_) => {
                "use it, or name another folder; a new root would make every certificate of the old one void"
                    .into()
            }
            Error::CaUnfinished(dir) => format!(
                "restore ca.crt if you had one; if not, nothing was issued: remove {} and run init again",
                dir.display()
            ),
            Error::NotACa(dir) => format!("check the path, or make one: 3s-ca init {}", dir.display()),
            Error::CaKey { .. } => "restore ca.key from a backup; without it this CA can sign nothing more".into(),
            Error::CaKeyMismatch(_) => "restore ca.key and ca.crt from one backup".into(),
            Error::CaExpired(_) => {
                "make a new one with 3s-ca init, then issue and enroll everyone anew".into()
            }
            Error::Index { .. } => "restore it from a backup, or mend the line: it is plain text".into(),
            Error::Crl { .. } => {
                "copy the newest ca.crl back from a server's TLS_DIR; a list made anew would forget revocations"
                    .into()
            }
            Error::NotACertificate(path) | Error::NothingToShow(path) => {
                format!("name a PEM file; DER converts with: openssl x509 -inform der -in {}", path.display())
            }
            Error::Key { path, .. } => format!(
                "3s-ca reads unencrypted PEM keys (openssl pkcs8 -topk8 -nocrypt -in {} makes one); \
                 or move it away and a new one is made",
                path.display()
            ),
            Error::PublicKey(_) => "restore the user.key it belongs to, or move user.pub away".into(),
            Error::OtherUser { asked, .. } => format!("give {asked} a folder of their own with -o"),
            Error::NodeOfOther { asked, .. } => format!(
                "give {asked}'s machine a name of its own with --node, or add --shared if both use this one"
            ),
            Error::RevokedIdentity(dir) => format!(
                "enroll into a new folder; or move {0}/client.crt and client.key away, and user.key with user.pub too \
                 if that key may be known",
                dir.display()
            ),
            Error::OutputIsCa(_) => {
                "name another folder with -o: what goes to a server or a user must not lie beside ca.key".into()
            }
            Error::ServerExists(_) => {
                "add --renew to replace both, or name another folder with -o".into()
            }
            Error::NoHost => "add --host NAME_OR_IP, as clients will write it".into(),
            Error::ForeignCertificate(_) => "name the CA_DIR that issued it".into(),
            Error::IsRoot => {
                "a root is not revoked but replaced: 3s-ca init NEW_CA_DIR, then issue and enroll everyone anew"
                    .into()
            }
            Error::NotIssued(_) => {
                "look the serial up in CA_DIR/index.tsv, or name the certificate's file".into()
            }
            Error::NotATarget(_) => {
                "give a path like client.crt, or a serial in hexadecimal as 3s-ca show writes it".into()
            }
            Error::Signing(_) => "check that ca.crt and ca.key are the files that 3s-ca init wrote".into(),
        }
    }
}

//! A backup's keys: the administrator's pair, and the store's key files on their way into a backup and out of it.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{PrivateDecryptingKey, PublicEncryptingKey};
use rsa::pkcs8::{Document, SecretDocument};
use zeroize::Zeroizing;

use sss_common::StoreId;
use sss_common::durable::{Access, InPlace};

use crate::keyring::{self, cannot, unusable};
use crate::primitives::{unwrap, wrap};
use crate::sealed::{KeyImage, Leaf};
use crate::secrets::SecretKey;
use crate::server_key::{BITS_MIN, PRIVATE_LABEL, PUBLIC_LABEL, ServerKey};
use crate::{Result, VaultPaths, rotation};

/// Longest modulus of a backup key, in bits; and so the longest wrapped key, in bytes.
pub(super) const BITS_MAX: usize = 8192;

/// Longest key file: PEM of 8192 bits has some 6 KiB.
pub const KEY_FILE_MAX: u64 = 64 * 1024;

/// The two commands that make a pair.
const MAKE_A_PAIR: &str = "make a pair on a machine that holds neither the store nor its backups: \
     `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out backup.key`, then \
     `openssl pkey -in backup.key -pubout -out backup.pub`";

/// What backups are sealed to.
pub struct BackupPublicKey(PublicEncryptingKey);

impl BackupPublicKey {
    /// Reads an RSA public key, SPKI PEM.
    pub fn read(path: &Path) -> Result<Self> {
        let pem = read_pem(path)?;
        if pem.contains("PRIVATE KEY") {
            let way_on = "give the public half, and keep the private one where neither the store nor its backups are: \
                          `openssl pkey -in backup.key -pubout -out backup.pub`";
            return Err(unusable(path, "this is a private key", way_on));
        }
        let document = Document::from_pem(&pem).ok().filter(|(label, _)| *label == PUBLIC_LABEL);
        let key = document.and_then(|(_, document)| PublicEncryptingKey::from_der(document.as_bytes()).ok());
        let key = key.ok_or_else(|| unusable(path, "this is no RSA public key (PEM)", MAKE_A_PAIR))?;
        long_enough(path, key.key_size_bits())?;
        Ok(BackupPublicKey(key))
    }

    /// Whether this is the public half of a store's own key, which lies beside what is backed up.
    pub fn is_half_of(&self, server_pub: &Path) -> bool {
        let other = BackupPublicKey::read(server_pub).map(|other| other.der());
        matches!((self.der(), other), (Some(own), Ok(Some(other))) if own == other)
    }

    pub(super) fn wrap(&self, label: &[u8], key: &SecretKey) -> Result<Vec<u8>> {
        wrap(&self.0, label, key)
    }

    fn der(&self) -> Option<Vec<u8>> {
        Some(self.0.as_der().ok()?.as_ref().to_vec())
    }
}

/// What opens backups.
pub struct BackupPrivateKey(PrivateDecryptingKey);

impl BackupPrivateKey {
    /// Reads an RSA private key, PKCS#8 PEM.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            let way_on = "give the private half of the backup.pub that the backup was made with";
            return Err(unusable(path, "there is no such key", way_on));
        }
        let pem = read_pem(path)?;
        if pem.contains("ENCRYPTED") {
            let way_on = "`openssl pkey -in FILE -out /dev/shm/backup.key` asks for its passphrase; remove that file afterwards";
            return Err(unusable(path, "the private key is encrypted", way_on));
        }
        let way_on = "give the private half of the backup.pub that the backup was made with; \
                      `openssl pkey -in FILE -out backup.key` brings other forms of it into this one";
        if pem.contains("PUBLIC KEY") {
            return Err(unusable(path, "this is a public key; it seals backups and opens none", way_on));
        }
        let document = SecretDocument::from_pem(&pem).ok().filter(|(label, _)| *label == PRIVATE_LABEL);
        let key =
            document.and_then(|(_, document)| PrivateDecryptingKey::from_pkcs8(document.as_bytes()).ok());
        let key = key.ok_or_else(|| unusable(path, "this is no RSA private key (PKCS#8 PEM)", way_on))?;
        Ok(BackupPrivateKey(key))
    }

    pub(super) fn unwrap(&self, label: &[u8], wrapped: &[u8]) -> Option<SecretKey> {
        unwrap(&self.0, label, wrapped)
    }
}

fn read_pem(path: &Path) -> Result<Zeroizing<String>> {
    let mut pem = Zeroizing::new(String::new());
    let read = std::fs::File::open(path).and_then(|file| file.take(KEY_FILE_MAX).read_to_string(&mut pem));
    match read {
        Ok(_) => Ok(pem),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(unusable(path, "there is no such key", MAKE_A_PAIR)),
        Err(e) if e.kind() == ErrorKind::InvalidData => {
            Err(unusable(path, "this is no key (PEM)", MAKE_A_PAIR))
        }
        Err(e) => Err(cannot(path, "the key cannot be read", &e)),
    }
}

fn long_enough(path: &Path, bits: usize) -> Result<()> {
    if (BITS_MIN..=BITS_MAX).contains(&bits) {
        return Ok(());
    }
    Err(unusable(path, &format!("the key has {bits} bits; it needs {BITS_MIN} to {BITS_MAX}"), MAKE_A_PAIR))
}

/// A store's key files, as they belong together.
pub struct KeyFiles {
    store: StoreId,
    server_key: Zeroizing<Vec<u8>>,
    server_pub: Vec<u8>,
    retired: Option<Vec<u8>>,
    keyring: Vec<u8>,
}

impl KeyFiles {
    /// Reads a store's key files, and of the keyring's roots the one that opens this root node. A server may be replacing
    /// them meanwhile; then this fails, or finds no root, and is to be tried again with the root node as it is then.
    /// Writes nothing. Three private RSA operations at most.
    pub fn read(paths: &VaultPaths, root: Option<&KeyImage>, last_leaf: Option<Leaf>) -> Result<Self> {
        // The keyring first: it is what changes soonest after the root node was read.
        let keyring = keyring::read(&paths.keyring)?;
        let rotation::Opened { server, keyring, .. } = rotation::look(paths, keyring, root, last_leaf)?;
        let read = |path: &Path| std::fs::read(path).map_err(|e| cannot(path, "cannot be read", &e));
        let files = KeyFiles {
            store: keyring.store,
            server_key: Zeroizing::new(read(&paths.server_key)?),
            server_pub: read(&paths.server_pub)?,
            retired: optional(&rotation::retired(paths))?,
            keyring: keyring.encode(),
        };
        let (lying, _) = ServerKey::read(&paths.server_key)?;
        let same =
            lying.public_pem() == server.public_pem() && server.check_public(&paths.server_pub).is_ok();
        if !same || *files.server_key != *Zeroizing::new(read(&paths.server_key)?) {
            let what = "a rotation of the server's key is under way, or was cut short";
            let way_on =
                "start the server once, or run `3s-server rotate-key` again: it is undone or finished then";
            return Err(unusable(&paths.server_key, what, way_on));
        }
        Ok(files)
    }

    /// Which store they are for.
    pub fn store_id(&self) -> StoreId {
        self.store
    }

    /// Writes the keyring to a new file, mode 0600, durably; refuses where one is.
    pub fn copy_keyring(&self, to: &Path) -> Result<()> {
        write_key_file(to, &mut &*self.keyring)
    }

    /// The files by their names, the private key among them: to be sealed, and nothing else.
    pub fn expose_files(&self) -> Vec<(&'static str, &[u8])> {
        let retired = self.retired.as_ref().map(|bytes| ("retired.pub", &**bytes));
        let first: [(_, &[u8]); 2] = [("server.key", &self.server_key), ("server.pub", &self.server_pub)];
        first.into_iter().chain(retired).chain([("keyring", &*self.keyring)]).collect()
    }
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(cannot(path, "cannot be read", &e)),
    }
}

/// Writes a key file that came out of a backup, mode 0600, durably; refuses where one is.
pub fn write_key_file(path: &Path, from: &mut dyn Read) -> Result<()> {
    let failed = |e: io::Error| cannot(path, "cannot be written", &e);
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    from.take(KEY_FILE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    InPlace::create(path, &bytes, Access::Secret).map_err(|e| failed(e.cause))
}

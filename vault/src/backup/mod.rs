//! A backup's sealing: a stream of blocks under a fresh key, which is wrapped to the administrator's public key; and ([`keys`]) the
//! key files that go into it. FORMAT.md has the bytes.
//!
//! Whoever has the public key can seal a backup, and only the private key opens one: it belongs on no machine that the
//! backups or the store lie on. What a block's place is bound to makes every flip, cut and exchange an error.
//!
//! Costs: a block is copied once into the buffer and sealed or opened there; one public RSA operation for a backup, one
//! private one for a restore.

mod keys;

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

use sha2::{Digest, Sha256};
use sss_common::limits::BLOCK_SIZE;
use sss_common::{StoreId, Timestamp};
use zeroize::Zeroizing;

use super::VaultError;
use super::primitives::{AES_256_GCM_SIV_ID, Cipher, RSA_OAEP_SHA256_ID, TAG_BYTES, block_nonce};
use super::secrets::SecretKey;
use super::server_key::BITS_MIN;
use keys::BITS_MAX;
pub use keys::{BackupPrivateKey, BackupPublicKey, KEY_FILE_MAX, KeyFiles, write_key_file};

const MAGIC: &[u8; 4] = b"3SBK";
const VERSION: u8 = 1;
const BLOCK_LOG2: u8 = BLOCK_SIZE.trailing_zeros() as u8;

/// Bytes of the header before the wrapped key.
const HEADER: usize = 32;

/// Whose backup it is, and of when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupHeader {
    /// Which store.
    pub store: StoreId,
    /// The moment that it shows.
    pub time: Timestamp,
}

impl BackupHeader {
    fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..4].copy_from_slice(MAGIC);
        out[4..8].copy_from_slice(&[VERSION, AES_256_GCM_SIV_ID, BLOCK_LOG2, RSA_OAEP_SHA256_ID]);
        out[8..24].copy_from_slice(self.store.as_bytes());
        out[24..].copy_from_slice(&self.time.0.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8; HEADER]) -> Result<Self, NotABackup> {
        let [head @ .., _, _, _, _, _, _, _, _] = bytes;
        let (magic, rest) = head.split_first_chunk::<4>().ok_or(NotABackup::Foreign)?;
        if magic != MAGIC {
            return Err(NotABackup::Foreign);
        }
        let (format, store) = rest.split_first_chunk::<4>().ok_or(NotABackup::Foreign)?;
        match format {
            [VERSION, AES_256_GCM_SIV_ID, BLOCK_LOG2, RSA_OAEP_SHA256_ID] => {}
            [newer, ..] if *newer > VERSION => return Err(NotABackup::Newer(*newer)),
            _ => return Err(NotABackup::Damaged),
        }
        let store = store.try_into().map_err(|_| NotABackup::Damaged)?;
        let time = bytes.last_chunk().map(|time| Timestamp(i64::from_be_bytes(*time)));
        Ok(BackupHeader { store, time: time.ok_or(NotABackup::Damaged)? })
    }
}

/// Why a file does not open as a backup.
#[derive(Debug, thiserror::Error)]
pub enum NotABackup {
    /// Another kind of file.
    #[error("this is not a backup of a 3S store")]
    Foreign,
    /// Made by a newer program.
    #[error("the backup has format {0}, made by a newer 3s-server")]
    Newer(u8),
    /// Its head does not make sense.
    #[error("the backup's head is damaged or cut")]
    Damaged,
    /// The data key does not unwrap.
    #[error("the backup does not open with this private key")]
    WrongKey,
    /// It cannot be read.
    #[error("the backup cannot be read: {0}")]
    Unreadable(#[source] io::Error),
}

impl NotABackup {
    /// What to do.
    pub fn way_on(&self) -> &'static str {
        match self {
            NotABackup::Foreign => "give the file that `3s-server backup` wrote",
            NotABackup::Newer(_) => "restore it with the 3s-server that made it, or a newer one",
            NotABackup::Damaged => "use another copy of it, or another backup; nothing was written",
            NotABackup::WrongKey => {
                "give the private half of the backup.pub that it was made with; if that is the one, the file's head is damaged"
            }
            NotABackup::Unreadable(_) => {
                "see whether its disk is well and you may read it; nothing was written"
            }
        }
    }
}

impl From<NotABackup> for VaultError {
    fn from(why: NotABackup) -> Self {
        VaultError::Keys(format!("{why}\n{}", why.way_on()))
    }
}

/// Seals what is written to it. Without [`BackupSealer::finish`] the backup is cut, and says so when it is opened.
pub struct BackupSealer<W> {
    out: W,
    cipher: Cipher,
    head: [u8; 32],
    /// Plaintext until it is a block's, then its sealed bytes.
    block: Zeroizing<Vec<u8>>,
    index: u64,
    /// A block was sealed and not written: nothing may follow, or its index would be used twice.
    failed: bool,
}

impl<W: Write> BackupSealer<W> {
    /// Writes the head, with a fresh key wrapped to the public one.
    pub fn begin(to: &BackupPublicKey, header: BackupHeader, out: W) -> io::Result<Self> {
        let key = SecretKey::random().map_err(io::Error::other)?;
        let wrapped = to.wrap(&header.encode(), &key).map_err(io::Error::other)?;
        Self::with_key(&key, header, &wrapped, out)
    }

    /// As [`BackupSealer::begin`], with the key given; apart for the test vectors.
    pub(super) fn with_key(
        key: &SecretKey,
        header: BackupHeader,
        wrapped: &[u8],
        mut out: W,
    ) -> io::Result<Self> {
        let mut head = header.encode().to_vec();
        let length = u16::try_from(wrapped.len()).map_err(io::Error::other)?;
        head.extend_from_slice(&length.to_be_bytes());
        head.extend_from_slice(wrapped);
        out.write_all(&head)?;
        Ok(BackupSealer {
            out,
            cipher: Cipher::new(key).map_err(io::Error::other)?,
            head: Sha256::digest(&head).into(),
            block: Zeroizing::new(Vec::with_capacity(BLOCK_SIZE + TAG_BYTES)),
            index: 0,
            failed: false,
        })
    }

    /// Seals the last block and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.out)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(io::Error::other("the backup failed before"));
        }
        let aad = aad(&self.head, self.index, last);
        self.cipher.seal(block_nonce(self.index), &aad, &mut self.block, 0).map_err(io::Error::other)?;
        self.out.write_all(&self.block)?;
        self.block.clear();
        self.index += 1;
        self.failed = false;
        Ok(())
    }
}

impl<W: Write> Write for BackupSealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full block waits until more comes: it may be the last.
        if self.failed || (self.block.len() == BLOCK_SIZE && !bytes.is_empty()) {
            self.seal(false)?;
        }
        let taken = bytes.len().min(BLOCK_SIZE - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads what a [`BackupSealer`] sealed. Bytes come out only of blocks that verify; that the last one was there is
/// known once it says that there are no more.
pub struct BackupOpener<R> {
    from: BufReader<R>,
    header: BackupHeader,
    cipher: Cipher,
    head: [u8; 32],
    block: Zeroizing<Vec<u8>>,
    /// Of the opened block: what was handed out, and what there is.
    taken: usize,
    length: usize,
    index: u64,
    ended: bool,
}

impl<R: Read> BackupOpener<R> {
    /// Reads the head and unwraps the key.
    pub fn begin(with: &BackupPrivateKey, from: R) -> Result<Self, NotABackup> {
        let mut from = BufReader::with_capacity(BLOCK_SIZE + TAG_BYTES, from);
        let (header, head, wrapped) = read_head(&mut from)?;
        let key = with.unwrap(&header.encode(), &wrapped).ok_or(NotABackup::WrongKey)?;
        Self::with_key(&key, header, &head, from)
    }

    pub(super) fn with_key(
        key: &SecretKey,
        header: BackupHeader,
        head: &[u8],
        from: BufReader<R>,
    ) -> Result<Self, NotABackup> {
        Ok(BackupOpener {
            from,
            header,
            cipher: Cipher::new(key).map_err(|_| NotABackup::Damaged)?,
            head: Sha256::digest(head).into(),
            block: Zeroizing::new(Vec::with_capacity(BLOCK_SIZE + TAG_BYTES)),
            taken: 0,
            length: 0,
            index: 0,
            ended: false,
        })
    }

    /// Whose backup it is.
    pub fn header(&self) -> BackupHeader {
        self.header
    }

    /// Opens the next block.
    fn next(&mut self) -> io::Result<()> {
        self.block.clear();
        (self.taken, self.length) = (0, 0);
        (&mut self.from).take((BLOCK_SIZE + TAG_BYTES) as u64).read_to_end(&mut self.block)?;
        let last = self.from.fill_buf()?.is_empty();
        let aad = aad(&self.head, self.index, last);
        let opened = self.cipher.open(block_nonce(self.index), &aad, &mut self.block);
        self.length = opened.ok_or_else(|| damaged(self.index, last))?;
        self.index += 1;
        self.ended = last;
        Ok(())
    }
}

/// The head's parts: what it says, its bytes, the wrapped key.
fn read_head(from: &mut impl Read) -> Result<(BackupHeader, Vec<u8>, Vec<u8>), NotABackup> {
    let mut head = Vec::new();
    let mut read = |head: &mut Vec<u8>, length: usize| {
        let read = from.take(length as u64).read_to_end(head).map_err(NotABackup::Unreadable)?;
        Ok(read == length)
    };
    let whole = read(&mut head, HEADER)?;
    if head.len() < MAGIC.len() || !head.starts_with(MAGIC) {
        return Err(NotABackup::Foreign);
    }
    let fixed: &[u8; HEADER] = head.first_chunk().filter(|_| whole).ok_or(NotABackup::Damaged)?;
    let header = BackupHeader::decode(fixed)?;
    let mut length = Vec::new();
    read(&mut length, 2)?;
    let bytes: [u8; 2] = length.as_slice().try_into().map_err(|_| NotABackup::Damaged)?;
    let expected = usize::from(u16::from_be_bytes(bytes));
    if !(BITS_MIN / 8..=BITS_MAX / 8).contains(&expected) {
        return Err(NotABackup::Damaged);
    }
    let mut wrapped = Vec::new();
    if !read(&mut wrapped, expected)? {
        return Err(NotABackup::Damaged);
    }
    head.extend_from_slice(&length);
    head.extend_from_slice(&wrapped);
    Ok((header, head, wrapped))
}

impl<R: Read> Read for BackupOpener<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.length {
            if self.ended || into.is_empty() {
                return Ok(0);
            }
            self.next()?;
        }
        let taken = into.len().min(self.length - self.taken);
        into[..taken].copy_from_slice(&self.block[self.taken..self.taken + taken]);
        self.taken += taken;
        Ok(taken)
    }
}

fn damaged(index: u64, last: bool) -> io::Error {
    let where_ = if last { "the last that is there" } else { "there are more behind it" };
    let what =
        format!("block {index} of the backup does not verify ({where_}): it is damaged, or the file was cut");
    io::Error::new(ErrorKind::InvalidData, what)
}

/// The head's hash, the index, and whether it is the last block.
fn aad(head: &[u8; 32], index: u64, last: bool) -> [u8; 41] {
    let mut aad = [0; 41];
    aad[..32].copy_from_slice(head);
    aad[32..40].copy_from_slice(&index.to_be_bytes());
    aad[40] = last.into();
    aad
}

#[cfg(test)]
mod tests;

//! The file of one kept draft.
//!
//! In this order, numbers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `3SDRAFT` and the format's version, 1 |
//! | 4 + n | the [`Label`], JSON |
//! | 2 + n | the file's key, RSA-OAEP (SHA-256) to the user's public key |
//! | 4 + n, repeated | a record, sealed with AES-256-GCM (NIST SP 800-38D) |
//!
//! A record is a byte that says what it is, then its content: the [`Header`] (the first one), bytes at an offset, zeroes,
//! a range of the base that could not be read when the draft was kept, the end (the last one; nothing follows it). The nonce
//! is the record's number, so none can be moved or left out; everything before the first record is authenticated with that.
//! The key is made for the file and used for nothing else, so no nonce repeats under it.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rand::RngCore;
use sha2::{Digest, Sha256};
use sss_common::durable::{Access, NewFile};
use sss_common::limits::BLOCK_SIZE;
use zeroize::Zeroizing;

use super::{Header, Label};
use crate::identity::UserKey;

const MAGIC: &[u8; 8] = b"3SDRAFT\x01";
const TAG: usize = 16;
const KEY: usize = 32;
/// Largest label and header, in bytes.
const TEXT_MAX: usize = 64 * 1024;
/// Largest wrapped key: that of an RSA key of 16,384 bits.
const WRAPPED_MAX: usize = 2048;
/// Most content in one record.
const DATA_MAX: usize = BLOCK_SIZE;
const RECORD_MAX: usize = if TEXT_MAX > DATA_MAX { TEXT_MAX } else { DATA_MAX } + 32;

const HEADER: u8 = 0;
const DATA: u8 = 1;
const ZERO: u8 = 2;
const MISSING: u8 = 3;
const END: u8 = 4;

/// A part of a kept draft. What no part speaks of is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes at an offset; at most a block.
    Data(u64, Vec<u8>),
    /// Zeroes: the offset and how many bytes.
    Zero(u64, u64),
    /// From the base, which could not be read when the draft was kept: the offset and how many bytes.
    Missing(u64, u64),
}

/// Why a file gives no draft.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is none of ours, or of a later version of `3s`.
    #[error("it is no draft that this version of 3s kept")]
    Foreign,
    /// The key that was tried is not the one that it was sealed to, or its beginning was changed.
    #[error("the user's key does not open it")]
    OtherKey,
    /// It ends too early, goes on too long, or was changed.
    #[error("it is damaged")]
    Damaged,
    /// The disk.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Unreadable {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Unreadable::Damaged,
            _ => Unreadable::Io(error),
        }
    }
}

type Result<T> = std::result::Result<T, Unreadable>;

fn cipher(key: &[u8]) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?))
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// A file that is being written under another name, which goes with this value.
pub struct Writer {
    file: NewFile,
    key: LessSafeKey,
    count: u64,
    beginning: Vec<u8>,
}

impl Writer {
    /// Begins a file at `path`, sealed to the user's key.
    pub fn begin(path: &Path, key: &UserKey, label: &Label, header: &Header) -> io::Result<Self> {
        let failed = || io::Error::other("the draft's key cannot be made");
        let mut secret = Zeroizing::new([0; KEY]);
        rand::rngs::OsRng.try_fill_bytes(&mut *secret).map_err(io::Error::other)?;
        let wrapped = key.wrap(&*secret).ok_or_else(failed)?;
        let label = serde_json::to_vec(label)?;
        let mut clear = MAGIC.to_vec();
        clear.extend((u32::try_from(label.len()).map_err(io::Error::other)?).to_be_bytes());
        clear.extend(label);
        clear.extend((u16::try_from(wrapped.len()).map_err(io::Error::other)?).to_be_bytes());
        clear.extend(wrapped);
        let mut file = NewFile::beside(path, Access::Secret)?;
        file.write(&clear)?;
        let beginning = Sha256::digest(&clear).to_vec();
        let mut writer = Writer { file, key: cipher(&*secret).ok_or_else(failed)?, count: 0, beginning };
        writer.record(HEADER, &[&serde_json::to_vec(header)?])?;
        Ok(writer)
    }

    /// Adds a part. One that is longer than a block becomes several.
    pub fn add(&mut self, part: &Part) -> io::Result<()> {
        match part {
            Part::Data(offset, bytes) => {
                let mut at = *offset;
                for piece in bytes.chunks(DATA_MAX) {
                    self.record(DATA, &[&at.to_be_bytes(), piece])?;
                    at += piece.len() as u64;
                }
                Ok(())
            }
            Part::Zero(offset, length) => self.record(ZERO, &[&offset.to_be_bytes(), &length.to_be_bytes()]),
            Part::Missing(offset, length) => {
                self.record(MISSING, &[&offset.to_be_bytes(), &length.to_be_bytes()])
            }
        }
    }

    /// Makes the file durable under its name, which must be free.
    pub fn finish(mut self) -> io::Result<()> {
        self.record(END, &[])?;
        Ok(self.file.sync()?.create()?.settle()?)
    }

    fn record(&mut self, kind: u8, content: &[&[u8]]) -> io::Result<()> {
        let mut sealed = Zeroizing::new(vec![kind]);
        content.iter().for_each(|part| sealed.extend_from_slice(part));
        if sealed.len() + TAG > RECORD_MAX {
            return Err(io::Error::other("a record beyond its limit"));
        }
        let with: &[u8] = if self.count == 0 { &self.beginning } else { &[] };
        self.key
            .seal_in_place_append_tag(nonce(self.count), Aad::from(with), &mut *sealed)
            .map_err(|_| io::Error::other("sealing failed"))?;
        self.count += 1;
        let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
        self.file.write(&length.to_be_bytes())?;
        Ok(self.file.write(&sealed)?)
    }
}

/// Reads the label, which needs no key.
pub fn label(file: &File) -> Result<Label> {
    Ok(clear(&mut &*file)?.label)
}

struct Clear {
    label: Label,
    wrapped: Vec<u8>,
    digest: Vec<u8>,
}

fn clear(from: &mut impl Read) -> Result<Clear> {
    let mut hash = Sha256::new();
    let mut take = |length: usize| -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes).map_err(Unreadable::of)?;
        hash.update(&bytes);
        Ok(bytes)
    };
    if take(MAGIC.len())? != MAGIC {
        return Err(Unreadable::Foreign);
    }
    let length = number(&take(4)?, TEXT_MAX)?;
    let label = serde_json::from_slice(&take(length)?).map_err(|_| Unreadable::Damaged)?;
    let length = number(&take(2)?, WRAPPED_MAX)?;
    let wrapped = take(length)?;
    Ok(Clear { label, wrapped, digest: hash.finalize().to_vec() })
}

/// A length, at most `most`.
fn number(bytes: &[u8], most: usize) -> Result<usize> {
    let number = bytes.iter().fold(0, |number: usize, byte| (number << 8) | usize::from(*byte));
    (number <= most).then_some(number).ok_or(Unreadable::Damaged)
}

/// A file that is being read.
pub struct Reader<R> {
    from: R,
    key: LessSafeKey,
    count: u64,
    size: u64,
    ended: bool,
}

impl Reader<BufReader<File>> {
    /// Opens a kept draft with the user's key.
    pub fn open(file: File, key: &UserKey) -> Result<(Header, Self)> {
        Reader::new(BufReader::new(file), key)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(mut from: R, key: &UserKey) -> Result<(Header, Self)> {
        let clear = clear(&mut from)?;
        let secret = key.unwrap_key(&clear.wrapped).ok_or(Unreadable::OtherKey)?;
        let key = (secret.len() == KEY).then(|| cipher(&secret)).flatten().ok_or(Unreadable::OtherKey)?;
        let mut reader = Reader { from, key, count: 0, size: 0, ended: false };
        let (kind, content) = reader.record(&clear.digest)?;
        if kind != HEADER {
            return Err(Unreadable::Damaged);
        }
        let header: Header = serde_json::from_slice(&content).map_err(|_| Unreadable::Damaged)?;
        reader.size = header.size;
        Ok((header, reader))
    }

    /// The next part; `None` once the whole file was read and is as it was written.
    pub fn part(&mut self) -> Result<Option<Part>> {
        if self.ended {
            return Ok(None);
        }
        let (kind, content) = self.record(&[])?;
        let part = match kind {
            DATA => {
                let (offset, bytes) = content.split_first_chunk().ok_or(Unreadable::Damaged)?;
                Part::Data(u64::from_be_bytes(*offset), bytes.to_vec())
            }
            ZERO => range(&content).map(|(offset, length)| Part::Zero(offset, length))?,
            MISSING => range(&content).map(|(offset, length)| Part::Missing(offset, length))?,
            END if content.is_empty() => return self.end().map(|()| None),
            _ => return Err(Unreadable::Damaged),
        };
        let (offset, length) = match &part {
            Part::Data(offset, bytes) => (*offset, bytes.len() as u64),
            Part::Zero(offset, length) | Part::Missing(offset, length) => (*offset, *length),
        };
        let fits = offset.checked_add(length).is_some_and(|end| end <= self.size);
        fits.then_some(Some(part)).ok_or(Unreadable::Damaged)
    }

    fn end(&mut self) -> Result<()> {
        self.ended = true;
        match self.from.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(Unreadable::Damaged),
        }
    }

    fn record(&mut self, with: &[u8]) -> Result<(u8, Zeroizing<Vec<u8>>)> {
        let mut length = [0; 4];
        self.from.read_exact(&mut length).map_err(Unreadable::of)?;
        let mut sealed = Zeroizing::new(vec![0; number(&length, RECORD_MAX)?]);
        self.from.read_exact(&mut sealed).map_err(Unreadable::of)?;
        let opened = self.key.open_in_place(nonce(self.count), Aad::from(with), &mut sealed);
        let plain = opened.map_err(|_| Unreadable::Damaged)?.len();
        self.count += 1;
        sealed.truncate(plain);
        if sealed.is_empty() {
            return Err(Unreadable::Damaged);
        }
        let kind = sealed.remove(0);
        Ok((kind, sealed))
    }
}

fn range(content: &[u8]) -> Result<(u64, u64)> {
    let (offset, rest) = content.split_first_chunk().ok_or(Unreadable::Damaged)?;
    let length = <[u8; 8]>::try_from(rest).map_err(|_| Unreadable::Damaged)?;
    Ok((u64::from_be_bytes(*offset), u64::from_be_bytes(length)))
}

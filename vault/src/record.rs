//! What is sealed with a version, as bytes: the codec of [`RecordBody`] and its sealing.
//!
//! Decoding checks every count against the bytes that are there before it allocates, so a body costs at most
//! what its own length justifies. Cost: one allocation for the bytes, one for each list.

use bytes::Bytes;
use sss_common::NodeId;
use sss_common::limits::BLOCK_SIZE;
use sss_common::record::{BlockHash, VersionRecord};

use super::layout::{EXTENT_BYTES, Extent, Layout};
use super::primitives::{AES_256_GCM_SIV_ID, Cipher, NONCE_BYTES, TAG_BYTES, is_record_nonce, record_nonce};
use super::{BLOCKS_MAX, Result, VaultError};

const MAGIC: &[u8; 4] = b"3SRC";
const VERSION: u8 = 1;
const HEADER: [u8; 8] = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], VERSION, AES_256_GCM_SIV_ID, 0, 0];

/// The codec's own version, the body's first byte.
const BODY_VERSION: u8 = 1;

/// Longest signature: RSA of 8192 bits.
pub(super) const SIGNATURE_MAX: usize = 1024;

/// What is sealed with a version: its public record and what only the server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBody {
    /// The public part.
    pub record: VersionRecord,
    /// Which blocks lie in which packs.
    pub layout: Layout,
    /// The Merkle leaves of an `integrity` version, one per block; empty for `confidentiality`.
    pub digests: Vec<BlockHash>,
    /// The server's signature of an `integrity` version.
    pub signature: Option<Vec<u8>>,
}

impl RecordBody {
    /// How many blocks the document has.
    pub fn blocks(&self) -> u64 {
        self.record.size.div_ceil(BLOCK_SIZE as u64)
    }

    /// Bytes of plaintext in one of the document's blocks: what is sealed in its place is cut there, or continued with
    /// zeroes. 0 behind the document's end.
    pub fn block_length(&self, index: u64) -> usize {
        let left = self.record.size.saturating_sub(index.saturating_mul(BLOCK_SIZE as u64));
        usize::try_from(left).map_or(BLOCK_SIZE, |left| left.min(BLOCK_SIZE))
    }
}

/// Seals a record under a nonce of its own.
pub(super) fn seal(cipher: &Cipher, body: &RecordBody) -> Result<Bytes> {
    seal_with_nonce(cipher, body, record_nonce()?)
}

/// As [`seal`], with the nonce given; apart for the test vectors.
pub(super) fn seal_with_nonce(cipher: &Cipher, body: &RecordBody, nonce: [u8; NONCE_BYTES]) -> Result<Bytes> {
    let mut out = Vec::with_capacity(HEADER.len() + NONCE_BYTES + encoded_length(body) + TAG_BYTES);
    out.extend_from_slice(&HEADER);
    out.extend_from_slice(&nonce);
    let from = out.len();
    encode(body, &mut out)?;
    cipher.seal(nonce, &aad(body.record.document), &mut out, from)?;
    Ok(out.into())
}

/// Opens a record and checks that it is this document's.
pub(super) fn open(cipher: &Cipher, document: NodeId, sealed: &[u8]) -> Result<RecordBody> {
    const BAD: VaultError = VaultError::Integrity("a version's record");
    let rest = sealed.strip_prefix(&HEADER).ok_or(BAD)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(BAD)?;
    if !is_record_nonce(nonce) {
        return Err(BAD);
    }
    let mut body = rest.to_vec();
    let length = cipher.open(*nonce, &aad(document), &mut body).ok_or(BAD)?;
    decode(&body[..length]).filter(|body| body.record.document == document).ok_or(BAD)
}

fn aad(document: NodeId) -> [u8; HEADER.len() + 16] {
    let mut aad = [0; HEADER.len() + 16];
    aad[..HEADER.len()].copy_from_slice(&HEADER);
    aad[HEADER.len()..].copy_from_slice(document.as_bytes());
    aad
}

/// At most; the record's own length is bounded by its two names.
fn encoded_length(body: &RecordBody) -> usize {
    let signature = body.signature.as_ref().map_or(0, Vec::len);
    512 + body.layout.extents().len() * EXTENT_BYTES + body.digests.len() * 32 + signature
}

/// Appends the body's bytes.
pub(super) fn encode(body: &RecordBody, out: &mut Vec<u8>) -> Result<()> {
    const TOO_LARGE: VaultError = VaultError::Refused("a record past its limits");
    let record = body.record.encode();
    let signature = match &body.signature {
        None => &[][..],
        Some(signature) if (1..=SIGNATURE_MAX).contains(&signature.len()) => signature,
        Some(_) => return Err(TOO_LARGE),
    };
    if !body.layout.is_within(BLOCKS_MAX) || body.digests.len() as u64 > BLOCKS_MAX {
        return Err(TOO_LARGE);
    }
    out.push(BODY_VERSION);
    out.extend_from_slice(&u16::try_from(record.len()).map_err(|_| TOO_LARGE)?.to_be_bytes());
    out.extend_from_slice(&record);
    let extents = body.layout.extents();
    out.extend_from_slice(&u32::try_from(extents.len()).map_err(|_| TOO_LARGE)?.to_be_bytes());
    extents.iter().for_each(|extent| extent.encode(out));
    out.extend_from_slice(&u32::try_from(body.digests.len()).map_err(|_| TOO_LARGE)?.to_be_bytes());
    body.digests.iter().for_each(|digest| out.extend_from_slice(&digest.0));
    out.extend_from_slice(&u16::try_from(signature.len()).map_err(|_| TOO_LARGE)?.to_be_bytes());
    out.extend_from_slice(signature);
    Ok(())
}

/// The inverse of [`encode`]; refuses trailing bytes and whatever `encode` would not write.
pub(super) fn decode(bytes: &[u8]) -> Option<RecordBody> {
    let mut rest = bytes;
    if take::<1>(&mut rest)? != [BODY_VERSION] {
        return None;
    }
    let length = u16::from_be_bytes(take(&mut rest)?).into();
    let record = VersionRecord::decode(take_slice(&mut rest, length)?).ok()?;
    let extents = take_list(&mut rest, EXTENT_BYTES)?.chunks_exact(EXTENT_BYTES).map(Extent::decode);
    let layout = Layout::from_extents(extents.collect::<Option<_>>()?, BLOCKS_MAX)?;
    let digests =
        take_list(&mut rest, 32)?.as_chunks::<32>().0.iter().copied().map(BlockHash).collect::<Vec<_>>();
    let length = u16::from_be_bytes(take(&mut rest)?).into();
    let signature = take_slice(&mut rest, length)?;
    let fits = rest.is_empty() && length <= SIGNATURE_MAX && digests.len() as u64 <= BLOCKS_MAX;
    fits.then(|| RecordBody {
        record,
        layout,
        digests,
        signature: (!signature.is_empty()).then(|| signature.to_vec()),
    })
}

/// A count and so many items of `size` bytes, as far as they are there.
fn take_list<'a>(rest: &mut &'a [u8], size: usize) -> Option<&'a [u8]> {
    let count: usize = u32::from_be_bytes(take(rest)?).try_into().ok()?;
    take_slice(rest, count.checked_mul(size)?)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_slice<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests;

//! The version record: what a version is, in bytes that can be hashed, chained and signed.
//!
//! Layout, all integers big-endian:
//!
//! ```text
//! "3SVR" | format u8 = 1 | flag u8 | document 16 | version u64 | previous record's SHA-256 32 |
//! size u64 | time i64 (ms) | root hash 32 | author u8 length + text | node u8 length + text
//! ```
//!
//! The signature of an `integrity` version is the server's, RSA-PSS with SHA-256 over exactly these bytes.
//! The root hash of an `integrity` version is the Merkle tree hash of RFC 9162, section 2.1.1, over its
//! blocks' plaintext, so whoever holds the content can check it. That of a `confidentiality` version commits to
//! the sealed layout and means something to the server only.

use rsa::RsaPublicKey;
use sha2::{Digest, Sha256};

use crate::{Flag, MachineName, NodeId, Timestamp, Uid, Version, login};

/// The SHA-256 of an encoded [`VersionRecord`]: it chains a document's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordHash(pub [u8; 32]);

impl RecordHash {
    /// Before the first version.
    pub const NONE: RecordHash = RecordHash([0; 32]);
}

/// The Merkle leaf hash of one block of plaintext, as [`block_hash`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash(pub [u8; 32]);

/// What commits to a version's content: the Merkle tree hash of its blocks ([`merkle_root`]), or for a `confidentiality`
/// version what commits to the sealed layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootHash(pub [u8; 32]);

const MAGIC: &[u8; 4] = b"3SVR";
const FORMAT: u8 = 1;

/// The public part of a version's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRecord {
    /// Whose version.
    pub document: NodeId,
    /// Which one.
    pub version: Version,
    /// [`VersionRecord::hash`] of the version before; [`RecordHash::NONE`] for the first.
    pub previous: RecordHash,
    /// Bytes of plaintext.
    pub size: u64,
    /// How it is protected.
    pub flag: Flag,
    /// Who checked it in.
    pub author: Uid,
    /// From which machine.
    pub machine: MachineName,
    /// When, on the server's clock.
    pub time: Timestamp,
    /// Commits to the content.
    pub root: RootHash,
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Made by a version of 3S that this one does not know.
    #[error("record format {0} is not known here")]
    Format(u8),
    /// Cut short, too long, or a field that cannot be.
    #[error("malformed version record")]
    Malformed,
}

impl VersionRecord {
    /// The bytes that are hashed and signed. Equal records have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(MAGIC);
        out.push(FORMAT);
        out.push(self.flag.to_byte());
        out.extend_from_slice(self.document.as_bytes());
        out.extend_from_slice(&self.version.0.to_be_bytes());
        out.extend_from_slice(&self.previous.0);
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&self.time.0.to_be_bytes());
        out.extend_from_slice(&self.root.0);
        for text in [self.author.as_str(), self.machine.as_str()] {
            // Both names are at most 64 bytes long by construction.
            out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    /// The inverse of [`VersionRecord::encode`]; refuses trailing bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut rest = bytes;
        if take::<4>(&mut rest)? != *MAGIC {
            return Err(RecordError::Malformed);
        }
        let [format] = take::<1>(&mut rest)?;
        if format != FORMAT {
            return Err(RecordError::Format(format));
        }
        let [flag] = take::<1>(&mut rest)?;
        let record = VersionRecord {
            flag: Flag::from_byte(flag).ok_or(RecordError::Malformed)?,
            document: NodeId(take(&mut rest)?),
            version: Version(u64::from_be_bytes(take(&mut rest)?)),
            previous: RecordHash(take(&mut rest)?),
            size: u64::from_be_bytes(take(&mut rest)?),
            time: Timestamp(i64::from_be_bytes(take(&mut rest)?)),
            root: RootHash(take(&mut rest)?),
            author: take_text(&mut rest)?.parse().map_err(|_| RecordError::Malformed)?,
            machine: take_text(&mut rest)?.parse().map_err(|_| RecordError::Malformed)?,
        };
        if rest.is_empty() { Ok(record) } else { Err(RecordError::Malformed) }
    }

    /// SHA-256 of the encoded record; the next version's `previous`.
    pub fn hash(&self) -> RecordHash {
        RecordHash(Sha256::digest(self.encode()).into())
    }

    /// Whether `signature` is the server's over this record.
    pub fn is_signed_by(&self, server: &RsaPublicKey, signature: &[u8]) -> bool {
        login::verify(server, &self.encode(), signature)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RecordError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(RecordError::Malformed)?;
    *rest = tail;
    Ok(*head)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, RecordError> {
    let [length] = take::<1>(rest)?;
    let (text, tail) = rest.split_at_checked(length.into()).ok_or(RecordError::Malformed)?;
    *rest = tail;
    std::str::from_utf8(text).map_err(|_| RecordError::Malformed)
}

/// The Merkle leaf hash of one block of plaintext: `SHA-256(0x00 || block)`.
pub fn block_hash(block: &[u8]) -> BlockHash {
    BlockHash(Sha256::new().chain_update([0]).chain_update(block).finalize().into())
}

/// The Merkle tree hash over block hashes, in order; `SHA-256("")` for none.
pub fn merkle_root(blocks: &[BlockHash]) -> RootHash {
    RootHash(tree_hash(blocks))
}

fn tree_hash(leaves: &[BlockHash]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => leaf.0,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            Sha256::new()
                .chain_update([1])
                .chain_update(tree_hash(left))
                .chain_update(tree_hash(right))
                .finalize()
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> VersionRecord {
        VersionRecord {
            document: NodeId([7; 16]),
            version: Version(3),
            previous: RecordHash([1; 32]),
            size: 70_000,
            flag: Flag::Integrity,
            author: "alice".parse().unwrap(),
            machine: "client1".parse().unwrap(),
            time: Timestamp(1_795_359_845_000),
            root: RootHash([2; 32]),
        }
    }

    #[test]
    fn the_layout_is_fixed() {
        let hex = hex::encode(sample().encode());
        let expected = [
            "33535652",
            "01",
            "02",
            &"07".repeat(16),
            "0000000000000003",
            &"01".repeat(32),
            "0000000000011170",
            "000001a203c92a88",
            &"02".repeat(32),
            "05616c696365",
            "07636c69656e7431",
        ]
        .concat();
        assert_eq!(hex, expected);
    }

    #[test]
    fn records_round_trip_and_refuse_more_or_less() {
        let bytes = sample().encode();
        assert_eq!(VersionRecord::decode(&bytes).unwrap(), sample());
        for cut in 0..bytes.len() {
            assert!(VersionRecord::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(VersionRecord::decode(&[&bytes[..], b"x"].concat()).is_err());
        let mut newer = bytes;
        newer[4] = 2;
        assert_eq!(VersionRecord::decode(&newer), Err(RecordError::Format(2)));
    }

    #[test]
    fn the_tree_hash_is_the_rfcs() {
        // SHA-256 of nothing, and the leaf and node rules written out by hand.
        assert_eq!(
            hex::encode(merkle_root(&[]).0),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let [a, b, c] = [block_hash(b"a"), block_hash(b"b"), block_hash(b"c")];
        let node =
            |l: [u8; 32], r: [u8; 32]| -> [u8; 32] { Sha256::digest([&[1][..], &l, &r].concat()).into() };
        assert_eq!(merkle_root(&[a]).0, a.0);
        assert_eq!(merkle_root(&[a, b, c]).0, node(node(a.0, b.0), c.0));
        assert_eq!(merkle_root(&[a, b, c, a, b]).0, node(node(node(a.0, b.0), node(c.0, a.0)), b.0));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = VersionRecord::decode(&bytes);
        }

        #[test]
        fn a_flipped_bit_never_decodes_to_the_same_record(at in 0usize..1000, bit in 0u8..8) {
            let mut bytes = sample().encode();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(VersionRecord::decode(&bytes) != Ok(sample()));
        }
    }
}

//! The hashes that an `integrity` version is held to: of its blocks' plaintext, and their root.
//!
//! Costs: holes are hashed once in all; a long list's root is computed off the async threads.

use std::sync::OnceLock;

use sss_common::limits::BLOCK_SIZE;
use sss_common::record::{BlockHash, RootHash, block_hash, merkle_root};

use super::{Result, VaultError};

/// Leaves whose root is computed without leaving the async thread (about 1 ms).
const ROOT_AT_ONCE: usize = 4096;

/// The hash of a hole's part of a document: `length` zeroes.
pub fn zero_hash(length: usize) -> BlockHash {
    static WHOLE: OnceLock<BlockHash> = OnceLock::new();
    match length {
        BLOCK_SIZE => *WHOLE.get_or_init(|| block_hash(&[0; BLOCK_SIZE])),
        _ => block_hash(&vec![0; length]),
    }
}

/// The Merkle root, off the async threads where it takes long. Gives the digests back.
pub async fn root_of(digests: Vec<BlockHash>) -> Result<(Vec<BlockHash>, RootHash)> {
    if digests.len() <= ROOT_AT_ONCE {
        let root = merkle_root(&digests);
        return Ok((digests, root));
    }
    let root = tokio::task::spawn_blocking(move || {
        let root = merkle_root(&digests);
        (digests, root)
    });
    root.await.map_err(|_| VaultError::Refused("hashing was stopped"))
}

//! The hashes of an `integrity` version's blocks, and their root.
//!
//! Costs: a block that is read is hashed once; holes are hashed once in all. Long runs give way to other work.

use std::sync::OnceLock;

use sss_common::Flag;
use sss_common::limits::BLOCK_SIZE;
use sss_common::record::{Hash, block_hash, merkle_root};

use super::content::Content;
use super::{Failure, Outcome, Service};
use crate::policy::Allowed;

/// Blocks that are looked at before other work gets its turn.
const TURN: u64 = 64;

/// Leaves whose root is computed without leaving the async thread (about 1 ms).
const ROOT_AT_ONCE: usize = 4096;

/// Gives way once in a while; to be called for each block of a long run.
pub(super) async fn turn(block: u64) {
    if block % TURN == TURN - 1 {
        tokio::task::yield_now().await;
    }
}

/// The hash of a hole's part of a document: `length` zeroes.
pub(super) fn zero_hash(length: usize) -> Hash {
    static WHOLE: OnceLock<Hash> = OnceLock::new();
    match length {
        BLOCK_SIZE => *WHOLE.get_or_init(|| block_hash(&[0; BLOCK_SIZE])),
        _ => block_hash(&vec![0; length]),
    }
}

/// The Merkle root, off the async threads where it takes long. Gives the digests back.
pub(super) async fn root_of(digests: Vec<Hash>) -> Outcome<(Vec<Hash>, Hash)> {
    if digests.len() <= ROOT_AT_ONCE {
        let root = merkle_root(&digests);
        return Ok((digests, root));
    }
    let root = tokio::task::spawn_blocking(move || {
        let root = merkle_root(&digests);
        (digests, root)
    });
    root.await.map_err(|error| Failure::new(sss_common::Code::Internal, "hashing failed").caused_by(error))
}

impl Service {
    /// The digests of a version's blocks: from its record, or by reading all of it.
    pub(super) async fn digests_of(&self, allowed: &Allowed, content: &Content) -> Outcome<Vec<Hash>> {
        if content.body.record.flag == Flag::Integrity {
            return Ok(content.body.digests.clone());
        }
        let mut digests = Vec::new();
        for block in 0..content.size().div_ceil(BLOCK_SIZE as u64) {
            turn(block).await;
            digests.push(match content.body.layout.find(block) {
                Some(_) => block_hash(&content.block(allowed, block).await?),
                None => zero_hash(content.block_length(block)),
            });
        }
        Ok(digests)
    }
}

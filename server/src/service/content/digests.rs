//! The hashes of a version's blocks.
//!
//! Costs: a block that is read is hashed once; holes are hashed once in all. Long runs give way to other work.

use sss_common::Flag;
use sss_common::record::{BlockHash, block_hash};

use super::versions::VersionContent;
use super::{Content, Contents};
use crate::service::{Caller, Outcome};
use crate::store::Seen;
use sss_policy::MayRead;
use sss_vault::digests::zero_hash;

/// Blocks that are looked at before other work gets its turn.
const TURN: u64 = 64;

/// Gives way once in a while; to be called for each block of a long run.
pub(super) async fn turn(block: u64) {
    if block % TURN == TURN - 1 {
        tokio::task::yield_now().await;
    }
}

impl Contents {
    /// A version's content as a record under this flag needs it; refused where it is too large for the flag.
    pub(in crate::service) async fn content_under(
        &self,
        caller: &Caller,
        proof: &dyn MayRead,
        seen: &Seen,
        content: &Content,
        flag: Flag,
    ) -> Outcome<VersionContent> {
        self.must_fit(content.size(), flag)?;
        let digests = match flag {
            Flag::Integrity => {
                let note = |failure: &_| self.audit.note_damage(caller, seen.node.id, &seen.path, failure);
                self.digests_of(proof, content).await.inspect_err(note)?
            }
            Flag::Confidentiality => Vec::new(),
        };
        Ok(VersionContent::of(content, digests))
    }

    /// The digests of a version's blocks: from its record, or by reading all of it.
    async fn digests_of(&self, proof: &dyn MayRead, content: &Content) -> Outcome<Vec<BlockHash>> {
        if content.body.record.flag == Flag::Integrity {
            return Ok(content.body.digests.clone());
        }
        let mut digests = Vec::new();
        for block in 0..content.body.blocks() {
            turn(block).await;
            digests.push(match content.body.layout.find(block) {
                Some(_) => block_hash(&content.block(proof, block).await?),
                None => zero_hash(content.body.block_length(block)),
            });
        }
        Ok(digests)
    }
}

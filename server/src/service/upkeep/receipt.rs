//! Deletion receipts: what the server did to a document's keys, signed with its key.
//!
//! One is given only when nothing is left to be done: no key of the deletion is queued any more, and the keyring, as it
//! is on its medium, holds no root key that leads to them. So whoever gets one waits for the erasure, and who cannot get one hears
//! that the document is deleted all the same.
//!
//! Costs: the log's entry; an erasure, shared with all who wait for one, unless it is done; one signature (3 ms, off the
//! async threads). The same deletion's statement is the same text every time.

use std::sync::Arc;

use sss_common::receipt::{Erasure, Receipt, STATEMENT_MAX, SignedReceipt};
use sss_common::wire::fs::ReceiptRequest;
use sss_common::{Code, NodeId, StoreId};

use super::Upkeep;
use crate::service::audit::{AuditAction, AuditOutcome};
use crate::service::signing::attest;
use crate::service::{Caller, Failure, Outcome, Service};
use crate::store::Deletion;
use sss_policy as policy;
use sss_vault::Vault;

impl Upkeep {
    /// The receipt of a deletion, again or for the first time.
    pub(in crate::service) async fn receipt(
        &self,
        caller: &Caller,
        request: ReceiptRequest,
    ) -> Outcome<SignedReceipt> {
        let deletion = self.meta.deletion(request.document).await?.ok_or_else(Failure::not_found)?;
        let may = policy::receipt(&caller.uid, &deletion.user, &deletion.home);
        may.inspect_err(|refusal| {
            let outcome = AuditOutcome::Refused(refusal.to_string());
            self.audit.note_at(caller, AuditAction::Receipt, deletion.document, &deletion.path, outcome);
        })?;
        self.give_receipt(caller, deletion).await
    }

    /// Waits until a deletion's keys are gone, signs that they are, and writes that down.
    pub(in crate::service) async fn give_receipt(
        &self,
        caller: &Caller,
        deletion: Deletion,
    ) -> Outcome<SignedReceipt> {
        let deletion = self.await_erasure(deletion).await?;
        let receipt = receipt_of(&self.vault, &deletion).await?;
        let erased = deletion.erased.map_or_else(|| "no keys".into(), |at| format!("epoch {}", at.epoch));
        let row = self.audit.row(caller, AuditAction::Receipt, deletion.document, &deletion.path, erased);
        self.audit.record(row).await?;
        Ok(receipt)
    }

    /// The deletion as the log has it once nothing of it is left.
    async fn await_erasure(&self, deletion: Deletion) -> Outcome<Deletion> {
        if is_forgotten(&self.vault, &deletion).await {
            return Ok(deletion);
        }
        let document = deletion.document;
        let erased = async {
            self.erase_now(&deletion).await?;
            self.meta.deletion(document).await?.ok_or_else(Failure::not_found)
        };
        let deletion = erased.await.map_err(|failure| not_erased(document, failure.cause))?;
        match is_forgotten(&self.vault, &deletion).await {
            true => Ok(deletion),
            false => Err(not_erased(document, None)),
        }
    }
}

/// The receipt of a deletion for an administrator, from a store's keys as they are in its keyring now; `NotErased` where they hold
/// a root key that leads to the deletion's keys, or its keys are still queued.
pub async fn receipt_of(vault: &Arc<Vault>, deletion: &Deletion) -> Outcome<SignedReceipt> {
    if !is_forgotten(vault, deletion).await {
        return Err(not_erased(deletion.document, None));
    }
    let statement = statement(vault.store_id(), deletion)?;
    let signature = attest(vault, statement.clone().into_bytes()).await?;
    Ok(SignedReceipt::new(statement, &signature))
}

/// Whether a deletion's keys are off the queue and the keyring holds no root key that leads to them.
async fn is_forgotten(vault: &Vault, deletion: &Deletion) -> bool {
    match deletion.erased {
        Some(at) => at.epoch <= vault.forgotten_before().await,
        None => deletion.keys.is_empty(),
    }
}

impl Service {
    /// The receipt of a deletion, again or for the first time.
    pub async fn fs_receipt(&self, caller: &Caller, request: ReceiptRequest) -> Outcome<SignedReceipt> {
        self.upkeep.receipt(caller, request).await
    }
}

fn not_erased(document: NodeId, cause: Option<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    let words = format!(
        "document {document} is deleted; its keys are not erased yet and the server goes on trying: ask for the receipt later"
    );
    Failure { cause, ..Failure::new(Code::NotErased, words) }
}

/// What is signed.
fn statement(store: StoreId, deletion: &Deletion) -> Outcome<String> {
    let receipt = Receipt {
        store,
        document: deletion.document,
        path: deletion.path.clone(),
        home: deletion.home.clone(),
        deleted_by: deletion.user.clone(),
        deleted: deletion.time,
        versions: deletion.versions.iter().map(|version| version.0).collect(),
        keys: deletion.keys.iter().map(|leaf| leaf.0).collect(),
        shared_keys: deletion.shared.iter().map(|leaf| leaf.0).collect(),
        erasure: deletion.erased.map(|at| Erasure { epoch: at.epoch, time: at.time }),
    };
    let text = receipt.to_string();
    match text.len() <= STATEMENT_MAX {
        true => Ok(text),
        false => Err(Failure::new(Code::TooLarge, "it is deleted; its receipt is longer than one may be")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sss_common::{Timestamp, Version};

    use super::*;

    #[test]
    fn a_statement_that_nobody_would_read_is_refused() {
        let with = |versions: u64| Deletion {
            seq: crate::store::DeletionSeq(1),
            document: NodeId([1; 16]),
            home: "alice".parse().unwrap(),
            user: "alice".parse().unwrap(),
            path: "@alice/f".into(),
            time: Timestamp(0),
            // Every second one, so that nothing can be written as a range.
            versions: (100_000..100_000 + versions).map(|number| Version(2 * number)).collect(),
            keys: vec![],
            shared: vec![],
            erased: None,
        };
        let text = statement(StoreId([0; 16]), &with(100_000)).unwrap();
        assert_eq!(text.parse::<Receipt>().unwrap().versions.count(), 100_000);
        assert_eq!(statement(StoreId([0; 16]), &with(200_000)).unwrap_err().code, Code::TooLarge);
    }
}

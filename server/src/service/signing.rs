//! Signatures with the server's key.

use std::sync::Arc;

use sss_common::Code;

use super::{Failure, Outcome};
use sss_vault::Vault;

/// Signs off the async threads. About 3 ms.
pub(super) async fn sign(vault: &Arc<Vault>, message: Vec<u8>) -> Outcome<Vec<u8>> {
    let vault = Arc::clone(vault);
    let signed = tokio::task::spawn_blocking(move || vault.sign(&message)).await;
    Ok(signed.map_err(|error| Failure::new(Code::Internal, "signing failed").caused_by(error))??)
}

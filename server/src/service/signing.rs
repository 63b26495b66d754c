//! Signatures with the server's key.

use std::sync::Arc;

use sss_common::Code;

use super::{Failure, Outcome};
use sss_vault::{Vault, VaultError};

/// Signs off the async threads. About 3 ms.
pub(super) async fn sign(vault: &Arc<Vault>, message: Vec<u8>) -> Outcome<Vec<u8>> {
    signed(vault, move |vault| vault.sign(&message)).await
}

/// The same with [`Vault::attest`].
pub(super) async fn attest(vault: &Arc<Vault>, statement: Vec<u8>) -> Outcome<Vec<u8>> {
    signed(vault, move |vault| vault.attest(&statement)).await
}

async fn signed(
    vault: &Arc<Vault>,
    work: impl FnOnce(&Vault) -> Result<Vec<u8>, VaultError> + Send + 'static,
) -> Outcome<Vec<u8>> {
    let vault = Arc::clone(vault);
    let signed = tokio::task::spawn_blocking(move || work(&vault)).await;
    Ok(signed.map_err(|error| Failure::new(Code::Internal, "signing failed").caused_by(error))??)
}

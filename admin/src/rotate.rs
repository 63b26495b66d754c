//! `3s-server rotate-key`: a new RSA key pair for the server. Holds the data directory's lock, so no server runs meanwhile.
//!
//! Changes `server.key`, `server.pub`, `retired.pub`, the keyring and six nodes of the key tree; no pack and no
//! document. `vault::rotation` has the protocol, and says why a crash at any moment loses nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sss_common::{Clock, SystemClock};

use sss_failpoint as failpoint;
use sss_server::run::compose::{self, Paths};
use sss_server::run::{Advice, lock};
use sss_server::store::{AuditAction, AuditRow, Erased, MetaStore};
use sss_vault::{Interrupted, Rotated, Rotating, VaultError};

/// What a rotation did.
pub struct Rotation {
    /// The public keys.
    pub keys: Rotated,
    /// An earlier one was cut short after it had reached the store, and was finished instead.
    pub finished: bool,
}

/// Rotates the server's key, or finishes a rotation that was cut short.
pub async fn rotate(data_dir: &Path, keyring: Option<PathBuf>) -> anyhow::Result<Rotation> {
    let _lock = lock::lock(data_dir)?;
    let meta = compose::open_meta(data_dir)?;
    let vault = compose::open_vault(&Paths::of(data_dir, keyring), &meta).await?;
    if vault.interrupted_rotation() == Some(Interrupted::Finished)
        && let Some(keys) = vault.last_rotation()
    {
        record(&meta, &keys).await?;
        return Ok(Rotation { keys, finished: true });
    }
    vault.check_rotation()?;
    let rotating = vault.begin_rotation().await.map_err(resumable)?;
    commit(&meta, &rotating).await?;
    let keys = rotating.finish().map_err(resumable)?;
    record(&meta, &keys).await?;
    Ok(Rotation { keys, finished: false })
}

/// The one transaction: from here on the store is the new key's.
async fn commit(meta: &Arc<dyn MetaStore>, rotating: &Rotating) -> anyhow::Result<()> {
    let at = Erased { epoch: rotating.epoch(), time: SystemClock.now() };
    let committed = meta.erased(&[], rotating.images(), at).await;
    committed.advice(&format!("see whether DATA_DIR is right and its disk has room; {RESUMED}"))?;
    failpoint::at("rotate.committed");
    Ok(())
}

async fn record(meta: &Arc<dyn MetaStore>, keys: &Rotated) -> anyhow::Result<()> {
    let detail = format!("from {} to {}", keys.old, keys.new);
    let row = AuditRow::administrative(SystemClock.now(), AuditAction::RotateKey, detail);
    let written = async {
        meta.audit(vec![row])?;
        meta.flush().await
    };
    written.await.advice("the key was rotated; the audit log has no line about it")
}

const RESUMED: &str =
    "nothing is lost: the next start of the server, or of this command, undoes or finishes what was begun";

/// A refusal that may have come in the middle.
fn resumable(error: VaultError) -> anyhow::Error {
    anyhow::anyhow!("{error}; {RESUMED}")
}

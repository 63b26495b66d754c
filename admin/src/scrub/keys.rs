//! The key tree beside a server that moves it on, and what counts as damage there.
//!
//! An erasure seals nodes anew under a new root key, so a node that is read after it may not open under the tree that
//! was opened before it; and what is deleted between two readings is missing at the second. Therefore nothing is damage
//! that shows once. After a failure the keyring and the tree are opened anew and the rows are read again, and damage is
//! what fails twice in a row, the second time under a root key that was still the store's when the check was over, and
//! whose row is still there after that.
//!
//! The tree is opened anew once in a second anyhow: keys that the server has erased meanwhile must not live on in this
//! process for as long as a scrub takes. Cost of opening: two private RSA operations at most (3 ms each).

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::STORE_FAILED;
use sss_server::run::Advice;
use sss_server::store::{self, MetaStore, StoreError};
use sss_vault::{KeySource, Vault, VaultError, VaultPaths};

/// How old an opened tree may be when a check begins.
const AGE: Duration = Duration::from_secs(1);

/// How often a check is repeated because the keys moved on under it. Between opening the tree and the last node of a path
/// lie a few reads, while an erasure replaces the keyring twice, so one in many meets a check; twenty in a row do not.
const TRIES: u32 = 20;

/// Why a check did not find all well.
pub(super) enum Fault<W> {
    /// It does not verify.
    Damage {
        /// What, for people or for the caller.
        what: W,
        /// Whether a key tree that has moved on would explain it.
        keyed: bool,
    },
    /// Its row is not there any more.
    Gone,
    /// The check could not be made.
    Stopped(anyhow::Error),
}

/// What came of a check, in the end.
pub(super) enum Verdict<T, W> {
    /// All well.
    Fine(T),
    /// Damage that showed twice.
    Damaged(W),
    /// Deleted meanwhile.
    Gone,
}

impl<W> Fault<W> {
    /// Damage that the bytes alone show.
    pub(super) fn of_bytes(what: impl Into<W>) -> Self {
        Fault::Damage { what: what.into(), keyed: false }
    }
}

impl<W: From<String>> From<VaultError> for Fault<W> {
    fn from(error: VaultError) -> Self {
        let what = match &error {
            VaultError::Erased => "its key is gone".into(),
            VaultError::Integrity(what) => match what.strip_prefix("a version's ") {
                Some(part) => format!("its {part} does not verify"),
                None => error.to_string(),
            },
            _ => return Fault::Stopped(error.into()),
        };
        Fault::Damage { what: what.into(), keyed: true }
    }
}

impl<W: From<String>> From<StoreError> for Fault<W> {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(what) => {
                Fault::of_bytes(format!("its rows in the database do not make sense: {what}"))
            }
            error => Fault::Stopped(error.into()),
        }
    }
}

/// A store's keys, opened again and again.
pub(super) struct Keys {
    meta: Arc<dyn MetaStore>,
    source: Arc<dyn KeySource>,
    paths: VaultPaths,
    opened: Mutex<(Arc<Vault>, Instant)>,
}

impl Keys {
    pub(super) async fn open(
        meta: Arc<dyn MetaStore>,
        source: Arc<dyn KeySource>,
        paths: VaultPaths,
    ) -> anyhow::Result<Self> {
        let vault = open(&*meta, &source, &paths).await?;
        Ok(Keys { meta, source, paths, opened: Mutex::new((vault, Instant::now())) })
    }

    /// Makes a check until its outcome counts. `still_there` is asked after it failed.
    pub(super) async fn settle<T, W>(
        &self,
        check: impl AsyncFn(&Vault) -> Result<T, Fault<W>>,
        still_there: impl AsyncFn() -> store::Result<bool>,
    ) -> anyhow::Result<Verdict<T, W>> {
        let mut failed = false;
        for _ in 0..TRIES {
            let vault = self.vault().await?;
            let (what, keyed) = match check(&vault).await {
                Ok(fine) => return Ok(Verdict::Fine(fine)),
                Err(Fault::Gone) => return Ok(Verdict::Gone),
                Err(Fault::Stopped(error)) => return Err(error).advice(STORE_FAILED),
                Err(Fault::Damage { what, keyed }) => (what, keyed),
            };
            let moved = self.reopen().await?.epoch() != vault.epoch();
            if !still_there().await.advice(STORE_FAILED)? {
                return Ok(Verdict::Gone);
            }
            if failed && !(keyed && moved) {
                return Ok(Verdict::Damaged(what));
            }
            failed = true;
        }
        bail!(
            "the store's root key was replaced {TRIES} times while one version was being checked\n\
             run it again when fewer documents are being deleted"
        )
    }

    async fn vault(&self) -> anyhow::Result<Arc<Vault>> {
        let (vault, at) = self.opened.lock().clone();
        if at.elapsed() < AGE { Ok(vault) } else { self.reopen().await }
    }

    async fn reopen(&self) -> anyhow::Result<Arc<Vault>> {
        let vault = open(&*self.meta, &self.source, &self.paths).await?;
        *self.opened.lock() = (vault.clone(), Instant::now());
        Ok(vault)
    }
}

async fn open(
    meta: &dyn MetaStore,
    source: &Arc<dyn KeySource>,
    paths: &VaultPaths,
) -> anyhow::Result<Arc<Vault>> {
    let last_leaf = meta.last_leaf().await.advice(STORE_FAILED)?;
    match Vault::open_to_read(paths, source.clone(), last_leaf).await {
        Ok(vault) => Ok(Arc::new(vault)),
        // Has its second line.
        Err(error @ VaultError::Keys(_)) => Err(error.into()),
        Err(error) => Err(error).advice(STORE_FAILED),
    }
}

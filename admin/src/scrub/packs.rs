//! The walk over the packs: header, length, every block, and the digests of the `integrity` versions that read them.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use sss_common::{NodeId, PackId, Version};

use super::keys::{Fault, Verdict};
use super::{PAGE, STORE_FAILED, Scrub, Watch};
use sss_server::run::Advice;
use sss_server::store::{PackRow, StoreError};
use sss_vault::check::{Outline, PackCheck};
use sss_vault::sealed::Leaf;
use sss_vault::{PACK_HEADER, Vault, VaultError, sealed_block};

/// Blocks that are read in one go (1 MiB).
const RUN: u64 = 16;

/// Runs that are read while one is being opened.
const AHEAD: usize = 3;

/// Blocks of one pack that are remembered because they do not verify. Of a pack with more, every version counts as
/// damaged.
pub(super) const BAD_MAX: usize = 256;

/// What is wrong with a pack.
pub(super) enum PackFault {
    /// All of it.
    Whole(String),
    /// These blocks, the first [`BAD_MAX`] of them.
    Blocks(Vec<u64>),
    /// Nothing that is known yet: a version that uses it has no record any more that opens.
    Record(NodeId, Version, String),
}

impl From<String> for PackFault {
    fn from(what: String) -> Self {
        PackFault::Whole(what)
    }
}

type Checked<T> = Result<T, Fault<PackFault>>;

impl Scrub {
    /// In the order of the leaves, up to this one.
    pub(super) async fn walk_packs(&self, last: Leaf, watch: &dyn Watch) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = self.meta().packs_after(after, PAGE).await.advice(STORE_FAILED)?;
            for (_, id) in page.iter().take_while(|(leaf, _)| *leaf <= last) {
                self.scrub_pack(*id, watch).await?;
            }
            after = page.last().copied();
            if page.len() < PAGE || after.is_some_and(|(leaf, _)| leaf > last) {
                return Ok(());
            }
        }
    }

    async fn scrub_pack(&self, id: PackId, watch: &dyn Watch) -> anyhow::Result<()> {
        loop {
            let check = async |vault: &Vault| self.check_pack(vault, id, watch).await;
            match self.keys.settle(check, async || self.meta().has_pack(id).await).await? {
                Verdict::Gone => return Ok(()),
                Verdict::Fine(bytes) => self.seen.lock().bytes += bytes,
                // Without that version's digests, then.
                Verdict::Damaged(PackFault::Record(document, version, what)) => {
                    self.damaged(watch, document, version, what).await?;
                    continue;
                }
                Verdict::Damaged(PackFault::Whole(what)) => self.report_pack(id, &what, watch).await?,
                Verdict::Damaged(PackFault::Blocks(bad)) => self.report_blocks(id, &bad, watch).await?,
            }
            self.seen.lock().packs += 1;
            return Ok(());
        }
    }

    /// Returns the pack's bytes.
    async fn check_pack(&self, vault: &Vault, id: PackId, watch: &dyn Watch) -> Checked<u64> {
        let row = self.meta().packs(&[id]).await?.pop().ok_or(Fault::Gone)?;
        let mut check = vault.check_pack(row.document, id, row.leaf).await.map_err(|error| match error {
            VaultError::Erased => {
                Fault::Damage { what: format!("the key of pack {id} is gone").into(), keyed: true }
            }
            error => error.into(),
        })?;
        self.expect_digests(vault, id, &mut check).await?;
        check_length(&row)?;
        check
            .header(&self.sealed(&row, 0, PACK_HEADER as u64, watch).await?)
            .map_err(|_| Fault::of_bytes(format!("the header of pack {id} does not verify")))?;
        self.check_blocks(&row, &mut check, watch).await?;
        if row.inline.is_none() && self.blobs().read(id, row.length, 1).await.is_ok() {
            return Err(Fault::of_bytes(format!("pack {id} is longer than its row says")));
        }
        Ok(row.length)
    }

    /// The digests that versions with a signature have of the pack's blocks.
    async fn expect_digests(&self, vault: &Vault, id: PackId, check: &mut PackCheck) -> Checked<()> {
        for (document, version) in self.meta().users_of(id).await? {
            if self.is_damaged(document, version) {
                continue;
            }
            match self.outline(vault, document, version).await {
                Ok(outline) => check.expect(&outline),
                Err(Fault::Gone) => {}
                Err(Fault::Stopped(error)) => return Err(Fault::Stopped(error)),
                Err(Fault::Damage { what, keyed }) => {
                    return Err(Fault::Damage { what: PackFault::Record(document, version, what), keyed });
                }
            }
        }
        Ok(())
    }

    async fn outline(
        &self,
        vault: &Vault,
        document: NodeId,
        version: Version,
    ) -> Result<Outline, Fault<String>> {
        let stored = self.meta().version(document, version).await?.ok_or(Fault::Gone)?;
        self.rate.take(stored.sealed_record.len() as u64).await;
        Ok(vault.outline(document, stored.leaf, &stored.sealed_record).await?)
    }

    async fn check_blocks(&self, row: &PackRow, check: &mut PackCheck, watch: &dyn Watch) -> Checked<()> {
        let size = sealed_block(0).1;
        let runs = (0..row.blocks.div_ceil(RUN)).map(|run| run * RUN);
        let read = async |first: u64| {
            let start = sealed_block(first).0;
            let end = row.length.min(start + RUN * size as u64);
            self.sealed(row, start, end, watch).await.map(|bytes| (first, bytes))
        };
        let mut sealed = std::pin::pin!(stream::iter(runs).map(read).buffered(AHEAD));
        let mut bad = Vec::new();
        while let Some(run) = sealed.next().await {
            let (first, bytes) = run?;
            for (index, block) in (first..).zip(bytes.chunks(size)) {
                match check.block(index, index + 1 == row.blocks, block) {
                    Ok(()) => {}
                    Err(VaultError::Integrity(_)) if bad.len() < BAD_MAX => bad.push(index),
                    Err(VaultError::Integrity(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if bad.is_empty() { Ok(()) } else { Err(Fault::of_bytes(PackFault::Blocks(bad))) }
    }

    /// Bytes of a pack, from its row or from the blob store.
    async fn sealed(&self, row: &PackRow, start: u64, end: u64, watch: &dyn Watch) -> Checked<Bytes> {
        let id = row.id;
        let length = usize::try_from(end - start).map_err(|error| Fault::Stopped(error.into()))?;
        self.rate.take(length as u64).await;
        watch.advanced(length as u64);
        if let Some(bytes) = &row.inline {
            // `check_length` has compared the two.
            let start = usize::try_from(start).unwrap_or(bytes.len()).min(bytes.len());
            return Ok(bytes.slice(start..(start + length).min(bytes.len())));
        }
        match self.blobs().read(id, start, length).await {
            Ok(bytes) => Ok(bytes),
            Err(StoreError::NotFound) if self.blobs().read(id, 0, 0).await.is_ok() => {
                Err(Fault::of_bytes(format!("pack {id} is cut short")))
            }
            Err(StoreError::NotFound) => Err(Fault::of_bytes(format!("pack {id} is missing"))),
            // A sector that the disk cannot read is what a scrub is for.
            Err(error) => Err(Fault::of_bytes(format!("pack {id} cannot be read: {error}"))),
        }
    }

    /// Every version that uses the pack is damaged.
    async fn report_pack(&self, id: PackId, what: &str, watch: &dyn Watch) -> anyhow::Result<()> {
        for (document, version) in self.meta().users_of(id).await.advice(STORE_FAILED)? {
            self.damaged(watch, document, version, what.to_owned()).await?;
        }
        Ok(())
    }

    /// Every version that reads one of these blocks is damaged.
    async fn report_blocks(&self, id: PackId, bad: &[u64], watch: &dyn Watch) -> anyhow::Result<()> {
        let mut read = false;
        for (document, version) in self.meta().users_of(id).await.advice(STORE_FAILED)? {
            let look = async |vault: &Vault| self.outline(vault, document, version).await;
            let there = async || self.has_version(document, version).await;
            let what = match self.keys.settle(look, there).await? {
                Verdict::Gone => continue,
                Verdict::Damaged(what) => Some(what),
                Verdict::Fine(outline) => of_blocks(id, bad, &outline),
            };
            if let Some(what) = what {
                read = true;
                self.damaged(watch, document, version, what).await?;
            }
        }
        if !read {
            self.seen.lock().unread += 1;
        }
        Ok(())
    }
}

/// What is damaged of what a version reads; `None` when it reads none of these blocks.
fn of_blocks(id: PackId, bad: &[u64], outline: &Outline) -> Option<String> {
    let mut read = bad.iter().filter(|block| outline.reads(id, **block));
    match (read.next(), read.count()) {
        (Some(first), 0) => Some(format!("block {first} of pack {id} does not verify")),
        (Some(first), more) => {
            Some(format!("block {first} of pack {id} does not verify, nor do {more} more"))
        }
        (None, _) if bad.len() >= BAD_MAX => {
            Some(format!("more than {BAD_MAX} blocks of pack {id} do not verify"))
        }
        (None, _) => None,
    }
}

/// A pack's row agrees with itself: so many bytes are so many blocks.
fn check_length(row: &PackRow) -> Checked<()> {
    let body = row.length.saturating_sub(PACK_HEADER as u64);
    let fits = body > 0 && body.div_ceil(sealed_block(0).1 as u64) == row.blocks;
    if !fits || row.inline.as_ref().is_some_and(|bytes| bytes.len() as u64 != row.length) {
        return Err(Fault::of_bytes(format!("the length of pack {} is not what its row says", row.id)));
    }
    Ok(())
}

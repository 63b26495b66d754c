//! The walk over the documents: every version's row, key and record.

use sss_common::{NodeId, Version};

use super::keys::{Fault, Verdict};
use super::{PAGE, STORE_FAILED, Scrub, Watch};
use sss_server::run::Advice;
use sss_server::store::{self, Versions};
use sss_vault::Vault;

impl Scrub {
    pub(super) async fn walk_versions(&self, watch: &dyn Watch) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = self.meta().documents(after, PAGE).await.advice(STORE_FAILED)?;
            for id in &page {
                self.scrub_document(*id, watch).await?;
            }
            after = page.last().copied();
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn scrub_document(&self, id: NodeId, watch: &dyn Watch) -> anyhow::Result<()> {
        let Some(versions) = self.meta().versions_of(id).await.advice(STORE_FAILED)? else { return Ok(()) };
        for version in numbers(&versions) {
            let check = async |vault: &Vault| self.check_version(vault, id, version).await;
            match self.keys.settle(check, async || self.has_version(id, version).await).await? {
                Verdict::Fine(()) => {}
                Verdict::Damaged(what) => self.damaged(watch, id, version, what).await?,
                Verdict::Gone => continue,
            }
            self.seen.lock().versions += 1;
            watch.advanced(1);
        }
        self.seen.lock().documents += 1;
        Ok(())
    }

    /// Row, key, record, and that the record and the rows say the same.
    async fn check_version(&self, vault: &Vault, id: NodeId, version: Version) -> Result<(), Fault<String>> {
        let versions = self.meta().versions_of(id).await?.ok_or(Fault::Gone)?;
        let is_current = versions.current == version;
        let kept = versions.kept.iter().find(|kept| kept.version == version);
        let stored = self.meta().version(id, version).await?;
        let (kept, stored) = match (kept, stored) {
            (Some(kept), Some(stored)) => (kept, stored),
            (None, _) if is_current => return Err(Fault::of_bytes("its row is missing".to_owned())),
            _ => return Err(Fault::Gone),
        };
        self.rate.take(stored.sealed_record.len() as u64).await;
        let outline = vault.check_record(id, version, stored.leaf, &stored.sealed_record).await?;
        if is_current && outline.size() != versions.size {
            let (record, row) = (outline.size(), versions.size);
            return Err(Fault::of_bytes(format!("its record says {record} bytes, its row {row}")));
        }
        for pack in outline.packs() {
            let what = match self.meta().pack_blocks(pack).await? {
                None => format!("pack {pack} has no row"),
                Some(blocks) if outline.reach(pack) > blocks => {
                    format!("it reads more of pack {pack} than its row says there is")
                }
                // It would be deleted under the version that reads it.
                Some(_) if !kept.uses.contains(&pack) => format!("pack {pack} does not count as used by it"),
                Some(_) => continue,
            };
            return Err(Fault::of_bytes(what));
        }
        Ok(())
    }

    pub(super) async fn has_version(&self, id: NodeId, version: Version) -> store::Result<bool> {
        let versions = self.meta().versions_of(id).await?;
        Ok(versions.is_some_and(|versions| numbers(&versions).contains(&version)))
    }
}

/// Those that have a row, and the current one, which must.
fn numbers(versions: &Versions) -> Vec<Version> {
    let mut numbers: Vec<Version> = versions.kept.iter().map(|kept| kept.version).collect();
    if versions.current != Version::NONE && !numbers.contains(&versions.current) {
        numbers.push(versions.current);
    }
    numbers
}

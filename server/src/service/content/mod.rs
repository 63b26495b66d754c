//! A version's plaintext, block by block and as a stream.
//!
//! Costs of opening: one read of the version's row, one of its packs' rows, one key of the tree for each pack that is
//! touched (from memory when it was used lately); all remembered in [`cache`]. Of reading: one ranged read of the
//! blob store for each MiB, one copy of each sealed block, which is then opened in place.

pub(super) mod assemble;
pub(super) mod cache;
mod digests;
pub(super) mod versions;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use sss_common::limits::{BLOCK_SIZE, INTEGRITY_MAX};
use sss_common::wire::fs::StatfsResponse;
use sss_common::{Clock, Code, Flag, NodeId, PackId, Version};

use crate::service::audit::AuditLog;
use crate::service::base::Base;
use crate::service::held::Held;
use crate::service::waking::Waking;
use crate::service::{ByteStream, Caller, Failure, Outcome};
use crate::store::{BlobStore, MetaStore, PackRow, Seen};
use cache::ContentCache;
use sss_policy::{Allowed, Checkout, MayRead, MayWrite};
use sss_vault::{Opener, PACK_HEADER, RecordBody, Sealer, Vault, VaultError, sealed_block};

/// Packs and extents that a version may use before the next check-in brings them together. Packs that lie in their rows
/// are in memory while a version is open, so this bounds that memory too.
pub(in crate::service) const PACKS_MAX: usize = 256;
const EXTENTS_MAX: usize = 4096;

/// Blocks that are read from the blob store in one go (1 MiB).
const RUN: u64 = 16;

/// Runs that are read ahead while one is sent.
const AHEAD: usize = 3;

const BLOCK: u64 = BLOCK_SIZE as u64;

/// Versions: opening them, and making new ones.
pub(super) struct Contents {
    meta: Arc<dyn MetaStore>,
    blobs: Arc<dyn BlobStore>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    audit: Arc<AuditLog>,
    /// Versions that were opened lately.
    pub(super) opened: Arc<ContentCache>,
    held: Arc<Held>,
    waking: Arc<Waking>,
    document_max: u64,
    min_free: u64,
}

/// An opened version.
pub(in crate::service) struct Content {
    pub(in crate::service) body: RecordBody,
    packs: HashMap<PackId, PackRow>,
    openers: tokio::sync::Mutex<HashMap<PackId, Arc<Opener>>>,
    blobs: Arc<dyn BlobStore>,
    vault: Arc<Vault>,
}

impl Contents {
    pub(super) fn new(base: &Base, opened: Arc<ContentCache>, held: Arc<Held>, waking: Arc<Waking>) -> Self {
        Contents {
            meta: base.stores.meta.clone(),
            blobs: base.stores.blobs.clone(),
            vault: base.vault.clone(),
            clock: base.clock.clone(),
            audit: base.audit.clone(),
            opened,
            held,
            waking,
            document_max: base.settings.document_max,
            min_free: base.settings.min_free,
        }
    }

    /// Whether a document of this size can be.
    pub(super) fn must_fit(&self, size: u64, flag: Flag) -> Outcome<()> {
        let most = match flag {
            Flag::Integrity => self.document_max.min(INTEGRITY_MAX),
            Flag::Confidentiality => self.document_max,
        };
        if size <= most {
            return Ok(());
        }
        Err(Failure::new(Code::TooLarge, format!("a document under {flag} has at most {most} bytes here")))
    }

    /// Refuses what would fill the disk to the brim: the database must be able to go on.
    pub(super) async fn must_have_room(&self) -> Outcome<()> {
        match self.blobs.space().await? {
            Some(space) if space.available < self.min_free => {
                Err(Failure::new(Code::DiskFull, "the server's disk is full"))
            }
            _ => Ok(()),
        }
    }

    /// The room on the disk, and how much of it documents may take.
    pub(super) async fn room(&self) -> Outcome<StatfsResponse> {
        Ok(self.blobs.space().await?.map_or_else(StatfsResponse::default, |space| StatfsResponse {
            total: space.total,
            available: space.available.saturating_sub(self.min_free),
        }))
    }

    /// The key of a version that is about to be made, without content of its own.
    pub(super) async fn begin(&self, proof: &dyn MayWrite) -> Outcome<Sealer> {
        Ok(self.vault.begin(proof, PackId::random()).await?)
    }

    /// What was sealed with it is committed.
    pub(super) fn committed(&self, sealer: Sealer) {
        self.vault.committed(sealer);
    }

    /// The keys that records are verified with.
    pub(super) fn public_keys_pem(&self) -> String {
        self.vault.public_keys_pem()
    }

    /// A document is gone, or became another's content: what was opened of it is forgotten.
    pub(super) fn forget(&self, node: NodeId) {
        self.opened.forget(node);
    }

    /// A version of a document, its record opened and its signature checked.
    pub(in crate::service) async fn content(
        &self,
        caller: &Caller,
        proof: &dyn MayRead,
        seen: &Seen,
        version: Version,
    ) -> Outcome<Arc<Content>> {
        let content = self.open_content(proof, version).await;
        content.inspect_err(|failure| self.audit.note_damage(caller, seen.node.id, &seen.path, failure))
    }

    /// A document's current version; `None` before its first check-in.
    pub(in crate::service) async fn current_content(
        &self,
        caller: &Caller,
        proof: &dyn MayRead,
        seen: &Seen,
    ) -> Outcome<Option<Arc<Content>>> {
        match seen.node.version {
            Version::NONE => Ok(None),
            version => self.content(caller, proof, seen, version).await.map(Some),
        }
    }

    async fn open_content(&self, proof: &dyn MayRead, version: Version) -> Outcome<Arc<Content>> {
        let node = proof.node();
        let forgotten = match self.opened.find(node, version) {
            Ok(content) => return Ok(content),
            Err(forgotten) => forgotten,
        };
        let gone = || Failure::new(Code::VersionGone, "this version is kept no longer");
        let stored = self.meta.version(node, version).await?.ok_or_else(gone)?;
        let opener = self.vault.opener(proof, stored.leaf).await?;
        let body = opener.open_record(node, &stored.sealed_record)?;
        let content = Arc::new(Content::open(self, version, body).await?);
        self.opened.keep(node, version, &content, forgotten);
        Ok(content)
    }
}

impl Content {
    async fn open(contents: &Contents, version: Version, mut body: RecordBody) -> Outcome<Self> {
        contents.vault.verify_record(version, &mut body).await?;
        let wanted = body.layout.packs();
        let rows = contents.meta.packs(&wanted).await?;
        if rows.len() != wanted.len() {
            return Err(VaultError::Integrity("a version's list of packs").into());
        }
        let packs = rows.into_iter().map(|row| (row.id, row)).collect();
        Ok(Content {
            body,
            packs,
            openers: Default::default(),
            blobs: contents.blobs.clone(),
            vault: contents.vault.clone(),
        })
    }

    /// Bytes of plaintext.
    pub(in crate::service) fn size(&self) -> u64 {
        self.body.record.size
    }

    /// Whether its blocks lie in so many places that the next check-in brings them together.
    pub(in crate::service) fn is_scattered(&self) -> bool {
        self.packs.len() > PACKS_MAX || self.body.layout.extents().len() > EXTENTS_MAX
    }

    /// A block's plaintext, cut where the document ends; empty behind it.
    pub(in crate::service) async fn block(&self, proof: &dyn MayRead, index: u64) -> Outcome<Vec<u8>> {
        let run = self.run_at(index, index + 1);
        let mut blocks = self.read_run(proof, &run).await?;
        Ok(blocks.pop().unwrap_or_default())
    }

    /// `start..start + length` as a stream of blocks; both must lie inside the document. Runs are read ahead: who hands the
    /// blocks out asks whether he still may.
    pub(in crate::service) fn stream(
        self: Arc<Self>,
        allowed: Allowed<Checkout>,
        start: u64,
        length: u64,
    ) -> ByteStream {
        if length == 0 {
            return stream::empty().boxed();
        }
        let end = start + length;
        let first = start / BLOCK;
        let content = self.clone();
        let last = end.div_ceil(BLOCK);
        let mut at = first;
        let runs = std::iter::from_fn(move || {
            if at >= last {
                return None;
            }
            let run = content.run_at(at, last);
            at += run.count;
            Some(run)
        });
        stream::iter(runs)
            .map(move |run| {
                let (content, allowed) = (self.clone(), allowed.clone());
                async move {
                    let blocks = content.read_run(&allowed, &run).await?;
                    Ok((run.first..).zip(blocks).collect::<Vec<_>>())
                }
            })
            .buffered(AHEAD)
            .flat_map(move |blocks: Outcome<Vec<(u64, Vec<u8>)>>| match blocks {
                Ok(blocks) => stream::iter(
                    blocks.into_iter().map(|(i, block)| Ok(cut(i, block, start, end))).collect::<Vec<_>>(),
                ),
                Err(failure) => stream::iter(vec![Err(std::io::Error::other(StreamFailed(failure)))]),
            })
            .boxed()
    }

    /// The longest run from `index` on that is read in one go.
    fn run_at(&self, index: u64, limit: u64) -> Run {
        let limit = limit.min(index + RUN);
        let place = self.body.layout.find(index);
        let follows = |n: u64| match (place, self.body.layout.find(index + n)) {
            (None, None) => true,
            (Some((pack, at)), Some(next)) => next == (pack, at + n),
            _ => false,
        };
        let count = 1 + (1..limit - index).take_while(|&n| follows(n)).count() as u64;
        Run { first: index, count, place }
    }

    async fn read_run(&self, proof: &dyn MayRead, run: &Run) -> Outcome<Vec<Vec<u8>>> {
        let Some((pack, at)) = run.place else {
            return Ok((run.first..run.first + run.count)
                .map(|i| vec![0; self.body.block_length(i)])
                .collect());
        };
        let row = self.packs.get(&pack).ok_or(VaultError::Integrity("a version's list of packs"))?;
        let opener = self.opener(proof, row).await?;
        let sealed = self.sealed_run(row, at, run.count).await?;
        let size = sealed_block(0).1;
        let mut blocks = Vec::with_capacity(usize::try_from(run.count).unwrap_or_default());
        for (n, block) in (0..run.count).zip(sealed.chunks(size)) {
            let mut block = block.to_vec();
            opener.open_block(row.document, pack, at + n, at + n + 1 == row.blocks, &mut block)?;
            block.resize(self.body.block_length(run.first + n), 0);
            blocks.push(block);
        }
        if blocks.len() as u64 != run.count {
            return Err(VaultError::Integrity("a pack's length").into());
        }
        Ok(blocks)
    }

    async fn sealed_run(&self, row: &PackRow, at: u64, count: u64) -> Outcome<Bytes> {
        let (start, size) = sealed_block(at);
        let end = row.length.min(start.saturating_add(count.saturating_mul(size as u64)));
        self.sealed_bytes(row, start, end).await
    }

    async fn sealed_bytes(&self, row: &PackRow, start: u64, end: u64) -> Outcome<Bytes> {
        let short = || Failure::from(VaultError::Integrity("a pack's length"));
        let length = usize::try_from(end.checked_sub(start).ok_or_else(short)?).map_err(|_| short())?;
        match &row.inline {
            Some(bytes) => {
                let start = usize::try_from(start).map_err(|_| short())?;
                let range = start..start.checked_add(length).ok_or_else(short)?;
                if range.end > bytes.len() { Err(short()) } else { Ok(bytes.slice(range)) }
            }
            None => match self.blobs.read(row.id, start, length).await {
                Ok(bytes) if bytes.len() == length => Ok(bytes),
                Ok(_) => Err(short()),
                Err(crate::store::StoreError::NotFound) => {
                    Err(VaultError::Integrity("a pack that is missing or cut short").into())
                }
                Err(error) => Err(error.into()),
            },
        }
    }

    /// The key of a pack, whose header is checked when it is used first.
    async fn opener(&self, proof: &dyn MayRead, row: &PackRow) -> Outcome<Arc<Opener>> {
        if let Some(opener) = self.openers.lock().await.get(&row.id) {
            return Ok(opener.clone());
        }
        let opener = Arc::new(self.vault.opener(proof, row.leaf).await?);
        let header = self.sealed_bytes(row, 0, PACK_HEADER as u64).await?;
        opener.check_header(row.document, row.id, &header)?;
        self.openers.lock().await.insert(row.id, opener.clone());
        Ok(opener)
    }
}

struct Run {
    first: u64,
    count: u64,
    place: Option<(PackId, u64)>,
}

/// Waits for a stream's first bytes, so that what is wrong with them is an answer of its own and no stream that
/// breaks off.
pub(in crate::service) async fn begun(mut stream: ByteStream) -> Outcome<ByteStream> {
    match stream.next().await {
        None => Ok(stream),
        Some(Ok(first)) => Ok(stream::once(async move { Ok(first) }).chain(stream).boxed()),
        Some(Err(error)) => Err(match error.downcast::<StreamFailed>() {
            Ok(failed) => failed.0,
            Err(error) => Failure::new(Code::Internal, "the document cannot be read").caused_by(error),
        }),
    }
}

/// Why a stream broke off, inside the `io::Error` that carries it.
#[derive(Debug)]
pub struct StreamFailed(pub Failure);

impl std::fmt::Display for StreamFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for StreamFailed {}

fn cut(index: u64, block: Vec<u8>, start: u64, end: u64) -> Bytes {
    let at = index * BLOCK;
    let from = usize::try_from(start.saturating_sub(at)).unwrap_or(BLOCK_SIZE).min(block.len());
    let to = usize::try_from(end.saturating_sub(at)).unwrap_or(BLOCK_SIZE).min(block.len());
    Bytes::from(block).slice(from..to.max(from))
}

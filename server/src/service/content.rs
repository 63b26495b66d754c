//! A version's plaintext, block by block and as a stream.
//!
//! Costs of opening: one read of the version's row, one of its packs' rows, one key of the tree for each pack that is
//! touched (from memory when it was used lately); all remembered in [`ContentCache`]. Of reading: one ranged read of the
//! blob store for each MiB, one copy of each sealed block, which is then opened in place.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use lru::LruCache;
use parking_lot::Mutex;
use sss_common::limits::BLOCK_SIZE;
use sss_common::{Code, NodeId, PackId, Version};

use super::{ByteStream, Caller, Failure, Outcome, Service};
use crate::store::{BlobStore, PackRow, Seen, Stores};
use sss_policy::{Allowed, Checkout, MayRead};
use sss_vault::{Opener, PACK_HEADER, RecordBody, Vault, VaultError, sealed_block};

/// Most opened versions that are remembered. Each holds its extents and the keys that it used.
const CACHED: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Packs and extents that a version may use before the next check-in brings them together. Packs that lie in their rows
/// are in memory while a version is open, so this bounds that memory too.
pub(super) const PACKS_MAX: usize = 256;
const EXTENTS_MAX: usize = 4096;

/// Blocks that are read from the blob store in one go (1 MiB).
const RUN: u64 = 16;

/// Runs that are read ahead while one is sent.
const AHEAD: usize = 3;

const BLOCK: u64 = BLOCK_SIZE as u64;

/// Opened versions.
pub(super) struct ContentCache(Mutex<Cached>);

struct Cached {
    versions: LruCache<(NodeId, Version), Arc<Content>>,
    /// How often something was forgotten: a version that was being opened meanwhile is not kept, as it may be that one.
    forgotten: u64,
}

impl Default for ContentCache {
    fn default() -> Self {
        ContentCache(Mutex::new(Cached { versions: LruCache::new(CACHED), forgotten: 0 }))
    }
}

impl ContentCache {
    /// The version, if it is there; else what [`ContentCache::keep`] wants to know.
    pub(super) fn find(&self, node: NodeId, version: Version) -> Result<Arc<Content>, u64> {
        let mut cache = self.0.lock();
        let forgotten = cache.forgotten;
        cache.versions.get(&(node, version)).cloned().ok_or(forgotten)
    }

    /// Remembers a version, unless something was forgotten since it was looked for.
    pub(super) fn keep(&self, node: NodeId, version: Version, content: &Arc<Content>, forgotten: u64) {
        let mut cache = self.0.lock();
        if cache.forgotten == forgotten {
            cache.versions.put((node, version), content.clone());
        }
    }

    /// Forgets one version and its keys.
    pub(super) fn forget_version(&self, node: NodeId, version: Version) {
        let mut cache = self.0.lock();
        cache.forgotten += 1;
        cache.versions.pop(&(node, version));
    }

    /// Forgets a document's versions and their keys.
    pub(super) fn forget(&self, node: NodeId) {
        let mut cache = self.0.lock();
        cache.forgotten += 1;
        let versions: Vec<_> =
            cache.versions.iter().map(|(key, _)| *key).filter(|key| key.0 == node).collect();
        for key in versions {
            cache.versions.pop(&key);
        }
    }
}

/// An opened version.
pub(super) struct Content {
    pub(super) body: RecordBody,
    packs: HashMap<PackId, PackRow>,
    openers: tokio::sync::Mutex<HashMap<PackId, Arc<Opener>>>,
    blobs: Arc<dyn BlobStore>,
    vault: Arc<Vault>,
}

impl Service {
    /// A version of a document, its record opened and its signature checked.
    pub(super) async fn content(
        &self,
        caller: &Caller,
        proof: &dyn MayRead,
        seen: &Seen,
        version: Version,
    ) -> Outcome<Arc<Content>> {
        let content = self.open_content(proof, version).await;
        content.inspect_err(|failure| self.note_damage(caller, seen.node.id, &seen.path, failure))
    }

    /// A document's current version; `None` before its first check-in.
    pub(super) async fn current_content(
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
        let forgotten = match self.contents.find(node, version) {
            Ok(content) => return Ok(content),
            Err(forgotten) => forgotten,
        };
        let gone = || Failure::new(Code::VersionGone, "this version is kept no longer");
        let stored = self.meta().version(node, version).await?.ok_or_else(gone)?;
        let opener = self.vault.opener(proof, stored.leaf).await?;
        let body = opener.open_record(node, &stored.sealed_record)?;
        let content = Arc::new(Content::open(&self.stores, self.vault.clone(), version, body).await?);
        self.contents.keep(node, version, &content, forgotten);
        Ok(content)
    }
}

impl Content {
    async fn open(
        stores: &Stores,
        vault: Arc<Vault>,
        version: Version,
        mut body: RecordBody,
    ) -> Outcome<Self> {
        vault.verify_record(version, &mut body).await?;
        let wanted = body.layout.packs();
        let rows = stores.meta.packs(&wanted).await?;
        if rows.len() != wanted.len() {
            return Err(VaultError::Integrity("a version's list of packs").into());
        }
        let packs = rows.into_iter().map(|row| (row.id, row)).collect();
        Ok(Content { body, packs, openers: Default::default(), blobs: stores.blobs.clone(), vault })
    }

    /// Bytes of plaintext.
    pub(super) fn size(&self) -> u64 {
        self.body.record.size
    }

    /// Whether its blocks lie in so many places that the next check-in brings them together.
    pub(super) fn is_scattered(&self) -> bool {
        self.packs.len() > PACKS_MAX || self.body.layout.extents().len() > EXTENTS_MAX
    }

    /// A block's plaintext, cut where the document ends; empty behind it.
    pub(super) async fn block(&self, proof: &dyn MayRead, index: u64) -> Outcome<Vec<u8>> {
        let run = self.run_at(index, index + 1);
        let mut blocks = self.read_run(proof, &run).await?;
        Ok(blocks.pop().unwrap_or_default())
    }

    /// `start..start + length` as a stream; both must lie inside the document. `guard` is asked before each run.
    pub(super) fn stream(
        self: Arc<Self>,
        allowed: Allowed<Checkout>,
        start: u64,
        length: u64,
        guard: impl Fn() -> futures::future::BoxFuture<'static, Outcome<()>> + Send + 'static,
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
                let (content, allowed, permitted) = (self.clone(), allowed.clone(), guard());
                async move {
                    permitted.await?;
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
pub(super) async fn begun(mut stream: ByteStream) -> Outcome<ByteStream> {
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

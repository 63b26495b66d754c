//! The thief's copy, the loot of then and today, and what opens.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sss_common::limits::BLOCK_SIZE;

use super::scratch::{Scratch, at, copy_database};
use super::search::{self, Search};
use super::stage::{Drilled, Stage};
use crate::carve;
use crate::names::with_end;
use sss_server::run::compose::{Paths, open_blobs, open_metadata};
use sss_server::store::{BlobStore, MetaStore, PackRow};
use sss_vault::sealed::{KeyImage, Leaf};
use sss_vault::thief::{OldKeyring, Thief, way_to};
use sss_vault::{VaultPaths, sealed_block};

/// Everything but the keyring, as it was before the removal; and the keyring of then, in memory only.
pub(super) struct Taken {
    meta: Arc<dyn MetaStore>,
    blobs: Arc<dyn BlobStore>,
    files: Vec<PathBuf>,
    keyring: OldKeyring,
}

impl Taken {
    /// Copies the scratch store as a thief with access to the disk would.
    pub(super) fn now(scratch: &Scratch) -> anyhow::Result<Taken> {
        let paths = scratch.paths();
        let folder = scratch.place("copy");
        fs::create_dir(&folder).map_err(|e| at(&folder, &e))?;
        let copy = Paths { meta: folder.join("meta.db"), packs: folder.join("packs"), ..paths.clone() };
        copy_database(&paths.meta, &copy.meta)?;
        // Opening a database tidies its log away; the raw files stay as they were.
        let raw = folder.join("raw.db");
        copy_database(&copy.meta, &raw)?;
        let blobs = open_blobs(&copy)?;
        copy_packs(&paths.packs, &copy.packs)?;
        Ok(Taken {
            meta: open_metadata(&copy.meta)?,
            blobs,
            files: vec![raw.clone(), with_end(&raw, "-wal")],
            keyring: OldKeyring::keep(&paths.vault())?,
        })
    }

    /// Opens a document of the copy. Notes which packs it has, for those who cannot open its record.
    pub(super) async fn open(&self, thief: &Thief, document: &mut Drilled) -> anyhow::Result<Found> {
        for opener in thief.openers(document.row.leaf)? {
            if let Ok(body) = opener.open_record(document.node, &document.row.sealed_record) {
                document.packs = self.meta.packs(&body.layout.packs()).await?;
            }
        }
        self.open_known(thief, document).await
    }

    /// Tries each key on each sealed byte of a document whose rows and packs are known.
    pub(super) async fn open_known(&self, thief: &Thief, document: &Drilled) -> anyhow::Result<Found> {
        let mut found = Found::default();
        for opener in thief.openers(document.row.leaf)? {
            found.record |= opener.open_record(document.node, &document.row.sealed_record).is_ok();
        }
        for pack in &document.packs {
            for opener in thief.openers(pack.leaf)? {
                for index in 0..pack.blocks {
                    let mut block = self.sealed(pack, index).await?;
                    let last = index + 1 == pack.blocks;
                    if opener.open_block(pack.document, pack.id, index, last, &mut block).is_ok() {
                        found.content.extend_from_slice(&block[..block.len().min(BLOCK_SIZE)]);
                    }
                }
            }
        }
        Ok(found)
    }

    async fn sealed(&self, pack: &PackRow, index: u64) -> anyhow::Result<Vec<u8>> {
        let (start, length) = sealed_block(index);
        let end = pack.length.min(start + length as u64);
        let length = usize::try_from(end.saturating_sub(start))?;
        match &pack.inline {
            Some(bytes) => {
                let start = usize::try_from(start)?;
                Ok(bytes.get(start..start + length).unwrap_or_default().to_vec())
            }
            None => Ok(self.blobs.read(pack.id, start, length).await?.to_vec()),
        }
    }
}

/// The scratch store has the drill's own packs only.
fn copy_packs(from: &Path, to: &Path) -> anyhow::Result<()> {
    for folder in fs::read_dir(from).map_err(|e| at(from, &e))? {
        let folder = folder.map_err(|e| at(from, &e))?.path();
        let (Some(name), Ok(packs)) = (folder.file_name(), fs::read_dir(&folder)) else { continue };
        for pack in packs {
            let pack = pack.map_err(|e| at(&folder, &e))?;
            let copy = to.join(name).join(pack.file_name());
            fs::copy(pack.path(), &copy).map_err(|e| at(&copy, &e))?;
        }
    }
    Ok(())
}

/// What opened of a document.
#[derive(Default)]
pub(super) struct Found {
    record: bool,
    content: Vec<u8>,
}

impl Found {
    /// All of it.
    pub(super) fn is_whole(&self, document: &Drilled) -> bool {
        self.record && self.content.get(..document.content.len()) == Some(&document.content[..])
    }

    /// Not one sealed piece.
    pub(super) fn is_nothing(&self) -> bool {
        !self.record && self.content.is_empty()
    }
}

/// Every image of the key tree that there is to have, of then and of today.
pub(super) struct Loot {
    paths: VaultPaths,
    keyring: OldKeyring,
    then: Vec<KeyImage>,
    all: Vec<KeyImage>,
}

impl Loot {
    /// Asks both databases, and carves the raw files.
    pub(super) async fn gather(
        scratch: &Scratch,
        stage: &Stage,
        taken: &Taken,
        search: &Search,
        documents: &[Drilled],
    ) -> anyhow::Result<Loot> {
        let then = rows(&*taken.meta, documents).await?;
        let mut all = then.clone();
        all.extend(rows(&*stage.meta, documents).await?);
        let today = &scratch.paths().meta;
        let today = [today.clone(), with_end(today, "-wal")];
        let mut carved = |piece: &[u8]| all.extend(carve::key_nodes(piece));
        for file in taken.files.iter().chain(&today) {
            search::pieces_of(file, carve::REACH, &mut carved)?;
        }
        if let Some(image) = search.image() {
            image.pieces(carve::REACH, &mut carved)?;
        }
        // The same row is in a database, in its log, and in both of the copies.
        all.sort_by(|a, b| (a.position, a.sequence, &a.sealed).cmp(&(b.position, b.sequence, &b.sealed)));
        all.dedup();
        Ok(Loot { paths: scratch.paths().vault(), keyring: taken.keyring.clone(), then, all })
    }

    /// How many there are.
    pub(super) fn nodes(&self) -> usize {
        self.all.len()
    }

    /// The thief who also has the keyring of the time of the copy.
    pub(super) fn thief_then(&self, documents: &[Drilled]) -> anyhow::Result<Thief> {
        Ok(Thief::new(&self.paths, Some(&self.keyring), self.then.clone(), &leaves(documents))?)
    }

    /// The thief who comes today.
    pub(super) fn thief_today(&self, documents: &[Drilled]) -> anyhow::Result<Thief> {
        Ok(Thief::new(&self.paths, None, self.all.clone(), &leaves(documents))?)
    }
}

/// A check-in seals its record and its pack under one leaf.
fn leaves(documents: &[Drilled]) -> Vec<Leaf> {
    documents.iter().map(|document| document.row.leaf).collect()
}

async fn rows(meta: &dyn MetaStore, documents: &[Drilled]) -> anyhow::Result<Vec<KeyImage>> {
    let mut rows = Vec::new();
    for position in leaves(documents).into_iter().flat_map(way_to) {
        rows.extend(meta.key_node(position).await?);
    }
    Ok(rows)
}

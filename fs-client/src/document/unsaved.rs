//! A draft that leaves its mount, and comes back in another one.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use sss_common::FileTime;
use sss_common::clock::monotonic;
use sss_common::wire::fs::Attr;

use super::body::Source;
use super::draft::Part;
use super::error::Result;
use super::reader::Reader;
use super::state::State;
use super::{Document, Shared};
use crate::document::checkin::in_blocks;

/// What a draft consists of beyond its parts.
pub struct Unsaved {
    /// The version that it was written over.
    pub base: Attr,
    /// Its size in bytes.
    pub size: u64,
    /// The content's time, in nanoseconds since the epoch: a check-in that is in doubt carried the same.
    pub mtime_ns: FileTime,
    /// New permission bits (`0o7777`), if it sets them.
    pub mode: Option<u32>,
}

/// Its content; see [`Document::leave`].
pub struct Parts(Vec<Part>);

/// A part of a draft that leaves its mount. What no part speaks of is a hole.
pub enum Leaving {
    /// Written here, or read from the base: at most a block, and its offset.
    Data(u64, Bytes),
    /// A hole over the base: its offset and length in bytes.
    Zero(u64, u64),
    /// From the base, which is not to be had: its offset and length in bytes.
    Missing(u64, u64),
}

const ZEROES: &[u8] = &[0; sss_common::limits::BLOCK_SIZE];

impl Document {
    /// The draft as it is now, on its way out.
    pub fn leaving(&self) -> (Unsaved, Parts) {
        let mut state = self.state();
        let (parts, snapshot) = state.draft.parts();
        let base = state.attr.clone();
        let unsaved = Unsaved { base, size: snapshot.size, mtime_ns: snapshot.mtime_ns, mode: snapshot.mode };
        (unsaved, Parts(parts))
    }

    /// Hands the content over part by part. What the base has where nothing was written is read for as long as `patience`
    /// lasts and the server answers.
    pub async fn leave(
        &self,
        Parts(parts): Parts,
        patience: impl Future<Output = ()>,
        mut take: impl FnMut(Leaving) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let reader = Reader::default();
        let mut patience = std::pin::pin!(patience);
        let mut there = true;
        for part in parts.into_iter().flat_map(in_blocks) {
            let (from, to) = match part {
                Part::Piece(piece) => {
                    let (offset, length) = (piece.offset, piece.source.length() as u64);
                    take(match &piece.source {
                        Source::Zero(_) => Leaving::Zero(offset, length),
                        source => Leaving::Data(offset, source.load()?),
                    })?;
                    continue;
                }
                Part::Base(from, to) => (from, to),
            };
            let bytes = match there {
                true => tokio::select! {
                    biased;
                    () = &mut patience => None,
                    read = self.base_bytes(&reader, from, to) => read.ok(),
                },
                false => None,
            };
            match bytes.filter(|bytes| bytes.len() as u64 == to - from) {
                Some(bytes) => take(Leaving::Data(from, bytes))?,
                None => {
                    there = false;
                    take(Leaving::Missing(from, to - from))?;
                }
            }
        }
        Ok(())
    }

    async fn base_bytes(&self, reader: &Reader, from: u64, to: u64) -> Result<Bytes> {
        self.asked(reader, State::needs_pin).await?;
        let source = self.state().source(&self.shared);
        Ok(reader.read(&source, &self.shared.runtime, from, (to - from) as usize).await?)
    }

    /// A draft that is back: the same content over the same base, which the server may not have any more.
    pub fn back(shared: Arc<Shared>, unsaved: Unsaved) -> Result<Arc<Self>> {
        let Unsaved { base, size, mtime_ns, mode } = unsaved;
        let document = Document::with_base(shared, base, false, monotonic(), true);
        {
            let mut state = document.state();
            state.right.must_ask();
            state.draft.truncate(size)?;
            state.draft.set_mtime(mtime_ns);
            if let Some(mode) = mode {
                state.draft.set_mode(mode);
            }
        }
        Ok(document)
    }

    /// Puts a part of its content back.
    pub fn put_back(&self, offset: u64, bytes: &Bytes) -> Result<()> {
        let mut state = self.state();
        let mtime_ns = state.draft.mtime_ns();
        state.draft.write(offset, bytes)?;
        if let Some(mtime_ns) = mtime_ns {
            state.draft.set_mtime(mtime_ns);
        }
        Ok(())
    }

    /// Puts zeroes back.
    pub fn put_zeroes_back(&self, offset: u64, length: u64) -> Result<()> {
        let end = offset.saturating_add(length);
        let mut at = offset;
        while at < end {
            let step = (end - at).min(ZEROES.len() as u64);
            self.put_back(at, &Bytes::from_static(&ZEROES[..step as usize]))?;
            at += step;
        }
        Ok(())
    }
}

//! The body of a check-in: what a draft says must be sent, in frames.

use std::sync::Arc;

use bytes::Bytes;
use sss_common::FileTime;
use sss_common::framing::{data_header, end_frame};
use sss_common::limits::{BLOCK_SIZE, FRAME_MAX};
use sss_common::wire::fs::CheckinEnd;

use super::spool::Slot;

/// Where a piece's bytes are.
#[derive(Clone)]
pub enum Source {
    /// In memory.
    Bytes(Bytes),
    /// A part of a block in the spool file.
    #[allow(private_interfaces)]
    Spooled(Arc<Slot>, usize, usize),
    /// Zeroes: how many bytes of them.
    Zero(usize),
}

/// Bytes at an offset, within one block.
#[derive(Clone)]
pub struct Piece {
    /// Where in the document, in bytes from its start.
    pub offset: u64,
    /// Its bytes; at most a block, and within one.
    pub source: Source,
}

/// A draft at one moment.
#[derive(Clone)]
pub struct Snapshot {
    /// In the order of their offsets.
    pub pieces: Vec<Piece>,
    /// The document's size in bytes.
    pub size: u64,
    /// The content's time, in nanoseconds since the epoch.
    pub mtime_ns: FileTime,
    /// New permission bits (`0o7777`), if the check-in sets them.
    pub mode: Option<u32>,
    /// The last change that is in it.
    pub seq: u64,
    /// Whether the server is asked to hold the version for the session.
    pub hold: bool,
}

static ZEROES: [u8; BLOCK_SIZE] = [0; BLOCK_SIZE];

impl Source {
    /// How many bytes.
    pub fn length(&self) -> usize {
        match self {
            Source::Bytes(bytes) => bytes.len(),
            Source::Spooled(_, from, to) => to - from,
            Source::Zero(length) => *length,
        }
    }

    /// The bytes.
    pub fn load(&self) -> std::io::Result<Bytes> {
        Ok(match self {
            Source::Bytes(bytes) => bytes.clone(),
            Source::Spooled(slot, from, to) => slot.open()?.slice(*from..*to),
            Source::Zero(length) => Bytes::from_static(&ZEROES[..*length]),
        })
    }
}

impl Piece {
    /// The offset behind its last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.source.length() as u64
    }
}

impl Snapshot {
    /// Bytes of content that the body carries.
    pub fn weight(&self) -> usize {
        self.pieces.iter().map(|piece| piece.source.length()).sum()
    }

    /// Whether part of it waits in the spool file.
    pub fn is_spooled(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece.source, Source::Spooled(..)))
    }

    /// The pieces, those that follow each other together, at most [`FRAME_MAX`] bytes at a time.
    pub fn frames(&self) -> Vec<&[Piece]> {
        let mut frames = Vec::new();
        let mut first = 0;
        let mut length = 0;
        for (at, piece) in self.pieces.iter().enumerate() {
            let follows = at > first && self.pieces[at - 1].end() == piece.offset;
            if at > first && (!follows || length + piece.source.length() > FRAME_MAX) {
                frames.push(&self.pieces[first..at]);
                (first, length) = (at, 0);
            }
            length += piece.source.length();
        }
        if first < self.pieces.len() {
            frames.push(&self.pieces[first..]);
        }
        frames
    }

    /// The end frame.
    pub fn end(&self) -> Bytes {
        let Snapshot { size, mtime_ns, mode, hold, .. } = *self;
        let end = CheckinEnd { size, mtime_ns: Some(mtime_ns), mode, hold };
        let json = serde_json::to_vec(&end).unwrap_or_default();
        end_frame(&json).into()
    }
}

/// A data frame's bytes: its header, then the pieces as they are.
pub fn encode(frame: &[Piece]) -> std::io::Result<Vec<Bytes>> {
    let Some(first) = frame.first() else { return Ok(Vec::new()) };
    let length = frame.iter().map(|piece| piece.source.length()).sum();
    let header =
        data_header(first.offset, length).ok_or_else(|| std::io::Error::other("a frame beyond its limit"))?;
    let mut out = Vec::with_capacity(frame.len() + 1);
    out.push(Bytes::copy_from_slice(&header));
    for piece in frame {
        out.push(piece.source.load()?);
    }
    Ok(out)
}

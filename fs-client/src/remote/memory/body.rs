//! A check-in's body, as the server takes it.

use std::collections::BTreeMap;

use bytes::Bytes;
use sss_common::Code;
use sss_common::framing::{Decoder, Piece};
use sss_common::limits::{BLOCK_SIZE, RANGES_MAX};
use sss_common::wire::fs::CheckinEnd;

use super::{RemoteError, Result, refuse};

const BLOCK: u64 = BLOCK_SIZE as u64;

/// A check-in's body over its base.
pub(super) fn apply(base: &[u8], chunks: Vec<Bytes>) -> Result<(Vec<u8>, CheckinEnd)> {
    let mut decoder = Decoder::default();
    let mut content = base.to_vec();
    let mut blocks = Vec::new();
    let mut ranges = BTreeMap::new();
    for mut chunk in chunks {
        while let Some(piece) =
            decoder.next(&mut chunk).map_err(|e| RemoteError::refused(Code::BadRequest, e.to_string()))?
        {
            match piece {
                Piece::Data { offset, bytes } => {
                    repeats(&mut blocks, offset, bytes.len())?;
                    crowds(&mut ranges, offset, bytes.len())?;
                    let end = offset as usize + bytes.len();
                    content.resize(content.len().max(end), 0);
                    content[offset as usize..end].copy_from_slice(&bytes);
                }
                Piece::End(json) => {
                    let end: CheckinEnd = serde_json::from_slice(&json)
                        .map_err(|e| RemoteError::refused(Code::BadRequest, e.to_string()))?;
                    content.resize(end.size as usize, 0);
                    return Ok((content, end));
                }
            }
        }
    }
    refuse(Code::BadRequest, "the body has no end frame")
}

/// A block comes in at most so many pieces, apart from one another.
fn crowds(ranges: &mut BTreeMap<u64, Vec<(u64, u64)>>, offset: u64, length: usize) -> Result<()> {
    let end = offset + length as u64;
    for block in offset / BLOCK..=(end - 1) / BLOCK {
        let (mut from, mut to) = (offset.max(block * BLOCK), end.min((block + 1) * BLOCK));
        let apart = ranges.entry(block).or_default();
        apart.retain(|&(start, behind)| {
            let touches = start <= to && from <= behind;
            if touches {
                (from, to) = (from.min(start), to.max(behind));
            }
            !touches
        });
        apart.push((from, to));
        if apart.len() > RANGES_MAX {
            return refuse(Code::BadRequest, "too many separate ranges in one block");
        }
    }
    Ok(())
}

/// A block may come again only whole.
fn repeats(blocks: &mut Vec<u64>, offset: u64, length: usize) -> Result<()> {
    for block in offset / BLOCK..=(offset + length as u64 - 1) / BLOCK {
        let whole = offset <= block * BLOCK && (block + 1) * BLOCK <= offset + length as u64;
        if blocks.contains(&block) && blocks.last() != Some(&block) && !whole {
            return refuse(Code::BadRequest, "a block came again in parts");
        }
        if blocks.last() != Some(&block) {
            blocks.push(block);
        }
    }
    Ok(())
}

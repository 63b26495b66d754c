//! A check-in's body, as the server takes it.

use bytes::Bytes;
use sss_common::Code;
use sss_common::framing::{Decoder, Piece};
use sss_common::wire::fs::CheckinEnd;

use super::{RemoteError, Result, refuse};

/// A check-in's body over its base.
pub(super) fn apply(base: &[u8], chunks: Vec<Bytes>) -> Result<(Vec<u8>, CheckinEnd)> {
    let mut decoder = Decoder::default();
    let mut content = base.to_vec();
    let mut blocks = Vec::new();
    for mut chunk in chunks {
        while let Some(piece) =
            decoder.next(&mut chunk).map_err(|e| RemoteError::refused(Code::BadRequest, e.to_string()))?
        {
            match piece {
                Piece::Data { offset, bytes } => {
                    repeats(&mut blocks, offset, bytes.len())?;
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

/// A block may come again only whole.
fn repeats(blocks: &mut Vec<u64>, offset: u64, length: usize) -> Result<()> {
    const BLOCK: u64 = sss_common::limits::BLOCK_SIZE as u64;
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

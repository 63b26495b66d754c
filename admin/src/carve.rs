//! Nodes of the key tree in raw bytes: in a database's free pages, its write-ahead log, a disk image.
//!
//! A node's header stands in the clear, and around it SQLite's record format (fileformat2, section 2.1): the four serial types,
//! then level, position and sequence as big-endian numbers, then the sealed bytes. So a row that no query finds any more can still
//! be put together. A record that goes on in an overflow page would be missed; a node is shorter than what a page keeps.

use sss_vault::sealed::{KeyImage, KeyPosition};
use sss_vault::{KEY_NODE_LENGTHS, KEY_NODE_MAGIC, LEAF_PARENTS};

/// Serial types of whole numbers, with their bytes; 8 and 9 are the numbers 0 and 1.
const NUMBERS: [(u8, usize); 8] = [(8, 0), (9, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (6, 8)];

/// A node with what stands around it: how far pieces that are looked at one by one must overlap.
pub const REACH: usize = 5 + 3 * 8 + *KEY_NODE_LENGTHS.end();

/// Every row of a key tree's node among these bytes.
pub fn key_nodes(bytes: &[u8]) -> Vec<KeyImage> {
    memchr::memmem::find_iter(bytes, &KEY_NODE_MAGIC).flat_map(|at| rows_at(bytes, at)).collect()
}

/// Usually one; none where this is no row.
fn rows_at(bytes: &[u8], at: usize) -> Vec<KeyImage> {
    let mut rows = Vec::new();
    for (sequence_type, sequence_width) in NUMBERS {
        for (position_type, position_width) in NUMBERS {
            for (level_type, level_width) in NUMBERS {
                let types = [level_type, position_type, sequence_type];
                rows.extend(row(bytes, at, types, [level_width, position_width, sequence_width]));
            }
        }
    }
    rows
}

/// The row with these columns before its blob, if the serial types say the same.
fn row(bytes: &[u8], at: usize, types: [u8; 3], widths: [usize; 3]) -> Option<KeyImage> {
    let values = at.checked_sub(widths.iter().sum())?;
    let header = bytes.get(values.checked_sub(5)?..values)?;
    if header[..3] != types {
        return None;
    }
    let length = blob_length([header[3], header[4]]).filter(|length| KEY_NODE_LENGTHS.contains(length))?;
    let sealed = bytes.get(at..at + length)?;
    let mut from = values;
    let mut numbers = [0u64; 3];
    for ((number, kind), width) in numbers.iter_mut().zip(types).zip(widths) {
        let big_endian = &bytes[from..from + width];
        *number = match kind {
            8 | 9 => u64::from(kind - 8),
            _ => big_endian.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        };
        from += width;
    }
    let [level, index, sequence] = numbers;
    let level = u8::try_from(level).ok().filter(|level| *level <= LEAF_PARENTS)?;
    let sealed = sealed.to_vec().into();
    Some(KeyImage { position: KeyPosition { level, index }, sequence, sealed })
}

/// A blob's serial type is a varint of 12 and twice its length; a node's takes two bytes.
fn blob_length([high, low]: [u8; 2]) -> Option<usize> {
    let two_bytes = high & 0x80 != 0 && low & 0x80 == 0;
    let kind = usize::from(high & 0x7f) << 7 | usize::from(low);
    (two_bytes && kind >= 12 && kind.is_multiple_of(2)).then(|| (kind - 12) / 2)
}

#[cfg(test)]
mod tests;

//! The body of the mount's check-in: changed byte ranges, then what they make.
//!
//! ```text
//! data: 0x01 | offset u64 | length u32 (1 ..= FRAME_MAX) | bytes
//! end:  0x02 | length u32 (<= 64 KiB)  | JSON of wire::fs::CheckinEnd
//! ```
//!
//! Integers are big-endian. Frames come in any order of offsets. A block (64 KiB) may come in several parts as
//! long as no other block comes between them; a block that comes again must come whole and in one frame. A body without
//! its end frame commits nothing: an upload that broke off leaves no version.

use bytes::{Buf, Bytes};

use crate::limits::{DOCUMENT_MAX, FRAME_MAX};

const DATA: u8 = 1;
const END: u8 = 2;
const DATA_HEADER: usize = 13;
const END_HEADER: usize = 5;

/// Largest end frame in bytes.
pub const END_MAX: usize = 64 * 1024;

/// The header that goes before a data frame's bytes; `None` when the length is out of range.
pub fn data_header(offset: u64, length: usize) -> Option<[u8; DATA_HEADER]> {
    let fits = (1..=FRAME_MAX).contains(&length);
    let length = u32::try_from(length).ok().filter(|_| fits)?;
    let mut header = [0; DATA_HEADER];
    header[0] = DATA;
    header[1..9].copy_from_slice(&offset.to_be_bytes());
    header[9..].copy_from_slice(&length.to_be_bytes());
    Some(header)
}

/// The end frame around its JSON.
pub fn end_frame(json: &[u8]) -> Vec<u8> {
    let mut frame = vec![END];
    frame.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(json);
    frame
}

/// A part of a check-in body, as it arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes at an offset: a frame, or a part of one. Never empty.
    Data {
        /// Where in the document.
        offset: u64,
        /// What stands there now.
        bytes: Bytes,
    },
    /// The end frame's JSON. Nothing may follow.
    End(Bytes),
}

/// Why a body is no check-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A frame kind that does not exist.
    #[error("frame kind {0} does not exist")]
    Kind(u8),
    /// A frame longer than its limit, or an empty data frame.
    #[error("frame of {0} bytes")]
    Length(u32),
    /// A frame that reaches past the largest document.
    #[error("frame past the largest document")]
    Offset,
    /// Bytes behind the end frame.
    #[error("bytes behind the end frame")]
    Trailing,
}

/// Takes a body's chunks as they come and gives its pieces. Data is passed on without a copy.
#[derive(Debug, Default)]
pub struct Decoder {
    header: Vec<u8>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    Data {
        offset: u64,
        left: usize,
    },
    End {
        json: Vec<u8>,
        left: usize,
    },
    Done,
}

impl Decoder {
    /// The next piece, taken from the front of `chunk`; `None` when the chunk is used up.
    pub fn next(&mut self, chunk: &mut Bytes) -> Result<Option<Piece>, FramingError> {
        loop {
            match &mut self.state {
                State::Done if chunk.is_empty() => return Ok(None),
                State::Done => return Err(FramingError::Trailing),
                State::Data { offset, left } => {
                    if chunk.is_empty() {
                        return Ok(None);
                    }
                    let bytes = chunk.split_to(chunk.len().min(*left));
                    let piece = Piece::Data { offset: *offset, bytes: bytes.clone() };
                    *offset += bytes.len() as u64;
                    *left -= bytes.len();
                    if *left == 0 {
                        self.state = State::Header;
                    }
                    return Ok(Some(piece));
                }
                State::End { json, left } => {
                    let part = chunk.split_to(chunk.len().min(*left));
                    json.extend_from_slice(&part);
                    *left -= part.len();
                    if *left > 0 {
                        return Ok(None);
                    }
                    let json = std::mem::take(json);
                    self.state = State::Done;
                    return Ok(Some(Piece::End(json.into())));
                }
                State::Header => {
                    if chunk.is_empty() {
                        return Ok(None);
                    }
                    self.header.push(chunk.get_u8());
                    if let Some(state) = parse_header(&self.header)? {
                        self.header.clear();
                        self.state = state;
                    }
                }
            }
        }
    }
}

fn parse_header(header: &[u8]) -> Result<Option<State>, FramingError> {
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, &b| n << 8 | u64::from(b));
    match (header[0], header.len()) {
        (DATA, DATA_HEADER) => {
            let (offset, length) = (number(&header[1..9]), number(&header[9..]));
            if length == 0 || length > FRAME_MAX as u64 {
                return Err(FramingError::Length(length as u32));
            }
            if offset.checked_add(length).is_none_or(|end| end > DOCUMENT_MAX) {
                return Err(FramingError::Offset);
            }
            Ok(Some(State::Data { offset, left: length as usize }))
        }
        (END, END_HEADER) => {
            let length = number(&header[1..]);
            if length > END_MAX as u64 {
                return Err(FramingError::Length(length as u32));
            }
            Ok(Some(State::End { json: Vec::new(), left: length as usize }))
        }
        (DATA | END, _) => Ok(None),
        (kind, _) => Err(FramingError::Kind(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(body: &[u8], chunk_size: usize) -> Result<Vec<Piece>, FramingError> {
        let mut decoder = Decoder::default();
        let mut pieces = Vec::new();
        for chunk in body.chunks(chunk_size.max(1)) {
            let mut chunk = Bytes::copy_from_slice(chunk);
            while let Some(piece) = decoder.next(&mut chunk)? {
                pieces.push(piece);
            }
        }
        Ok(pieces)
    }

    fn joined(pieces: Vec<Piece>) -> (Vec<(u64, u8)>, Option<Bytes>) {
        let mut data = Vec::new();
        let mut end = None;
        for piece in pieces {
            match piece {
                Piece::Data { offset, bytes } => data.extend((offset..).zip(bytes)),
                Piece::End(json) => end = Some(json),
            }
        }
        (data, end)
    }

    fn body(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (offset, bytes) in frames {
            out.extend_from_slice(&data_header(*offset, bytes.len()).unwrap());
            out.extend_from_slice(bytes);
        }
        out.extend_from_slice(&end_frame(b"{}"));
        out
    }

    #[test]
    fn limits() {
        assert!(data_header(0, 0).is_none());
        assert!(data_header(0, FRAME_MAX).is_some());
        assert!(data_header(0, FRAME_MAX + 1).is_none());
        let mut header = data_header(DOCUMENT_MAX - 1, 1).unwrap();
        assert!(decode(&header, 100).is_ok());
        header[12] = 2;
        assert_eq!(decode(&header, 100), Err(FramingError::Offset));
        assert_eq!(decode(&[3], 1), Err(FramingError::Kind(3)));
        assert_eq!(decode(&[2, 0, 1, 0, 1], 9), Err(FramingError::Length(65_537)));
        assert_eq!(decode(&[body(&[]), vec![0]].concat(), 100), Err(FramingError::Trailing));
    }

    proptest! {
        #[test]
        fn frames_survive_any_chunking(
            frames in proptest::collection::vec((0u64..1000, proptest::collection::vec(any::<u8>(), 1..50)), 0..8),
            chunk in 1usize..40,
        ) {
            let (data, end) = joined(decode(&body(&frames), chunk).unwrap());
            let expected: Vec<_> = frames.iter().flat_map(|(at, b)| (*at..).zip(b.iter().copied())).collect();
            prop_assert_eq!(data, expected);
            prop_assert_eq!(end, Some(Bytes::from_static(b"{}")));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), chunk in 1usize..20) {
            let _ = decode(&bytes, chunk);
        }
    }
}

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::sealed_block;
use crate::secrets::SecretKey;

const DOCUMENT: NodeId = NodeId([3; 16]);
const PACK: PackId = PackId([4; 16]);

fn cipher(n: u8) -> Cipher {
    Cipher::new(&SecretKey::from_exposed(&[n; 32])).unwrap()
}

/// A whole pack: header and blocks.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut sealer = PackSealer::new(cipher(1), DOCUMENT, PACK);
    let mut out = sealer.header.to_vec();
    let count = content.len().div_ceil(BLOCK_SIZE);
    for (n, block) in content.chunks(BLOCK_SIZE).enumerate() {
        sealer.seal_block(block, n + 1 == count, &mut out).unwrap();
    }
    assert_eq!(sealer.blocks, count as u64);
    out
}

/// The pack's content, as a reader gets it who knows how many blocks there are.
fn opened(opener: &Opener, document: NodeId, pack: PackId, blocks: u64, bytes: &[u8]) -> Result<Vec<u8>> {
    let cut = |at: usize, length: usize| &bytes[at.min(bytes.len())..(at + length).min(bytes.len())];
    opener.check_header(document, pack, cut(0, PACK_HEADER))?;
    let mut content = Vec::new();
    for index in 0..blocks {
        let (at, length) = sealed_block(index);
        let mut block = cut(at as usize, length).to_vec();
        let result = opener.open_block(document, pack, index, index + 1 == blocks, &mut block);
        assert!(result.is_ok() || block.is_empty(), "nothing is left of what does not verify");
        result?;
        content.extend(block);
    }
    Ok(content)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 7) as u8).collect()
}

fn refused(result: Result<Vec<u8>>) -> bool {
    matches!(result, Err(VaultError::Integrity(_)))
}

#[test]
fn packs_round_trip() {
    for length in [1, 100, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE, 3 * BLOCK_SIZE + 5] {
        let (content, blocks) = (content(length), length.div_ceil(BLOCK_SIZE) as u64);
        let pack = sealed(&content);
        assert_eq!(pack.len(), PACK_HEADER + length + blocks as usize * BLOCK_OVERHEAD);
        assert!(
            opened(&Opener::new(cipher(1)), DOCUMENT, PACK, blocks, &pack).unwrap() == content,
            "{length}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_flipped_bit_gives_an_error_and_never_bytes(at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let mut pack = sealed(&content(BLOCK_SIZE + 500));
        // Half of them in the header, which is a small part of the pack.
        let at = if bit % 2 == 0 { at.index(PACK_HEADER) } else { at.index(pack.len()) };
        pack[at] ^= 1 << bit;
        prop_assert!(refused(opened(&Opener::new(cipher(1)), DOCUMENT, PACK, 2, &pack)));
    }

    #[test]
    fn a_cut_gives_an_error(at in any::<proptest::sample::Index>()) {
        let pack = sealed(&content(BLOCK_SIZE + 500));
        let cut = &pack[..at.index(pack.len())];
        prop_assert!(refused(opened(&Opener::new(cipher(1)), DOCUMENT, PACK, 2, cut)));
    }
}

#[test]
fn a_block_opens_in_its_own_place_only() {
    let opener = Opener::new(cipher(1));
    let pack = sealed(&content(3 * BLOCK_SIZE));
    let block = |index: u64| {
        let (at, length) = sealed_block(index);
        pack[at as usize..at as usize + length].to_vec()
    };
    let open = |opener: &Opener, document, pack, index, last, from| {
        opener.open_block(document, pack, index, last, &mut block(from)).is_ok()
    };
    assert!(open(&opener, DOCUMENT, PACK, 1, false, 1));
    assert!(open(&opener, DOCUMENT, PACK, 2, true, 2));
    assert!(!open(&opener, DOCUMENT, PACK, 0, false, 1), "another position");
    assert!(!open(&opener, NodeId([9; 16]), PACK, 1, false, 1), "another document");
    assert!(!open(&opener, DOCUMENT, PackId([9; 16]), 1, false, 1), "another pack");
    assert!(!open(&Opener::new(cipher(2)), DOCUMENT, PACK, 1, false, 1), "another key");
    // A pack cut at a block's end: what is now the last block does not say that it is.
    assert!(!open(&opener, DOCUMENT, PACK, 1, true, 1), "not the last");
    assert!(!open(&opener, DOCUMENT, PACK, 2, false, 2), "the last");
}

#[test]
fn blocks_of_a_wrong_length_are_refused_when_sealing() {
    let (full, mut out) = (vec![0; BLOCK_SIZE], Vec::new());
    let mut sealer = PackSealer::new(cipher(1), DOCUMENT, PACK);
    let mut refused = |plain: &[u8], last| {
        let result = sealer.seal_block(plain, last, &mut out);
        assert!(result.is_ok() || matches!(result, Err(VaultError::Refused(_))));
        result.is_err()
    };
    assert!(refused(&[], true));
    assert!(refused(&full[1..], false));
    assert!(refused(&[0; BLOCK_SIZE + 1], true));
    assert!(!refused(&full, false));
    assert!(!refused(&full, true));
    assert!(refused(&full, true), "after the last");
    assert_eq!(out.len(), 2 * (BLOCK_SIZE + BLOCK_OVERHEAD));
}

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sss_common::record::{RecordHash, RootHash};
use sss_common::{Flag, PackId, Timestamp, Version};

use super::*;
use crate::secrets::SecretKey;

fn document(n: u8) -> NodeId {
    NodeId([n; 16])
}

pub(super) fn body(extents: &[(u64, u64, u8)], digests: usize, signature: usize) -> RecordBody {
    let mut layout = Layout::default();
    let mut first = 0;
    for (gap, count, pack) in extents {
        layout.put(Extent { first: first + gap, count: *count, pack: PackId([*pack; 16]), at: *gap });
        first += gap + count;
    }
    RecordBody {
        record: VersionRecord {
            document: document(7),
            version: Version(3),
            previous: RecordHash([1; 32]),
            size: 70_000,
            flag: Flag::Integrity,
            author: "alice".parse().unwrap(),
            machine: "client1".parse().unwrap(),
            time: Timestamp(1_795_359_845_000),
            root: RootHash([2; 32]),
        },
        layout,
        digests: (0..digests).map(|n| BlockHash([n as u8; 32])).collect(),
        signature: (signature > 0).then(|| vec![9; signature]),
    }
}

fn bodies() -> impl Strategy<Value = RecordBody> {
    (proptest::collection::vec((0..5u64, 1..9u64, 0..3u8), 0..6), 0..5usize, 0..400usize)
        .prop_map(|(extents, digests, signature)| body(&extents, digests, signature))
}

fn cipher() -> Cipher {
    Cipher::new(&SecretKey::from_exposed(&[5; 32])).unwrap()
}

fn encoded(body: &RecordBody) -> Vec<u8> {
    let mut out = Vec::new();
    encode(body, &mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn bodies_round_trip(body in bodies()) {
        let bytes = encoded(&body);
        prop_assert!(bytes.len() <= encoded_length(&body));
        prop_assert_eq!(decode(&bytes), Some(body.clone()));
        prop_assert!((0..bytes.len()).all(|cut| decode(&bytes[..cut]).is_none()));
        prop_assert!(decode(&[&bytes[..], b"x"].concat()).is_none());
        let sealed = seal(&cipher(), &body).unwrap();
        prop_assert_eq!(open(&cipher(), document(7), &sealed).unwrap(), body);
    }

    #[test]
    fn a_flipped_bit_never_opens(body in bodies(), at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let mut sealed = seal(&cipher(), &body).unwrap().to_vec();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(matches!(open(&cipher(), document(7), &sealed), Err(VaultError::Integrity(_))));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
        prop_assert!(open(&cipher(), document(7), &bytes).is_err());
    }

    #[test]
    fn no_changed_body_panics(
        body in bodies(),
        at in any::<proptest::sample::Index>(),
        with in proptest::collection::vec(any::<u8>(), 1..6),
    ) {
        let mut bytes = encoded(&body);
        let at = at.index(bytes.len());
        for (place, byte) in bytes[at..].iter_mut().zip(with) {
            *place = byte;
        }
        // What decodes encodes to the same bytes again: no two readings of one body.
        if let Some(body) = decode(&bytes) {
            prop_assert_eq!(encoded(&body), bytes);
        }
    }
}

#[test]
fn counts_that_the_bytes_do_not_justify_are_refused() {
    let mut bytes = encoded(&body(&[(0, 1, 1)], 0, 0));
    let count_at = bytes.len() - 2 - 4 - EXTENT_BYTES - 4;
    assert_eq!(bytes[count_at..count_at + 4], 1u32.to_be_bytes());
    bytes[count_at..count_at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(decode(&bytes).is_none());
}

#[test]
fn a_record_opens_for_its_own_document_and_key_only() {
    let sealed = seal(&cipher(), &body(&[], 0, 0)).unwrap();
    assert!(open(&cipher(), document(7), &sealed).is_ok());
    assert!(open(&cipher(), document(8), &sealed).is_err());
    let other = Cipher::new(&SecretKey::from_exposed(&[6; 32])).unwrap();
    assert!(open(&other, document(7), &sealed).is_err());
}

#[test]
fn limits_are_kept_when_sealing() {
    let with_signature = |length: usize| {
        let mut body = body(&[], 0, 0);
        body.signature = Some(vec![0; length]);
        seal(&cipher(), &body)
    };
    assert!(with_signature(SIGNATURE_MAX).is_ok());
    assert!(matches!(with_signature(SIGNATURE_MAX + 1), Err(VaultError::Refused(_))));
    assert!(matches!(with_signature(0), Err(VaultError::Refused(_))));
    assert!(seal(&cipher(), &body(&[(BLOCKS_MAX - 1, 1, 1)], 0, 0)).is_ok());
    assert!(matches!(seal(&cipher(), &body(&[(BLOCKS_MAX, 1, 1)], 0, 0)), Err(VaultError::Refused(_))));
}

use std::sync::OnceLock;

use proptest::prelude::*;
use rsa::RsaPrivateKey;

use super::*;
use crate::record::{RecordHash, RootHash, VersionRecord};
use crate::{Flag, Version};

fn sample() -> Receipt {
    Receipt {
        store: StoreId(std::array::from_fn(|at| at as u8)),
        document: NodeId(std::array::from_fn(|at| 16 + at as u8)),
        path: "@alice/a \"new\"\nfile\u{202e}".into(),
        home: "alice".parse().unwrap(),
        deleted_by: "bob".parse().unwrap(),
        deleted: Timestamp(1_795_273_445_123),
        versions: [1, 2, 3, 7].into_iter().collect(),
        keys: [12, 15, 16].into_iter().collect(),
        shared_keys: Numbers::default(),
        erasure: Some(Erasure { epoch: Epoch(9), time: Timestamp(1_795_273_445_500) }),
    }
}

const TEXT: &str = "3S deletion receipt 1
store: 000102030405060708090a0b0c0d0e0f
document: 101112131415161718191a1b1c1d1e1f
path: \"@alice/a \\\"new\\\"\\u000afile\\u202e\"
home: alice
deleted-by: bob
deleted: 2026-11-21T15:04:05.123Z
versions: 1-3,7
keys: 12,15-16
shared-keys: none
epoch: 9
erased: 2026-11-21T15:04:05.500Z";

fn key() -> &'static RsaPrivateKey {
    static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| RsaPrivateKey::new(&mut rand::rngs::OsRng, 1024).unwrap())
}

fn signed() -> SignedReceipt {
    let statement = sample().to_string();
    let signature = login::sign(key(), statement.as_bytes());
    SignedReceipt::new(statement, &signature)
}

#[test]
fn the_statement_is_fixed() {
    assert_eq!(sample().to_string(), TEXT);
    assert_eq!(TEXT.parse(), Ok(sample()));
    let nothing_to_erase =
        Receipt { keys: Numbers::default(), versions: Numbers::default(), erasure: None, ..sample() };
    let text = nothing_to_erase.to_string();
    assert!(text.contains("\nversions: none\nkeys: none\nshared-keys: none\nepoch: none\nerased: none"));
    assert_eq!(text.parse(), Ok(nothing_to_erase));
}

#[test]
fn no_other_spelling_is_read() {
    use ReceiptError::*;
    for (from, to, why) in [
        ("receipt 1", "receipt 2", Newer),
        ("3S deletion", "3s deletion", Foreign),
        ("store: 00", "store: 0", Line("store")),
        ("store: 000102030405060708090a", "store: 000102030405060708090A", Spelling),
        ("document: 10", "document:10", Line("document")),
        ("document: 10", "Document: 10", Line("document")),
        ("\\u000a", "\\n", Spelling),
        ("\\u202e", "\u{202e}", Spelling),
        ("@alice/a", "@\\u0061lice/a", Spelling),
        ("@alice/a", "@alice\n/a", Line("path")),
        ("home: alice", "home:  alice", Line("home")),
        ("home: alice", "home: alice ", Line("home")),
        ("home: alice\n", "", Line("home")),
        ("by: bob", "by: b/b", Line("deleted-by")),
        ("05.123Z", "05.123+00:00", Spelling),
        ("05.123Z", "05.1230Z", Spelling),
        ("2026-11-21T15", "2026-11-21 15", Spelling),
        ("05.123Z", "later", Line("deleted")),
        ("1-3,7", "1,2,3,7", Line("versions")),
        ("shared-keys: none", "shared-keys: ", Line("shared-keys")),
        ("epoch: 9", "epoch: 09", Spelling),
        ("epoch: 9", "epoch: none", Spelling),
        ("epoch: 9", "epoch: -9", Line("epoch")),
        ("keys: 12,15-16", "keys: none", Spelling),
        ("05.500Z", "05.500Z\n", Spelling),
        ("05.500Z", "05.500Z\nnote: x", Spelling),
        ("\n", "\r\n", Newer),
        ("\nepoch: 9\nerased: 2026-11-21T15:04:05.500Z", "", Line("epoch")),
    ] {
        assert!(TEXT.contains(from), "{from}");
        assert_eq!(TEXT.replace(from, to).parse::<Receipt>(), Err(why), "{from} -> {to}");
    }
}

#[test]
fn lines_in_another_order_are_refused() {
    let lines: Vec<&str> = TEXT.split('\n').collect();
    for a in 0..lines.len() {
        for b in a + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(a, b);
            assert!(swapped.join("\n").parse::<Receipt>().is_err(), "{a} and {b}");
        }
    }
}

#[test]
fn a_statement_has_a_limit() {
    let with = |length| Receipt { path: "p".repeat(length), ..sample() }.to_string();
    let longest = STATEMENT_MAX - with(0).len();
    assert!(with(longest).parse::<Receipt>().is_ok());
    assert_eq!(with(longest + 1).parse::<Receipt>(), Err(ReceiptError::TooLong));
    // The longest path that can be, every byte of it escaped, is below it.
    use crate::limits::{DEPTH_MAX, NAME_MAX, UID_MAX};
    let path = "\u{1}".repeat(1 + UID_MAX + DEPTH_MAX * (1 + NAME_MAX));
    assert!(Receipt { path, ..sample() }.to_string().len() < STATEMENT_MAX / 4);
}

#[test]
fn json_has_a_limit_that_every_statement_fits_into() {
    let path =
        "\"".repeat((STATEMENT_MAX - Receipt { path: String::new(), ..sample() }.to_string().len()) / 2);
    let statement = Receipt { path, ..sample() }.to_string();
    assert!(statement.len() > STATEMENT_MAX - 2);
    let json = serde_json::to_vec(&SignedReceipt::new(statement, &[0; 1024])).unwrap();
    assert!(SignedReceipt::from_json(&json).unwrap().receipt().is_ok());
    let mut padded = json.clone();
    padded.resize(JSON_MAX, b' ');
    assert!(SignedReceipt::from_json(&padded).is_ok());
    padded.push(b' ');
    assert_eq!(SignedReceipt::from_json(&padded), Err(ReceiptError::TooLong));
}

#[test]
fn no_other_signature_of_the_stores_keys_is_over_a_text_that_could_be_a_receipt() {
    let record = VersionRecord {
        document: NodeId([7; 16]),
        version: Version(3),
        previous: RecordHash([1; 32]),
        size: 0,
        flag: Flag::Integrity,
        author: "alice".parse().unwrap(),
        machine: "client1".parse().unwrap(),
        time: Timestamp(0),
        root: RootHash([2; 32]),
    };
    // The first four bytes are a record's, whatever it says; no title begins with them.
    assert_eq!(&record.encode()[..4], b"3SVR");
    assert_ne!(&TITLE.as_bytes()[..4], b"3SVR");
    // A node's name has no blank in it, so a login's second word is `as`, a receipt's is not.
    assert!("3S deletion".parse::<crate::MachineName>().is_err());
    let login = login::statement(&"3S".parse().unwrap(), &"alice".parse().unwrap(), "x");
    assert_eq!(login.parse::<Receipt>(), Err(ReceiptError::Foreign));
    assert!(login.starts_with("3S as "));
}

#[test]
fn any_byte_of_the_json_that_changes_is_noticed() {
    let receipt = signed();
    let json = serde_json::to_vec(&receipt).unwrap();
    let public = key().to_public_key();
    let good = |json: &[u8]| {
        let read = SignedReceipt::from_json(json)?;
        read.receipt()?;
        Ok::<_, ReceiptError>(read.is_signed_by(&public))
    };
    assert_eq!(good(&json), Ok(true));
    for at in 0..json.len() {
        for bit in 0..8 {
            let mut other = json.clone();
            other[at] ^= 1 << bit;
            assert!(!good(&other).unwrap_or(false), "byte {at}, bit {bit}");
        }
    }
    let foreign = SignedReceipt { signature: "not base64".into(), ..receipt };
    assert_eq!((foreign.signature(), foreign.is_signed_by(&public)), (Err(ReceiptError::Signature), false));
}

fn numbers() -> impl Strategy<Value = Numbers> {
    proptest::collection::vec(prop_oneof![0u64..40, any::<u64>()], 0..12).prop_map(Numbers::from_iter)
}

prop_compose! {
    fn receipts()(
        store in any::<[u8; 16]>(),
        document in any::<[u8; 16]>(),
        path in "(\\PC|[\\x00-\\x7f\u{80}-\u{9f}\u{2028}-\u{202e}\"\\\\]){0,40}",
        home in "[a-z][a-z0-9]{0,9}",
        deleted_by in "[a-z][a-z0-9]{0,9}",
        deleted in 0i64..253_000_000_000_000,
        versions in numbers(),
        keys in numbers(),
        shared_keys in numbers(),
        epoch in any::<u64>(),
        erased in 0i64..253_000_000_000_000,
    ) -> Receipt {
        let erasure = (!keys.is_empty()).then_some(Erasure { epoch: Epoch(epoch), time: Timestamp(erased) });
        Receipt {
            store: StoreId(store),
            document: NodeId(document),
            path,
            home: home.parse().unwrap(),
            deleted_by: deleted_by.parse().unwrap(),
            deleted: Timestamp(deleted),
            versions,
            keys,
            shared_keys,
            erasure,
        }
    }
}

proptest! {
    #[test]
    fn printing_and_parsing_is_the_identity(receipt in receipts()) {
        let text = receipt.to_string();
        prop_assert!(!text.chars().any(|c| c != '\n' && is_hidden(c)), "{text:?}");
        prop_assert_eq!(text.split('\n').count(), 12);
        prop_assert_eq!(text.parse::<Receipt>(), Ok(receipt));
    }

    #[test]
    fn another_text_is_another_receipt_or_none(receipt in receipts(), at in any::<prop::sample::Index>(), byte: u8) {
        let text = receipt.to_string();
        let mut bytes = text.clone().into_bytes();
        *at.get_mut(&mut bytes) = byte;
        if let Ok(other) = String::from_utf8(bytes) && other != text {
            prop_assert_ne!(other.parse::<Receipt>(), Ok(receipt));
        }
    }

    #[test]
    fn what_parses_prints_as_it_was(at in any::<prop::sample::Index>(), piece in "[ -~\n]{0,6}", cut in 0usize..8) {
        let from = at.index(TEXT.len());
        let mut text = TEXT.to_owned();
        text.replace_range(from..(from + cut).min(TEXT.len()), &piece);
        if let Ok(receipt) = text.parse::<Receipt>() {
            prop_assert_eq!(receipt.to_string(), text);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}", json in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = format!("{TITLE}{FORMAT}\n{text}").parse::<Receipt>();
        let _ = SignedReceipt::from_json(&json);
    }
}

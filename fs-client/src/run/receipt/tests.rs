#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use sss_common::receipt::{Erasure, Numbers};
use sss_common::{Epoch, Timestamp, login};
use tempfile::TempDir;

use super::*;

fn keys() -> &'static [RsaPrivateKey; 2] {
    static KEYS: OnceLock<[RsaPrivateKey; 2]> = OnceLock::new();
    KEYS.get_or_init(|| std::array::from_fn(|_| RsaPrivateKey::new(&mut rand::rngs::OsRng, 1024).unwrap()))
}

fn sample() -> Receipt {
    Receipt {
        store: sss_common::StoreId([0; 16]),
        document: NodeId([1; 16]),
        path: "@alice/a\x1b[2J".into(),
        home: "alice".parse().unwrap(),
        deleted_by: "bob".parse().unwrap(),
        deleted: Timestamp(1_795_273_445_123),
        versions: [1, 2, 3, 7].into_iter().collect(),
        keys: [12, 15, 16].into_iter().collect(),
        shared_keys: Numbers::default(),
        erasure: Some(Erasure { epoch: Epoch(9), time: Timestamp(1_795_273_445_500) }),
    }
}

fn signed() -> SignedReceipt {
    let statement = sample().to_string();
    let signature = login::sign(&keys()[0], statement.as_bytes());
    SignedReceipt::new(statement, &signature)
}

/// A folder with a receipt, and the keys of this server and another.
fn folder() -> (TempDir, VerifyArgs) {
    let dir = tempfile::tempdir().unwrap();
    for (name, key) in [("server.pub", &keys()[0]), ("other.pub", &keys()[1])] {
        let pem = key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        std::fs::write(dir.path().join(name), pem).unwrap();
    }
    let file = dir.path().join("receipt");
    std::fs::write(&file, serde_json::to_vec_pretty(&signed()).unwrap()).unwrap();
    let server_key = Some(dir.path().join("server.pub"));
    (dir, VerifyArgs { file, server_key, identity: None })
}

fn refused(args: &VerifyArgs) -> String {
    verify(args).unwrap_err().to_string()
}

#[test]
fn what_a_person_reads() {
    assert_eq!(
        words(&sample()).join("\n"),
        "store:     00000000000000000000000000000000
document:  01010101010101010101010101010101
path:      \"@alice/a\\u001b[2J\" in alice's home
deleted:   2026-11-21T15:04:05.123Z by bob
versions:  1-3,7
erased:    keys 12,15-16 (3 in all), 2026-11-21T15:04:05.500Z, epoch 9
kept:      keys none"
    );
    let shared = Receipt {
        keys: Numbers::default(),
        shared_keys: [4].into_iter().collect(),
        erasure: None,
        ..sample()
    };
    let said = words(&shared).join("\n");
    assert!(said.contains("erased:    keys none: it had no key of its own"), "{said}");
    assert!(said.contains("kept:      keys 4 (a copy that an editor made still needs them)"), "{said}");
}

#[test]
fn a_receipt_is_checked_against_the_key_that_is_named() {
    let (dir, args) = folder();
    verify(&args).unwrap();
    let beside = VerifyArgs { server_key: None, identity: Some(dir.path().into()), ..args.clone() };
    verify(&beside).unwrap();
    let said = refused(&VerifyArgs { server_key: None, ..args.clone() });
    assert!(said.contains("no key to check it against") && said.contains("--server-key"), "{said}");
    let said = refused(&VerifyArgs { server_key: Some(dir.path().join("other.pub")), ..args.clone() });
    assert!(said.contains("not by the key in") && said.contains("do not rely on"), "{said}");
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    std::fs::write(dir.path().join("both.pub"), [read("other.pub"), read("server.pub")].concat()).unwrap();
    let both = Trusted::read(dir.path().join("both.pub")).unwrap();
    let signer = both.check("f", &signed()).unwrap();
    assert!(signer.contains("both.pub, SHA-256 "), "by any of several, after a rotation: {signer}");
    let said = refused(&VerifyArgs { server_key: Some(dir.path().join("none.pub")), ..args });
    assert!(said.contains("cannot be read"), "{said}");
}

#[test]
fn what_is_altered_or_no_receipt_is_refused_with_a_reason() {
    let (_dir, args) = folder();
    let good = signed();
    let statement = good.statement.clone();
    for (text, reason) in [
        (String::new(), "is no deletion receipt"),
        ("{}".into(), "is no deletion receipt"),
        ("{\"statement\": \"x\"}".into(), "is no deletion receipt"),
        (" ".repeat(JSON_MAX + 1), "is no deletion receipt"),
        (json(&SignedReceipt { statement: "x".into(), ..good.clone() }), "this is no deletion receipt"),
        (
            json(&SignedReceipt { statement: statement.replace("epoch: 9", "epoch: 8"), ..good.clone() }),
            "not by the key",
        ),
        (
            json(&SignedReceipt { statement: statement.replace("epoch: 9", "epoch: x"), ..good.clone() }),
            "line `epoch`",
        ),
        (
            json(&SignedReceipt { statement: format!("{statement}\n"), ..good.clone() }),
            "not spelled as a server",
        ),
        (json(&SignedReceipt { signature: "?".into(), ..good.clone() }), "not base64"),
        (json(&SignedReceipt { signature: String::new(), ..good }), "not by the key"),
    ] {
        std::fs::write(&args.file, &text).unwrap();
        let said = refused(&args);
        assert!(said.contains(reason) && said.contains("\n  hint: "), "{said}");
    }
    let nowhere = VerifyArgs { file: "/nowhere/receipt".into(), ..args.clone() };
    assert!(refused(&nowhere).contains("cannot be read: No such file"));
    let folder = VerifyArgs { file: "/dev".into(), ..args };
    assert!(refused(&folder).contains("is no file"));
}

fn json(signed: &SignedReceipt) -> String {
    serde_json::to_string(signed).unwrap()
}

#[test]
fn a_receipt_of_another_document_is_not_taken() {
    assert_eq!(about(NodeId([1; 16]), "f", &signed()), Ok(sample()));
    let said = about(NodeId([2; 16]), "f", &signed()).unwrap_err();
    assert!(said.what.contains("about document 0101"), "{said}");
}

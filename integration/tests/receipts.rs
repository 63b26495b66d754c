//! Deletion receipts from end to end: `3s rm --receipt`, `3s verify`, curl and openssl.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use sss_integration::{Cmd, Mount, Store, bash, noise, with_curl};

/// `3s rm --receipt FILE PATH`
fn rm(store: &Store, receipt: &Path, path: &Path) -> Cmd {
    store.tool("3s").args(["rm", "--receipt"]).arg(receipt).arg(path)
}

/// `3s verify FILE --server-key server.pub`
fn verify(store: &Store, receipt: &Path) -> Cmd {
    store.tool("3s").arg("verify").arg(receipt).arg("--server-key").arg(store.path("data/server.pub"))
}

/// The lines of a receipt's statement.
fn statement(receipt: &Path) -> Vec<String> {
    let json: Value = serde_json::from_slice(&fs::read(receipt).unwrap()).unwrap();
    json["statement"].as_str().unwrap().split('\n').map(String::from).collect()
}

/// The command in an error's second line.
fn hinted(error: &str) -> String {
    let hint = error.lines().find_map(|line| line.trim().strip_prefix("hint: "));
    hint.unwrap_or_else(|| panic!("no hint in {error}")).into()
}

/// What WIRE.md shows, with Python where that has jq.
const OPENSSL: &str = r#"
field() { python3 -c 'import json,sys; sys.stdout.write(json.load(open(sys.argv[1]))[sys.argv[2]])' "$@"; }
field "$RECEIPT" statement > "$RECEIPT.statement"
field "$RECEIPT" signature | base64 -d > "$RECEIPT.signature"
openssl dgst -sha256 -verify "$PUB" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha256 \
    -signature "$RECEIPT.signature" "$RECEIPT.statement"
"#;

fn openssl(store: &Store, receipt: &Path) -> Cmd {
    bash(OPENSSL).env("RECEIPT", receipt).env("PUB", store.path("data/server.pub"))
}

#[test]
fn a_receipt_is_checked_after_the_server_is_gone() {
    let mut store = Store::start();
    let alice = store.mount("alice");
    alice.sh("mkdir d");
    alice.write("d/f", "one");
    alice.write("d/f", noise(300_000, 7));
    let id = alice.get("d/f", "user.3s.id").unwrap();
    let receipt = store.path("f.receipt");
    let done = rm(&store, &receipt, &alice.at("d/f")).ok().says("f is deleted; its keys are erased (epoch ");
    assert!(done.out().contains("signature: good"), "{}", done.account());
    assert_eq!(done.out().lines().count(), 1, "{}", done.account());
    assert!(!alice.at("d/f").exists());
    assert_eq!(receipt.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let lines = statement(&receipt);
    assert_eq!(lines[0], "3S deletion receipt 1");
    for line in [&format!("document: {id}"), "path: \"@alice/d/f\"", "home: alice", "deleted-by: alice"] {
        assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
    }
    assert!(lines[7].starts_with("versions: 1") && lines[8] != "keys: none", "{lines:?}");
    alice.unmount();
    store.stop_server();

    verify(&store, &receipt).ok().says("signature: good").says(&format!("document:  {id}"));
    let by_identity =
        store.tool("3s").arg("verify").arg(&receipt).arg("--identity").arg(store.identity("bob"));
    by_identity.ok().says("signature: good");
    openssl(&store, &receipt).ok().says("Verified OK");
    let unnamed = store.tool("3s").arg("verify").arg(&receipt).fails();
    assert!(hinted(&unnamed.err()).contains("--server-key"), "{}", unnamed.account());
    let other = store.tool("3s").arg("verify").arg(&receipt).arg("--server-key");
    let refused = other.arg(store.identity("bob").join("user.pub")).fails();
    assert!(refused.err().contains("the signature is not by the key"), "{}", refused.account());
}

#[test]
fn a_byte_that_changes_anywhere_in_a_receipt_is_noticed() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    let receipt = store.path("f.receipt");
    rm(&store, &receipt, &alice.at("f")).ok();
    let good = fs::read(&receipt).unwrap();
    verify(&store, &receipt).ok();
    let altered = store.path("altered.receipt");
    // Every seventh byte goes through statement and signature; the last one is the line feed behind the JSON.
    for at in (0..good.len() - 1).step_by(7) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&altered, &bytes).unwrap();
        let done = verify(&store, &altered).run();
        let blank = good[at].is_ascii_whitespace() && bytes[at].is_ascii_whitespace();
        assert!(blank || done.code() == Some(1), "byte {at}: {}", done.account());
        assert!(done.err().lines().count() == 2, "a reason and what to do: {}", done.account());
    }
    // The statement alone, altered and spelled well.
    let json = String::from_utf8(good).unwrap();
    fs::write(&altered, json.replace("deleted-by: alice", "deleted-by: carol")).unwrap();
    let done = verify(&store, &altered).fails();
    assert!(done.err().contains("the signature is not by the key"), "{}", done.account());
    openssl(&store, &altered).fails();
}

#[test]
fn nothing_is_deleted_when_the_receipt_could_not_be_kept() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("echo x > f; echo y > g; mkdir d; ln -s f link");
    let there = store.path("there");
    fs::write(&there, "mine").unwrap();
    let fine = store.path("fine");
    for (receipt, path, why) in [
        (&there, "f", "exists already"),
        (&alice.at("f.receipt"), "f", "is on a 3S mount"),
        (&alice.at("d/f.receipt"), "f", "is on a 3S mount"),
        (&store.path("none/f.receipt"), "f", "cannot be found"),
        (&fine, "d", "is a folder"),
        (&fine, "link", "a link"),
        (&fine, "nothing", "No such file"),
    ] {
        let done = rm(&store, receipt, &alice.at(path)).fails();
        assert!(done.err().contains(why), "{why}: {}", done.account());
        assert_eq!(done.err().lines().count(), 2, "{}", done.account());
    }
    rm(&store, &fine, &alice.at("f")).arg(alice.at("g")).fails().never_says("is deleted");
    // A key file that is none would leave the receipt unchecked.
    let key = store.identity("alice").join("server.pub");
    let kept = fs::read(&key).unwrap();
    fs::write(&key, "no key").unwrap();
    assert!(rm(&store, &fine, &alice.at("f")).fails().err().contains("holds no RSA public key"));
    fs::write(&key, kept).unwrap();
    assert_eq!(alice.sh("cat f g; ls").out(), "x\ny\nd\nf\ng\nlink");
    assert_eq!((fs::read(&there).unwrap(), fine.exists()), (b"mine".to_vec(), false));
}

#[test]
fn rm_without_a_receipt_is_rm() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("echo a > a; echo b > b; mkdir d; ln -s / link; echo c > c");
    let outside = store.path("outside");
    fs::write(&outside, "mine").unwrap();
    let paths = ["a", "none", "d", "link", "b"].map(|name| alice.at(name));
    let done = store.tool("3s").arg("rm").args(&paths).arg(&outside).fails();
    for said in ["none cannot be removed: No such file", "d is a folder", "outside is not on a 3S mount"] {
        assert!(done.err().contains(said), "{said}: {}", done.account());
    }
    assert_eq!(alice.sh("ls").out(), "c\nd");
    assert!(outside.exists());
    store.tool("3s").args(["rm", "c"]).cwd(alice.root()).ok();
    assert!(!alice.at("c").exists());
}

#[test]
fn without_a_trusted_key_a_receipt_is_kept_unchecked_and_says_so() {
    let store = Store::start();
    fs::remove_file(store.identity("alice").join("server.pub")).unwrap();
    let alice = store.mount("alice");
    alice.write("f", "x");
    let receipt = store.path("f.receipt");
    let done = rm(&store, &receipt, &alice.at("f")).ok();
    let command = format!("3s verify {} --server-key server.pub", receipt.display());
    assert!(done.out().contains(&format!("signature not checked: {command}")), "{}", done.account());
    bash(&command).with_programs().cwd(store.path("data")).ok().says("signature: good");
}

#[test]
fn a_receipt_by_another_key_is_not_kept_and_can_be_fetched_again() {
    let store = Store::start();
    let key = store.identity("alice").join("server.pub");
    let right = fs::read(&key).unwrap();
    fs::copy(store.identity("bob").join("user.pub"), &key).unwrap();
    let alice = store.mount("alice");
    alice.write("f", "x");
    let receipt = store.path("it's a receipt");
    let done = rm(&store, &receipt, &alice.at("f")).fails();
    assert!(done.err().contains("f is deleted, and its receipt is still to be had"), "{}", done.account());
    assert!(done.err().contains("the signature is not by the key"), "{}", done.account());
    assert!(!alice.at("f").exists() && !receipt.exists());
    fs::write(&key, right).unwrap();
    bash(&hinted(&done.err())).with_programs().ok().says("signature: good");
    verify(&store, &receipt).ok();
}

#[test]
fn while_the_keyring_is_away_a_document_is_deleted_and_its_receipt_comes_later() {
    let mut store = Store::start();
    store.stop_server();
    let medium = store.path("medium");
    fs::create_dir(&medium).unwrap();
    fs::rename(store.path("data/keyring"), medium.join("keyring")).unwrap();
    store.use_keyring(&medium.join("keyring"));
    store.start_server();
    let alice = store.mount("alice");
    alice.write("f", "x");
    alice.write("kept", "y");
    let away = store.path("away");
    fs::rename(&medium, &away).unwrap();
    let receipt = store.path("f.receipt");
    let done = rm(&store, &receipt, &alice.at("f")).fails();
    assert!(done.err().contains("its keys are not erased yet"), "{}", done.account());
    assert!(!alice.at("f").exists() && !receipt.exists());
    let again = hinted(&done.err());
    assert!(again.starts_with("3s rm --receipt ") && again.contains(" --again "), "{again}");
    bash(&again).with_programs().fails();
    fs::rename(&away, &medium).unwrap();
    bash(&again).with_programs().ok().says("its keys are erased");
    verify(&store, &receipt).ok();
    assert_eq!(alice.read("kept"), b"y");
}

#[test]
fn only_who_deleted_and_the_homes_owner_get_a_receipt() {
    let store = Store::start();
    let (alice, bob, carol) = (store.mount("alice"), store.mount("bob"), store.mount("carol"));
    alice.sh("mkdir d");
    alice.grant("d", "bob", "both,1h");
    alice.grant("d", "carol", "both,1h");
    bob.write("@alice/d/f", "by bob");
    let id = bob.get("@alice/d/f", "user.3s.id").unwrap();
    rm(&store, &store.path("bobs.receipt"), &bob.at("@alice/d/f")).ok();
    let again =
        |mount: &Mount, name: &str| rm(&store, &store.path(name), mount.root()).args(["--again", &id]);
    again(&alice, "alices.receipt").ok();
    assert_eq!(statement(&store.path("alices.receipt")), statement(&store.path("bobs.receipt")));
    assert!(statement(&store.path("bobs.receipt")).contains(&"deleted-by: bob".into()));
    let done = again(&carol, "carols.receipt").fails();
    assert!(done.err().contains("there is no receipt of document"), "{}", done.account());
    assert!(!store.path("carols.receipt").exists());
}

#[test]
fn deleting_over_https_answers_with_the_same() {
    let store = Store::start();
    let script = r#"
        auth="Authorization: Bearer $token"
        printf hello | call -H "$auth" -T - "$URL/v1/documents/@alice/a%0ab"
        call -H "$auth" -X DELETE "$URL/v1/documents/@alice/a%0ab" > "$RECEIPT"
    "#;
    let receipt = store.path("by curl");
    with_curl(&store, script).env("RECEIPT", &receipt).ok();
    verify(&store, &receipt).ok().says(r#""@alice/a\u000ab" in alice's home"#);
    openssl(&store, &receipt).ok();
    let document = statement(&receipt)[2].replace("document: ", "");
    let alice = store.mount("alice");
    let fetched = store.path("by the mount");
    rm(&store, &fetched, alice.root()).args(["--again", &document]).ok();
    assert_eq!(statement(&fetched), statement(&receipt));
}

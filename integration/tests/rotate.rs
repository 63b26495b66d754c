//! The server's key is rotated: nothing is lost at whatever moment it is cut short, and old signatures stay good.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sss_integration::{Cmd, Done, Mount, Store, noise};

/// The places where a rotation can be made to die, from the server's own list.
fn failpoints(store: &Store) -> Vec<String> {
    let listed = store.tool("3s-server").arg("failpoints").ok().out();
    let names: Vec<String> =
        listed.lines().filter(|name| name.starts_with("rotate.")).map(Into::into).collect();
    assert!(names.len() >= 9, "{names:?}");
    // And in the two writings of the keyring, which begin and end it.
    let keyring = ["keyring.written", "keyring.renamed", "keyring.durable"];
    let keyring = keyring.iter().flat_map(|at| [format!("{at}:1"), format!("{at}:2")]);
    names.into_iter().chain(keyring).collect()
}

/// Every pack with its hash.
fn packs(store: &Store) -> BTreeMap<PathBuf, String> {
    let listed = Cmd::new("find").arg(store.path("data/packs")).args(["-type", "f"]).ok().out();
    let hash = |path: &str| Cmd::new("sha256sum").arg(path).ok().out().split(' ').next().unwrap().to_owned();
    listed.lines().map(|path| (path.into(), hash(path))).collect()
}

fn rotate(store: &Store) -> Cmd {
    store.tool("3s-server").arg("rotate-key").arg(store.path("data"))
}

fn sha256sum(path: &Path) -> String {
    Cmd::new("sha256sum").arg(path).ok().out().split(' ').next().unwrap().to_owned()
}

/// A refusal for people: says this, has a second line.
fn refuses(done: &Done, words: &str) {
    assert!(done.err().contains(words) && done.err().lines().count() >= 2, "{}", done.account());
}

struct Documents(Vec<(String, Vec<u8>)>);

impl Documents {
    fn add(&mut self, mount: &Mount, name: &str) {
        for (kind, flag, size) in [
            ("small", "integrity", 100),
            ("large", "integrity", 200_000),
            ("plain", "confidentiality", 90_000),
        ] {
            let (name, content) = (format!("{name}-{kind}"), noise(size, self.0.len() as u64 + 900));
            mount.sh(&format!("touch {name}; setfattr -n user.3s.flag -v {flag} {name}"));
            mount.write(&name, &content);
            self.0.push((name, content));
        }
    }

    /// Every one can be checked out; the server checks the signatures of those that have one.
    fn check(&self, mount: &Mount, at: &str) {
        for (name, content) in &self.0 {
            assert!(mount.read(name) == *content, "{name} after {at}");
        }
    }
}

#[test]
fn a_rotation_that_is_killed_anywhere_loses_nothing_and_then_goes_through() {
    let mut store = Store::start();
    let mut documents = Documents(Vec::new());
    let alice = store.mount("alice");
    documents.add(&alice, "first");
    alice.unmount();
    let refused = rotate(&store).fails();
    refuses(&refused, "another 3s-server runs on");
    store.stop_server();
    let before = packs(&store);
    assert!(before.len() >= 2, "{before:?}");
    let first_key = fs::read(store.path("data/server.pub")).unwrap();

    for at in failpoints(&store) {
        let killed = rotate(&store).env("SSS_FAILPOINT", &at).fails();
        let name = at.split(':').next().unwrap();
        assert!(killed.err().contains(&format!("failpoint {name}")), "{}", killed.account());
        assert_eq!(packs(&store), before, "{at}");
        store.audit_log();
        store.start_server();
        let alice = store.mount("alice");
        documents.check(&alice, &at);
        alice.unmount();
        store.stop_server();
        for left in ["server.key.new", "server.pub.new", "server.key.old", "retired.pub.new"] {
            assert!(!store.path("data").join(left).exists(), "{left} after {at}");
        }
    }
    // And one that is killed while the start finishes what was left.
    rotate(&store).env("SSS_FAILPOINT", "rotate.committed").fails();
    rotate(&store).env("SSS_FAILPOINT", "rotate.private").fails();
    let finished = rotate(&store).ok();
    finished.says("finished the rotation that was cut short");

    // For good.
    let (old, data) = (sha256sum(&store.path("data/server.pub")), store.path("data"));
    let private = fs::read(data.join("server.key")).unwrap();
    let rotated = rotate(&store).ok();
    let new = sha256sum(&data.join("server.pub"));
    assert_ne!(old, new);
    rotated.says(&old).says(&new).says("cat server.pub >> ID_DIR/server.pub");
    assert_ne!(fs::read(data.join("server.key")).unwrap(), private);
    let log = store.audit_log();
    let told = log.last().unwrap();
    assert_eq!((told["action"].as_str(), told["user"].is_null()), (Some("rotate-key"), true), "{told}");
    assert_eq!(told["detail"], format!("from {old} to {new}"));
    assert_eq!(packs(&store), before, "no pack was touched");
    let retired = fs::read(data.join("retired.pub")).unwrap();
    assert!(retired.starts_with(&first_key), "oldest first");
    Cmd::new("openssl").args(["pkey", "-pubin", "-noout", "-in"]).arg(data.join("retired.pub")).ok();

    store.start_server();
    let alice = store.mount("alice");
    documents.check(&alice, "the rotation");
    documents.add(&alice, "second");
    documents.check(&alice, "more check-ins");
    verify_old_and_new(&store, &alice, &first_key, &new);
}

/// The identity's copy of the key is the first one.
fn verify_old_and_new(store: &Store, alice: &Mount, first_key: &[u8], new: &str) {
    let kept = store.identity("alice").join("server.pub");
    assert_eq!(fs::read(&kept).unwrap(), first_key);
    let verify = |name: &str| store.tool("3s").arg("verify").arg(alice.at(name));
    let good = verify("first-large").ok();
    assert!(!good.out().contains("SHA-256"), "one key needs no name: {}", good.out());
    let unknown = verify("second-large").fails();
    refuses(&unknown, "not by the key in");
    refuses(&unknown, "may have rotated it");

    // As the second line says.
    let hand = format!("cat {} >> {}", store.path("data/server.pub").display(), kept.display());
    Cmd::new("sh").args(["-c", &hand]).ok();
    verify("second-large").ok().says("signature: good").says(new);
    verify("first-large").ok().says("signature: good").says(&sha256sum_of(first_key));
    let own = verify("first-small").arg("--server-key").arg(store.path("data/server.pub")).fails();
    refuses(&own, "not by the key in");

    // Who keeps what the server shows at first use gets all of its keys.
    fs::remove_file(&kept).unwrap();
    verify("second-small").ok().says("first use").says(new);
    verify("first-small").ok().says("signature: good");
    let shown = [fs::read(store.path("data/server.pub")).unwrap(), first_key.to_vec()];
    let text = fs::read(&kept).unwrap();
    assert!(text.starts_with(&shown[0]) && text.ends_with(&shown[1]), "newest first");
}

fn sha256sum_of(bytes: &[u8]) -> String {
    Cmd::new("sha256sum").stdin(bytes).ok().out().split(' ').next().unwrap().to_owned()
}

#[test]
fn what_does_not_fit_is_said_and_nothing_is_written_over() {
    let mut store = Store::start();
    store.stop_server();
    let (data, aside) = (store.path("data"), store.path("aside"));
    let all = || -> BTreeMap<String, Vec<u8>> {
        ["server.key", "server.pub", "keyring"]
            .into_iter()
            .map(|name| (name.to_owned(), fs::read(data.join(name)).unwrap_or_default()))
            .collect()
    };
    let before = all();

    // Another store's keyring, in its place or named.
    let other = store.path("other");
    store.tool("3s-server").arg("init").arg(&other).ok();
    let foreign = fs::read(other.join("keyring")).unwrap();
    let refused = rotate(&store).arg("--keyring").arg(other.join("keyring")).fails();
    refuses(&refused, "the keyring was made for another server key");
    assert_eq!(fs::read(other.join("keyring")).unwrap(), foreign);

    // None.
    fs::rename(data.join("keyring"), &aside).unwrap();
    refuses(&rotate(&store).fails(), "the keyring is missing");
    fs::rename(&aside, data.join("keyring")).unwrap();

    // A file in the way.
    for text in ["notes", include_str!("rotate.rs")] {
        fs::write(data.join("server.key.new"), text).unwrap();
        refuses(&rotate(&store).fails(), "server.key.new: is in the way");
        assert_eq!(fs::read_to_string(data.join("server.key.new")).unwrap(), text);
    }
    fs::copy(other.join("server.key"), data.join("server.key.new")).unwrap();
    refuses(&rotate(&store).fails(), "server.key.new: is in the way");
    fs::remove_file(data.join("server.key.new")).unwrap();

    // A list of retired keys that is none.
    fs::write(data.join("retired.pub"), "no keys").unwrap();
    refuses(&rotate(&store).fails(), "retired.pub: this is not a list");
    fs::remove_file(data.join("retired.pub")).unwrap();

    // No store.
    refuses(&store.tool("3s-server").arg("rotate-key").arg(store.path("nowhere")).fails(), "3s-server init");
    assert_eq!(all(), before);

    // And after all that it goes through, with the keyring on another medium too.
    fs::rename(data.join("keyring"), &aside).unwrap();
    rotate(&store).arg("--keyring").arg(&aside).ok();
    store.use_keyring(&aside);
    store.start_server();
    store.mount("alice").write("new", "after the rotation");
}

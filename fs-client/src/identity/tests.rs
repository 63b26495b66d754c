#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::OnceLock;

use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use sss_common::clock::ManualClock;

use super::*;

/// 2026-11-22
const NOW: Timestamp = Timestamp(1_795_305_600_000);

fn key() -> &'static RsaPrivateKey {
    static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| RsaPrivateKey::new(&mut rand::rngs::OsRng, 2048).unwrap())
}

fn certificate(name: &str, years: [i32; 2]) -> (String, rcgen::KeyPair) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(years[0], 1, 1);
    params.not_after = rcgen::date_time_ymd(years[1], 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key)
}

fn put(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn id_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "ca.crt", &certificate("ca", [2020, 2040]).0);
    let (pem, client) = certificate("client1", [2020, 2040]);
    put(dir.path(), "client.crt", &pem);
    put(dir.path(), "client.key", &client.serialize_pem());
    put(dir.path(), "user.key", &key().to_pkcs8_pem(LineEnding::LF).unwrap());
    put(dir.path(), "user.pub", &key().to_public_key().to_public_key_pem(LineEnding::LF).unwrap());
    dir
}

fn load(dir: &Path) -> Result<Identity, Advised> {
    Identity::load(dir, &ManualClock::at(NOW))
}

#[track_caller]
fn refused(dir: &Path, what: &str, hint: &str) {
    let failure = load(dir).err().expect("it must be refused");
    assert!(failure.what.contains(what), "{failure}");
    assert!(failure.hint.contains(hint), "{failure}");
}

#[test]
fn a_good_one() {
    let dir = id_dir();
    let identity = load(dir.path()).unwrap();
    assert_eq!(identity.machine.as_str(), "client1");
    assert_eq!((identity.roots.len(), identity.chain.len()), (1, 1));
    let signature = identity.expose_user_key().sign(b"hello").unwrap();
    assert!(sss_common::login::verify(&key().to_public_key(), b"hello", &signature));
    fs::remove_file(dir.path().join("user.pub")).unwrap();
    assert!(load(dir.path()).is_ok(), "only the administrator needs it");
}

#[test]
fn keys_of_every_usual_form() {
    let dir = id_dir();
    put(dir.path(), "user.key", &key().to_pkcs1_pem(LineEnding::LF).unwrap());
    let signature = load(dir.path()).unwrap().expose_user_key().sign(b"hello").unwrap();
    assert!(sss_common::login::verify(&key().to_public_key(), b"hello", &signature));
    put(dir.path(), "client.key", &key().to_pkcs1_pem(LineEnding::LF).unwrap());
    assert!(matches!(load(dir.path()).unwrap().expose_client_key(), PrivateKeyDer::Pkcs1(_)));
    // SEC1 with its parameters before it, as `openssl ecparam -genkey` writes it.
    let sec1 = Command::new("openssl").args(["ecparam", "-name", "prime256v1", "-genkey"]).output().unwrap();
    put(dir.path(), "client.key", std::str::from_utf8(&sec1.stdout).unwrap());
    assert!(matches!(load(dir.path()).unwrap().expose_client_key(), PrivateKeyDer::Sec1(_)));
}

#[test]
fn what_is_missing_or_no_pem() {
    refused(Path::new("/proc/nowhere"), "/proc/nowhere is not a folder", "--identity");
    for name in ["ca.crt", "client.crt", "client.key", "user.key"] {
        let dir = id_dir();
        put(dir.path(), name, "nonsense");
        refused(dir.path(), name, "3s-ca enroll");
        put(dir.path(), name, &"x".repeat(FILE_MAX as usize + 1));
        refused(dir.path(), &format!("{name} is larger than"), "3s-ca enroll");
        fs::remove_file(dir.path().join(name)).unwrap();
        refused(dir.path(), &format!("{name} is missing"), "3s-ca enroll");
    }
}

#[test]
fn a_users_key_that_others_can_read() {
    let dir = id_dir();
    let path = dir.path().join("user.key");
    for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o644, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        match good {
            true => assert!(load(dir.path()).is_ok(), "{mode:o}"),
            false => refused(dir.path(), "open to other users", &format!("chmod 600 {}", path.display())),
        }
    }
}

#[test]
fn what_others_could_read_or_change() {
    // What, its mode, and the command in the second line.
    for (name, mode, chmod) in [
        ("client.key", 0o644, "600"),
        ("client.key", 0o660, "600"),
        ("user.key", 0o620, "600"),
        ("ca.crt", 0o666, "go-w"),
        ("client.crt", 0o664, "go-w"),
        ("user.pub", 0o662, "go-w"),
        ("", 0o777, "700"),
        ("", 0o770, "700"),
    ] {
        let dir = id_dir();
        let path = if name.is_empty() { dir.path().to_owned() } else { dir.path().join(name) };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let what = format!("(mode {mode:04o})");
        refused(dir.path(), &what, &format!("chmod {chmod} {}", path.display()));
        refused(dir.path(), &path.display().to_string(), "chmod");
    }
    let dir = id_dir();
    for name in ["ca.crt", "client.crt", "user.pub"] {
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(load(dir.path()).is_ok(), "what anybody may know, anybody may read");
}

#[test]
fn keys_that_do_not_serve() {
    let dir = id_dir();
    let short = RsaPrivateKey::new(&mut rand::rngs::OsRng, 1024).unwrap();
    put(dir.path(), "user.key", &short.to_pkcs8_pem(LineEnding::LF).unwrap());
    refused(dir.path(), "only 1024 bits", "3072 bits");

    let sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for name in ["user.key", "client.key"] {
        let dir = id_dir();
        put(dir.path(), name, sealed);
        refused(dir.path(), "protected by a passphrase", "openssl pkey");
    }
    let dir = id_dir();
    let other = RsaPrivateKey::new(&mut rand::rngs::OsRng, 1024).unwrap().to_public_key();
    put(dir.path(), "user.pub", &other.to_public_key_pem(LineEnding::LF).unwrap());
    refused(dir.path(), "user.pub is not the public half of user.key", "openssl rsa");
}

#[test]
fn certificates_out_of_their_time_or_without_a_node() {
    for (name, years, what) in [
        ("client1", [2020, 2025], "ended on 2025-01-01T00:00:00Z"),
        ("client1", [2030, 2040], "counts only from 2030-01-01T00:00:00Z"),
        ("not a node", [2020, 2040], "names the node \"not a node\""),
        ("", [2020, 2040], "names the node \"\""),
    ] {
        let dir = id_dir();
        put(dir.path(), "client.crt", &certificate(name, years).0);
        let failure = load(dir.path()).err().expect(what);
        assert!(failure.what.contains("client.crt") && failure.what.contains(what), "{failure}");
    }
}

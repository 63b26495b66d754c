//! What the tool reports when it works; its other words are golden files (`words.rs`).
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{ca, run, shell};

#[test]
fn wrong_usage_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in
        ["init ca --days 10951", "issue-server ca -o tls", "enroll ca --uid ALL --node client1 -o id"]
    {
        assert_eq!(ca(dir.path(), arguments).code, 2, "{arguments}");
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
}

#[test]
fn revoking_says_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    ca(dir, "init ca").ok();
    ca(dir, "enroll ca --uid alice --node client1 -o id").ok();
    let said = ca(dir, "revoke ca id/client.crt").ok();
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("revoked ") && lines[0].contains("CN=client1"), "{said}");
    assert_eq!(lines[1], "  copy ca/ca.crl to the server's TLS_DIR and send it SIGHUP");
    let again = ca(dir, "revoke ca id/client.crt").ok();
    assert!(again.contains("has been revoked since"), "{again}");
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn where_nothing_can_be_written_the_old_files_stay_whole_and_no_temporary_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    ca(dir, "init ca").ok();
    ca(dir, "enroll ca --uid alice --node client1 -o id").ok();
    let before = (files(&dir.join("ca")), files(&dir.join("id")));
    for command in ["3s-ca revoke ca id/client.crt", "3s-ca enroll ca --uid alice --node client1 -o id"] {
        // No file may get a first byte: what a full disk answers.
        let said = shell(dir, &format!("trap '' XFSZ; ulimit -f 0; {command}"));
        assert_eq!(said.code, 1, "{command}");
        assert!(said.err.starts_with("3s-ca: cannot write "), "{command}: {}", said.err);
        assert_eq!((files(&dir.join("ca")), files(&dir.join("id"))), before, "{command}");
    }
    ca(dir, "revoke ca id/client.crt").ok();
}

#[test]
fn show_names_what_a_file_holds_and_nothing_that_is_secret() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    ca(dir, "init ca").ok();
    ca(dir, "issue-server ca --host localhost --host 127.0.0.1 --host ::1 -o tls").ok();
    ca(dir, "enroll ca --uid alice --node client1 -o id").ok();
    for (file, expected) in [
        ("ca/ca.crt", &["certificate\n", "CN=3S root ", "Key Cert Sign, CRL Sign", "authority   yes"][..]),
        ("ca/ca.crl", &["certificate revocation list\n", "number      1\n", "revoked     0\n"]),
        ("tls/server.crt", &["DNS:localhost, IP:127.0.0.1, IP:::1\n", "TLS server\n", "authority   no\n"]),
        ("id/client.crt", &["O=3S, OU=alice, CN=client1\n", "DNS:client1\n", "TLS client\n", "ECDSA, P-256"]),
        ("id/client.key", &["private key\n", "ECDSA, P-256, 256 bits\n"]),
        ("id/user.key", &["private key\n", "RSA, 3072 bits\n"]),
        ("id/user.pub", &["public key\n", "RSA, 3072 bits\n"]),
    ] {
        let said = ca(dir, &format!("show {file}")).ok();
        for part in expected {
            assert!(said.contains(part), "{file}: {part:?} in\n{said}");
        }
        if file.ends_with(".key") {
            assert_eq!(said.lines().count(), 3, "kind, size and the public half's fingerprint: {said}");
        }
    }
    let print = |file| ca(dir, &format!("show {file}")).ok().lines().nth(2).unwrap().to_owned();
    assert_eq!(print("id/user.key"), print("id/user.pub"));
    // Two things in one file are both shown.
    let both = run(dir, "cat", "ca/ca.crt ca/ca.crl").ok();
    std::fs::write(dir.join("both"), both).unwrap();
    let said = ca(dir, "show both").ok();
    assert!(said.contains("certificate\n") && said.contains("certificate revocation list\n"), "{said}");
}

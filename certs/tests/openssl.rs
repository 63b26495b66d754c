//! The real `openssl` accepts what we make, and what it makes by our README is what we make.
#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Said, ca, openssl, readme_scripts, shell};
use tempfile::TempDir;

/// A CA with a server and a user, made by the tool.
fn made() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    ca(dir.path(), "init ca").ok();
    ca(dir.path(), "issue-server ca --host store.example.org --host localhost --host 127.0.0.1 -o tls").ok();
    ca(dir.path(), "enroll ca --uid alice --node client1 -o id").ok();
    dir
}

const STRICT: &str = "verify -x509_strict -check_ss_sig -crl_check -CAfile ca/ca.crt -CRLfile ca/ca.crl";

#[test]
fn certificates_verify_strictly_for_their_purpose_and_no_other() {
    let dir = made();
    let verify = |rest: &str| openssl(dir.path(), &format!("{STRICT} {rest}"));
    for host in ["-verify_hostname store.example.org", "-verify_hostname localhost", "-verify_ip 127.0.0.1"] {
        verify(&format!("-purpose sslserver {host} tls/server.crt")).ok();
    }
    verify("-purpose sslclient id/client.crt").ok();
    openssl(dir.path(), "verify -x509_strict -check_ss_sig -CAfile ca/ca.crt ca/ca.crt").ok();

    let refused = |said: Said, why: &str| assert!(said.code != 0 && said.err.contains(why), "{said:?}");
    refused(
        verify("-purpose sslserver -verify_hostname other.example.org tls/server.crt"),
        "hostname mismatch",
    );
    refused(verify("-purpose sslserver -verify_ip 127.0.0.2 tls/server.crt"), "IP address mismatch");
    refused(verify("-purpose sslserver id/client.crt"), "unsuitable certificate purpose");
    refused(verify("-purpose sslclient tls/server.crt"), "unsuitable certificate purpose");
}

#[test]
fn certificates_say_what_they_should() {
    let dir = made();
    let text = |file: &str| openssl(dir.path(), &format!("x509 -in {file} -noout -text")).ok();
    let root = text("ca/ca.crt");
    for part in [
        "Version: 3",
        "ecdsa-with-SHA256",
        "NIST CURVE: P-256",
        "Basic Constraints: critical\n                CA:TRUE, pathlen:0",
        "Key Usage: critical\n                Certificate Sign, CRL Sign",
        "Subject Key Identifier",
        "Authority Key Identifier",
    ] {
        assert!(root.contains(part), "{part} in\n{root}");
    }
    for (file, purpose) in [
        ("tls/server.crt", "TLS Web Server Authentication"),
        ("id/client.crt", "TLS Web Client Authentication"),
    ] {
        let leaf = text(file);
        for part in [
            "Version: 3",
            "ecdsa-with-SHA256",
            "Basic Constraints: critical\n                CA:FALSE",
            "Key Usage: critical\n                Digital Signature\n",
            &format!("Extended Key Usage: \n                {purpose}\n"),
            "Subject Key Identifier",
            "Authority Key Identifier",
        ] {
            assert!(leaf.contains(part), "{part} in\n{leaf}");
        }
    }
    assert!(text("tls/server.crt").contains("DNS:store.example.org, DNS:localhost, IP Address:127.0.0.1"));
    assert!(text("id/client.crt").contains("DNS:client1"));
    let name = openssl(dir.path(), "x509 -in id/client.crt -noout -subject -nameopt RFC2253").ok();
    assert_eq!(name.trim(), "subject=CN=client1,OU=alice,O=3S");
}

#[test]
fn lifetimes_are_the_documented_ones() {
    let dir = made();
    ca(dir.path(), "enroll ca --uid bob --node client1 --shared --days 7 -o bob").ok();
    for (file, days) in
        [("ca/ca.crt", 3650), ("tls/server.crt", 90), ("id/client.crt", 730), ("bob/client.crt", 7)]
    {
        let ends_within = |seconds: i64| {
            openssl(dir.path(), &format!("x509 -in {file} -noout -checkend {seconds}")).code != 0
        };
        let life = days * 24 * 60 * 60;
        assert!(!ends_within(life - 600) && ends_within(life + 1), "{file}");
    }
}

#[test]
fn keys_are_readable_and_belong_to_their_certificates() {
    let dir = made();
    let run = |arguments: &str| openssl(dir.path(), arguments).ok();
    for pair in ["ca/ca", "tls/server", "id/client"] {
        let (key, cert) =
            (format!("pkey -in {pair}.key -pubout"), format!("x509 -in {pair}.crt -noout -pubkey"));
        assert_eq!(run(&key), run(&cert), "{pair}");
        run(&format!("ec -in {pair}.key -check -noout"));
    }
    assert!(run("rsa -in id/user.key -check -noout").contains("RSA key ok"));
    assert!(run("rsa -in id/user.key -noout -text").contains("3072 bit"));
    assert_eq!(
        run("pkey -in id/user.key -pubout"),
        std::fs::read_to_string(dir.path().join("id/user.pub")).unwrap()
    );
    run("rsa -pubin -in id/user.pub -noout");
    let first = std::fs::read_to_string(dir.path().join("id/user.key")).unwrap();
    assert!(first.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS#8");
}

#[test]
fn the_list_verifies_and_revoking_shows_in_it() {
    let dir = made();
    let run = |arguments: &str| openssl(dir.path(), arguments);
    let said = run("crl -in ca/ca.crl -CAfile ca/ca.crt -noout -text");
    assert!(said.err.contains("verify OK"), "{said:?}");
    for part in [
        "Version 2",
        "No Revoked Certificates",
        "Authority Key Identifier",
        "CRL Number: \n                1\n",
    ] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    let serial = run("x509 -in id/client.crt -noout -serial").ok();
    let serial = serial.trim().strip_prefix("serial=").unwrap();
    let with_colons = serial
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap())
        .collect::<Vec<_>>()
        .join(":");
    ca(dir.path(), &format!("revoke ca {}", with_colons.to_lowercase())).ok();

    let said = run("crl -in ca/ca.crl -CAfile ca/ca.crt -noout -text");
    assert!(said.err.contains("verify OK"), "{said:?}");
    assert!(said.out.contains(&format!("Serial Number: {serial}")), "{}", said.out);
    assert!(said.out.contains("CRL Number: \n                2\n"), "{}", said.out);
    let refused = run(&format!("{STRICT} -purpose sslclient id/client.crt"));
    assert!(refused.err.contains("certificate revoked"), "{refused:?}");
    run(&format!("{STRICT} -purpose sslserver tls/server.crt")).ok();
}

#[test]
fn the_readmes_first_commands_work() {
    let dir = tempfile::tempdir().unwrap();
    let scripts = readme_scripts("In short");
    assert_eq!(scripts.len(), 1);
    let said = shell(dir.path(), &scripts[0]).ok();
    assert!(said.contains("revoked ") && said.contains("DNS:client1"), "{said}");
}

#[test]
fn a_ca_made_with_openssl_alone_makes_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let [make, revoke] = &readme_scripts("A CA made with openssl alone")[..] else { panic!("two scripts") };
    shell(dir, make).ok();
    for key in ["ca.key", "server.key", "client.key", "user.key"] {
        assert_eq!(dir.join(key).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{key}");
        assert!(ca(dir, &format!("show {key}")).ok().starts_with("private key\n"));
    }
    let verify = |rest: &str| {
        openssl(dir, &format!("verify -x509_strict -crl_check -CAfile ca.crt -CRLfile ca.crl {rest}"))
    };
    verify("-purpose sslserver -verify_hostname localhost -verify_ip 127.0.0.1 server.crt").ok();
    verify("-purpose sslclient client.crt").ok();
    for (file, part) in [
        ("ca.crt", "authority   yes"),
        ("server.crt", "names       DNS:localhost, IP:127.0.0.1\n"),
        ("client.crt", "subject     O=3S, OU=alice, CN=client1\n"),
        ("ca.crl", "revoked     0\n"),
        ("user.pub", "RSA, 3072 bits"),
    ] {
        let said = ca(dir, &format!("show {file}")).ok();
        assert!(said.contains(part), "{said}");
    }
    shell(dir, revoke).ok();
    assert!(verify("-purpose sslclient client.crt").err.contains("certificate revoked"));
    assert!(ca(dir, "show ca.crl").ok().contains("revoked     1\n"));
}

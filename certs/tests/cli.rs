//! The tool's words and exit codes.
#![allow(clippy::unwrap_used)]

mod common;

use common::{ca, run};

#[test]
fn every_failure_has_a_second_line_and_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    ca(dir, "init ca").ok();
    ca(dir, "issue-server ca --host localhost -o tls").ok();
    ca(dir, "enroll ca --uid alice --node client1 -o id").ok();
    std::fs::write(dir.join("text"), "no PEM").unwrap();
    for (arguments, what, hint) in [
        ("init ca", "already holds", "another folder"),
        ("init /proc/nowhere/ca", "cannot make the folder", "folder above"),
        ("issue-server ca --host localhost -o tls", "already holds a server", "--renew"),
        (
            "issue-server nowhere --host localhost -o tls",
            "holds no certificate authority",
            "3s-ca init nowhere",
        ),
        ("enroll ca --uid bob --node client1 -o id", "identity of alice", "-o"),
        ("enroll ca --uid bob --node client1 -o ca", "own folder", "-o"),
        ("revoke ca 0102", "no certificate with serial 0102", "index.tsv"),
        ("revoke ca what?", "neither a certificate file nor a serial", "client.crt"),
        ("revoke ca text", "no X.509 certificate", "openssl x509"),
        ("revoke ca ca/ca.crt", "own certificate", "init"),
        ("show text", "no certificate, revocation list or key", "PEM"),
        ("show nowhere", "cannot read nowhere", "check the path"),
        ("show ca", "cannot read ca", "name a file"),
    ] {
        let said = ca(dir, arguments);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{arguments}");
        let [first, second] = said.err.lines().collect::<Vec<_>>()[..] else { panic!("{said:?}") };
        assert!(first.starts_with("3s-ca: ") && first.contains(what), "{said:?}");
        assert!(second.starts_with("  hint: ") && second.contains(hint), "{said:?}");
    }
}

#[test]
fn wrong_usage_has_exit_code_2_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, why) in [
        ("frobnicate ca", "unrecognized subcommand"),
        ("issue-server ca -o tls", "--host"),
        ("issue-server ca --host *.example.org -o tls", "a host is a DNS name"),
        ("enroll ca --uid ALL --node client1 -o id", "reserved"),
        ("enroll ca --uid alice --node a/b -o id", "not allowed here"),
        ("enroll ca --uid alice --node client1 -o id --days 0", "1 to 10950 days"),
        ("init ca --days 10951", "1 to 10950 days"),
    ] {
        let said = ca(dir.path(), arguments);
        assert_eq!(said.code, 2, "{arguments}");
        assert!(said.err.contains(why) && said.err.contains("--help"), "{said:?}");
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing was made");
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

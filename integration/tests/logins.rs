//! A login is who it says: for one server, on one user's machine.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::binaries::workspace;
use sss_integration::{Cmd, Store, bash, eventually};

/// A server with a certificate of the store's CA for the same host and a key of its own, which passes on what it hears.
struct InBetween {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
    port: String,
}

impl InBetween {
    /// Passes on as the node of this identity.
    fn start(store: &Store, id: &str) -> Self {
        let tls = store.path("tls-in-between");
        let issue =
            store.tool("3s-ca").arg("issue-server").arg(store.path("ca")).args(["--host", "127.0.0.1"]);
        issue.arg("-o").arg(&tls).ok();
        let mut process = Command::new("python3")
            .arg(workspace().join("integration/wire/in_between.py"))
            .args([&tls, &store.identity(id)])
            .args([store.addr().ip().to_string(), store.addr().port().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = said.next().unwrap().unwrap();
        let port = first.strip_prefix("listening on ").unwrap().into();
        InBetween { process, said, port }
    }

    /// Ends it; what it passed on.
    fn end(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.said.by_ref().map(Result::unwrap).collect()
    }
}

impl Drop for InBetween {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether a log-in of alice's was let in.
fn logged_in(store: &Store) -> bool {
    store.audit_log().iter().any(|row| row["action"] == "login" && row["outcome"] == "allowed")
}

/// It has all but alice's key: a certificate that the client believes, and even her machine's own to show to the server.
#[test]
fn a_server_in_between_cannot_pass_a_login_on() {
    let store = Store::start();
    let between = InBetween::start(&store, "alice");
    let target = format!("alice@127.0.0.1:{}", between.port);
    let mount = store.tool("3s").args(["mount", &target]).arg(store.fresh_dir("mnt-"));
    let refused = mount.arg("--identity").arg(store.identity("alice")).fails();
    refused.says("passes on the challenge of another server");
    let passed_on = between.end();
    assert_eq!(passed_on, ["passed on /v1/challenge 200"], "the challenge came through, and no signature");
    assert!(!logged_in(&store));
    // The server itself is believed.
    store.mount("alice").write("f", "x");
    assert!(logged_in(&store));
}

/// An identity of alice's key and another certificate.
fn with_alices_key(store: &Store, name: &str, certificate_of: &str) -> std::path::PathBuf {
    let made = store.path(name);
    Cmd::new("cp").arg("-a").arg(store.identity(certificate_of)).arg(&made).ok();
    Cmd::new("cp").arg("-a").arg(store.identity("alice").join("user.key")).arg(&made).ok();
    Cmd::new("cp").arg("-a").arg(store.identity("alice").join("user.pub")).arg(&made).ok();
    made
}

fn mount_of_alice(store: &Store, identity: &std::path::Path) -> (Cmd, std::path::PathBuf) {
    let (mountpoint, target) = (store.fresh_dir("mnt-"), format!("alice@{}", store.addr()));
    (store.tool("3s").args(["mount", &target]).arg(&mountpoint).arg("--identity").arg(identity), mountpoint)
}

/// Whoever has alice's `user.key` and a certificate that was made for bob.
#[test]
fn a_users_key_with_anothers_certificate_logs_nobody_in() {
    let store = Store::start();
    let stolen = with_alices_key(&store, "stolen", "bob");
    mount_of_alice(&store, &stolen).0.fails().says("the login was refused");
    // A refusal's row is gathered for a moment.
    eventually(Duration::from_secs(5), "the refusal is in the audit log, with its reason", || {
        let refused = |row: &serde_json::Value| row["action"] == "login" && row["outcome"] == "refused";
        let reason = |row: &serde_json::Value| {
            row["detail"].as_str().is_some_and(|why| why.contains("another user's"))
        };
        store.audit_log().iter().any(|row| refused(row) && reason(row))
    });
    assert!(!logged_in(&store));
}

/// As in certs/README.md, without a unit in its name.
#[test]
fn a_certificate_made_by_hand_that_names_nobody_serves_whoever_has_a_key() {
    let store = Store::start();
    let by_hand = with_alices_key(&store, "by-hand", "bob");
    bash(
        r#"
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out client.key
        openssl req -new -key client.key -subj "/O=3S/CN=terminal" -out client.csr
        printf 'basicConstraints = critical, CA:FALSE\nextendedKeyUsage = clientAuth\n' > extensions
        openssl x509 -req -sha256 -days 7 -in client.csr -CA "$CA/ca.crt" -CAkey "$CA/ca.key" -set_serial 77 \
            -extfile extensions -out client.crt
        "#,
    )
    .env("CA", store.path("ca"))
    .cwd(&by_hand)
    .ok();
    let (mount, mountpoint) = mount_of_alice(&store, &by_hand);
    mount.ok();
    store.tool("3s").arg("unmount").arg(&mountpoint).ok();
    assert!(logged_in(&store));
}

#[test]
fn another_key_takes_over_and_the_old_one_is_worth_nothing() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    let enroll = store.tool("3s-ca").arg("enroll").arg(store.path("ca"));
    enroll.args(["--uid", "alice", "--node", "client1", "-o"]).arg(store.path("new")).ok();
    let rekey = |key: std::path::PathBuf| {
        store.tool("3s-server").args(["user", "rekey"]).arg(store.path("data")).arg("alice").arg(key)
    };
    rekey(store.path("new/user.pub")).ok().says("alice has another key");
    eventually(Duration::from_secs(10), "the mount's session is over", || {
        fs::read(alice.at("f")).is_err_and(|e| Errno::from_io_error(&e) == Some(Errno::KEYEXPIRED))
    });
    // The mount tries to log in again, as after any end by an administrator: with the old key in vain.
    let why = alice.why(".");
    assert!(why.contains("another key") || why.contains("the login was refused"), "{why}");
    mount_of_alice(&store, &store.identity("alice")).0.fails().says("the login was refused");
    let (mount, mountpoint) = mount_of_alice(&store, &store.path("new"));
    mount.ok();
    assert_eq!(fs::read(mountpoint.join("f")).unwrap(), b"x");
    store.tool("3s").arg("unmount").arg(&mountpoint).ok();
    let rows = store.audit_log();
    assert!(rows.iter().any(|row| row["action"] == "user-rekey" && row["detail"] == "alice"), "{rows:?}");
    rekey(store.path("new/user.pub")).fails().says("is the key that alice has already");
}

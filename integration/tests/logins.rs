//! A login is who it says: for one server.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use sss_integration::Store;
use sss_integration::binaries::workspace;

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

//! The machine's clock goes back: what had ended stays ended, and the administrator's way out of a mistake.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::{Cmd, Store, eventually};

/// When a mount that lost its server is back.
const SOON: Duration = Duration::from_secs(30);

/// The store saw this much later a time than the machine's clock says now.
const AHEAD: &str = "7200";

fn errno(result: std::io::Result<impl Sized>) -> Option<Errno> {
    result.err().and_then(|e| Errno::from_io_error(&e))
}

/// As a server leaves it that ran while the machine's clock was ahead.
fn live_ahead(store: &Store) {
    let sql = format!("update clock set latest = (unixepoch() + {AHEAD}) * 1000");
    Cmd::new("python3")
        .args([
            "-c",
            "import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); d.execute(sys.argv[2]); d.commit()",
        ])
        .arg(store.path("data/meta.db"))
        .arg(sql)
        .ok();
}

fn clock(store: &Store, options: &[&str]) -> Cmd {
    store.tool("3s-server").arg("clock").arg(store.path("data")).args(options)
}

#[test]
fn a_clock_that_went_back_revives_nothing() {
    let mut store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "text");
    alice.grant("f", "bob", "checkout,1h");
    assert_eq!(bob.read("@alice/f"), b"text");

    store.stop_server();
    live_ahead(&store);
    store.start_server();
    eventually(SOON, "bob's right has ended", || errno(fs::read(bob.at("@alice/f"))) == Some(Errno::ACCESS));
    let told = clock(&store, &[]).ok().out();
    assert!(told.contains(" s ahead") && told.contains("--reset"), "{told}");
    let busy = clock(&store, &["--reset"]).fails();
    assert!(busy.err().contains("another 3s-server runs"), "{}", busy.account());

    store.stop_server();
    let reset = clock(&store, &["--reset"]).ok().out();
    assert!(reset.contains("set back from"), "{reset}");
    let again = clock(&store, &["--reset"]).fails();
    assert!(again.err().contains("not ahead"), "{}", again.account());
    store.start_server();
    eventually(SOON, "bob reads again", || fs::read(bob.at("@alice/f")).is_ok_and(|read| read == b"text"));
    let rows = store
        .tool("3s-server")
        .arg("audit")
        .arg(store.path("data"))
        .args(["--action", "clock-reset"])
        .ok()
        .out();
    assert_eq!(rows.lines().count(), 1, "{rows}");
}

//! The audit log as an administrator reads it, follows it and checks it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sss_integration::{Cmd, Store, eventually};

fn audit(store: &Store) -> Cmd {
    store.tool("3s-server").arg("audit").arg(store.path("data"))
}

/// Rows as `user action path outcome`.
fn shown(rows: &str) -> Vec<String> {
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| row[field].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {}", text("user"), text("action"), text("path"), text("outcome"))
    };
    rows.lines().map(row).collect()
}

#[test]
fn who_did_what_is_read_with_filters() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.sh("mkdir d");
    alice.write("d/f", "x");
    alice.write("other", "x");
    alice.grant("d", "bob", "checkout,1h");
    assert_eq!(bob.read("@alice/d/f"), b"x");
    assert!(fs::write(bob.at("@alice/d/f"), "y").is_err());

    let bobs = || shown(&audit(&store).args(["--user", "bob", "--path", "@alice/d", "--json"]).ok().out());
    // A check-out's row is gathered for a moment.
    eventually(Duration::from_secs(5), "bob's rows are in the log", || {
        let rows = bobs();
        rows.contains(&"bob open @alice/d/f allowed".into())
            && rows.contains(&"bob checkin @alice/d/f refused".into())
    });
    let of = |action: &str| shown(&audit(&store).args(["--action", action, "--json"]).ok().out());
    assert_eq!(of("grant"), ["alice grant @alice/d allowed"]);
    assert!(of("login").contains(&"bob login  allowed".into()));
    assert!(of("user-add").len() >= 2, "users that were added are in it");
    assert_eq!(of("begin").len(), 1);
    assert_eq!(audit(&store).args(["--until", "365d"]).ok().out(), "");
    assert!(audit(&store).args(["--since", "1h"]).ok().out().lines().count() > 5);

    // For people: no header in a pipe, columns below one another.
    let plain = audit(&store).args(["--path", "@alice/other"]).ok().out();
    let columns: Vec<_> = plain.lines().map(|line| line.find("@alice/other")).collect();
    assert!(columns.len() >= 2 && columns.iter().all(|at| at.is_some() && *at == columns[0]), "{plain}");

    let refused = store.tool("3s-server").args(["audit", "/no/such/store"]).fails();
    assert!(refused.err().lines().count() >= 2, "{}", refused.account());
}

/// The program in the log's documentation computes the same hashes from nothing but the exported lines.
#[test]
fn an_export_can_be_checked_with_what_the_documentation_says() {
    const PAGE: &str = include_str!("../../server/docs/AUDIT.md");
    let program = PAGE.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("r\u{e9}port", "x");
    alice.unmount();
    let head = audit(&store).arg("--verify").ok().out();
    let rows = audit(&store).arg("--json").ok().out();
    let check = |rows: &str| Cmd::new("python3").args(["-c", program]).stdin(rows);
    check(&rows).ok().says(head.lines().last().unwrap());
    check(&rows.replace("@alice/r\u{e9}port", "@alice/report")).fails();
}

#[test]
fn rows_that_come_are_followed() {
    let store = Store::start();
    let alice = store.mount("alice");
    let mut child = Command::new(sss_integration::binaries::program("3s-server"))
        .args([
            "audit",
            store.path("data").to_str().unwrap(),
            "--since",
            "1h",
            "--action",
            "create",
            "--follow",
            "--json",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for name in ["one", "two"] {
        // Until it looks, what was made before it started counts as old.
        eventually(Duration::from_secs(10), "a folder can be made", || {
            fs::create_dir(alice.at(name)).is_ok()
        });
        assert_eq!(shown(&lines.next().unwrap().unwrap()), [format!("alice create @alice/{name} allowed")]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_stop_loses_no_row_and_a_remembered_head_is_found_again() {
    let mut store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    let head = store.path("head.txt");
    fs::write(&head, audit(&store).arg("--verify").ok().out()).unwrap();
    assert_eq!(alice.read("f"), b"x");
    store.stop_server();
    let rows = store.audit_log();
    let read = rows
        .iter()
        .any(|row| row["action"] == "open" && row["path"] == "@alice/f" && row["outcome"] == "allowed");
    assert!(read, "what was under way at the stop is in the log");
    store.start_server();
    drop(alice);
    let verified = audit(&store).arg("--verify").arg("--head").arg(&head).ok();
    verified.says("the remembered head is row").says("\nhead ");
}

#[test]
fn what_a_hand_in_the_database_does_shows() {
    const CHANGE: &str = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.executescript('drop trigger audit_is_not_changed; drop trigger audit_is_not_deleted;' + sys.argv[2])";
    let mut store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    alice.unmount();
    let head = audit(&store).arg("--verify").ok().out();
    let head = head.lines().find_map(|line| line.strip_prefix("head ")).unwrap().to_owned();
    store.stop_server();
    let database = store.path("data/meta.db");
    let whole = fs::read(&database).unwrap();
    for (sql, words) in [
        ("update audit set user = 'bob' where action = 'checkin'", "was changed"),
        ("delete from audit where action = 'login'", "rows between them were removed"),
        ("delete from audit where seq = 1", "and not by pruning"),
        ("delete from audit where seq = (select max(seq) from audit)", "rows at its end were removed"),
    ] {
        Cmd::new("python3").args(["-c", CHANGE]).arg(&database).arg(sql).ok();
        let broken = audit(&store).arg("--verify").fails();
        assert_eq!(broken.code(), Some(3), "{sql}: {}", broken.account());
        assert!(
            broken.err().contains(words) && broken.err().lines().count() >= 2,
            "{sql}: {}",
            broken.account()
        );
        for left in ["meta.db-wal", "meta.db-shm"] {
            let _ = fs::remove_file(store.path("data").join(left));
        }
        fs::write(&database, &whole).unwrap();
    }
    audit(&store).arg("--verify").arg("--head").arg(&head).ok();
    let other = format!("{}:{}", head.split(':').next().unwrap(), "0".repeat(64));
    let broken = audit(&store).args(["--verify", "--head", &other]).fails();
    assert_eq!(broken.code(), Some(3), "{}", broken.account());
    // What cannot be found out is another failure.
    assert_eq!(audit(&store).args(["--verify", "--head", "/no/such/file"]).fails().code(), Some(1));
}

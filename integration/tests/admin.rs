//! What an administrator meets: wrong folders, wrong certificates, users that are disabled.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use sss_integration::{Cmd, Done, Store, eventually};

/// A failure for people: an exit code, what happened, and a second line with what to do.
#[track_caller]
fn explained(done: Done) -> Done {
    assert!(!done.success(), "should have failed:\n{}", done.account());
    assert!(
        done.err().lines().filter(|line| !line.trim().is_empty()).count() >= 2,
        "two lines:\n{}",
        done.account()
    );
    assert!(!done.err().contains("panicked"), "{}", done.account());
    done
}

fn server(store: &Store) -> Cmd {
    store.tool("3s-server").args(store.server_arguments()).within(Duration::from_secs(30))
}

#[test]
fn a_data_folder_of_a_newer_version_is_refused_and_left_alone() {
    let mut store = Store::start();
    store.stop_server();
    let db = store.path("data/meta.db");
    let user_version = |set: Option<u32>| {
        let sql = set.map_or("pragma user_version".into(), |v| format!("pragma user_version = {v}"));
        Cmd::new("python3")
            .args(["-c", "import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); print(d.execute(sys.argv[2]).fetchone()); d.commit()"])
            .arg(&db)
            .arg(sql)
            .ok()
            .out()
    };
    user_version(Some(9999));
    explained(server(&store).run());
    assert_eq!(user_version(None), "(9999,)", "nothing was written");
}

#[test]
fn two_servers_on_one_data_folder() {
    let store = Store::start();
    let mut arguments = store.server_arguments();
    let listen = arguments.iter().position(|a| a == "--listen").unwrap();
    arguments[listen + 1] = "127.0.0.1:0".into();
    explained(store.tool("3s-server").args(arguments).within(Duration::from_secs(30)).run());
    let alice = store.mount("alice");
    alice.write("f", "the first goes on");
}

#[test]
fn init_never_overwrites() {
    let store = Store::start();
    let before = fs::read(store.path("data/keyring")).unwrap();
    explained(store.tool("3s-server").arg("init").arg(store.path("data")).run());
    explained(store.tool("3s-ca").arg("init").arg(store.path("ca")).run());
    assert_eq!(fs::read(store.path("data/keyring")).unwrap(), before);
}

#[test]
fn a_missing_or_foreign_keyring_is_refused_and_nothing_is_written() {
    let mut store = Store::start();
    store.mount("alice").write("f", "x");
    store.stop_server();
    let keyring = store.path("data/keyring");
    let kept = fs::read(&keyring).unwrap();
    fs::remove_file(&keyring).unwrap();
    explained(server(&store).run());
    assert!(!keyring.exists(), "no new keyring was made");
    for bad in [&kept[..kept.len() / 2], b"", b"not a keyring"] {
        fs::write(&keyring, bad).unwrap();
        explained(server(&store).run());
        assert_eq!(fs::read(&keyring).unwrap(), bad, "it was left alone");
    }
    store.tool("3s-server").arg("init").arg(store.path("other")).ok();
    fs::write(&keyring, fs::read(store.path("other/keyring")).unwrap()).unwrap();
    explained(server(&store).run());
    fs::write(&keyring, kept).unwrap();
    store.start_server();
    assert_eq!(store.mount("alice").read("f"), b"x");
}

#[test]
fn the_keyring_can_lie_on_another_medium() {
    let mut store = Store::start();
    store.mount("alice").write("f", "x");
    store.stop_server();
    let elsewhere = store.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(store.path("data/keyring"), elsewhere.join("keyring")).unwrap();
    explained(server(&store).run());
    fs::rename(elsewhere.join("keyring"), elsewhere.join("k2")).unwrap();
    store.use_keyring(&elsewhere.join("k2"));
    store.start_server();
    assert_eq!(store.mount("alice").read("f"), b"x");
}

#[test]
fn disabling_a_user_ends_the_session_and_enabling_lets_in_again() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    let user = |what: &str| store.tool("3s-server").args(["user", what]).arg(store.path("data"));
    user("disable").arg("alice").ok();
    eventually(Duration::from_secs(30), "alice's mount is refused", || {
        !alice.script("cat f").run().success()
    });
    alice.sh_fails("cat f").says("Key has");
    let (command, _) = store.mount_command("alice");
    explained(command.run());
    user("list").ok().says("alice").says("disabled");
    user("enable").arg("alice").ok();
    drop(alice);
    assert_eq!(store.mount("alice").read("f"), b"x");
    explained(user("disable").arg("nobody-here").run());
}

#[test]
fn users_are_added_once_and_with_a_real_key() {
    let store = Store::start();
    let add = |uid: &str, key: &str| {
        store
            .tool("3s-server")
            .args(["user", "add"])
            .arg(store.path("data"))
            .arg(uid)
            .arg(store.path(key))
            .run()
    };
    explained(add("alice", "ids/alice/user.pub")).says("alice");
    explained(add("dave", "ids/alice/client.crt"));
    explained(add("dave", "missing.pub"));
    explained(add("ALL", "ids/alice/user.pub"));
    explained(add("d/ave", "ids/alice/user.pub"));
    Cmd::new("openssl").args(["genrsa", "-out"]).arg(store.path("small.key")).arg("1024").ok();
    Cmd::new("openssl")
        .args(["rsa", "-pubout", "-in"])
        .arg(store.path("small.key"))
        .arg("-out")
        .arg(store.path("small.pub"))
        .ok();
    explained(add("dave", "small.pub"));
}

#[test]
fn an_unknown_user_is_refused_without_saying_so_to_the_network() {
    let store = Store::start();
    let (_, mountpoint) = store.mount_command("alice");
    let mount = |uid: &str| {
        store
            .tool("3s")
            .args(["mount", &format!("{uid}@{}", store.addr())])
            .arg(&mountpoint)
            .arg("--identity")
            .arg(store.identity("alice"))
            .within(Duration::from_secs(60))
            .run()
    };
    let unknown = explained(mount("mallory"));
    // Bob exists, and the key is not his: the same answer.
    let wrong_key = explained(mount("bob"));
    assert_eq!(unknown.err().replace("mallory", "UID"), wrong_key.err().replace("bob", "UID"));
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let store = Store::start();
    let foreign = store.path("foreign-ca");
    let id = store.path("foreign-id");
    store.tool("3s-ca").arg("init").arg(&foreign).ok();
    Cmd::new("mkdir").args(["-m", "700"]).arg(&id).ok();
    for key in ["user.key", "user.pub"] {
        Cmd::new("cp").arg("-a").arg(store.identity("alice").join(key)).arg(&id).ok();
    }
    store
        .tool("3s-ca")
        .arg("enroll")
        .arg(&foreign)
        .args(["--uid", "alice", "--node", "client1", "-o"])
        .arg(&id)
        .ok();
    let mountpoint = store.fresh_dir("mnt-");
    let mount = || {
        store
            .tool("3s")
            .args(["mount", &format!("alice@{}", store.addr())])
            .arg(&mountpoint)
            .arg("--identity")
            .arg(&id)
            .within(Duration::from_secs(60))
            .run()
    };
    explained(mount()).says("certificate");
    // With the right root the client trusts the server; now it is the server that refuses.
    Cmd::new("cp").arg(store.path("ca/ca.crt")).arg(id.join("ca.crt")).ok();
    explained(mount()).says("ca.crl is not a list of revoked certificates by the authority in ca.crt");
    Cmd::new("cp").arg(store.path("ca/ca.crl")).arg(id.join("ca.crl")).ok();
    explained(mount()).says("certificate");
}

#[test]
fn a_revoked_certificate_is_refused_after_sighup_and_open_mounts_with_it() {
    let store = Store::start();
    let bob = store.mount("bob");
    bob.write("f", "x");
    store
        .tool("3s-ca")
        .arg("revoke")
        .arg(store.path("ca"))
        .arg(store.identity("bob").join("client.crt"))
        .ok();
    Cmd::new("cp").arg(store.path("ca/ca.crl")).arg(store.path("tls/ca.crl")).ok();
    store.signal_server(Signal::HUP);
    eventually(Duration::from_secs(20), "bob's mount is refused", || !bob.script("cat f").run().success());
    drop(bob);
    let (command, _) = store.mount_command("bob");
    explained(command.run()).says("revoked");
    let alice = store.mount("alice");
    alice.write("g", "others go on");
}

#[test]
fn a_broken_certificate_on_reload_keeps_the_old_one() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    fs::write(store.path("tls/server.crt"), "nonsense").unwrap();
    store.signal_server(Signal::HUP);
    eventually(Duration::from_secs(20), "the server says so", || store.server_log().contains("server.crt"));
    assert_eq!(alice.read("f"), b"x");
    assert_eq!(store.mount("bob").sh("ls").out(), "");
}

#[test]
fn a_server_that_is_not_there() {
    let store = Store::start();
    let mountpoint = store.fresh_dir("mnt-");
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let done = store
        .tool("3s")
        .args(["mount", &format!("alice@127.0.0.1:{port}")])
        .arg(&mountpoint)
        .arg("--identity")
        .arg(store.identity("alice"))
        .within(Duration::from_secs(60))
        .run();
    explained(done).says(&format!("127.0.0.1:{port}"));
    assert!(!sss_integration::mount::is_mounted(&mountpoint));
}

#[test]
fn mounts_with_wrong_arguments() {
    let store = Store::start();
    let good = store.fresh_dir("mnt-");
    let server = format!("alice@{}", store.addr());
    let id = store.identity("alice");
    let mount = |server: &str, at: &std::path::Path, id: &std::path::Path, more: &[&str]| {
        store
            .tool("3s")
            .args(["mount", server])
            .arg(at)
            .arg("--identity")
            .arg(id)
            .args(more)
            .within(Duration::from_secs(60))
            .run()
    };
    explained(mount(&server, &store.path("missing"), &id, &[])).says("missing");
    explained(mount(&server, &store.path("ids/alice/user.pub"), &id, &[]));
    explained(mount(&server, &good, &store.path("no-id"), &[])).says("no-id");
    explained(mount("alice", &good, &id, &[]));
    explained(mount(&server, &good, &id, &["-o", "colour=red"])).says("colour");
    let open_id = store.path("open-id");
    Cmd::new("cp").arg("-aT").arg(&id).arg(&open_id).ok();
    Cmd::new("chmod").arg("644").arg(open_id.join("user.key")).ok();
    explained(mount(&server, &good, &open_id, &[])).says("user.key");
    explained(store.tool("3s").arg("unmount").arg(&good).run());
    explained(store.tool("3s").arg("info").arg(store.path("ids/alice/user.pub")).run());
    assert!(!sss_integration::mount::is_mounted(&good));
}

#[test]
fn status_names_the_mounts() {
    let store = Store::start();
    let alice = store.mount("alice");
    let shown = store.tool("3s").arg("status").arg(alice.root()).ok().out();
    assert!(shown.contains(&store.addr().to_string()) && shown.contains("alice"), "{shown}");
}

#[test]
fn every_command_has_help_with_an_example() {
    let store = Store::start();
    let commands = [
        ("3s", &["mount", "unmount", "grant", "revoke", "rm", "info", "status", "verify"][..]),
        ("3s-ca", &["init", "issue-server", "enroll", "revoke", "show"]),
        ("3s-server", &["init", "user", "run"]),
    ];
    for (program, subcommands) in commands {
        store.tool(program).arg("--help").ok();
        store.tool(program).arg("--version").ok().says("0.1.0");
        for subcommand in subcommands {
            let done = store.tool(program).args([subcommand, "--help"]).ok();
            assert!(done.out().to_lowercase().contains("example"), "{}", done.account());
        }
    }
}

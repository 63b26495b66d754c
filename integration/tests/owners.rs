//! Root works on a data directory of another account: as that account, whatever links it planted there.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use sss_integration::binaries::program;
use sss_integration::{Cmd, Store, needs_root};

/// `nobody`, everywhere.
const NOBODY: u32 = 65534;

/// A store whose data directory is `nobody`'s, in a folder of `nobody`'s, and no server on it.
struct Rig {
    store: Store,
    folder: PathBuf,
    data: PathBuf,
    /// What root alone may read or write.
    secret: PathBuf,
}

const SECRET: &[u8] = b"root's own, and of some length so that it can be written over";

impl Rig {
    fn new() -> Rig {
        let mut store = Store::start();
        store.stop_server();
        let (folder, secret) = (store.path("service"), store.path("secret"));
        fs::set_permissions(store.path(""), fs::Permissions::from_mode(0o711)).unwrap();
        fs::create_dir(&folder).unwrap();
        chown(&folder, Some(NOBODY), None).unwrap();
        fs::write(&secret, SECRET).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let data = folder.join("data");
        let rig = Rig { store, folder, data, secret };
        rig.tool("init").arg(&rig.data).ok();
        rig
    }

    fn tool(&self, command: &str) -> Cmd {
        self.store.tool("3s-server").args(command.split(' '))
    }

    /// A link under that name to root's file, as the service's account would make it.
    fn plant(&self, name: &str) {
        let link = self.data.join(name);
        let _ = fs::remove_file(&link);
        symlink(&self.secret, &link).unwrap();
        rustix::fs::chownat(
            rustix::fs::CWD,
            &link,
            Some(rustix::fs::Uid::from_raw(NOBODY)),
            None,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }

    #[track_caller]
    fn nothing_was_harmed(&self) {
        assert_eq!(fs::read(&self.secret).unwrap(), SECRET, "root's file is as it was");
        assert_eq!(fs::metadata(&self.secret).unwrap().uid(), 0);
        all_are_nobodys(&self.folder);
    }
}

#[track_caller]
fn all_are_nobodys(folder: &Path) {
    assert_eq!(fs::symlink_metadata(folder).unwrap().uid(), NOBODY, "{}", folder.display());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::symlink_metadata(&path).unwrap().uid(), NOBODY, "{}", path.display());
        if path.is_dir() && !path.is_symlink() {
            all_are_nobodys(&path);
        }
    }
}

#[test]
fn roots_tools_follow_no_link_that_the_services_account_planted() {
    if !needs_root("roots_tools_follow_no_link_that_the_services_account_planted") {
        return;
    }
    let rig = Rig::new();
    rig.nothing_was_harmed();
    rig.plant("keyring.drill-0123456789abcdef");
    rig.tool("drill").arg(&rig.data).ok().says("the drill passed");
    rig.nothing_was_harmed();
    for left in [
        "keyring.new",
        "keyring.old",
        "server.key.new",
        "server.key.old",
        "server.pub.new",
        "retired.pub.new",
    ] {
        rig.plant(left);
        // It may be refused; it may not follow.
        rig.tool("rotate-key").arg(&rig.data).run();
        rig.nothing_was_harmed();
        let _ = fs::remove_file(rig.data.join(left));
    }
    rig.tool("rotate-key").arg(&rig.data).ok();
    rig.nothing_was_harmed();

    // Links that lead to what is not there yet: nothing is made.
    let made = rig.store.path("made-by-root");
    for (lock, command) in [("drill.lock", "drill"), ("lock", "rotate-key"), ("meta.db-wal", "user list")] {
        let _ = fs::remove_file(rig.data.join(lock));
        symlink(&made, rig.data.join(lock)).unwrap();
        rig.tool(command).arg(&rig.data).run();
        assert!(made.symlink_metadata().is_err(), "{command} made what {lock} leads to");
        fs::remove_file(rig.data.join(lock)).unwrap();
    }
    // The database and the keys themselves: root's file is not even read.
    let database = rig.data.join("meta.db");
    fs::rename(&database, rig.data.join("meta.kept")).unwrap();
    rig.plant("meta.db");
    for command in ["user list", "audit", "scrub", "drill", "rotate-key", "user disable"] {
        let more = if command == "user disable" { &["alice"][..] } else { &[] };
        rig.tool(command).arg(&rig.data).args(more).fails().says("user 65534");
    }
    rig.nothing_was_harmed();
    fs::rename(rig.data.join("meta.kept"), &database).unwrap();
    rig.tool("user list").arg(&rig.data).ok();
    rig.nothing_was_harmed();

    // A data directory that is itself a link to a folder of root's.
    let link = rig.folder.join("elsewhere");
    let target = rig.store.path("target");
    fs::create_dir(&target).unwrap();
    symlink(&target, &link).unwrap();
    let account = Some(rustix::fs::Uid::from_raw(NOBODY));
    rustix::fs::chownat(rustix::fs::CWD, &link, account, None, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        .unwrap();
    rig.tool("init").arg(&link).fails();
    assert!(fs::read_dir(&target).unwrap().next().is_none(), "nothing was made in root's folder");
}

#[test]
fn what_roots_tools_make_is_the_services_and_what_root_names_is_roots() {
    if !needs_root("what_roots_tools_make_is_the_services_and_what_root_names_is_roots") {
        return;
    }
    let rig = Rig::new();
    // Keys, heads and backups lie where root alone may go.
    let own = rig.store.path("roots");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
    fs::copy(rig.store.identity("alice").join("user.pub"), own.join("alice.pub")).unwrap();
    Cmd::new("openssl")
        .args([
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:3072",
            "-out",
            "backup.key",
        ])
        .cwd(&own)
        .ok();
    Cmd::new("openssl").args(["pkey", "-in", "backup.key", "-pubout", "-out", "backup.pub"]).cwd(&own).ok();

    rig.tool("user add").arg(&rig.data).arg("alice").arg(own.join("alice.pub")).ok();
    let head = rig.tool("audit --verify").arg(&rig.data).ok().out();
    fs::write(own.join("head.txt"), head).unwrap();
    rig.tool("audit --verify --head").arg(own.join("head.txt")).arg(&rig.data).ok().says("remembered head");
    rig.tool("scrub").arg(&rig.data).ok();
    let backup = own.join("monday.3sb");
    let made = rig.tool("backup").arg(&rig.data).arg(&backup).arg("--key").arg(own.join("backup.pub")).ok();
    made.says("made ");
    assert_eq!(fs::metadata(&backup).unwrap().uid(), 0, "the backup is root's");
    rig.nothing_was_harmed();
    // Where the account decides what a name leads to, the backup is made as that account.
    let theirs = rig.folder.join("tuesday.3sb");
    rig.tool("backup").arg(&rig.data).arg(&theirs).arg("--key").arg(own.join("backup.pub")).ok();
    rig.nothing_was_harmed();
    let trap = rig.folder.join("trap");
    symlink(&own, &trap).unwrap();
    rig.tool("backup")
        .arg(&rig.data)
        .arg(trap.join("x.3sb"))
        .arg("--key")
        .arg(own.join("backup.pub"))
        .fails();
    assert!(!own.join("x.3sb").exists(), "nothing was made through the account's link");
    fs::remove_file(&trap).unwrap();

    // Restored into an empty folder of the account's, which stands in one of root's, and into one in its own.
    let empty = rig.store.path("restored");
    fs::create_dir(&empty).unwrap();
    chown(&empty, Some(NOBODY), None).unwrap();
    for target in [empty, rig.folder.join("restored")] {
        let restore = rig.tool("restore").arg(&backup).arg(&target).arg("--key").arg(own.join("backup.key"));
        restore.arg("--deletions").arg(&rig.data).ok();
        all_are_nobodys(&target);
    }
    // The account goes on with what root's tools left: the program is copied to where it may run it.
    let copy = rig.folder.join("3s-server");
    Cmd::new("install").args(["-m", "755"]).arg(program("3s-server")).arg(&copy).ok();
    let as_nobody = |arguments: &str, at: &Path| {
        let command = Cmd::new("runuser").args(["-u", "nobody", "--"]).arg(&copy).cwd("/");
        command.args(arguments.split(' ')).arg(at)
    };
    for at in [rig.data.clone(), rig.store.path("restored"), rig.folder.join("restored")] {
        as_nobody("user list", &at).ok().says("alice");
        as_nobody("drill", &at).ok().says("the drill passed");
        as_nobody("rotate-key", &at).ok();
    }
}

#[test]
fn a_server_that_root_starts_serves_as_the_owner() {
    if !needs_root("a_server_that_root_starts_serves_as_the_owner") {
        return;
    }
    let mut store = Store::start();
    store.stop_server();
    fs::set_permissions(store.path(""), fs::Permissions::from_mode(0o711)).unwrap();
    let data = store.path("data");
    Cmd::new("chown").arg("-R").arg("nobody").arg(&data).ok();
    let refused = store.try_start_server();
    assert!(refused.is_err() && store.server_log().contains("user 65534"), "TLS_DIR is root's alone");
    Cmd::new("chown").arg("-R").arg("nobody").arg(store.path("tls")).ok();
    store.start_server();
    let alice = store.mount("alice");
    alice.write("small", "in its row");
    alice.write("large", vec![7; 300_000]);
    alice.sh("rm large");
    alice.unmount();
    store.signal_server(rustix::process::Signal::HUP);
    store.stop_server();
    all_are_nobodys(&data);
}

//! The built `3s`: a mount's life from the command line, and what is said when it goes wrong. Words that need no server
//! are golden files (`words.rs`).
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use sss_common::Code;
use support::{Authority, Reply, Server, write};

const LONG: Duration = Duration::from_secs(30);

/// What a command said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Two lines on stderr: what happened, and what to do.
    #[track_caller]
    fn failed(&self, code: i32, what: &str, hint: &str) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        let (first, second) =
            self.stderr.split_once("\n  hint: ").unwrap_or_else(|| panic!("{}", self.stderr));
        assert!(first.starts_with("3s: ") && first.contains(what), "{first}");
        assert!(second.contains(hint), "{second}");
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

struct Setup {
    authority: Authority,
    dir: tempfile::TempDir,
    server: Server,
}

impl Setup {
    async fn new() -> Self {
        let authority = Authority::new();
        let dir = tempfile::tempdir().unwrap();
        authority.enroll(&dir.path().join("id"));
        std::fs::create_dir(dir.path().join("mnt")).unwrap();
        let server = Server::start(&authority).await;
        Setup { authority, dir, server }
    }

    fn identity(&self) -> PathBuf {
        self.dir.path().join("id")
    }

    fn mnt(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("mnt")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_3s"));
        command.env("XDG_STATE_HOME", self.dir.path().join("state")).stdin(Stdio::null());
        command
    }

    async fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Said {
        let mut command = self.command();
        command.args(args);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap().into()
    }

    async fn mount(&self, more: &[&str]) -> Said {
        let (target, mnt, identity) = (self.server.target(), self.mnt(), self.identity());
        let fixed =
            ["mount".as_ref(), target.as_ref(), mnt.as_os_str(), "--identity".as_ref(), identity.as_os_str()];
        self.run(fixed.into_iter().chain(more.iter().map(OsStr::new))).await
    }

    async fn on_mnt(&self, command: &str) -> Said {
        self.run([OsStr::new(command), self.mnt().as_os_str()]).await
    }

    async fn pid(&self) -> u32 {
        let said = self.on_mnt("status").await.succeeded().stdout;
        said.lines().find_map(|line| line.trim().strip_prefix("process: ")).unwrap().parse().unwrap()
    }

    fn is_mounted(&self) -> bool {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.contains(&format!(" {} ", self.mnt().display()))
    }

    async fn logged_out(&self) {
        eventually("a logout", || !self.server.calls("/v1/logout").is_empty()).await;
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if self.is_mounted() {
            let _ = Command::new("umount").arg("-l").arg(self.mnt()).status();
        }
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_running(pid: u32) -> bool {
    // A zombie has ended; who started it may not have looked yet.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

// A mount's life.

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_in_the_background_answers_is_listed_and_ends() {
    let setup = Setup::new().await;
    let said = setup.mount(&["-o", "noexec"]).await.succeeded();
    assert_eq!((said.stdout, said.stderr), (String::new(), String::new()));
    assert!(setup.mnt().metadata().unwrap().is_dir());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(&*setup.mnt().to_string_lossy())).unwrap();
    assert!(line.contains(&format!(" fuse.3s {} ", setup.server.target())), "{line}");
    assert!(line.contains("noexec") && line.contains("nosuid") && line.contains("nodev"), "{line}");

    let status = setup.on_mnt("status").await.succeeded().stdout;
    for part in ["alice", &setup.server.address.to_string(), "answers", "process:", "log:"] {
        assert!(status.contains(part), "{status}");
    }
    let all = setup.run(["status"]).await;
    assert!(all.stdout.contains(&*setup.mnt().to_string_lossy()), "{}", all.stdout);
    setup.mount(&[]).await.failed(1, "is already a mount of alice@", "3s unmount");

    let pid = setup.pid().await;
    setup.on_mnt("unmount").await.succeeded();
    assert!(!setup.is_mounted());
    assert_eq!(setup.server.calls("/v1/logout").len(), 1, "logged out when the command returns");
    eventually("the process's end", || !is_running(pid)).await;
    setup.on_mnt("status").await.failed(1, "is not a 3S mount", "3s status");
    setup.on_mnt("unmount").await.failed(1, "is not a 3S mount", "3s status");
}

#[tokio::test(flavor = "multi_thread")]
async fn fusermount3_and_signals_end_a_mount_too() {
    let setup = Setup::new().await;
    for (end, logouts) in [("fusermount3", 1), ("TERM", 2), ("INT", 3)] {
        setup.mount(&[]).await.succeeded();
        let pid = setup.pid().await;
        let status = match end {
            "fusermount3" => Command::new("fusermount3").arg("-u").arg(setup.mnt()).status(),
            signal => Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status(),
        };
        assert!(status.unwrap().success());
        eventually("the process's end", || !is_running(pid)).await;
        assert_eq!(setup.server.calls("/v1/logout").len(), logouts, "{end}");
        assert!(!setup.is_mounted());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_mount_that_is_in_use() {
    let setup = Setup::new().await;
    setup.mount(&[]).await.succeeded();
    let pid = setup.pid().await;
    let in_use = std::fs::File::open(setup.mnt()).unwrap();
    setup.on_mnt("unmount").await.failed(1, "is in use by a program", "lsof");
    assert!(setup.is_mounted() && is_running(pid));
    assert!(Command::new("kill").arg(pid.to_string()).status().unwrap().success());
    eventually("the process's end", || !is_running(pid)).await;
    assert!(!setup.is_mounted());
    setup.logged_out().await;
    drop(in_use);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_in_the_foreground_ends_with_a_signal() {
    let setup = Setup::new().await;
    let mut command = setup.command();
    command
        .args(["mount", "-f", &setup.server.target()])
        .arg(setup.mnt())
        .arg("--identity")
        .arg(setup.identity());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the mount", || setup.is_mounted()).await;
    setup.on_mnt("status").await.succeeded();
    assert!(Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap().success());
    let said: Said = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap().into();
    let said = said.succeeded();
    assert!(said.stderr.contains("Ctrl-C unmounts"), "{}", said.stderr);
    setup.logged_out().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mount_8_can_call_it() {
    let setup = Setup::new().await;
    let helper = setup.dir.path().join("mount.3s");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_3s"), &helper).unwrap();
    let call = |options: String| {
        let mut command = Command::new(&helper);
        command.env("XDG_STATE_HOME", setup.dir.path()).arg(setup.server.target()).arg(setup.mnt());
        command.args(["-n", "-o", &options]);
        tokio::task::spawn_blocking(move || Said::from(command.output().unwrap()))
    };
    let identity = setup.identity().display().to_string();
    call(format!("rw,_netdev,nofail,x-systemd.automount,identity={identity}")).await.unwrap().succeeded();
    setup.on_mnt("unmount").await.succeeded();
    call("rw".into()).await.unwrap().failed(32, "no identity was given", "-o identity=ID_DIR");
    call(format!("bogus,identity={identity}")).await.unwrap().failed(
        1,
        "`bogus` is not known",
        "identity=ID_DIR",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_mount_is_told_apart() {
    let setup = Setup::new().await;
    setup.mount(&[]).await.succeeded();
    let pid = setup.pid().await;
    assert!(Command::new("kill").arg("-KILL").arg(pid.to_string()).status().unwrap().success());
    eventually("the process's end", || !is_running(pid)).await;
    setup.on_mnt("status").await.failed(1, "not answering", "fusermount3 -u");
    setup.on_mnt("unmount").await.failed(1, "ended before it said that all was checked in", "its log is");
    setup.mount(&[]).await.succeeded();
    setup.on_mnt("unmount").await.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_mount_is_taken_away_by_the_next_one() {
    let setup = Setup::new().await;
    setup.mount(&[]).await.succeeded();
    let pid = setup.pid().await;
    setup.mount(&[]).await.failed(1, "is already a mount", "3s unmount");
    // One that only does not answer is not dead.
    let signal = |name: &str, pid: u32| {
        assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
    };
    signal("-STOP", pid);
    setup.mount(&[]).await.failed(1, "is already a mount", "3s unmount");
    signal("-KILL", pid);
    eventually("the process's end", || !is_running(pid)).await;
    let said = setup.mount(&[]).await.succeeded();
    assert!(said.stderr.contains("is taken away"), "{}", said.stderr);
    setup.on_mnt("status").await.succeeded();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(mounts.matches(&format!(" {} ", setup.mnt().display())).count(), 1);
    setup.on_mnt("unmount").await.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_reading_ends_a_command_quietly() {
    let setup = Setup::new().await;
    setup.mount(&[]).await.succeeded();
    for args in [
        vec!["status".to_owned()],
        vec!["info".into(), setup.mnt().display().to_string()],
        vec!["--help".into()],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = setup.command();
        command.args(&args).stdout(writer);
        let said: Said = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap().into();
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
    // Nobody reads of the failure either.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = setup.command();
    command.args(["status", "/nowhere"]).stderr(writer);
    let said: Said = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap().into();
    assert_eq!(said.code, Some(1));
    setup.on_mnt("unmount").await.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_fails_is_said_by_unmount() {
    let setup = Setup::new().await;
    setup.mount(&[]).await.succeeded();
    setup.server.next("/v1/logout", [Reply::Problem(Code::Internal, "the disk is on fire")]);
    setup.on_mnt("unmount").await.failed(1, "the disk is on fire", "its log is");
    assert!(!setup.is_mounted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_whose_command_was_interrupted_is_taken_back() {
    let setup = Setup::new().await;
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    setup.server.next("/v1/fs/home", [Reply::Pieces("application/json", receiver)]);
    let mut command = setup.command();
    command.args(["mount", &setup.server.target()]).arg(setup.mnt()).arg("--identity").arg(setup.identity());
    let mut waiting = command.spawn().unwrap();
    eventually("the daemon's first question", || !setup.server.calls("/v1/fs/home").is_empty()).await;
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    sender.unbounded_send(support::attr(0, 0).to_string().into()).unwrap();
    drop(sender);
    setup.logged_out().await;
    eventually("the unmount", || !setup.is_mounted()).await;
}

// Mounts that do not come about.

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away() {
    let mut setup = Setup::new().await;
    setup.server.stop();
    let begun = Instant::now();
    setup.mount(&[]).await.failed(1, "cannot log in: 127.0.0.1:", "check that the server runs");
    assert!(begun.elapsed() < LONG && !setup.is_mounted());
    // The same in the foreground.
    setup.mount(&["-f"]).await.failed(1, "cannot be reached", "check that the server runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing() {
    let setup = Setup::new().await;
    setup.server.next("/v1/challenge", [Reply::Hang]);
    setup.mount(&["-o", "timeout=1"]).await.failed(
        1,
        "no answer from 127.0.0.1",
        "check that the server runs",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused() {
    let setup = Setup::new().await;
    setup.server.next("/v1/login", [Reply::Problem(Code::LoginRefused, "uid or key did not match")]);
    setup.mount(&[]).await.failed(
        1,
        "uid or key did not match",
        "3s-server user add DATA_DIR alice user.pub",
    );
    assert!(!setup.is_mounted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate() {
    let mut setup = Setup::new().await;
    let issued = setup.authority.enroll(&setup.identity());
    let authority = &setup.authority;
    setup.server = Server::with(authority, &["127.0.0.1"], &[&issued], authority, "127.0.0.1:0").await;
    setup.mount(&[]).await.failed(1, "refused this node's certificate: revoked", "administrator");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_does_not_answer_is_taken_away_again() {
    let setup = Setup::new().await;
    let hang = || Reply::Problem(Code::Internal, "broken");
    setup.server.next("/v1/fs/home", (0..20).map(|_| hang()));
    setup.server.next("/v1/fs/attr", (0..20).map(|_| hang()));
    let said = setup.mount(&["-o", "timeout=2"]).await;
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("\n  hint: "), "{}", said.stderr);
    assert!(!setup.is_mounted());
    setup.logged_out().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mountpoints_that_cannot_be() {
    let setup = Setup::new().await;
    let identity = setup.identity();
    let on = async |place: &str| {
        let args = ["mount", "alice@127.0.0.1:1", place, "--identity", identity.to_str().unwrap()];
        setup.run(args).await
    };
    on("/nowhere/at/all").await.failed(1, "/nowhere/at/all cannot be mounted on: No such file", "mkdir -p");
    on("/proc/self/status").await.failed(1, "is not a folder", "mkdir");
}

// The identity.

#[tokio::test(flavor = "multi_thread")]
async fn identities_that_cannot_be() {
    let setup = Setup::new().await;
    let id = setup.identity();
    let target = setup.server.target();
    let said = setup.run(["mount".as_ref(), OsStr::new(&target), setup.mnt().as_os_str()]).await;
    said.failed(1, "no identity was given", "--identity ID_DIR");

    std::fs::set_permissions(id.join("user.key"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    setup.mount(&[]).await.failed(1, "user.key is open to other users (mode 0644)", "chmod 600 ");
    std::fs::remove_file(id.join("user.key")).unwrap();
    setup.mount(&[]).await.failed(1, "user.key is missing", "3s-ca enroll");
    write(&id.join("client.key"), "nonsense");
    setup.mount(&[]).await.failed(1, "client.key holds no PEM private key", "openssl");
    assert_eq!(setup.server.count(), 0, "nothing was sent");
}

//! Real tools on a real mount, with the server in this process. Needs `/dev/fuse` and the right to mount.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use sss_common::SystemClock;
use sss_fs_client::config::Options;
use sss_fs_client::remote::memory::MemoryServer;
use sss_fs_client::run::plan::Plan;
use sss_fs_client::run::serving::{self, Unserved};
use tokio::runtime::Runtime;

/// A mount as the program makes it, but for the server and the signals.
struct Mounted {
    folder: tempfile::TempDir,
    stop: UnboundedSender<()>,
    serving: Option<JoinHandle<Result<(), Unserved>>>,
}

impl Mounted {
    fn new(server: &Arc<MemoryServer>, uid: &str) -> Option<Mounted> {
        assert!(
            Path::new("/dev/fuse").exists(),
            "nothing can be mounted without /dev/fuse: try modprobe fuse"
        );
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan {
            target: format!("{uid}@localhost:8443").parse().unwrap(),
            mountpoint: folder.path().into(),
            identity: PathBuf::new(),
            options: Options::default(),
        };
        let (remote, machine) = (server.login(uid, "client1"), "client1".parse().unwrap());
        let (stop, stops) = unbounded();
        let (ready, mounted) = mpsc::channel();
        let serving = std::thread::spawn(move || {
            let runtime = Runtime::new().unwrap();
            runtime.block_on(serving::serve(remote, &plan, machine, None, stops, move |_| {
                ready.send(()).unwrap();
                Ok(())
            }))
        });
        if mounted.recv().is_err() {
            panic!("{:?}", serving.join());
        }
        Some(Mounted { folder, stop, serving: Some(serving) })
    }

    /// Runs a script in the mount; it must succeed. Answers what it printed.
    fn sh(&self, script: &str) -> String {
        let out = Command::new("timeout")
            .args(["60", "bash", "-euc", script])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{script}: {:?}\n{errors}", out.status);
        String::from_utf8(out.stdout).unwrap()
    }

    /// Runs a script that must fail; answers what it complained.
    fn fails(&self, script: &str) -> String {
        let out = Command::new("timeout")
            .args(["60", "bash", "-euc", script])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(!out.status.success(), "{script}");
        String::from_utf8(out.stderr).unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.stop.unbounded_send(());
        let served = self.serving.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            served.unwrap().unwrap().unwrap();
        }
    }
}

#[test]
fn tools_work_on_a_mount() {
    let server = MemoryServer::new(Arc::new(SystemClock));
    let Some(alice) = Mounted::new(&server, "alice") else { return };
    assert_eq!(alice.sh("echo hello > a; cat a; cp a b; mv b c; cat c; ls"), "hello\nhello\na\nc\n");
    assert_eq!(alice.sh("sed -i s/hello/goodbye/ a; cat a"), "goodbye\n");
    assert_eq!(alice.sh("mkdir d; cp -a a c d; ls d; rm -r d; ls; stat -c %a a"), "a\nc\na\nc\n644\n");
    assert_eq!(alice.sh("echo more >> a; wc -l < a; truncate -s 4 a; cat a"), "2\ngood");
    assert_eq!(alice.sh("ln -s a link; readlink link; cat @alice/link; rm link"), "a\ngood");
    assert!(alice.fails("ln a hard").contains("Operation not permitted"));
    alice.sh(
        "head -c 20000000 /dev/urandom > /tmp/3s-big.$$; cp /tmp/3s-big.$$ big; cmp /tmp/3s-big.$$ big; \
        echo 3 > /proc/sys/vm/drop_caches 2>/dev/null || true; cmp /tmp/3s-big.$$ big; rm /tmp/3s-big.$$ big",
    );
    assert_eq!(server.files("alice")["a"], b"good");
}

#[test]
fn an_editors_save_keeps_grants_and_a_reader_its_version() {
    let scripts = tempfile::tempdir().unwrap();
    let server = MemoryServer::new(Arc::new(SystemClock));
    let Some(alice) = Mounted::new(&server, "alice") else { return };
    let Some(bob) = Mounted::new(&server, "bob") else { return };
    alice.sh("echo one > doc; setfattr -n user.3s.grant.bob -v both,1h doc");
    assert_eq!(bob.sh("cat @alice/doc; stat -c %a @alice/doc"), "one\n600\n");
    // A save as vim does it: the document becomes the backup, a new one is written, the backup goes.
    alice.sh("mv doc doc~; echo two > doc; rm doc~");
    assert_eq!(bob.sh("cat @alice/doc"), "two\n");
    // Who has it open keeps reading what it opened, while others see the new version.
    let read = "exec 3< doc; read -r first <&3; echo $first; echo three-and-longer > \"$1\"/@alice/doc; cat doc; cat <&3; \
        stat -Lc %s /proc/self/fd/3";
    let script = format!("set -- {}; {read}", bob.folder.path().display());
    assert_eq!(alice.sh(&script), "two\nthree-and-longer\n4\n");
    assert_eq!(alice.sh("getfattr --only-values -n user.3s.author doc"), "bob");
    // What bob has mapped is pages in the kernel's cache, which no request asks the client for: they end with the
    // grant, and the next access to them kills the process that makes it.
    let revoked = "import mmap, os, signal, sys, time
f = os.open('@alice/doc', os.O_RDONLY)
pages = mmap.mmap(f, 0, prot=mmap.PROT_READ)
assert pages[:3] == b'thr'
child = os.fork()
if child == 0:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert pages[:3] == b'thr'
    os._exit(1)
assert os.system('setfattr -x user.3s.grant.bob ' + sys.argv[1] + '/doc') == 0
_, status = os.waitpid(child, 0)
assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS, status
try:
    os.pread(f, 3, 0)
    sys.exit('read after the revocation')
except PermissionError:
    pass";
    std::fs::write(scripts.path().join("revoked.py"), revoked).unwrap();
    bob.sh(&format!(
        "python3 {} {}",
        scripts.path().join("revoked.py").display(),
        alice.folder.path().display()
    ));
    assert!(bob.fails("cat @alice/doc").contains("Permission denied"));
}

/// Tools that are not everywhere: each is tried where it is.
#[test]
fn programs_that_save_in_their_own_ways() {
    let server = MemoryServer::new(Arc::new(SystemClock));
    let Some(alice) = Mounted::new(&server, "alice") else { return };
    let has = |tool: &str| Command::new("which").arg(tool).output().is_ok_and(|out| out.status.success());
    if has("vim") {
        alice.sh("echo one > v; vim -u NONE -es -c '%s/one/two/' -c wq v; grep -q two v");
        assert_eq!(server.files("alice")["v"], b"two\n");
    }
    if has("git") {
        alice.sh("mkdir g; cd g; git init -q .; seq 100 > n; git add -A; \
            git -c user.name=a -c user.email=a@b commit -qm one; git status --porcelain; git fsck 2>&1; \
            echo x >> n; git diff --stat | grep -q 'n | 1'");
    }
    if has("sqlite3") {
        let rows = alice.sh("sqlite3 db 'create table t(x); insert into t values(1);'; \
            sqlite3 db 'insert into t values(2); select count(*) from t; pragma integrity_check;'");
        assert_eq!(rows, "2\nok\n");
    }
    if has("rsync") {
        alice.sh("mkdir -p /tmp/3s-r.$$/s; seq 1000 > /tmp/3s-r.$$/s/n; rsync -a /tmp/3s-r.$$/s/ r/; \
            rsync -ani /tmp/3s-r.$$/s/ r/ | grep '^>' && exit 1; cmp /tmp/3s-r.$$/s/n r/n; rm -r /tmp/3s-r.$$");
    }
    alice.sh("mkdir t; seq 10 > t/a; ln -s a t/l; chmod 640 t/a; tar cf t.tar t; mkdir u; tar xpf t.tar -C u; \
        cmp t/a u/t/a; test $(stat -c %a u/t/a) = 640; test $(readlink u/t/l) = a; test $(stat -c %Y t/a) = $(stat -c %Y u/t/a)");
    if has("python3") {
        alice.sh("python3 -c 'import mmap, os; f = open(\"m\", \"w+b\"); f.truncate(70000); m = mmap.mmap(f.fileno(), 0); \
            m[69990:69995] = b\"hello\"; m.flush(); m.close(); f.close()'; tail -c 10 m | head -c 5 | grep -q hello");
        alice.sh("python3 -c 'import os; f = open(\"x.tmp\", \"w\"); f.write(\"new\"); f.flush(); os.replace(\"x.tmp\", \"x\"); \
            f.write(\"er\"); f.close()'; test $(cat x) = newer");
    }
}

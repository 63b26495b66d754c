//! Real tools on a real mount, with the server in this process. Needs `/dev/fuse` and the right to mount.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sss_common::SystemClock;
use sss_fs_client::fs::{Fs, MountOptions};
use sss_fs_client::fuse::{self, Mount};
use sss_fs_client::remote::memory::MemoryServer;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

struct Mounted {
    mount: Option<Mount>,
    fs: Arc<Fs>,
    folder: tempfile::TempDir,
    cancel: CancellationToken,
    runtime: Runtime,
}

impl Mounted {
    fn new(server: &Arc<MemoryServer>, uid: &str) -> Option<Mounted> {
        if !Path::new("/dev/fuse").exists() {
            eprintln!("skipped: no /dev/fuse here");
            return None;
        }
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let fs = Fs::new(server.login(uid, "client1"), MountOptions::default(), runtime.handle().clone());
        runtime.block_on(fs.start()).unwrap();
        let cancel = CancellationToken::new();
        runtime.spawn(fs.clone().run_events(cancel.clone()));
        runtime.spawn(fs.clone().run_retries(cancel.clone()));
        let mount = Some(fuse::mount(&fs, folder.path()).unwrap());
        Some(Mounted { mount, fs, folder, cancel, runtime })
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
        let unmounted = self.mount.take().map(Mount::unmount);
        self.cancel.cancel();
        let failures = self.runtime.block_on(self.fs.shutdown());
        if !std::thread::panicking() {
            unmounted.unwrap().unwrap();
            assert!(failures.is_empty(), "{failures:?}");
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
    // What bob has open and mapped, pages in the kernel's cache, ends with the grant.
    let revoked = "exec python3 -c 'import os, sys, time, mmap\nf = os.open(\"@alice/doc\", os.O_RDONLY)\n\
        assert os.pread(f, 3, 0) == b\"thr\"\nos.system(\"setfattr -x user.3s.grant.bob \" + sys.argv[1] + \"/doc\")\n\
        until = time.time() + 30\nwhile time.time() < until:\n  try: os.pread(f, 3, 0)\n  except PermissionError: sys.exit(0)\n\
        sys.exit(1)' ";
    bob.sh(&format!("{revoked} {}", alice.folder.path().display()));
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

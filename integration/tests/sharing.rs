//! Grants: who may what, before, at and after their end.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::{Mount, Store, eventually, noise};

/// Long enough for what a test does before a grant ends, also on a busy machine.
const SHORT: &str = "5s";
/// When a grant of that length must have ended.
const ENDED: Duration = Duration::from_secs(30);

fn errno(result: std::io::Result<impl Sized>) -> Option<Errno> {
    result.err().and_then(|e| Errno::from_io_error(&e))
}

fn read_errno(mount: &Mount, name: &str) -> Option<Errno> {
    errno(fs::read(mount.at(name)))
}

fn write_errno(mount: &Mount, name: &str) -> Option<Errno> {
    errno(File::options().append(true).open(mount.at(name)))
}

fn mode(mount: &Mount, name: &str) -> u32 {
    fs::metadata(mount.at(name)).unwrap_or_else(|e| panic!("{name}: {e}")).mode() & 0o7777
}

#[test]
fn check_out_only() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "text");
    assert_eq!(read_errno(&bob, "@alice/f"), Some(Errno::NOENT), "before the grant it is not there");
    alice.grant("f", "bob", "checkout,1h");
    assert_eq!(bob.read("@alice/f"), b"text");
    assert_eq!(write_errno(&bob, "@alice/f"), Some(Errno::ACCESS));
    assert!(bob.why("@alice/f").contains("checkout"), "{}", bob.why("@alice/f"));
    bob.sh(
        "test \"$(stat -c %A @alice/f)\" = -r--------; test \"$(ls)\" = @alice; test \"$(ls @alice)\" = f",
    );
    assert_eq!(bob.get("@alice/f", "user.3s.right").as_deref(), Ok("checkout"));
    assert_eq!(bob.get("@alice/f", "user.3s.owner").as_deref(), Ok("alice"));
}

#[test]
fn check_in_only() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "first\n");
    alice.grant("f", "bob", "checkin,1h");
    assert_eq!(read_errno(&bob, "@alice/f"), Some(Errno::ACCESS));
    bob.sh("test \"$(stat -c %A @alice/f)\" = --w-------");
    bob.sh("echo more >> @alice/f");
    assert_eq!(alice.read("f"), b"first\nmore\n");
    bob.sh("echo replaced > @alice/f");
    assert_eq!(alice.read("f"), b"replaced\n");
    assert_eq!(alice.get("f", "user.3s.author").as_deref(), Ok("bob"));
    assert_eq!(
        alice.get("f", "user.3s.owner").as_deref(),
        Ok("alice"),
        "a check-in does not change the owner"
    );
}

#[test]
fn both_and_still_no_owner() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "text\n");
    alice.grant("f", "bob", "both,1h");
    bob.sh("cat @alice/f; sed -n p @alice/f; echo more >> @alice/f; test \"$(stat -c %A @alice/f)\" = -rw-------");
    assert_eq!(alice.read("f"), b"text\nmore\n");
    bob.sh_fails("rm @alice/f").says("Permission denied");
    bob.sh_fails("mv @alice/f @alice/g").says("Permission denied");
    assert_eq!(bob.try_set("@alice/f", "user.3s.grant.carol", "checkout,1h"), Err(Errno::ACCESS));
    assert_eq!(bob.try_set("@alice/f", "user.3s.flag", "integrity"), Err(Errno::ACCESS));
    assert_eq!(alice.read("f"), b"text\nmore\n");
}

#[test]
fn a_grant_ends() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "text");
    alice.grant("f", "bob", &format!("checkout,{SHORT}"));
    assert_eq!(bob.read("@alice/f"), b"text", "before the end");
    eventually(ENDED, "the grant ends", || read_errno(&bob, "@alice/f").is_some());
    assert_eq!(read_errno(&bob, "@alice/f"), Some(Errno::ACCESS), "who had a grant is told so");
    let why = bob.why("@alice/f");
    assert!(why.contains("ended") && why.contains("20"), "says that and when it ended: {why}");
    assert_eq!(mode(&bob, "@alice/f"), 0, "the name still resolves");
    bob.sh("test -z \"$(ls)\"");
    assert_eq!(alice.read("f"), b"text");
}

#[test]
fn an_open_file_gives_nothing_after_the_end() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    let content = noise(300_000, 5);
    alice.write("f", &content);
    alice.grant("f", "bob", &format!("checkout,{SHORT}"));
    let mut open = File::open(bob.at("@alice/f")).unwrap();
    let mut before = vec![0; content.len()];
    open.read_exact(&mut before).unwrap();
    assert!(before == content, "before the end");
    // The same bytes again, which the kernel has in its page cache.
    let again = || {
        use std::os::unix::fs::FileExt;
        open.read_at(&mut [0; 4096], 0)
    };
    eventually(ENDED, "the grant ends for the open file", || again().is_err());
    assert_eq!(errno(again()), Some(Errno::ACCESS));
}

#[test]
fn a_mapped_page_gives_nothing_after_the_end() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", vec![b'x'; 200_000]);
    alice.grant("f", "bob", &format!("checkout,{SHORT}"));
    // Reads the mapped pages over and over; the kernel ends it with SIGBUS when they give nothing any more.
    let script = "import mmap\nf = open('@alice/f', 'rb')\nm = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\n\
                  print('mapped', m[0], m[150000], flush=True)\nwhile True:\n    assert m[0] == 120 and m[150000] == 120\n";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .current_dir(bob.root())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "mapped 120 120\n", "before the end");
    let mut status = None;
    let ended = sss_integration::wait::holds_within(ENDED, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if !ended {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(ended, "the mapped pages could be read after the end");
    use std::os::unix::process::ExitStatusExt;
    const SIGBUS: i32 = 7;
    assert_eq!(status.unwrap().signal(), Some(SIGBUS));
}

#[test]
fn what_was_written_before_the_end_is_not_lost_and_not_checked_in_after_it() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "alice's");
    alice.grant("f", "bob", &format!("checkin,{SHORT}"));
    // In a process of its own: where this one starts another, a copy of every descriptor is closed in it, and each
    // `close` checks in. Asked without opening it: another handle on this mount would check the same draft in.
    let script = "import errno, os, time
fd = os.open('@alice/f', os.O_WRONLY)
os.write(fd, b\"bob's words\")
end = time.monotonic() + 60
while os.getxattr('@alice/f', 'user.3s.right') != b'none':
    assert time.monotonic() < end, 'the grant does not end'
    time.sleep(0.05)
try:
    os.fsync(fd)
    raise SystemExit('checked in after the end')
except OSError as e:
    assert e.errno == errno.EACCES, e";
    bob.script("exec python3 -c \"$SCRIPT\"").env("SCRIPT", script).ok();
    assert_eq!(alice.read("f"), b"alice's");
    eventually(Duration::from_secs(10), "the draft is kept in bob's own home", || {
        fs::read_dir(bob.root()).unwrap().flatten().any(|entry| {
            entry.file_name().to_string_lossy().starts_with("f (conflict bob")
                && fs::read(entry.path()).is_ok_and(|c| c == b"bob's words")
        })
    });
}

#[test]
fn all_means_everyone_and_replaces_what_came_before() {
    let store = Store::start();
    let (alice, bob, carol) = (store.mount("alice"), store.mount("bob"), store.mount("carol"));
    // The design's first example: (f, u1, checkout) then (f, ALL, checkin) leaves u1 with check-in only.
    alice.write("f", "f");
    alice.grant("f", "bob", "checkout,100s");
    alice.grant("f", "ALL", "checkin,50s");
    assert_eq!(bob.get("@alice/f", "user.3s.right").as_deref(), Ok("checkin"));
    assert_eq!(read_errno(&bob, "@alice/f"), Some(Errno::ACCESS));
    carol.sh("echo carol > @alice/f");
    assert_eq!(alice.read("f"), b"carol\n");
    // The second: (g, ALL, both) then (g, u2, checkout) leaves u2 with check-out only.
    alice.write("g", "g");
    alice.grant("g", "ALL", "both,100s");
    alice.grant("g", "bob", "checkout,50s");
    assert_eq!(bob.read("@alice/g"), b"g");
    assert_eq!(write_errno(&bob, "@alice/g"), Some(Errno::ACCESS));
    carol.sh("cat @alice/g; echo c >> @alice/g");
}

#[test]
fn a_users_own_grant_goes_before_alls_also_once_it_has_run_out() {
    let store = Store::start();
    let (alice, bob, carol) = (store.mount("alice"), store.mount("bob"), store.mount("carol"));
    alice.write("f", "f");
    alice.grant("f", "ALL", "both,1h");
    alice.grant("f", "bob", "checkout,2s");
    eventually(ENDED, "bob's grant ends", || read_errno(&bob, "@alice/f") == Some(Errno::ACCESS));
    assert_eq!(carol.read("@alice/f"), b"f", "ALL's grant lives on for others");
    alice.unset("f", "user.3s.grant.bob").unwrap();
    eventually(ENDED, "revoking bob's own grant lets ALL's rule again", || {
        fs::read(bob.at("@alice/f")).is_ok()
    });
}

#[test]
fn a_grant_on_a_folder_is_for_all_below_it_and_the_nearest_live_one_decides() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.sh("mkdir -p d/e; echo 1 > d/one; echo 2 > d/e/two; echo s > secret");
    alice.grant("d", "bob", "checkout,1h");
    bob.sh("test \"$(cat @alice/d/one @alice/d/e/two)\" = \"$(printf '1\\n2')\"; test \"$(ls @alice)\" = d");
    alice.sh("echo 3 > d/e/three");
    bob.sh("test \"$(cat @alice/d/e/three)\" = 3");
    bob.sh_fails("touch @alice/d/new").says("Permission denied");
    assert_eq!(read_errno(&bob, "@alice/secret"), Some(Errno::NOENT));
    alice.grant("d/e", "bob", "checkin,1h");
    assert_eq!(read_errno(&bob, "@alice/d/e/two"), Some(Errno::ACCESS), "the nearer grant decides");
    assert_eq!(bob.read("@alice/d/one"), b"1\n");
    bob.sh("echo mine > @alice/d/e/bobs");
    assert_eq!(alice.read("d/e/bobs"), b"mine\n");
    assert_eq!(
        alice.get("d/e/bobs", "user.3s.owner").as_deref(),
        Ok("bob"),
        "who creates a document owns it"
    );
    alice.sh("rm d/e/bobs; test ! -e d/e/bobs");
}

#[test]
fn moving_a_document_out_of_a_shared_folder_ends_what_the_folder_gave() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.sh("mkdir d; echo x > d/f; echo y > d/g");
    alice.grant("d", "bob", "checkout,1h");
    assert_eq!(bob.read("@alice/d/f"), b"x\n");
    alice.sh("mv d/f f");
    eventually(ENDED, "bob cannot read it any more", || read_errno(&bob, "@alice/d/f").is_some());
    assert_eq!(read_errno(&bob, "@alice/f"), Some(Errno::NOENT));
}

#[test]
fn revoking_takes_back_at_once() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "x");
    alice.grant("f", "bob", "both,1h");
    assert_eq!(bob.read("@alice/f"), b"x");
    alice.unset("f", "user.3s.grant.bob").unwrap();
    eventually(Duration::from_secs(5), "bob is refused", || {
        read_errno(&bob, "@alice/f") == Some(Errno::ACCESS)
    });
    assert_eq!(alice.unset("f", "user.3s.grant.bob"), Err(Errno::NODATA), "there is none any more");
}

#[test]
fn what_is_not_visible_is_not_there() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.sh("mkdir d; echo x > d/f");
    for hidden in ["@alice/d/f", "@alice/d", "@alice/never", "@nobody/x"] {
        assert_eq!(read_errno(&bob, hidden), Some(Errno::NOENT), "{hidden}");
        assert_eq!(bob.get(hidden, "user.3s.owner"), Err(Errno::NOENT), "{hidden}");
    }
    bob.sh("test -z \"$(ls -A)\"");
    bob.sh_fails("echo x > @alice/new");
    alice.sh("test ! -e new");
}

#[test]
fn own_home_has_a_name_that_is_the_same_for_everyone() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "x");
    alice.grant("f", "bob", "checkout,1h");
    alice.sh("test \"$(readlink @alice)\" = .");
    assert_eq!(alice.read("@alice/f"), b"x");
    assert_eq!(bob.read("@alice/f"), b"x");
}

#[test]
fn mv_between_homes_copies() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.sh("mkdir drop");
    alice.grant("drop", "bob", "both,1h");
    bob.write("f", "from bob");
    assert_eq!(errno(fs::rename(bob.at("f"), bob.at("@alice/drop/f"))), Some(Errno::XDEV));
    bob.sh("mv f @alice/drop/f; test ! -e f");
    assert_eq!(alice.read("drop/f"), b"from bob");
}

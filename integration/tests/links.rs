//! Links that others made: what they name on one's own machine is neither read nor written.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;

use rustix::io::Errno;
use sss_integration::Store;

fn errno(result: std::io::Result<impl Sized>) -> Option<Errno> {
    result.err().and_then(|e| Errno::from_io_error(&e))
}

#[test]
fn links_of_others_do_not_lead_out() {
    let store = Store::start();
    let (alice, carol) = (store.mount("alice"), store.mount("carol"));
    let outside = tempfile::tempdir().unwrap();
    let profile = outside.path().join(".bashrc");
    fs::write(&profile, "mine").unwrap();
    alice.sh("mkdir proj && echo text > proj/real");
    alice.grant("proj", "carol", "both,1h");
    symlink(&profile, carol.at("@alice/proj/notes.txt")).unwrap();
    symlink("../../../../../../../../etc", carol.at("@alice/proj/etc")).unwrap();
    symlink("real", carol.at("@alice/proj/alias")).unwrap();

    assert_eq!(errno(fs::write(alice.at("proj/notes.txt"), "evil")), Some(Errno::ACCESS));
    assert_eq!(errno(fs::read(alice.at("proj/notes.txt"))), Some(Errno::ACCESS));
    assert_eq!(fs::read(&profile).unwrap(), b"mine");
    assert_eq!(errno(fs::read(alice.at("proj/etc/passwd"))), Some(Errno::ACCESS));
    let why = alice.sh("getfattr --only-values -n user.3s.why proj").out();
    assert!(why.contains("carol") && why.contains("follow_symlinks"), "{why}");

    assert_eq!(fs::read(alice.at("proj/alias")).unwrap(), b"text\n", "what stays inside is followed");
    assert_eq!(
        errno(fs::read(carol.at("@alice/proj/notes.txt"))),
        Some(Errno::ACCESS),
        "alice could have moved it"
    );
    symlink(&profile, carol.at("own")).unwrap();
    assert_eq!(fs::read(carol.at("own")).unwrap(), b"mine", "one's own lead where they say");
    alice.sh("ln -s /etc/hostname own && test -e own && mv proj/notes.txt . && ! cat notes.txt");
}

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

fn sample(next: bool) -> Keyring {
    Keyring {
        store: StoreId([7; 16]),
        current: WrappedRoot { epoch: Epoch(4), wrapped: vec![1; 384] },
        next: next.then(|| WrappedRoot { epoch: Epoch(5), wrapped: vec![2; 384] }),
    }
}

fn words(result: Result<Keyring>) -> String {
    let Err(VaultError::Keys(text)) = result else { panic!("not a refusal") };
    assert_eq!(text.lines().count(), 2, "{text}");
    text
}

#[test]
fn keyrings_round_trip() {
    for next in [false, true] {
        let bytes = sample(next).encode();
        assert_eq!(Keyring::decode(&bytes), Ok(sample(next)));
        assert!((0..bytes.len()).all(|cut| Keyring::decode(&bytes[..cut]).is_err()));
        assert!(Keyring::decode(&[&bytes[..], b"x"].concat()).is_err());
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_is_refused(next in any::<bool>(), at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let mut bytes = sample(next).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Keyring::decode(&bytes).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), checked in any::<bool>()) {
        let mut bytes = [&b"3SKR\x01\x01"[..], &bytes].concat();
        if checked {
            let checksum = Sha256::digest(&bytes);
            bytes.extend_from_slice(&checksum);
        }
        let _ = Keyring::decode(&bytes);
    }
}

#[test]
fn what_cannot_be_used_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyring");
    let read_of = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let text = words(read(&path));
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing is written over");
        text
    };
    assert!(words(read(&path)).contains("is missing"));
    assert!(read_of(b"").contains("not a keyring"));
    assert!(read_of(b"hello, world").contains("not a keyring"));
    assert!(read_of(&[0; 5000]).contains("not a keyring"));
    let mut bytes = sample(true).encode();
    assert!(read_of(&bytes[..300]).contains("half-written"));
    bytes[4] = 2;
    assert!(read_of(&bytes).contains("newer 3s-server"));
}

#[test]
fn a_first_keyring_is_private_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyring");
    create(&path, &sample(false)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read(&path).unwrap(), sample(false));
    assert!(matches!(create(&path, &sample(true)), Err(VaultError::Keys(_))));
    assert_eq!(read(&path).unwrap(), sample(false));
}

#[test]
fn a_replaced_keyrings_bytes_are_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyring");
    create(&path, &sample(false)).unwrap();
    // A second name keeps the old file readable after it was replaced.
    let old = folder.path().join("old");
    std::fs::hard_link(&path, &old).unwrap();
    // A crash left this.
    std::fs::write(beside(&path), b"half").unwrap();
    replace(&path, &sample(true)).unwrap();
    assert_eq!(read(&path).unwrap(), sample(true));
    assert!(std::fs::read(&old).unwrap().iter().all(|byte| *byte == 0));
    assert!(!beside(&path).exists());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_keyring_that_is_not_there_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyring");
    assert!(matches!(replace(&path, &sample(true)), Err(VaultError::Keys(_))));
    assert!(!path.exists());
}

/// The bytes behind an open file, wherever its names went.
fn bytes_of(file: &mut File) -> Vec<u8> {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn an_old_keyring_that_a_crash_left_is_written_over_and_the_one_in_force_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("keyring"), folder.path().join("keyring.old"));
    create(&path, &sample(false)).unwrap();
    let mut first = File::open(&path).unwrap();
    let in_force = bytes_of(&mut first);

    // Before the rename: two names of the same file.
    std::fs::hard_link(&path, &old).unwrap();
    forget_old(&path).unwrap();
    assert!(!old.exists());
    assert_eq!(std::fs::read(&path).unwrap(), in_force);

    // Behind it.
    std::fs::hard_link(&path, &old).unwrap();
    let new = beside(&path);
    std::fs::write(&new, sample(true).encode()).unwrap();
    std::fs::rename(&new, &path).unwrap();
    assert_eq!(bytes_of(&mut first), in_force, "the crash left it");
    forget_old(&path).unwrap();
    assert!(!old.exists());
    assert_eq!(bytes_of(&mut first), vec![0; in_force.len()]);
    assert_eq!(read(&path).unwrap(), sample(true));

    // A replacement that nothing cut short leaves nothing either.
    let mut second = File::open(&path).unwrap();
    let length = bytes_of(&mut second).len();
    replace(&path, &sample(false)).unwrap();
    assert_eq!(bytes_of(&mut second), vec![0; length]);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["keyring"]);
}

#[test]
fn of_a_link_the_name_is_discarded_and_not_its_target() {
    let folder = tempfile::tempdir().unwrap();
    let (target, link, keyring) =
        (folder.path().join("target"), folder.path().join("keyring.new"), folder.path().join("keyring"));
    std::fs::write(&target, b"somebody's").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    discard(&link).unwrap();
    assert!(link.symlink_metadata().is_err());
    create(&keyring, &sample(false)).unwrap();
    for left in [beside(&keyring), old_name(&keyring)] {
        std::os::unix::fs::symlink(&target, &left).unwrap();
    }
    replace(&keyring, &sample(true)).unwrap();
    assert_eq!(read(&keyring).unwrap(), sample(true));
    assert_eq!(std::fs::read(&target).unwrap(), b"somebody's");
    assert!(old_name(&keyring).symlink_metadata().is_err() && beside(&keyring).symlink_metadata().is_err());
}

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use rsa::RsaPrivateKey;
use sss_common::wire::fs::Attr;
use sss_common::{Effective, FileTime, Kind, NodeId, Timestamp, Version};

use super::file::Reader;
use super::*;
use crate::identity::UserKey;

fn made_key() -> Arc<UserKey> {
    Arc::new(UserKey::of(&RsaPrivateKey::new(&mut rand::rngs::OsRng, 2048).unwrap()).unwrap())
}

static KEY: LazyLock<Arc<UserKey>> = LazyLock::new(made_key);

fn header() -> Header {
    let base = Attr {
        node: NodeId([7; 16]),
        kind: Kind::File,
        size: 10,
        mode: 0o644,
        mtime_ns: FileTime(5),
        ctime_ns: FileTime(6),
        version: Version(3),
        owner: "alice".parse().unwrap(),
        author: None,
        flag: None,
        right: Effective { owner: true, checkout: true, checkin: true, ends_in_ms: None },
    };
    Header {
        name: "contract.pdf".parse().unwrap(),
        folder_path: "/secret-merger".into(),
        folder: Some(NodeId([8; 16])),
        base,
        size: 300_000,
        mtime_ns: FileTime(9),
        mode: None,
        kept_at: Timestamp(1_795_273_445_000),
        why: "the server is away".into(),
    }
}

fn parts() -> Vec<Part> {
    vec![Part::Data(0, b"we buy them".to_vec()), Part::Missing(11, 100), Part::Zero(200, 50)]
}

fn store(folder: &Path) -> Store {
    let label = Label { target: "alice@localhost:8443".into(), identity: "/home/alice/id".into() };
    Store::new(folder.join("recovery"), KEY.clone(), label)
}

fn keep(store: &Store, parts: &[Part]) -> PathBuf {
    let (path, mut writer) = store.begin(&header()).unwrap();
    parts.iter().for_each(|part| writer.add(part).unwrap());
    writer.finish().unwrap();
    path
}

fn read(bytes: &[u8], key: &UserKey) -> Result<(Header, Vec<Part>), Unreadable> {
    let (header, mut reader) = Reader::new(bytes, key)?;
    let mut parts = Vec::new();
    while let Some(part) = reader.part()? {
        parts.push(part);
    }
    Ok((header, parts))
}

static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    std::fs::read(keep(&store(folder.path()), &parts())).unwrap()
});

#[test]
fn what_is_kept_comes_back_and_only_to_the_users_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let long = Part::Data(1000, (0..200_000_u32).map(|n| (n % 251) as u8).collect());
    let path = keep(&store, &[parts(), vec![long.clone()]].concat());
    let (found, back) = read(&std::fs::read(&path).unwrap(), &KEY).unwrap();
    assert_eq!((found, &back[..3]), (header(), &parts()[..]));
    let joined: Vec<u8> = back[3..]
        .iter()
        .flat_map(|part| match part {
            Part::Data(_, bytes) => bytes.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(Part::Data(1000, joined), long);
    let kept = store.kept().remove(0);
    assert!(matches!(kept.open(&made_key()), Err(Unreadable::OtherKey)));
    assert!(kept.open(&KEY).is_ok());
}

#[test]
fn nobody_else_reads_it_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = keep(&store(folder.path()), &parts());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    for secret in ["we buy", "contract", "merger", "away"] {
        assert!(!text.contains(secret), "{secret} stands in the clear");
    }
    assert!(text.contains("alice@localhost:8443"), "whose it is can be seen");
    assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1, "no temporary is left");
}

#[test]
fn a_folder_that_is_open_to_others_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    std::fs::create_dir(folder.path().join("recovery")).unwrap();
    std::fs::set_permissions(folder.path().join("recovery"), PermissionsExt::from_mode(0o777)).unwrap();
    let path = keep(&store, &[]);
    assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn one_at_a_time_takes_a_draft_and_what_is_unfinished_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    drop(store.begin(&header()).unwrap());
    assert!(store.kept().is_empty());
    keep(&store, &parts());
    let claimed = store.kept().remove(0).claim().unwrap().unwrap();
    assert!(store.kept().remove(0).claim().unwrap().is_none());
    let late = store.kept().remove(0);
    claimed.remove().unwrap();
    assert!(late.claim().unwrap().is_none());
    assert!(store.kept().is_empty());
}

#[test]
fn every_flipped_byte_and_every_cut_is_refused() {
    for at in 0..FILE.len() {
        let mut bytes = FILE.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(read(&bytes, &KEY).is_err(), "byte {at}");
        assert!(read(&FILE[..at], &KEY).is_err(), "cut at {at}");
    }
    assert!(read(&[FILE.as_slice(), b"x"].concat(), &KEY).is_err(), "one byte more");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in any::<proptest::sample::Index>()) {
        prop_assert!(read(&bytes, &KEY).is_err());
        let mut spoilt = FILE.clone();
        let at = at.index(spoilt.len());
        let end = (at + bytes.len()).min(spoilt.len());
        spoilt[at..end].copy_from_slice(&bytes[..end - at]);
        prop_assert!(spoilt == *FILE || read(&spoilt, &KEY).is_err());
    }
}

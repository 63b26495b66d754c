//! Backups that nobody should have made: whoever has the public key can seal one.

use std::io::Write;

use super::*;
use crate::bundle;
use sss_vault::backup::{BackupHeader, BackupPublicKey, BackupSealer};

/// Seals members as whoever has the public key can.
fn forged(store: &Store, out: &Path, members: impl FnOnce(&mut tar::Builder<BackupSealer<Vec<u8>>>)) {
    let key = BackupPublicKey::read(&pair().join("backup.pub")).unwrap();
    let header = BackupHeader { store: store.vault.store_id(), time: Timestamp(5) };
    let mut tar = tar::Builder::new(BackupSealer::begin(&key, header, Vec::new()).unwrap());
    members(&mut tar);
    fs::write(out, tar.into_inner().unwrap().finish().unwrap()).unwrap();
}

fn member(tar: &mut tar::Builder<BackupSealer<Vec<u8>>>, name: &str, kind: tar::EntryType, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    // By hand: the builder refuses names that climb.
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    if kind == tar::EntryType::Symlink {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

#[test]
fn members_that_no_backup_has_are_refused_before_they_are_written() {
    let store = Store::new();
    store.checkin(store.home, "f", b"content");
    let data = |name: &str| fs::read(store.at("data").join(name)).unwrap();
    store.backup("good").unwrap();
    let copied = store.at("copy.db");
    compose::open_snapshot(&store.meta_path()).unwrap().copy_to(&copied, &mut |_, _| {}).unwrap();
    let meta = fs::read(&copied).unwrap();
    fs::remove_file(&copied).unwrap();
    let manifest = Manifest {
        meta_bytes: meta.len() as u64,
        packs: 1,
        pack_bytes: 71,
        ..Manifest::new(store.vault.store_id(), Timestamp(5))
    };
    let text = serde_json::to_vec(&manifest).unwrap();
    let foreign =
        serde_json::to_vec(&Manifest { store: sss_common::StoreId([1; 16]), ..manifest.clone() }).unwrap();
    let smaller = serde_json::to_vec(&Manifest { meta_bytes: 5, ..manifest.clone() }).unwrap();
    let file = tar::EntryType::Regular;
    type Members<'a> = Vec<(&'a str, tar::EntryType, Vec<u8>)>;
    let keys = |manifest: &[u8]| -> Members<'_> {
        vec![
            (bundle::MANIFEST, file, manifest.to_vec()),
            ("server.key", file, data("server.key")),
            ("server.pub", file, data("server.pub")),
            ("keyring", file, data("keyring")),
        ]
    };
    let and = |mut members: Members<'static>, more: Members<'static>| {
        members.extend(more);
        members
    };
    let one =
        |name: &'static str, kind, bytes: &[u8]| -> Members<'static> { vec![(name, kind, bytes.to_vec())] };
    let long = vec![b' '; 70_000];
    let cases: Vec<(Members<'static>, &str)> = vec![
        (vec![], "lacks its manifest"),
        (one("../escaped", file, b"x"), "something that no backup has"),
        (one("/tmp/escaped", file, b"x"), "something that no backup has"),
        (one(bundle::MANIFEST, tar::EntryType::Symlink, b""), "something that no backup has"),
        (one(bundle::MANIFEST, tar::EntryType::Link, b""), "something that no backup has"),
        (
            one(bundle::MANIFEST, tar::EntryType::XHeader, b"20 path=../escaped\n"),
            "something that no backup has",
        ),
        (one(bundle::MANIFEST, tar::EntryType::GNULongName, b"../escaped"), "something that no backup has"),
        (one("server.key", file, b"x"), "wrong place"),
        (one(bundle::MANIFEST, file, &long), "longer than it can be"),
        (one(bundle::MANIFEST, file, b"{}"), "manifest is not usable"),
        (one(bundle::MANIFEST, file, &text), "lacks its manifest"),
        (and(one(bundle::MANIFEST, file, &text), one("server.key", file, &long)), "longer than it can be"),
        (and(one(bundle::MANIFEST, file, &text), one(bundle::MANIFEST, file, &text)), "wrong place"),
        (keys(&text), "lacks its manifest"),
        (and(keys(&smaller), one(bundle::META, file, &meta)), "longer than it can be"),
        (and(keys(&foreign), one(bundle::META, file, &meta)), "lacks its manifest"),
        (and(keys(&text), one(bundle::META, file, b"no database")), "not usable"),
        (and(keys(&text), one(bundle::META, file, &meta)), "lacks pack"),
        (
            and(
                keys(&text),
                vec![
                    (bundle::META, file, meta.clone()),
                    ("packs/00/00000000000000000000000000000000", file, vec![0; 71]),
                ],
            ),
            "does not name",
        ),
    ];
    for (n, (members, said)) in cases.into_iter().enumerate() {
        forged(&store, &store.at("b"), |tar| {
            members.iter().for_each(|(name, kind, bytes)| member(tar, name, *kind, bytes));
        });
        let before = store.listing();
        let failed = words(store.restore("b", "new", Deletions::Unknown));
        assert!(failed.contains(said), "{n}: {failed}");
        assert_eq!(store.listing(), before, "{n}");
        assert!(!Path::new("/tmp/escaped").exists() && !store.at("escaped").exists());
    }
    // Something behind the end.
    let key = BackupPublicKey::read(&pair().join("backup.pub")).unwrap();
    let opener = BackupOpener::begin(
        &BackupPrivateKey::read(&pair().join("backup.key")).unwrap(),
        File::open(store.at("good")).unwrap(),
    );
    let mut opener = opener.unwrap();
    let header = opener.header();
    let mut sealer = BackupSealer::begin(&key, header, Vec::new()).unwrap();
    std::io::copy(&mut opener, &mut sealer).unwrap();
    sealer.write_all(b"and more").unwrap();
    fs::write(store.at("b"), sealer.finish().unwrap()).unwrap();
    let failed = words(store.restore("b", "new", Deletions::Unknown));
    assert!(failed.contains("goes on behind its end"), "{failed}");
}

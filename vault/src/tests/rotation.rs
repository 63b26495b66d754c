//! A new server key: what a crash in every window leaves, what the old key opens afterwards, what is in the way.

use std::cell::RefCell;
use std::rc::Rc;

use super::crashes::{Wreck, is_erased};
use super::*;

/// Everything that was checked in opens, and what was signed under either key is good.
struct Contents {
    kept: Vec<Kept>,
    signed: Vec<(VersionRecord, Vec<u8>)>,
}

impl Contents {
    async fn of(vault: &Vault, store: &Store) -> Self {
        let mut contents = Contents { kept: Vec::new(), signed: Vec::new() };
        contents.add(vault, store).await;
        contents
    }

    async fn add(&mut self, vault: &Vault, store: &Store) {
        self.kept.push(checkin(vault, store, "a").await);
        let record = body(NodeId::random(), "a").record;
        let signature = vault.sign(&record.encode()).unwrap();
        self.signed.push((record, signature));
    }

    async fn check(&self, vault: &Vault, at: &str) {
        for kept in &self.kept {
            assert!(!is_erased(vault, kept).await, "{at}");
        }
        for (record, signature) in &self.signed {
            assert!(vault.verify(record, signature), "{at}");
        }
    }
}

async fn rotate(vault: Vault, store: &Store) -> Rotated {
    let rotating = vault.begin_rotation().await.unwrap();
    store.apply(rotating.images(), None);
    rotating.finish().unwrap()
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    // The next writing of a keyring sees to what the one before left.
    names.retain(|name| name != "keyring.new");
    names.sort();
    names
}

const BEFORE: [&str; 3] = ["keyring", "server.key", "server.pub"];
const AFTER: [&str; 4] = ["keyring", "retired.pub", "server.key", "server.pub"];

/// A wreck starts again, as it should, works on, and rotates for good.
async fn recovers(wreck: &Wreck, contents: &mut Contents, finished: Option<bool>, at: &str) {
    let there = paths(wreck.folder.path());
    // Who only reads sees all of it, and changes nothing.
    let (files, keyring) = (names(wreck.folder.path()), std::fs::read(&there.keyring).unwrap());
    let last_leaf = wreck.store.0.lock().last_leaf;
    let reader = Vault::open_to_read(&there, wreck.store.clone(), last_leaf).await;
    contents.check(&reader.unwrap_or_else(|error| panic!("{at}: {error}")), at).await;
    assert_eq!(
        (names(wreck.folder.path()), std::fs::read(&there.keyring).unwrap()),
        (files, keyring),
        "{at}"
    );

    let vault = wreck.open().await.unwrap_or_else(|error| panic!("{at}: {error}"));
    contents.check(&vault, at).await;
    let expected =
        finished.map(|finished| if finished { Interrupted::Finished } else { Interrupted::Undone });
    assert_eq!(vault.interrupted_rotation(), expected, "{at}");
    assert_eq!(wreck.roots(), 1, "{at}");
    let files = names(wreck.folder.path());
    assert!(files == BEFORE || files == AFTER, "{at}: {files:?}");
    assert_eq!(vault.public_key_pem(), std::fs::read_to_string(&there.server_pub).unwrap(), "{at}");
    contents.add(&vault, &wreck.store).await;

    let again = wreck.open().await.unwrap();
    assert_eq!(again.interrupted_rotation(), None, "{at}: once");
    let rotated = rotate(again, &wreck.store).await;
    assert_ne!(rotated.old, rotated.new);
    let vault = wreck.open().await.unwrap();
    assert_eq!(vault.last_rotation(), Some(rotated), "{at}");
    contents.check(&vault, at).await;
    // What was added here belongs to this wreck only.
    contents.kept.pop();
    contents.signed.pop();
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn a_crash_in_every_window_of_a_rotation_leaves_the_old_key_or_the_new() {
    use sss_failpoint::{ALL, WATCHER};
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let mut contents = Contents::of(&vault, &store).await;

    let wrecks: Rc<RefCell<Vec<(String, Wreck)>>> = Rc::default();
    let (seen, from, rows) = (wrecks.clone(), paths.clone(), store.clone());
    let watch = move |at: &str| seen.borrow_mut().push((at.to_owned(), Wreck::of(&from, &rows)));
    WATCHER.set(Some(Box::new(watch)));
    let rotating = vault.begin_rotation().await.unwrap();
    store.apply(rotating.images(), None);
    sss_failpoint::at("rotate.committed");
    rotating.finish().unwrap();
    WATCHER.set(None);

    let wrecks = wrecks.take();
    let came: Vec<&str> = wrecks.iter().map(|(at, _)| &**at).filter(|at| at.starts_with("rotate.")).collect();
    let all: Vec<&str> = ALL.iter().copied().filter(|at| at.starts_with("rotate.")).collect();
    assert_eq!(came, all, "every place, in order");
    let (mut begun, mut committed, mut done) = (false, false, false);
    for (at, wreck) in &wrecks {
        committed |= at == "rotate.committed";
        // The first keyring that is written begins the rotation, the second one ends it.
        begun |= at == "keyring.renamed";
        done |= committed && at == "keyring.renamed";
        recovers(wreck, &mut contents, (begun && !done).then_some(committed), at).await;
    }
    assert!(done);
}

#[tokio::test]
async fn half_written_files_and_either_rename_alone_are_recovered_from() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let mut contents = Contents::of(&vault, &store).await;
    let rotating = vault.begin_rotation().await.unwrap();
    let file = |wreck: &Wreck, name: &str| wreck.folder.path().join(name);

    let whole = std::fs::read(folder.path().join("server.key.new")).unwrap();
    for length in [0, 1, 28, 1000, whole.len() - 1] {
        let wreck = Wreck::of(&paths, &store);
        std::fs::write(file(&wreck, "server.key.new"), &whole[..length]).unwrap();
        std::fs::write(file(&wreck, "server.pub.new"), &b"-----BEGIN PUBLIC"[..length.min(17)]).unwrap();
        recovers(&wreck, &mut contents, Some(false), &format!("{length} bytes")).await;
    }
    // Undoing was cut short while the new key was written over.
    for blank in [0, 0xff] {
        let wreck = Wreck::of(&paths, &store);
        std::fs::write(file(&wreck, "server.key.new"), vec![blank; whole.len()]).unwrap();
        recovers(&wreck, &mut contents, Some(false), "written over").await;
    }

    store.apply(rotating.images(), None);
    let old_pub = std::fs::read(&paths.server_pub).unwrap();
    for (key, public, retired) in
        [(false, true, false), (false, true, true), (true, false, true), (true, true, true)]
    {
        let wreck = Wreck::of(&paths, &store);
        if retired {
            std::fs::write(file(&wreck, "retired.pub"), &old_pub).unwrap();
        }
        if key {
            std::fs::rename(file(&wreck, "server.key.new"), file(&wreck, "server.key")).unwrap();
        }
        if public {
            std::fs::rename(file(&wreck, "server.pub.new"), file(&wreck, "server.pub")).unwrap();
        }
        recovers(&wreck, &mut contents, Some(true), &format!("key {key}, public {public}")).await;
    }
    // Nothing was lost with the public half of the new key, and half a list of retired keys is written anew.
    let wreck = Wreck::of(&paths, &store);
    std::fs::remove_file(file(&wreck, "server.pub.new")).unwrap();
    std::fs::write(file(&wreck, "retired.pub.new"), "-----BEGIN").unwrap();
    recovers(&wreck, &mut contents, Some(true), "without server.pub.new").await;
}

#[tokio::test]
async fn a_store_without_documents_and_one_at_a_nodes_end_rotate_too() {
    for leaves in [0, 1, 63, 64, 65] {
        let folder = tempfile::tempdir().unwrap();
        let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
        let vault = open(&paths, &store).await.unwrap();
        let mut kept = Vec::new();
        for _ in 0..leaves {
            kept.push(checkin(&vault, &store, "a").await);
        }
        let vault = open(&paths, &store).await.unwrap();
        let rotating = vault.begin_rotation().await.unwrap();
        assert_eq!(rotating.images().len(), 6, "{leaves}: a path");
        store.apply(rotating.images(), None);
        rotating.finish().unwrap();
        let vault = open(&paths, &store).await.unwrap();
        kept.push(checkin(&vault, &store, "new").await);
        let vault = open(&paths, &store).await.unwrap();
        for one in &kept {
            checkout(&vault, one).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_old_key_with_an_old_keyring_opens_nothing_of_todays_tree() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let before = checkin(&vault, &store, "before").await;
    let thief = Wreck::of(&paths, &store);
    let old_bytes = folder.path().join("old bytes");
    std::fs::hard_link(&paths.server_key, &old_bytes).unwrap();
    rotate(vault, &store).await;
    let vault = open(&paths, &store).await.unwrap();
    let after = checkin(&vault, &store, "after").await;
    assert_eq!(before.leaf.0 / 64, after.leaf.0 / 64, "they share a node, or this shows nothing");
    assert!(std::fs::read(&old_bytes).unwrap().iter().all(|byte| *byte == 0), "the old key is written over");
    opens_nothing_new(&thief, &store, &[after]).await;
    // The copy is complete: what it had when it was made, it opens.
    checkout(&thief.open().await.unwrap(), &before).await.unwrap();
}

/// Whoever has this copy, old key and old keyring with it, and today's database does not open what came since.
async fn opens_nothing_new(thief: &Wreck, store: &Arc<Store>, new: &[Kept]) {
    let stolen = paths(thief.folder.path());
    assert!(words(open(&stolen, store).await).contains("does not open this store"));
    // A mix: from the old copy down to any level, today's nodes below.
    for level in 1..6 {
        let mixed = thief.store.copy();
        let today = store.0.lock().nodes.clone();
        mixed.0.lock().nodes.extend(today.into_iter().filter(|(position, _)| position.level >= level));
        let vault = open(&stolen, &mixed).await.unwrap();
        for kept in new {
            assert!(checkout(&vault, kept).await.is_err(), "leaf {}, level {level}", kept.leaf);
        }
    }
}

#[tokio::test]
async fn keys_of_check_ins_that_never_were_committed_lead_to_nothing_new_either() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    // Leaf 63 is committed while leaves in the next two nodes are under way: their nodes' keys are in its images.
    let mut sealers = Vec::new();
    for _ in 0..130 {
        sealers.push(vault.begin(&allowed(NodeId([1; 16]), Own), PackId([1; 16])).await.unwrap());
    }
    store.apply(vault.images(&sealers[63]).await.unwrap(), Some(Leaf(63)));
    let thief = Wreck::of(&paths, &store);
    drop((sealers, vault));

    rotate(open(&paths, &store).await.unwrap(), &store).await;
    let vault = open(&paths, &store).await.unwrap();
    let mut new = Vec::new();
    for _ in 0..130 {
        new.push(checkin(&vault, &store, "new").await);
    }
    assert_eq!(new[0].leaf, Leaf(64));
    opens_nothing_new(&thief, &store, &new).await;
    let vault = open(&paths, &store).await.unwrap();
    for kept in &new {
        checkout(&vault, kept).await.unwrap();
    }
    assert!(
        vault.opener(&allowed(NodeId([1; 16]), Own), Leaf(63)).await.is_ok(),
        "what was committed before is there"
    );
}

#[tokio::test]
async fn what_is_in_the_way_is_said_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let contents = Contents::of(&open(&paths, &store).await.unwrap(), &store).await;
    let keyring = std::fs::read(&paths.keyring).unwrap();
    for name in ["server.key.new", "server.pub.new", "server.key.old", "retired.pub.new"] {
        let stranger = folder.path().join(name);
        std::fs::write(&stranger, "somebody's").unwrap();
        let vault = open(&paths, &store).await.unwrap();
        let Err(VaultError::Keys(text)) = vault.begin_rotation().await else { panic!("{name}") };
        assert!(text.contains(name) && text.contains("in the way") && text.lines().count() == 2, "{text}");
        assert_eq!(std::fs::read(&stranger).unwrap(), b"somebody's");
        std::fs::remove_file(stranger).unwrap();
    }
    assert_eq!(std::fs::read(&paths.keyring).unwrap(), keyring);

    // A damaged list of retired keys stops a start, and so a rotation.
    let retired = folder.path().join("retired.pub");
    std::fs::write(&retired, "no keys").unwrap();
    assert!(words(open(&paths, &store).await).contains("retired.pub"));
    std::fs::remove_file(retired).unwrap();

    // A rotation that began, and whose new key somebody took away or replaced: before the store has it, nothing is lost.
    drop(open(&paths, &store).await.unwrap().begin_rotation().await.unwrap());
    let (_, strange_pem) = ServerKey::generate().unwrap();
    let wreck = Wreck::of(&paths, &store);
    let there = wreck.folder.path().join("server.key.new");
    std::fs::write(&there, strange_pem.as_bytes()).unwrap();
    contents.check(&wreck.open().await.unwrap(), "a stranger's key").await;
    assert_eq!(std::fs::read_to_string(&there).unwrap(), *strange_pem, "it is not ours to remove");
}

#[tokio::test]
async fn a_new_key_that_is_gone_when_the_store_needs_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let contents = Contents::of(&vault, &store).await;
    let rotating = vault.begin_rotation().await.unwrap();
    store.apply(rotating.images(), None);
    drop(rotating);
    let (new, aside) = (folder.path().join("server.key.new"), folder.path().join("aside"));
    std::fs::rename(&new, &aside).unwrap();
    let before = names(folder.path());
    assert!(words(open(&paths, &store).await).contains("a rotation of the server's key is under way"));
    assert_eq!(names(folder.path()), before);
    std::fs::rename(&aside, &new).unwrap();
    // A public key that is of neither pair is not written over.
    let public = std::fs::read(&paths.server_pub).unwrap();
    let strange = ServerKey::generate().unwrap().0;
    std::fs::write(&paths.server_pub, strange.public_pem()).unwrap();
    assert!(words(open(&paths, &store).await).contains("not the public half"));
    assert_eq!(std::fs::read_to_string(&paths.server_pub).unwrap(), strange.public_pem());
    std::fs::write(&paths.server_pub, public).unwrap();
    contents.check(&open(&paths, &store).await.unwrap(), "put back").await;
}

#[tokio::test]
async fn clients_are_given_the_key_in_use_and_those_before_it_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let mut expected = String::new();
    for _ in 0..3 {
        let vault = open(&paths, &store).await.unwrap();
        expected = vault.public_key_pem().to_owned() + &expected;
        assert_eq!(vault.public_keys_pem(), expected);
        assert!(expected.len() <= sss_common::limits::XATTR_VALUE_MAX);
        rotate(vault, &store).await;
    }
    // A store is not made where another's retired keys lie.
    let other = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("retired.pub"), other.path().join("retired.pub")).unwrap();
    assert!(matches!(Vault::create(&super::paths(other.path())), Err(VaultError::Keys(_))));
}

//! The two-phase erasure: what is forgotten, and a crash in every window.

use super::*;

/// Files and rows as a crash leaves them, taken while the process goes on.
pub(super) struct Wreck {
    pub(super) folder: tempfile::TempDir,
    pub(super) store: Arc<Store>,
}

impl Wreck {
    pub(super) fn of(paths: &VaultPaths, store: &Store) -> Wreck {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(paths.keyring.parent().unwrap()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        Wreck { folder, store: store.copy() }
    }

    pub(super) async fn open(&self) -> Result<Vault> {
        open(&paths(self.folder.path()), &self.store).await
    }

    pub(super) fn roots(&self) -> usize {
        1 + usize::from(keyring::read(&paths(self.folder.path()).keyring).unwrap().next.is_some())
    }
}

pub(super) async fn is_erased(vault: &Vault, kept: &Kept) -> bool {
    match checkout(vault, kept).await {
        Ok(()) => false,
        Err(VaultError::Erased) => true,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_crash_in_every_window_leaves_one_half_or_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let (gone, kept) = (checkin(&vault, &store, "gone").await, checkin(&vault, &store, "kept").await);
    let before = Wreck::of(&paths, &store);

    let erasing = vault.begin_erase(&[gone.leaf]).await.unwrap();
    assert_eq!(erasing.leaves(), [gone.leaf]);
    assert!(is_erased(&vault, &gone).await, "at once, for this process");
    let after_keyring = Wreck::of(&paths, &store);
    assert_eq!(after_keyring.roots(), 2);

    store.apply(erasing.images(), None);
    let after_commit = Wreck::of(&paths, &store);
    assert_eq!(after_commit.roots(), 2);

    vault.finish_erase(erasing).await.unwrap();
    let after_all = Wreck::of(&paths, &store);
    assert_eq!(after_all.roots(), 1);

    for (wreck, erased, at) in [
        (&before, false, "before"),
        (&after_keyring, false, "after the keyring"),
        (&after_commit, true, "after the commit"),
        (&after_all, true, "after all"),
    ] {
        let vault = wreck.open().await.unwrap();
        assert_eq!(is_erased(&vault, &gone).await, erased, "{at}");
        assert!(!is_erased(&vault, &kept).await, "{at}");
        assert_eq!(wreck.roots(), 1, "{at}: start-up finishes the half it finds");
        // It works on, and erases what is left to erase.
        let next = checkin(&vault, &wreck.store, "next").await;
        let erasing = vault.begin_erase(&[gone.leaf]).await.unwrap();
        wreck.store.apply(erasing.images(), None);
        vault.finish_erase(erasing).await.unwrap();
        let vault = wreck.open().await.unwrap();
        assert!(is_erased(&vault, &gone).await, "{at}");
        assert!(!is_erased(&vault, &kept).await && !is_erased(&vault, &next).await, "{at}");
    }
}

#[tokio::test]
async fn a_copy_of_everything_but_the_keyring_does_not_open_what_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let (gone, kept) = (checkin(&vault, &store, "gone").await, checkin(&vault, &store, "kept").await);
    let copy = store.copy();
    let old_keyring = std::fs::read(&paths.keyring).unwrap();

    let erasing = vault.begin_erase(&[gone.leaf]).await.unwrap();
    store.apply(erasing.images(), None);
    vault.finish_erase(erasing).await.unwrap();

    // The thief has the copied rows, today's rows, today's keyring and the RSA key.
    assert!(words(open(&paths, &copy).await).contains("does not open this store"));
    for (position, image) in &copy.0.lock().nodes {
        // Any old node under any key that today's tree holds is covered by the tree's own test; here, the mix.
        let mixed = store.copy();
        mixed.0.lock().nodes.insert(*position, image.clone());
        let thief = futures::executor::block_on(async {
            match open(&paths, &mixed).await {
                Ok(vault) => checkout(&vault, &gone).await,
                Err(refused) => Err(refused),
            }
        });
        assert!(thief.is_err(), "{position:?}");
    }
    let today = open(&paths, &store).await.unwrap();
    assert!(is_erased(&today, &gone).await);
    assert!(!is_erased(&today, &kept).await);

    // And the drill proves something: with the old keyring the copy does open.
    std::fs::write(&paths.keyring, old_keyring).unwrap();
    assert!(!is_erased(&open(&paths, &copy).await.unwrap(), &gone).await);
}

#[tokio::test]
async fn checkins_go_on_while_an_erasure_is_under_way_and_may_carry_it() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let (gone, kept) = (checkin(&vault, &store, "gone").await, checkin(&vault, &store, "kept").await);
    let erasing = vault.begin_erase(&[gone.leaf]).await.unwrap();
    let meanwhile = checkin(&vault, &store, "meanwhile").await;
    // The check-in's transaction came first: a crash here finds the tree whole.
    let wreck = Wreck::of(&paths, &store);
    let after = wreck.open().await.unwrap();
    assert!(is_erased(&after, &gone).await);
    assert!(!is_erased(&after, &kept).await && !is_erased(&after, &meanwhile).await);
    // The erasure's own images, older now, change nothing.
    store.apply(erasing.images(), None);
    vault.finish_erase(erasing).await.unwrap();
    let after = open(&paths, &store).await.unwrap();
    assert!(is_erased(&after, &gone).await);
    assert!(!is_erased(&after, &kept).await && !is_erased(&after, &meanwhile).await);
}

#[tokio::test]
async fn an_erasure_that_nobody_finished_is_given_again_or_finished_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let (first, second) = (checkin(&vault, &store, "first").await, checkin(&vault, &store, "second").await);
    let kept = checkin(&vault, &store, "kept").await;

    // Whether its transaction happened nobody knows: it comes again, alone.
    drop(vault.begin_erase(&[first.leaf]).await.unwrap());
    let again = vault.begin_erase(&[second.leaf]).await.unwrap();
    assert_eq!(again.leaves(), [first.leaf]);
    drop(again);

    // A check-in carries it to the store; the next erasure finds it settled and drops the old root first.
    let carrier = checkin(&vault, &store, "carrier").await;
    let erasing = vault.begin_erase(&[second.leaf]).await.unwrap();
    assert_eq!(erasing.leaves(), [second.leaf]);
    store.apply(erasing.images(), None);
    vault.finish_erase(erasing).await.unwrap();
    for vault in [&vault, &open(&paths, &store).await.unwrap()] {
        assert!(is_erased(vault, &first).await && is_erased(vault, &second).await);
        assert!(!is_erased(vault, &kept).await && !is_erased(vault, &carrier).await);
    }
    assert_eq!(keyring::read(&paths.keyring).unwrap().current.epoch, Epoch(3));
}

#[tokio::test]
async fn a_keyring_that_cannot_be_written_stops_the_erasure_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let kept = checkin(&vault, &store, "kept").await;
    let aside = folder.path().join("aside");
    std::fs::rename(&paths.keyring, &aside).unwrap();
    assert!(matches!(vault.begin_erase(&[kept.leaf]).await, Err(VaultError::Keys(_))));
    checkout(&vault, &kept).await.unwrap();
    checkin(&vault, &store, "more").await;

    // Once it is back the erasure goes through; and a second one, whose phase 3 fails, is finished by the third.
    std::fs::rename(&aside, &paths.keyring).unwrap();
    let erasing = vault.begin_erase(&[kept.leaf]).await.unwrap();
    store.apply(erasing.images(), None);
    std::fs::rename(&paths.keyring, &aside).unwrap();
    assert!(matches!(vault.finish_erase(erasing).await, Err(VaultError::Keys(_))));
    std::fs::rename(&aside, &paths.keyring).unwrap();
    let erasing = vault.begin_erase(&[]).await.unwrap();
    store.apply(erasing.images(), None);
    vault.finish_erase(erasing).await.unwrap();
    assert!(is_erased(&open(&paths, &store).await.unwrap(), &kept).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_check_in_read_and_erase_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = Arc::new(open(&paths, &store).await.unwrap());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (vault, store) = (vault.clone(), store.clone());
            tokio::spawn(async move {
                let (mut kept, mut gone) = (Vec::new(), Vec::new());
                for n in 0..20 {
                    let new = checkin(&vault, &store, "a").await;
                    checkout(&vault, &new).await.unwrap();
                    drop(vault.begin(&allowed(new.document, Own), PackId::random()).await.unwrap());
                    if n % 5 != 0 {
                        kept.push(new);
                        continue;
                    }
                    let erasing = vault.begin_erase(&[new.leaf]).await.unwrap();
                    store.apply(erasing.images(), None);
                    vault.finish_erase(erasing).await.unwrap();
                    gone.push(new);
                }
                (kept, gone)
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    for vault in [&*vault, &open(&paths, &store).await.unwrap()] {
        for (kept, gone) in &outcomes {
            for one in kept {
                checkout(vault, one).await.unwrap();
            }
            for one in gone {
                assert!(is_erased(vault, one).await);
            }
        }
    }
}

#[tokio::test]
async fn a_next_root_that_nothing_was_sealed_under_is_replaced_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let (gone, kept) = (checkin(&vault, &store, "gone").await, checkin(&vault, &store, "kept").await);
    // A caller that gives up while phase 1 writes: the keyring has a next root, the tree knows nothing of it.
    let leaves = [gone.leaf];
    let mut erasing = Box::pin(vault.begin_erase(&leaves));
    assert!(futures::poll!(&mut erasing).is_pending());
    drop(erasing);
    drop(vault.keyring.lock().await);
    assert_eq!(Wreck::of(&paths, &store).roots(), 2);

    let erasing = vault.begin_erase(&[gone.leaf]).await.unwrap();
    assert!(!is_erased(&Wreck::of(&paths, &store).open().await.unwrap(), &kept).await);
    store.apply(erasing.images(), None);
    vault.finish_erase(erasing).await.unwrap();
    let after = open(&paths, &store).await.unwrap();
    assert!(is_erased(&after, &gone).await && !is_erased(&after, &kept).await);
}

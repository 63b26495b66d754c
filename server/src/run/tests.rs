#![allow(clippy::unwrap_used)]

use super::*;

fn words(error: &anyhow::Error) -> String {
    let Advised { what, hint } = advised(error);
    format!("{what}\n{hint}")
}

#[test]
fn a_second_server_is_told_about_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let held = lock::lock(dir.path()).unwrap();
    let refused = words(&lock::lock(dir.path()).unwrap_err());
    assert!(refused.contains("another 3s-server runs on"), "{refused}");
    assert_eq!(refused.lines().count(), 2, "{refused}");
    drop(held);
    assert!(lock::lock(dir.path()).is_ok());
}

#[test]
fn a_link_in_the_place_of_a_lock_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    std::os::unix::fs::symlink(&target, dir.path().join("lock")).unwrap();
    assert!(lock::lock(dir.path()).is_err());
    assert!(target.symlink_metadata().is_err(), "nothing was made");
}

#[test]
fn a_missing_data_directory_is_told_about_init() {
    let dir = tempfile::tempdir().unwrap();
    let refused = words(&lock::lock(&dir.path().join("none")).unwrap_err());
    assert!(refused.contains("3s-server init"), "{refused}");
}

#[test]
fn every_error_has_a_second_line() {
    let bare = anyhow::anyhow!("it failed");
    assert_eq!(words(&bare).lines().count(), 2);
    let advised = Err::<(), _>(std::io::Error::other("it failed")).advice("do this").unwrap_err();
    assert_eq!(words(&advised), "it failed\ndo this");
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let (held, address) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    assert_ne!(address.port(), 0);
    let refused = words(&bind(address).await.unwrap_err());
    assert!(refused.contains("cannot listen on") && refused.lines().count() == 2, "{refused}");
    drop(held);
}

#[tokio::test]
async fn a_store_that_was_made_opens_once_made_and_is_never_made_twice() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let none = words(&compose::open_meta(&data).err().unwrap());
    assert!(none.contains("3s-server init"), "{none}");

    compose::init(&data, None).unwrap();
    for name in ["meta.db", "packs", "server.key", "server.pub", "keyring"] {
        assert!(data.join(name).exists(), "{name}");
    }
    let keyring = std::fs::read(data.join("keyring")).unwrap();
    let twice = words(&compose::init(&data, None).unwrap_err());
    assert!(twice.contains("already there") && twice.lines().count() == 2, "{twice}");
    assert_eq!(std::fs::read(data.join("keyring")).unwrap(), keyring);
    let opened = compose::open(&data, None, crate::service::Settings::default()).await.unwrap();
    assert!(opened.meta.users().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_keyring_lies_where_it_was_put_and_a_missing_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (data, keyring) = (dir.path().join("data"), dir.path().join("stick"));
    compose::init(&data, Some(keyring.clone())).unwrap();
    assert!(keyring.exists() && !data.join("keyring").exists());
    let settings = crate::service::Settings::default;
    let missing = words(&compose::open(&data, None, settings()).await.err().unwrap());
    assert!(missing.contains("keyring"), "{missing}");
    assert!(missing.lines().count() >= 2, "{missing}");
    assert!(compose::open(&data, Some(keyring), settings()).await.is_ok());
}

#[test]
fn an_init_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let nowhere = dir.path().join("no/such/medium/keyring");
    assert!(compose::init(&data, Some(nowhere)).is_err());
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
}

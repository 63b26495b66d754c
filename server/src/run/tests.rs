#![allow(clippy::unwrap_used)]

use super::*;

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

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sss_common::{NodeId, StoreId, Timestamp, Version};
use tempfile::TempDir;

use super::*;
use crate::service::tests::{World, alice, bytes};

const STORE: StoreId = StoreId([7; 16]);

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    (folder, path)
}

fn entry(seq: u64) -> Entry {
    let document = NodeId([seq as u8; 16]);
    let versions = vec![Version(1), Version(seq)];
    Entry {
        seq: DeletionSeq(seq),
        document,
        time: Timestamp(1000 + seq as i64),
        user: "alice".parse().unwrap(),
        versions,
    }
}

/// A log with entries of these numbers.
fn written(path: &Path, numbers: &[u64]) -> Desk {
    let mut desk = Desk::new(path, STORE);
    let last = desk.open().unwrap().map_or(DeletionSeq::NONE, |last| last.seq);
    let entries: Vec<Entry> = numbers.iter().map(|seq| entry(*seq)).collect();
    desk.append(last, &entries).unwrap();
    desk
}

fn read(path: &Path) -> Result<Vec<Entry>, LogFailed> {
    let mut reader = Reader::open(path)?;
    assert_eq!(reader.store(), STORE);
    let mut entries = Vec::new();
    while let Some(entry) = reader.entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

fn numbers(path: &Path) -> Vec<u64> {
    read(path).unwrap().iter().map(|entry| entry.seq.0).collect()
}

#[test]
fn what_is_written_is_read_and_goes_on_where_it_ended() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = place();
    written(&path, &[1, 2]);
    written(&path, &[5]);
    assert_eq!(read(&path).unwrap(), [entry(1), entry(2), entry(5)]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    let head = r#"{"format":"3s-deletion-log","version":1,"store":"07070707070707070707070707070707"}"#;
    assert_eq!(lines.next().unwrap(), head);
    let first = r#"{"seq":1,"document":"01010101010101010101010101010101","time":1001,"user":"alice","versions":[1,1]}"#;
    assert_eq!(lines.next().unwrap(), first);
}

#[test]
fn a_last_line_that_a_crash_cut_short_is_cut_off() {
    let (_folder, path) = place();
    written(&path, &[1, 2]);
    let whole = fs::read(&path).unwrap();
    for cut in 1..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let mut desk = Desk::new(&path, STORE);
        let last = desk.open().unwrap().map_or(DeletionSeq::NONE, |last| last.seq);
        let kept = whole[..cut].iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(last.0, kept.saturating_sub(1), "{cut}");
        desk.append(last, &[entry(9)]).unwrap();
        assert_eq!(*numbers(&path).last().unwrap(), 9, "{cut}");
    }
}

#[test]
fn damaged_and_foreign_files_are_refused_and_left_alone() {
    let (_folder, path) = place();
    written(&path, &[1, 2, 3]);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let join = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let newer = lines[0].replace("\"version\":1", "\"version\":2,\"more\":1");
    let other = lines[0].replace("0707", "0808");
    let long = "x".repeat(2 << 20);
    for (content, said) in [
        (join(&[lines[0], lines[1], "{}", lines[3]]), "line 3"),
        (join(&[lines[0], lines[2], lines[1], lines[3]]), "line 3"),
        (join(&[lines[0], lines[1], lines[1]]), "line 3"),
        (join(&[lines[0], lines[1], "", lines[2]]), "line 3"),
        (join(&[lines[0], &long, lines[1]]), "line 2"),
        (join(&[&newer, lines[1]]), "format 2"),
        (join(&[&other, lines[1]]), "another store"),
        (join(&["hello", lines[1]]), "no deletion log"),
        (long.clone(), "no deletion log"),
    ] {
        fs::write(&path, &content).unwrap();
        let failed = Desk::new(&path, STORE).open().unwrap_err();
        assert!(failed.to_string().contains(said) && !failed.may_pass(), "{failed}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "left alone");
    }
}

#[test]
fn a_file_that_was_replaced_is_noticed() {
    let (folder, path) = place();
    let mut desk = written(&path, &[1]);
    fs::rename(&path, folder.path().join("aside")).unwrap();
    assert!(matches!(desk.append(DeletionSeq(1), &[entry(2)]), Err(LogFailed::Changed)));
    assert_eq!(desk.open().unwrap(), None, "made anew");
    desk.append(DeletionSeq(0), &[entry(1), entry(2)]).unwrap();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x").unwrap();
    assert!(matches!(desk.append(DeletionSeq(2), &[entry(3)]), Err(LogFailed::Changed)));
    assert!(
        matches!(desk.append(DeletionSeq(2), &[entry(3)]), Err(LogFailed::Changed)),
        "until it is opened"
    );
    desk.open().unwrap();
    desk.append(DeletionSeq(2), &[entry(3)]).unwrap();
    assert_eq!(numbers(&path), [1, 2, 3]);
}

proptest! {
    #[test]
    fn bytes_from_outside_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in any::<bool>()) {
        let (_folder, path) = place();
        written(&path, &[1]);
        let start = if head { fs::read(&path).unwrap() } else { Vec::new() };
        fs::write(&path, [start, bytes].concat()).unwrap();
        let _ = read(&path);
        let _ = Desk::new(&path, STORE).open();
    }
}

async fn delete(world: &World, name: &str) {
    let path = format!("@alice/{name}");
    world.put(&alice(), &path, &bytes(100, 1)).await.unwrap();
    world
        .service
        .delete_document(&alice(), &path.parse().unwrap(), crate::service::Precondition::None)
        .await
        .unwrap();
    world.service.upkeep.maintain().await.unwrap();
}

#[tokio::test]
async fn the_copy_follows_the_store() {
    let world = World::on_sqlite().await;
    let path = world.dir.path().join("copy");
    delete(&world, "before").await;
    world.service.upkeep.keep_deletion_log(&path).await.unwrap();
    let reader = || {
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.store(), world.vault.store_id());
        std::iter::from_fn(|| reader.entry().unwrap()).map(|entry| entry.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(reader(), [1], "all that the store knows");
    delete(&world, "after").await;
    assert_eq!(reader(), [1, 2]);
    fs::remove_file(&path).unwrap();
    delete(&world, "once more").await;
    assert_eq!(reader(), [1, 2, 3], "whole again after it was taken away");
}

#[tokio::test]
async fn a_medium_that_fails_keeps_nothing_from_being_erased_and_is_caught_up_with() {
    let world = World::on_sqlite().await;
    let medium = world.dir.path().join("medium");
    let path = medium.join("copy");
    world.service.upkeep.keep_deletion_log(&path).await.expect("not there yet is no reason to refuse");
    delete(&world, "one").await;
    assert!(world.service.meta.erasures(9).await.unwrap().is_empty(), "erased all the same");
    fs::create_dir(&medium).unwrap();
    delete(&world, "two").await;
    assert_eq!(Reader::open(&path).unwrap().entry().unwrap().unwrap().seq, DeletionSeq(1));
    // Unplugged while it was open: a folder stands where the file was.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    delete(&world, "three").await;
    assert!(world.service.meta.erasures(9).await.unwrap().is_empty());
    fs::remove_dir(&path).unwrap();
    delete(&world, "four").await;
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(std::iter::from_fn(|| reader.entry().unwrap()).count(), 4);
}

#[tokio::test]
async fn a_log_of_another_store_or_of_a_later_state_is_refused() {
    let world = World::on_sqlite().await;
    let path = world.dir.path().join("copy");
    drop(written(&path, &[1]));
    let refused = world.service.upkeep.keep_deletion_log(&path).await.unwrap_err();
    assert!(matches!(refused, LogFailed::OtherStore(_)), "{refused}");

    let mut desk = Desk::new(&world.dir.path().join("own"), world.vault.store_id());
    desk.open().unwrap();
    desk.append(DeletionSeq(0), &[entry(1), entry(2)]).unwrap();
    let own = world.dir.path().join("own");
    let refused = world.service.upkeep.keep_deletion_log(&own).await.unwrap_err();
    assert!(matches!(refused, LogFailed::Ahead(DeletionSeq(2))), "{refused}");
    // Restored with it: the numbers go on behind its own.
    world.service.meta.skip_deletions(DeletionSeq(2)).await.unwrap();
    world.service.upkeep.keep_deletion_log(&own).await.unwrap();
    delete(&world, "f").await;
    assert_eq!(numbers_of(&own), [1, 2, 3]);
}

fn numbers_of(path: &Path) -> Vec<u64> {
    let mut reader = Reader::open(path).unwrap();
    std::iter::from_fn(|| reader.entry().unwrap()).map(|entry| entry.seq.0).collect()
}

#[tokio::test(start_paused = true)]
async fn complaints_come_once_a_minute() {
    let log = DeletionLog::new(Path::new("/nowhere/at/all"), STORE);
    assert!(log.may_complain().await);
    tokio::time::advance(QUIET - Duration::from_secs(1)).await;
    assert!(!log.may_complain().await);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(log.may_complain().await);
}

#[tokio::test(start_paused = true)]
async fn a_medium_that_hangs_is_waited_for_once() {
    let (_folder, path) = place();
    let log = DeletionLog::new(&path, STORE);
    let meta = crate::store::memory::MemoryStore::default();
    let hung = log.desk.clone();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let hanging = log.at_desk(move |_| Ok(held.recv().is_err()));
    assert!(matches!(hanging.await, Err(LogFailed::Slow)), "after its patience");
    eventually_locked(&hung);
    let before = Instant::now();
    assert!(matches!(log.update(&meta).await, Err(LogFailed::Slow)));
    assert!(before.elapsed() < Duration::from_millis(100), "at once");
    drop(hold);
    drop(hung.lock());
    tokio::time::resume();
    log.update(&meta).await.unwrap();
}

fn eventually_locked(desk: &Mutex<Desk>) {
    while !desk.is_locked() {
        std::thread::yield_now();
    }
}

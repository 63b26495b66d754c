#![allow(clippy::unwrap_used)]

use std::path::Path;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::store::AuditAction;
use crate::store::conformance::audit as audit_row;
use crate::store::sqlite::schema;

struct Bench {
    folder: TempDir,
    writer: Arc<Writer>,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meta.db");
        schema::create(&path).unwrap();
        let writer = Arc::new(Writer::start(schema::open_writer(&path).unwrap()).unwrap());
        Bench { folder, writer }
    }

    /// Holds the thread up until the sender is dropped: what comes meanwhile makes one group.
    async fn hold_up(&self) -> (mpsc::Sender<()>, JoinHandle<Result<()>>) {
        let (release, gate) = mpsc::channel::<()>();
        let (arrived, there) = oneshot::channel();
        let writer = self.writer.clone();
        let held = tokio::spawn(async move {
            let wait = move |_: &Connection| {
                let _ = arrived.send(());
                let _ = gate.recv();
                Ok(())
            };
            writer.run(wait).await
        });
        there.await.unwrap();
        (release, held)
    }

    /// Queues a call, in order.
    async fn queue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let before = self.writer.room.available_permits();
        let writer = self.writer.clone();
        let task = tokio::spawn(async move { writer.run(work).await });
        while self.writer.room.available_permits() == before {
            tokio::task::yield_now().await; // until it has its place in the queue
        }
        task
    }

    fn values(&self) -> Vec<i64> {
        values(&schema::open_reader(&self.path()).unwrap()).unwrap()
    }

    fn audited(&self) -> i64 {
        let reader = schema::open_reader(&self.path()).unwrap();
        reader
            .query_row("SELECT count(*) FROM audit WHERE action NOT IN ('begin', 'gap')", [], |row| {
                row.get(0)
            })
            .unwrap()
    }

    fn path(&self) -> std::path::PathBuf {
        Path::join(self.folder.path(), "meta.db")
    }
}

fn put(c: &Connection, value: i64) -> Result<()> {
    c.execute("INSERT INTO counters (name, value) VALUES (?1, ?1)", [value])?;
    Ok(())
}

fn values(c: &Connection) -> Result<Vec<i64>> {
    let mut rows = c.prepare("SELECT value FROM counters ORDER BY value")?;
    let found = rows.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

#[tokio::test]
async fn what_queues_up_is_one_transaction_and_a_failure_takes_nothing_with_it() {
    let bench = Bench::new().await;
    let (release, held) = bench.hold_up().await;
    let mut tasks = Vec::new();
    for value in 0..20 {
        let fails = value % 5 == 3;
        let work = move |c: &Connection| {
            put(c, value)?;
            if fails { Err(StoreError::NotEmpty) } else { Ok(()) }
        };
        tasks.push((fails, bench.queue(work).await));
    }
    let path = bench.path();
    let last = bench.queue(move |c| Ok((values(c)?, values(&schema::open_reader(&path)?)?))).await;
    drop(release);
    held.await.unwrap().unwrap();
    for (fails, task) in tasks {
        let outcome = task.await.unwrap();
        assert_eq!(fails, matches!(outcome, Err(StoreError::NotEmpty)), "{outcome:?}");
    }
    let expected: Vec<i64> = (0..20).filter(|value| value % 5 != 3).collect();
    let (inside, outside) = last.await.unwrap().unwrap();
    assert_eq!(inside, expected);
    assert_eq!(outside, [0i64; 0], "nothing is committed before the group's end");
    assert_eq!(bench.values(), expected);
}

/// SQLite itself may roll everything back (a full disk, a failed read): whoever was in the transaction hears of
/// it, and who comes after gets a new one.
#[tokio::test]
async fn a_transaction_that_was_rolled_back_fails_those_in_it() {
    let bench = Bench::new().await;
    let (release, held) = bench.hold_up().await;
    let before = bench.queue(|c| put(c, 1)).await;
    let culprit = bench.queue(|c| Ok(c.execute_batch("ROLLBACK")?)).await;
    bench.writer.audit(vec![audit_row("open")]).unwrap();
    let after = bench.queue(|c| put(c, 2)).await;
    drop(release);
    held.await.unwrap().unwrap(); // was a transaction of its own
    assert!(before.await.unwrap().is_err());
    assert!(culprit.await.unwrap().is_err());
    after.await.unwrap().unwrap();
    assert_eq!(bench.values(), [2]);
    assert_eq!(bench.audited(), 1);
}

#[tokio::test]
async fn a_database_that_stays_busy_fails_the_call_and_keeps_the_audit_rows() {
    let bench = Bench::new().await;
    bench.writer.run(|c| Ok(c.busy_timeout(Duration::ZERO)?)).await.unwrap();
    let other = Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.writer.audit(vec![audit_row("open")]).unwrap();
    assert!(matches!(bench.writer.run(|c| put(c, 1)).await, Err(StoreError::Backend(_))));
    other.execute_batch("COMMIT").unwrap();
    bench.writer.run(|c| put(c, 2)).await.unwrap();
    assert_eq!((bench.values(), bench.audited()), (vec![2], 1));
}

#[tokio::test]
async fn audit_rows_are_written_soon_without_any_call() {
    let bench = Bench::new().await;
    bench.writer.audit(vec![audit_row("open")]).unwrap();
    let written = async {
        while bench.audited() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();
    assert_eq!(bench.writer.log.held.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn audit_rows_that_cannot_be_written_are_refused_at_the_limit() {
    let bench = Bench::new().await;
    let (release, held) = bench.hold_up().await;
    bench.writer.audit(vec![audit_row("open"); HELD_MAX]).unwrap();
    assert!(matches!(bench.writer.audit(vec![audit_row("open")]), Err(StoreError::Full)));
    drop(release);
    held.await.unwrap().unwrap();
    bench.writer.run(|_| Ok(())).await.unwrap();
    bench.writer.audit(vec![audit_row("open")]).unwrap();
    bench.writer.run(|_| Ok(())).await.unwrap();
    assert_eq!(bench.audited(), HELD_MAX as i64 + 1);
    let told = "SELECT detail FROM audit WHERE action = 'gap'";
    let told: String =
        schema::open_reader(&bench.path()).unwrap().query_row(told, [], |row| row.get(0)).unwrap();
    assert_eq!(told, "1 rows were lost while the log could not be written");
}

/// A log that takes nothing is told of until it takes rows again; those that waited are then in it, in order.
#[tokio::test]
async fn a_log_that_cannot_be_written_is_known_until_it_can() {
    let bench = Bench::new().await;
    assert!(bench.writer.audit_works().is_ok());
    let other = Connection::open(bench.path()).unwrap();
    let stuck = "CREATE TRIGGER stuck BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'stuck'); END";
    other.execute_batch(stuck).unwrap();
    let rows = [AuditAction::Open, AuditAction::Own, AuditAction::Checkout];
    for action in rows {
        bench.writer.audit(vec![audit_row(action.word())]).unwrap();
    }
    let turned = async |works: bool| {
        while bench.writer.audit_works().is_ok() != works {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), turned(false)).await.unwrap();
    assert!(matches!(bench.writer.run(|c| put(c, 1)).await, Err(StoreError::Unlogged(_))));
    assert_eq!((bench.values(), bench.audited()), (vec![], 0));
    other.execute_batch("DROP TRIGGER stuck").unwrap();
    tokio::time::timeout(Duration::from_secs(20), turned(true)).await.unwrap();
    let reader = schema::open_reader(&bench.path()).unwrap();
    let written = audit::after(&reader, crate::store::AuditSeq(1), 10).unwrap();
    assert_eq!(
        written.iter().map(|row| row.action.as_str()).collect::<Vec<_>>(),
        rows.map(AuditAction::word)
    );
}

#[tokio::test]
async fn the_queue_is_bounded_and_every_place_in_it_comes_back() {
    let bench = Bench::new().await;
    let (release, held) = bench.hold_up().await;
    let mut tasks = Vec::new();
    for value in 0..QUEUE as i64 - 1 {
        tasks.push(bench.queue(move |c| put(c, value)).await);
    }
    assert_eq!(bench.writer.room.available_permits(), 0);
    let writer = bench.writer.clone();
    let waits = tokio::spawn(async move { writer.run(|c| put(c, -1)).await });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    drop(release);
    for task in tasks.into_iter().chain([held, waits]) {
        task.await.unwrap().unwrap();
    }
    assert_eq!(bench.values().len(), QUEUE);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_its_call_done() {
    let bench = Bench::new().await;
    let (release, held) = bench.hold_up().await;
    let task = bench.queue(|c| put(c, 1)).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    drop(release);
    held.await.unwrap().unwrap();
    bench.writer.run(|_| Ok(())).await.unwrap();
    assert_eq!(bench.values(), [1]);
}

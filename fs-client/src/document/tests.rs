#![allow(clippy::unwrap_used)]
//! Drafts against a plain `Vec<u8>`, with a server behind them.

mod crowded;
mod doubt;

use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use sss_common::wire::fs::{CreateRequest, HomeRequest};
use sss_common::{Kind, SystemClock, Version};
use tokio::runtime::Runtime;

use super::reader::Reader;
use super::*;
use crate::remote::RemoteError;
use crate::remote::fault::{Fault, FaultRemote};
use crate::remote::memory::MemoryServer;

struct World {
    server: Arc<MemoryServer>,
    fault: Arc<FaultRemote>,
    shared: Arc<Shared>,
    _spool: tempfile::TempDir,
    runtime: Runtime,
}

impl World {
    fn new(budget: usize) -> World {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = MemoryServer::new(Arc::new(SystemClock));
        let fault = FaultRemote::new(server.login("alice", "client1"));
        let spool = tempfile::tempdir().unwrap();
        let remote: Arc<dyn Remote> = fault.clone();
        let shared = Arc::new(Shared {
            closer: Closer::new(remote.clone(), runtime.handle().clone()),
            pool: Pool::new(budget, spool.path()),
            runtime: runtime.handle().clone(),
            held: Arc::default(),
            clock: Arc::new(SystemClock),
            remote,
        });
        World { server, fault, shared, _spool: spool, runtime }
    }

    async fn create(&self, name: &str) -> Attr {
        let home = self.shared.remote.home(HomeRequest { uid: "alice".parse().unwrap() }).await.unwrap();
        let request = CreateRequest {
            parent: home.node,
            name: name.parse().unwrap(),
            kind: Kind::File,
            mode: 0o644,
            flag: None,
            target: None,
            copy_of: None,
        };
        self.shared.remote.create(request).await.unwrap().attr
    }

    async fn document(&self, name: &str) -> Arc<Document> {
        let attr = self.create(name).await;
        Document::new(self.shared.clone(), attr, false, Instant::now())
    }

    /// Makes a version that `document` does not know of yet.
    async fn commit_again(&self, document: &Document) {
        let attr = document.attr();
        let other = Document::new(self.shared.clone(), attr, false, Instant::now());
        other.write(0, &Bytes::from_static(b"two")).unwrap();
        other.checkin().await.unwrap();
    }

    fn content(&self, name: &str) -> Vec<u8> {
        self.server.files("alice").remove(name).unwrap()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Write(u64, usize, u8),
    Truncate(u64),
    Read(u64, usize),
    Zero(u64, u64),
    Checkin,
    /// The server does it and the answer is lost.
    LostAnswer,
    /// It never reaches the server.
    Unreachable,
}

fn op() -> impl Strategy<Value = Op> {
    // Around the borders of blocks, where the mistakes are.
    let offset = prop_oneof![
        0u64..300_000,
        (0u64..5).prop_map(|n| n * 65_536),
        (1u64..5).prop_map(|n| n * 65_536 - 3)
    ];
    let length = prop_oneof![1usize..200, 60_000usize..140_000, Just(65_536)];
    prop_oneof![
        4 => (offset.clone(), length.clone(), any::<u8>()).prop_map(|(at, n, byte)| Op::Write(at, n, byte)),
        2 => offset.clone().prop_map(Op::Truncate),
        3 => (offset.clone(), length).prop_map(|(at, n)| Op::Read(at, n)),
        1 => (offset, 1u64..100_000).prop_map(|(at, n)| Op::Zero(at, n)),
        2 => Just(Op::Checkin),
        1 => Just(Op::LostAnswer),
        1 => Just(Op::Unreachable),
    ]
}

fn unreachable() -> RemoteError {
    RemoteError::Unreachable("away".into())
}

async fn step(world: &World, document: &Document, reader: &Reader, model: &mut Vec<u8>, op: Op) {
    match op {
        Op::Write(at, n, byte) => {
            let bytes: Bytes = (0..n).map(|i| byte.wrapping_add(i as u8)).collect::<Vec<_>>().into();
            document.write(at, &bytes).unwrap();
            let end = at as usize + n;
            model.resize(model.len().max(end), 0);
            model[at as usize..end].copy_from_slice(&bytes);
        }
        Op::Truncate(size) => {
            document.truncate(size).unwrap();
            model.resize(size as usize, 0);
        }
        Op::Read(at, n) => {
            let from = (at as usize).min(model.len());
            let expected = &model[from..(from + n).min(model.len())];
            assert!(document.read(reader, at, n, |_| {}).await.unwrap() == expected);
        }
        Op::Zero(at, n) => {
            document.zero(at, n).unwrap();
            let from = (at as usize).min(model.len());
            let to = (from + n as usize).min(model.len());
            model[from..to].fill(0);
        }
        Op::Checkin => {
            document.checkin().await.unwrap();
            assert!(world.content("f") == *model);
        }
        Op::LostAnswer | Op::Unreachable => {
            let before = matches!(op, Op::Unreachable);
            world.fault.plan(move |call| match call {
                "checkin" if before => Some(Fault::Before(unreachable())),
                "checkin" => Some(Fault::After(unreachable())),
                _ => None,
            });
            let dirty = document.is_dirty();
            let answer = document.checkin().await;
            world.fault.plug();
            // One that was lost before may turn out to have happened.
            assert!(dirty || answer.is_ok());
        }
    }
    assert_eq!(document.attr().size, model.len() as u64);
}

proptest! {
    #[test]
    fn a_document_behaves_like_a_vec(
        ops in proptest::collection::vec(op(), 1..25),
        budget in prop_oneof![Just(0usize), Just(1 << 30)],
    ) {
        let world = World::new(budget);
        world.runtime.block_on(async {
            let document = world.document("f").await;
            let reader = Reader::default();
            let mut model = Vec::new();
            for op in ops {
                step(&world, &document, &reader, &mut model, op).await;
            }
            document.checkin().await.unwrap();
            assert!(world.content("f") == model);
            let all = document.read(&reader, 0, model.len() + 1, |_| {}).await.unwrap();
            assert!(all == model);
            drop(document);
        });
        prop_assert_eq!(world.shared.pool.used(), 0, "all memory is given back");
    }
}

#[test]
fn a_long_row_of_writes_is_sent_while_it_is_written() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        let mut model = Vec::new();
        for i in 0..12u8 {
            let bytes: Bytes = vec![i; 1 << 20].into();
            document.write(model.len() as u64, &bytes).unwrap();
            model.extend_from_slice(&bytes);
        }
        assert!(document.state().upload.is_some());
        // A block that was sent already is written again, and comes again whole.
        document.write(70_000, &Bytes::from_static(b"again")).unwrap();
        model[70_000..70_005].copy_from_slice(b"again");
        world.fault.calls();
        document.checkin().await.unwrap();
        assert!(world.content("f") == model);
        assert_eq!(world.fault.calls(), Vec::<&str>::new(), "the check-in was under way already");
        assert_eq!(document.attr().version, Version(1));
    });
}

#[test]
fn a_stream_that_breaks_is_repeated_and_counts_once() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        for (name, after) in [("f", true), ("g", false)] {
            let document = world.document(name).await;
            let mut broken = false;
            world.fault.plan(move |call| {
                let fault = if after { Fault::After(unreachable()) } else { Fault::Before(unreachable()) };
                (call == "checkin" && !std::mem::replace(&mut broken, true)).then_some(fault)
            });
            let bytes: Bytes = vec![7; 9 << 20].into();
            document.write(0, &bytes).unwrap();
            document.checkin().await.unwrap();
            assert!(world.content(name) == bytes);
            assert_eq!(document.attr().version, Version(1));
        }
    });
}

#[test]
fn an_early_upload_that_is_refused_is_sent_again_whole() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        let mut paused = false;
        world.fault.plan(move |call| {
            let late = RemoteError::refused(sss_common::Code::RequestTimeout, "late");
            (call == "checkin" && !std::mem::replace(&mut paused, true)).then_some(Fault::Before(late))
        });
        let bytes: Bytes = vec![7; 5 << 20].into();
        document.write(0, &bytes).unwrap();
        assert!(document.state().upload.is_some());
        document.checkin().await.unwrap();
        assert!(world.content("f") == bytes);
    });
}

#[test]
fn a_truncation_below_what_was_sent_gives_the_upload_up() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        document.write(0, &vec![1; 5 << 20].into()).unwrap();
        assert!(document.state().upload.is_some());
        document.truncate(100).unwrap();
        document.truncate(200).unwrap();
        document.checkin().await.unwrap();
        assert!(world.content("f") == [vec![1; 100], vec![0; 100]].concat());
    });
}

#[test]
fn memory_stays_within_its_budget() {
    let budget = 1 << 20;
    let world = World::new(budget);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        for i in 0..64u64 {
            document.write(i * 2 * 65_536, &vec![i as u8; 65_536].into()).unwrap();
            assert!(world.shared.pool.used() <= budget + 2 * 65_536);
        }
        document.checkin().await.unwrap();
        let content = world.content("f");
        assert!((0..64usize).all(|i| content[i * 2 * 65_536] == i as u8));
    });
}

#[test]
fn a_sequential_reader_fetches_ahead_and_a_random_one_a_block() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        let content: Vec<u8> = (0..16u32 << 20).map(|i| (i / 1000) as u8).collect();
        document.write(0, &content.clone().into()).unwrap();
        document.checkin().await.unwrap();
        let reader = Reader::default();
        world.fault.calls();
        for at in (0..content.len()).step_by(128 * 1024) {
            let bytes = document.read(&reader, at as u64, 128 * 1024, |_| {}).await.unwrap();
            assert!(bytes == content[at..at + 128 * 1024]);
        }
        let reads = world.fault.calls().iter().filter(|call| **call == "read").count();
        assert!(reads < 40, "{reads} reads for 128 pieces");
        let random = Reader::default();
        for at in [9_000_000u64, 2_000_000, 14_000_000, 5_000_000] {
            assert_eq!(document.read(&random, at, 4096, |_| {}).await.unwrap().len(), 4096);
        }
        let reads = world.fault.calls().iter().filter(|call| **call == "read").count();
        assert!(reads <= 8, "{reads} reads for 4 places");
        drop((reader, random));
        assert_eq!(world.shared.held.load(std::sync::atomic::Ordering::Relaxed), 0);
    });
}

#[test]
fn a_reader_gives_memory_back_when_all_hold_too_much() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        document.write(0, &vec![7; 4 << 20].into()).unwrap();
        document.checkin().await.unwrap();
        let reader = Reader::default();
        for at in (0..4 << 20).step_by(128 << 10) {
            document.read(&reader, at, 128 << 10, |_| {}).await.unwrap();
        }
        let held = || world.shared.held.load(std::sync::atomic::Ordering::Relaxed);
        assert!(held() > 1 << 20);
        let others = 256 << 20;
        world.shared.held.fetch_add(others, std::sync::atomic::Ordering::Relaxed);
        document.read(&reader, 0, 4096, |_| {}).await.unwrap();
        assert!(held() - others <= 128 << 10, "{} bytes are held", held() - others);
    });
}

#[test]
fn zeroes_over_a_hole_cost_nothing() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        document.write(10 << 20, &Bytes::from_static(b"x")).unwrap();
        let used = world.shared.pool.used();
        document.zero(0, 10 << 20).unwrap();
        assert_eq!(world.shared.pool.used(), used);
        document.zero(0, u64::MAX).unwrap();
        document.checkin().await.unwrap();
        assert!(world.content("f") == vec![0; (10 << 20) + 1]);
    });
}

#[test]
fn nothing_past_the_largest_document_is_taken() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        let most = sss_common::limits::DOCUMENT_MAX;
        assert_eq!(document.write(most, &Bytes::from_static(b"x")), Err(Error::TooLarge));
        assert_eq!(document.write(u64::MAX, &Bytes::from_static(b"x")), Err(Error::TooLarge));
        assert_eq!(document.truncate(most + 1), Err(Error::TooLarge));
    });
}

#[test]
fn a_read_that_an_own_check_in_overtook_reads_the_new_version() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        document.write(0, &Bytes::from_static(b"one")).unwrap();
        document.checkin().await.unwrap();
        assert_eq!(document.read(&Reader::default(), 0, 3, |_| {}).await.unwrap(), "one");
        let (moved, mut overtaken) = (document.clone(), false);
        world.fault.plan(move |call| {
            let gone = RemoteError::refused(sss_common::Code::NotFound, "gone");
            (call == "read" && !std::mem::replace(&mut overtaken, true)).then(|| {
                let mut state = moved.state();
                state.attr.version = state.attr.version.next();
                state.pinned = true;
                Fault::Before(gone)
            })
        });
        // The server has version 2 already: another check-in of this document brought it.
        world.commit_again(&document).await;
        let bytes = document.read(&Reader::default(), 0, 3, |_| {}).await.unwrap();
        assert_eq!(bytes, "two");
    });
}

#[test]
fn a_read_that_fails_does_not_give_up_the_others_of_its_handle() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        document.write(0, &vec![7; 4 << 20].into()).unwrap();
        document.checkin().await.unwrap();
        let reader = Reader::default();
        let mut calls = 0;
        world.fault.plan(move |call| {
            calls += u32::from(call == "read");
            (call == "read" && calls == 1).then(|| Fault::Before(unreachable()))
        });
        let reads = (0..8).map(|i| document.read(&reader, i * (512 << 10), 128 << 10, |_| {}));
        let failed = futures::future::join_all(reads).await.iter().filter(|read| read.is_err()).count();
        assert!(failed <= 1, "{failed} reads failed with one call");
    });
}

#[test]
fn a_read_that_is_there_already_locks_the_document_twice() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        document.write(0, &vec![7; 1 << 20].into()).unwrap();
        document.checkin().await.unwrap();
        document.write(0, &Bytes::from_static(b"draft")).unwrap();
        let reader = Reader::default();
        document.read(&reader, 0, 128 << 10, |_| {}).await.unwrap();
        let before = document.looks.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(document.read(&reader, 0, 128 << 10, |_| {}).await.unwrap().len(), 128 << 10);
        assert_eq!(document.looks.load(std::sync::atomic::Ordering::Relaxed) - before, 2);
    });
}

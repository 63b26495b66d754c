//! The HTTPS remote against a server that does what a test wants: sessions, repetition, deadlines, errors.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod answers;
mod certificates;
mod checkins;
mod events;
mod reach;
mod sessions;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc;
use serde_json::json;
use sss_common::framing::{data_header, end_frame};
use sss_common::limits::READ_MAX;
use sss_common::wire::calls::*;
use sss_common::{Code, Kind, NodeId, SystemClock, Version};
use sss_fs_client::identity::Identity;
use sss_fs_client::remote::https::{CONCURRENT_MAX, Https};
use sss_fs_client::remote::retries::CIRCUIT_PAUSE;
use sss_fs_client::remote::{Calls, CheckinBody, Remote, RemoteError};
use support::{Authority, Reply, Server};

const NODE: NodeId = NodeId([7; 16]);
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

struct Setup {
    authority: Authority,
    dir: tempfile::TempDir,
    server: Server,
    remote: Arc<Https>,
}

async fn setup() -> Setup {
    setup_with(LONG).await
}

async fn setup_with(timeout: Duration) -> Setup {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    authority.enroll(dir.path());
    let server = Server::start(&authority).await;
    let remote = Arc::new(remote(&dir, &server.target(), timeout));
    Setup { authority, dir, server, remote }
}

fn remote(dir: &tempfile::TempDir, target: &str, timeout: Duration) -> Https {
    let identity = Identity::load(dir.path(), &SystemClock).unwrap();
    Https::new(&target.parse().unwrap(), &identity, timeout).unwrap()
}

fn code(error: RemoteError) -> Code {
    match error {
        RemoteError::Refused { code, .. } => code,
        RemoteError::Unreachable(why) => panic!("unreachable: {why}"),
    }
}

fn unreachable(error: RemoteError) -> String {
    match error {
        RemoteError::Unreachable(why) => why,
        RemoteError::Refused { code, detail, .. } => panic!("refused: {code}: {detail}"),
    }
}

fn frames(content: &[u8]) -> Vec<Bytes> {
    let end = CheckinEnd { size: content.len() as u64, ..CheckinEnd::default() };
    let mut parts = Vec::new();
    for (index, chunk) in content.chunks(64 * 1024).enumerate() {
        let header = data_header(index as u64 * 64 * 1024, chunk.len()).unwrap();
        parts.push(Bytes::copy_from_slice(&header));
        parts.push(Bytes::copy_from_slice(chunk));
    }
    parts.push(end_frame(&serde_json::to_vec(&end).unwrap()).into());
    parts
}

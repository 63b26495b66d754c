//! Sending a draft: at once when it is small, as a stream when it is large, and while it is still being
//! written when it is written from front to back.
//!
//! Round trips: one per check-in. Nothing is copied. Blocks stay in the draft until the server has the
//! version, so a stream that breaks can be repeated.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use sss_common::limits::{BLOCK_SIZE, FRAME_MAX};
use sss_common::wire::fs::Attr;
use sss_common::{NodeId, Version};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::body::{Piece, Snapshot, encode};
use super::draft::Draft;
use crate::remote::{self, CheckinBody, Remote, RemoteError};

/// Up to so many bytes go in one piece, which the remote can repeat by itself.
pub const WHOLE_MAX: usize = 8 * 1024 * 1024;
/// So many bytes written in a row begin an upload before the program closes the file.
pub const STREAM_AFTER: u64 = 4 * 1024 * 1024;
/// Messages between the draft and the connection: a frame has up to 17.
const CHANNEL: usize = 8 * FRAME_BLOCKS;
const FRAME_BLOCKS: usize = FRAME_MAX / BLOCK_SIZE;

type Sender = mpsc::Sender<io::Result<Bytes>>;

/// Checks a snapshot in.
pub async fn send(
    remote: &dyn Remote,
    node: NodeId,
    base: Version,
    snapshot: &Snapshot,
) -> remote::Result<Attr> {
    if snapshot.weight() <= WHOLE_MAX && !snapshot.is_spooled() {
        let mut body = Vec::new();
        for frame in snapshot.frames() {
            body.extend(encode(frame).map_err(spool_failed)?);
        }
        body.push(snapshot.end());
        return remote.checkin(node, base, CheckinBody::Whole(body)).await;
    }
    let (sender, body) = channel();
    let feed = async move {
        // A closed channel means that the call has ended; its own answer says why.
        let _ = feed(&sender, snapshot).await;
    };
    let (answer, ()) = tokio::join!(remote.checkin(node, base, body), feed);
    answer
}

fn spool_failed(error: io::Error) -> RemoteError {
    RemoteError::Unreachable(format!("the spool file could not be read: {error}"))
}

fn channel() -> (Sender, CheckinBody) {
    let (sender, receiver) = mpsc::channel(CHANNEL);
    let body =
        stream::unfold(
            receiver,
            |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) },
        );
    (sender, CheckinBody::Stream(body.boxed()))
}

async fn feed(sender: &Sender, snapshot: &Snapshot) -> Result<(), mpsc::error::SendError<io::Result<Bytes>>> {
    for frame in snapshot.frames() {
        match encode(frame) {
            Ok(parts) => {
                for part in parts {
                    sender.send(Ok(part)).await?;
                }
            }
            Err(error) => return sender.send(Err(error)).await,
        }
    }
    sender.send(Ok(snapshot.end())).await
}

/// A check-in that runs while the program still writes.
pub struct Upload {
    sender: Sender,
    call: JoinHandle<remote::Result<Attr>>,
    next: u64,
    sent: HashMap<u64, u64>,
}

impl Upload {
    /// Begins one whose first block is `first`.
    pub fn begin(
        runtime: &Handle,
        remote: Arc<dyn Remote>,
        node: NodeId,
        base: Version,
        first: u64,
    ) -> Upload {
        let (sender, body) = channel();
        let call = runtime.spawn(async move { remote.checkin(node, base, body).await });
        Upload { sender, call, next: first, sent: HashMap::new() }
    }

    /// Hands over full frames for as long as the connection takes them. Never waits: what does not fit is
    /// sent by a later write, or by [`Upload::finish`].
    pub fn feed(&mut self, draft: &mut Draft) {
        loop {
            let Ok(room) = self.sender.try_reserve_many(FRAME_BLOCKS + 1) else { return };
            let run = draft.full_run(self.next, FRAME_BLOCKS);
            if run.len() < FRAME_BLOCKS {
                return;
            }
            let pieces: Vec<Piece> = (self.next..)
                .zip(&run)
                .map(|(index, (_, source))| Piece {
                    offset: index * BLOCK_SIZE as u64,
                    source: source.clone(),
                })
                .collect();
            let Ok(parts) = encode(&pieces) else { return };
            room.zip(parts).for_each(|(permit, part)| permit.send(Ok(part)));
            self.sent.extend((self.next..).zip(run.iter().map(|(seq, _)| *seq)));
            self.next += run.len() as u64;
        }
    }

    /// Whether the server already has a block as it was after change `seq`.
    pub fn has(&self, index: u64, seq: u64) -> bool {
        self.sent.get(&index) == Some(&seq)
    }

    /// Whether bytes at or behind `size` were sent: then the stream cannot say what a truncation to there
    /// means.
    pub fn reaches(&self, size: u64) -> bool {
        self.next * BLOCK_SIZE as u64 > size
    }

    /// Sends the rest, the rewritten blocks among it whole, and waits for the version.
    pub async fn finish(self, rest: &Snapshot) -> remote::Result<Attr> {
        let _ = feed(&self.sender, rest).await;
        drop(self.sender);
        match self.call.await {
            Ok(answer) => answer,
            Err(_) => Err(RemoteError::Unreachable("the upload was given up".into())),
        }
    }

    /// Gives it up: the server commits nothing.
    pub fn abandon(self) {
        let _ = self.sender.try_send(Err(io::Error::other("the draft changed under its upload")));
        self.call.abort();
    }
}

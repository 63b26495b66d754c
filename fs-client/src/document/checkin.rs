//! Making a draft the document's next version.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use sss_common::limits::BLOCK_SIZE;
use sss_common::wire::fs::{Attr, NodeRequest, Pin};
use sss_common::{Code, NodeId, Version};

use super::body::{Piece, Snapshot, Source, encode};
use super::draft::{Draft, Part};
use super::error::{Error, Result};
use super::reader::Reader;
use super::state::{Attempt, CheckIn, State};
use super::{Document, upload};
use crate::remote::retries::STREAM;
use crate::remote::{CheckinBody, RemoteError};

/// Where a check-in goes, what it brings, and the upload that began while it was written.
type Start = (NodeId, Version, Snapshot, Option<upload::Upload>);

impl Document {
    /// Checks in what is dirty and returns once it is durable: the new attributes, or `None` when nothing
    /// was dirty.
    ///
    /// One round trip; two more for each block that is in too many pieces; one more to find out whose the version is that was faster. A definite refusal leaves
    /// the draft as it is and the document usable: the caller decides where the draft goes (see
    /// [`Document::lost`]). When the server is not reached the draft stays dirty.
    pub async fn checkin(&self) -> Result<Option<Attr>> {
        let _turn = self.commit.lock().await;
        let mut settled = self.settle().await?;
        for tries in 1.. {
            let Some((node, base, snapshot, running)) = self.begin().await? else {
                return Ok(settled.then(|| self.attr()));
            };
            let _flight = Flight(self);
            let early = running.is_some();
            let streamed = early || snapshot.weight() > upload::WHOLE_MAX || snapshot.is_spooled();
            let answer = match running {
                Some(upload) => upload.finish(&snapshot).await,
                None => upload::send(&*self.shared.remote, node, base, &snapshot).await,
            };
            match answer {
                Ok(attr) => return Ok(Some(self.committed(&snapshot, attr))),
                Err(error @ RemoteError::Unreachable(_)) => {
                    self.doubt(&snapshot);
                    if !streamed || tries == STREAM.tries {
                        return Err(error.into());
                    }
                    settled |= self.settle().await?;
                }
                // A program that pauses for long breaks the upload that began while it wrote.
                Err(error) if early && tries < STREAM.tries && is_mended_by_repeating(&error) => {}
                // The server's storage failed: the version may be there all the same, and be followed by more
                // writes.
                Err(error @ RemoteError::Refused { code: Code::Internal, .. }) => {
                    self.doubt(&snapshot);
                    return Err(error.into());
                }
                // Its own repetition, or a server that was started anew, may have taken an own version for a
                // foreign one.
                Err(error @ RemoteError::Refused { code: Code::VersionMoved, .. }) => {
                    self.doubt(&snapshot);
                    return if self.settle().await? { Ok(Some(self.attr())) } else { Err(error.into()) };
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Waits for a check-in that is under way and keeps others from beginning while the guard lives.
    pub async fn hold_checkins(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.commit.lock().await
    }

    async fn begin(&self) -> Result<Option<Start>> {
        loop {
            let (from, to) = {
                let mut state = self.state();
                state.usable()?;
                if state.fate.is_unlinked() || !state.draft.is_changed() {
                    return Ok(None);
                }
                match state.draft.crowded() {
                    Some(gaps) => gaps,
                    None => return Ok(Some(start(&mut state))),
                }
            };
            self.fill(from, to).await?;
        }
    }

    /// Takes a part of the base into the draft, where nothing was written. One round trip; one more for a pin.
    async fn fill(&self, from: u64, to: u64) -> Result<()> {
        let reader = Reader::default();
        self.asked(&reader, State::needs_pin).await?;
        let source = self.state().source(&self.shared);
        let length = (to - from) as usize;
        let bytes = self.base(from, length, &source, &reader).await?;
        if bytes.len() < length {
            return Err(RemoteError::Unreachable("the answer to a read is too short".into()).into());
        }
        let mut state = self.state();
        // Under another base the question is asked again.
        if state.base() == source.pin { state.draft.fill(from, &bytes) } else { Ok(()) }
    }

    fn doubt(&self, snapshot: &Snapshot) {
        let Snapshot { seq, size, mtime_ns, .. } = *snapshot;
        self.state().checkin.doubt(Attempt { seq, size, mtime_ns });
    }

    /// Finds out what became of a check-in without an answer, before anything else is sent on top of it. It
    /// happened if the next version is mine and has exactly the size and the nanosecond that I sent; then
    /// the answer is true. Whether the server holds the version for this session stays unknown: it is given back, and
    /// pinned again by the next read that needs it.
    pub(super) async fn settle(&self) -> Result<bool> {
        let (node, base, attempt) = {
            let state = self.state();
            match state.checkin.attempt() {
                Some(attempt) => (state.attr.node, state.attr.version, attempt),
                None => return Ok(false),
            }
        };
        let attr = self.shared.remote.attr(NodeRequest { node }).await?;
        let mine = attr.author.as_ref() == Some(self.shared.remote.uid());
        let same = attr.size == attempt.size && attr.mtime_ns == attempt.mtime_ns;
        let happened = attr.version == base.next() && mine && same;
        let mut state = self.state();
        state.checkin.settle();
        if happened {
            state.committed(attempt.seq, attr);
            if std::mem::take(&mut state.pinned) {
                self.shared.closer.give_back(Pin { node, version: base });
            }
        }
        Ok(happened)
    }

    fn committed(&self, snapshot: &Snapshot, attr: Attr) -> Attr {
        let mut state = self.state();
        state.checkin.settle();
        state.committed(snapshot.seq, Attr { size: snapshot.size, ..attr });
        if snapshot.hold {
            let open = state.handles > 0;
            let pinned_meanwhile = std::mem::replace(&mut state.pinned, open);
            if pinned_meanwhile || !open {
                self.shared.closer.give_back(state.base());
            }
        }
        state.local_attr()
    }

    /// Begins to keep a draft that was refused for good: no check-in meanwhile, and writers hear `error`.
    /// `None` when there is nothing to keep: another `close` kept it, or checked it in after all.
    pub async fn keeping(&self, error: Error) -> Option<Keeping<'_>> {
        let turn = self.commit.lock().await;
        if !self.is_dirty() {
            return None;
        }
        self.state().fate.keep(error);
        Some(Keeping { document: self, _turn: turn })
    }

    /// Why [`Document::lost`] was called, if it was.
    pub fn lost_why(&self) -> Option<Error> {
        self.state().fate.lost().cloned()
    }

    /// Where the draft changed last; see [`Document::discard`].
    pub fn changes(&self) -> u64 {
        self.state().draft.changes()
    }

    /// Drops the draft of a call that was refused, unless more was written since `changes`.
    pub async fn discard(&self, changes: u64) {
        let _turn = self.commit.lock().await;
        let mut state = self.state();
        if state.draft.changes() == changes && state.handles <= 1 {
            let size = state.attr.size;
            state.draft = Draft::new(self.shared.pool.clone(), self.shared.clock.clone(), size);
            state.checkin.settle();
        }
    }

    /// The check-in was refused for good: the draft is not this document's any more, and every later call
    /// says `why`.
    pub fn lost(&self, cause: RemoteError, why: String) {
        let mut state = self.state();
        state.fate.lose(Error::Lost { cause, why });
        state.checkin.settle();
        let size = state.attr.size;
        state.draft = Draft::new(self.shared.pool.clone(), self.shared.clock.clone(), size);
    }

    /// Whether [`Document::lost`] was called.
    pub fn is_lost(&self) -> bool {
        self.state().fate.lost().is_some()
    }

    /// Checks the draft's whole content in as the first version of `node`: what the base has where nothing was
    /// written, as far as it may be read. Fails when the base may be read and cannot be: a copy without it
    /// would be damage. Of a draft that came [`back`](Document::back) it is made also when the base is gone: what was
    /// written is all there is.
    pub async fn copy_to(self: &Arc<Self>, node: NodeId) -> Result<Attr> {
        let (parts, snapshot) = self.state().draft.parts();
        let reader = Arc::new(Reader::default());
        let mut blind = false;
        if parts.iter().any(|part| matches!(part, Part::Base(..))) {
            match self.asked(&reader, State::needs_pin).await {
                Ok(()) => {}
                Err(Error::Remote(error)) if self.may_be_without(&error) => blind = true,
                Err(error) => return Err(error),
            }
        }
        let this = self.clone();
        let frames = stream::iter(parts)
            .flat_map(move |part| stream::iter(in_blocks(part)))
            .then(move |step| {
                let (this, reader) = (this.clone(), reader.clone());
                async move { this.copied(&reader, step, blind).await }
            })
            .flat_map(|frame| match frame {
                Ok(parts) => stream::iter(parts.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            });
        let end = snapshot.end();
        let body = frames.chain(stream::once(async move { Ok(end) })).boxed();
        Ok(self.shared.remote.checkin(node, Version::NONE, CheckinBody::Stream(body)).await?)
    }

    async fn copied(&self, reader: &Reader, step: Part, blind: bool) -> std::io::Result<Vec<Bytes>> {
        match step {
            Part::Piece(piece) => encode(&[piece]),
            Part::Base(from, to) if blind => unreadable(from, to),
            Part::Base(from, to) => {
                let source = self.state().source(&self.shared);
                let read = reader.read(&source, &self.shared.runtime, from, (to - from) as usize).await;
                match read {
                    Ok(bytes) if !bytes.is_empty() => {
                        encode(&[Piece { offset: from, source: Source::Bytes(bytes) }])
                    }
                    Ok(_) => Ok(Vec::new()),
                    Err(error) if self.may_be_without(&error) => unreadable(from, to),
                    Err(error) => Err(std::io::Error::other(error)),
                }
            }
        }
    }
}

impl Document {
    fn may_be_without(&self, error: &RemoteError) -> bool {
        let gone = |error: &RemoteError| {
            matches!(error, RemoteError::Refused { code: Code::VersionGone | Code::VersionMoved, .. })
        };
        may_not_read(error) || (self.alone && gone(error))
    }
}

/// Takes what a check-in sends out of the state, which knows from now on that one is under way.
fn start(state: &mut State) -> Start {
    let running = state.upload.take();
    let sent = |index, seq| running.as_ref().is_some_and(|up| up.has(index, seq));
    // The server carries a pin of the base on; without one the new version needs its own, while it is open.
    let hold = !state.pinned && state.handles > 0;
    let snapshot = Snapshot { hold, ..state.draft.snapshot(sent) };
    state.checkin = CheckIn::UnderWay(None);
    (state.attr.node, state.attr.version, snapshot, running)
}

/// Who may not read the base, or finds it deleted, gets a copy of what was written.
fn may_not_read(error: &RemoteError) -> bool {
    let for_good = |code: &Code| matches!(code, Code::NoRight | Code::GrantEnded | Code::NotFound);
    matches!(error, RemoteError::Refused { code, .. } if for_good(code))
}

/// What stands in a copy for a part of the base, within a block, that may not be read: a hole where it is a whole block,
/// else zeroes, so that a block in many pieces stays one that can be sent.
fn unreadable(from: u64, to: u64) -> std::io::Result<Vec<Bytes>> {
    match (to - from) as usize {
        BLOCK_SIZE => Ok(Vec::new()),
        length => encode(&[Piece { offset: from, source: Source::Zero(length) }]),
    }
}

/// A long part in steps that do not cross a block's border.
pub(super) fn in_blocks(part: Part) -> Vec<Part> {
    const BLOCK: u64 = BLOCK_SIZE as u64;
    match part {
        Part::Piece(_) => vec![part],
        Part::Base(mut from, to) => {
            let mut blocks = Vec::new();
            while from < to {
                let end = (from / BLOCK * BLOCK + BLOCK).min(to);
                blocks.push(Part::Base(from, end));
                from = end;
            }
            blocks
        }
    }
}

/// While this lives, the document's draft is made a conflict copy.
pub struct Keeping<'a> {
    document: &'a Document,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        self.document.state().fate.kept();
    }
}

/// While this lives, the server may already show the version that a check-in makes.
struct Flight<'a>(&'a Document);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.state().checkin.landed();
    }
}

/// Whether sending all of it again may succeed where an upload that began early was refused.
fn is_mended_by_repeating(error: &RemoteError) -> bool {
    match error {
        RemoteError::Unreachable(_) => true,
        RemoteError::Refused { code, .. } => {
            !is_final(error) && !matches!(code, Code::Quota | Code::DiskFull | Code::TooLarge)
        }
    }
}

/// Whether a refusal means that the draft cannot become the document's next version, now or later.
pub fn is_final(error: &RemoteError) -> bool {
    match error {
        RemoteError::Unreachable(_) => false,
        RemoteError::Refused { code, .. } => matches!(
            code,
            Code::VersionMoved | Code::VersionGone | Code::NoRight | Code::GrantEnded | Code::NotFound
        ),
    }
}

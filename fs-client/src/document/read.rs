//! Reading what is open: the draft over the base, for as long as the right to read lives.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sss_common::wire::fs::{Attr, OpenRequest, Pin};
use sss_common::{Code, Right};

use super::draft::Segment;
use super::error::{Error, Result};
use super::reader::{Pinned, Reader};
use super::{Document, State};
use crate::remote::RemoteError;

/// So many own check-ins may overtake one read.
const MOVES: usize = 3;

impl Document {
    /// Reads, the draft over the base. Asks for the right again first when it may have ended.
    pub async fn read(&self, reader: &Reader, offset: u64, length: usize) -> Result<Bytes> {
        let mut moves = 0;
        loop {
            let base = self.base_pin();
            match self.read_once(reader, offset, length).await {
                // A check-in whose answer was lost may have made the next version: then that one is the base.
                Err(Error::Remote(RemoteError::Refused { code: Code::VersionGone, .. }))
                    if self.in_doubt() =>
                {
                    let _turn = self.commit.lock().await;
                    self.settle().await?;
                }
                // An own check-in made the next version while the bytes were asked for: they are that one's now.
                Err(Error::Remote(RemoteError::Refused {
                    code: Code::VersionGone | Code::NotFound, ..
                })) if moves < MOVES && self.base_pin() != base => moves += 1,
                // The right may have ended while the bytes were on their way.
                Ok(_) if self.state.lock().asks() => {}
                answer => return answer,
            }
        }
    }

    fn base_pin(&self) -> Pin {
        let state = self.state.lock();
        Pin { node: state.attr.node, version: state.attr.version }
    }

    async fn read_once(&self, reader: &Reader, offset: u64, length: usize) -> Result<Bytes> {
        self.asked(reader, State::asks).await?;
        let plan = {
            let state = self.state.lock();
            state.usable()?;
            state.draft.plan(offset, length)?
        };
        if plan.iter().any(|segment| matches!(segment, Segment::Base(..))) {
            self.asked(reader, State::needs_pin).await?;
        }
        let source = self.state.lock().source(&self.shared);
        self.assemble(plan, source, reader).await
    }

    async fn assemble(&self, mut plan: Vec<Segment>, source: Pinned, reader: &Reader) -> Result<Bytes> {
        if plan.len() == 1 {
            return self.segment(plan.remove(0), &source, reader).await;
        }
        let mut whole = BytesMut::new();
        for segment in plan {
            whole.extend_from_slice(&self.segment(segment, &source, reader).await?);
        }
        Ok(whole.freeze())
    }

    async fn segment(&self, segment: Segment, source: &Pinned, reader: &Reader) -> Result<Bytes> {
        match segment {
            Segment::Data(bytes) => Ok(bytes),
            Segment::Zero(length) => Ok(BytesMut::zeroed(length).freeze()),
            Segment::Base(offset, length) => self.base(offset, length, source, reader).await,
        }
    }

    /// A pin that the server forgot (it was started anew) is taken up again, once.
    async fn base(&self, offset: u64, length: usize, source: &Pinned, reader: &Reader) -> Result<Bytes> {
        let runtime = &self.shared.runtime;
        let first = reader.read(source, runtime, offset, length).await;
        if !matches!(first, Err(RemoteError::Refused { code: Code::VersionGone, .. })) {
            return first.map_err(|error| self.explain(error));
        }
        self.unpinned(source.pin);
        self.asked(reader, State::needs_pin).await?;
        reader.read(source, runtime, offset, length).await.map_err(|error| self.explain(error))
    }

    /// Asks for the right, and pins the base again, when `needed`. No round trip as long as nothing speaks against it.
    pub(super) async fn asked(&self, reader: &Reader, needed: impl Fn(&State) -> bool) -> Result<()> {
        if !needed(&self.state.lock()) {
            return Ok(());
        }
        let _turn = self.asking.lock().await;
        let (node, version) = {
            let state = self.state.lock();
            if !needed(&state) {
                return Ok(());
            }
            if state.asks() {
                reader.forget();
            }
            (state.attr.node, state.attr.version)
        };
        let asked_at = Instant::now();
        let request = OpenRequest { node, want: Right::Checkout, version: Some(version) };
        let attr = self.shared.remote.open(request).await.map_err(|error| self.explain(error))?;
        self.joined(&Attr { version, node, ..attr }, asked_at);
        Ok(())
    }

    /// The server does not hold this pin any more.
    fn unpinned(&self, pin: Pin) {
        let mut state = self.state.lock();
        if state.attr.node == pin.node && state.pin == Some(pin.version) {
            state.pin = None;
        }
        state.must_ask = true;
    }

    fn explain(&self, error: RemoteError) -> Error {
        match error {
            RemoteError::Refused { code: Code::NotFound | Code::VersionGone, .. } if self.is_unlinked() => {
                Error::Gone
            }
            error => error.into(),
        }
    }
}

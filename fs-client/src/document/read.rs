//! Reading what is open: the draft over the base, for as long as the right to read lives.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sss_common::clock::monotonic;
use sss_common::wire::fs::{Attr, OpenRequest, Pin};
use sss_common::{Code, Right};

use super::Document;
use super::draft::Segment;
use super::error::{Error, Result};
use super::reader::{Pinned, Reader};
use super::state::{After, Prepared, State};
use crate::remote::RemoteError;
use crate::remote::retries::OVERTAKEN_READ;

impl Document {
    /// Reads, the draft over the base. Asks for the right again first when it may have ended. `arm` is
    /// called with an end of the right that has no timer yet.
    ///
    /// Looks at the document's state twice when nothing must be asked: before the first byte, and after the
    /// last one.
    pub async fn read(
        &self,
        reader: &Reader,
        offset: u64,
        length: usize,
        arm: impl Fn(Instant),
    ) -> Result<Bytes> {
        let mut moves = 0;
        loop {
            let (base, answer) = self.read_once(reader, offset, length).await;
            let After { base: now, asks, in_doubt, end } = self.state().after();
            end.inspect(|end| arm(*end));
            match answer {
                // A check-in whose answer was lost may have made the next version: then that one is the base.
                Err(Error::Remote(RemoteError::Refused { code: Code::VersionGone, .. })) if in_doubt => {
                    let _turn = self.commit.lock().await;
                    self.settle().await?;
                }
                // An own check-in made the next version while the bytes were asked for: they are that one's
                // now.
                Err(Error::Remote(RemoteError::Refused {
                    code: Code::VersionGone | Code::NotFound, ..
                })) if moves < OVERTAKEN_READ.repeats() && base.is_some_and(|base| base != now) => moves += 1,
                // The right may have ended while the bytes were on their way.
                Ok(_) if asks => {}
                answer => return answer,
            }
        }
    }

    /// Answers which base it read, too, if it came so far.
    async fn read_once(&self, reader: &Reader, offset: u64, length: usize) -> (Option<Pin>, Result<Bytes>) {
        let mut base = None;
        let answer = async {
            loop {
                let prepared = {
                    let state = self.state();
                    base.get_or_insert(state.base());
                    state.prepare(&self.shared, offset, length)?
                };
                match prepared {
                    Prepared::Ready { plan, source } => return self.assemble(plan, source, reader).await,
                    Prepared::Ask(needed) => self.asked(reader, needed).await?,
                }
            }
        };
        let answer = answer.await;
        (base, answer)
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

    /// A pin that the server forgot (it was started anew) is taken up again, once (`retries::PIN`).
    pub(super) async fn base(
        &self,
        offset: u64,
        length: usize,
        source: &Pinned,
        reader: &Reader,
    ) -> Result<Bytes> {
        let runtime = &self.shared.runtime;
        let first = reader.read(source, runtime, offset, length).await;
        if !matches!(first, Err(RemoteError::Refused { code: Code::VersionGone, .. })) {
            return first.map_err(|error| self.explain(error));
        }
        self.unpinned(source.pin);
        self.asked(reader, State::needs_pin).await?;
        reader.read(source, runtime, offset, length).await.map_err(|error| self.explain(error))
    }

    /// Asks for the right, and pins the base again, when `needed`. No round trip as long as nothing speaks
    /// against it.
    pub(super) async fn asked(&self, reader: &Reader, needed: impl Fn(&State) -> bool) -> Result<()> {
        if !needed(&self.state()) {
            return Ok(());
        }
        let _turn = self.asking.lock().await;
        let (node, version) = {
            let state = self.state();
            if !needed(&state) {
                return Ok(());
            }
            if state.asks() {
                reader.forget();
            }
            (state.attr.node, state.attr.version)
        };
        let asked_at = monotonic();
        let request = OpenRequest { node, want: Right::Checkout, version: Some(version) };
        let attr = self.shared.remote.open(request).await.map_err(|error| self.explain(error))?;
        self.joined(&Attr { version, node, ..attr }, asked_at);
        Ok(())
    }

    /// The server does not hold this pin any more.
    fn unpinned(&self, pin: Pin) {
        let mut state = self.state();
        if state.base() == pin {
            state.pinned = false;
        }
        state.right.must_ask();
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

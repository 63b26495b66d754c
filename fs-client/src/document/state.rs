//! What an open document is at one moment, behind the document's one lock.
//!
//! Three things change apart from each other, and each is one of a few states:
//!
//! | [`Fate`]: whose the draft is | becomes | when |
//! |---|---|---|
//! | `Live` | `Keeping` | a check-in was refused for good: a conflict copy is being made, and writers hear why |
//! | `Keeping` | `Lost` | the copy is there; every later call says where |
//! | `Keeping` | `Live` | the copy could not be made: the draft stays, to be tried again |
//! | any | `Unlinked` | this mount deleted the document: what is here stays readable and is never checked in |
//!
//! `Unlinked` remembers why a draft was lost before, since later calls go on saying so.
//!
//! | [`CheckIn`]: what the server was sent | becomes | when |
//! |---|---|---|
//! | `Settled` | `UnderWay` | a snapshot is sent: the server may already show its version |
//! | `UnderWay` | `UnderWay(attempt)` | its answer is lost, or may be about an own repetition |
//! | `UnderWay(attempt)` | `InDoubt(attempt)` | the caller gave up before anybody found out |
//! | `UnderWay(_)` | `Settled` | the answer came, or the question what became of it was answered |
//! | `InDoubt(attempt)` | `Settled` | the same, before anything else is sent on top of it |
//!
//! [`ReadRight`]: `must_ask` (the right may have ended: ask before the next byte) goes with any `ends_at`,
//! since a right that is in doubt ends all the same. An end has a timer at most once.
//!
//! Invariants: only the holder of the document's check-in lock moves [`CheckIn`]. What is pinned is always
//! the base, `attr.version`. An [`Upload`] runs on the base too, and only while the check-in is `Settled`
//! and the fate is not `Unlinked`.

use std::time::{Duration, Instant};

use sss_common::clock::monotonic;
use sss_common::wire::fs::{Attr, Pin};
use sss_common::{Effective, FileTime, Version};

use super::Shared;
use super::draft::{Draft, Segment};
use super::error::{Error, Result};
use super::reader::Pinned;
use super::upload::Upload;

/// An open document at one moment.
pub(super) struct State {
    /// As the server knows it: `attr.version` is the base of the draft.
    pub(super) attr: Attr,
    pub(super) draft: Draft,
    pub(super) upload: Option<Upload>,
    pub(super) run: WriteRun,
    /// Whether the base is pinned for this document.
    pub(super) pinned: bool,
    /// How many handles are open on it.
    pub(super) handles: usize,
    pub(super) checkin: CheckIn,
    pub(super) fate: Fate,
    pub(super) right: ReadRight,
}

/// Whose the draft is. See the table above.
pub(super) enum Fate {
    Live,
    /// What writers hear while the draft is made a conflict copy.
    Keeping(Error),
    /// What every later call says.
    Lost(Error),
    Unlinked {
        /// Why the draft had been lost before, if it had.
        lost: Option<Error>,
    },
}

impl Fate {
    /// Why the draft is not this document's any more.
    pub(super) fn lost(&self) -> Option<&Error> {
        match self {
            Fate::Lost(error) => Some(error),
            Fate::Unlinked { lost } => lost.as_ref(),
            Fate::Live | Fate::Keeping(_) => None,
        }
    }

    pub(super) fn is_unlinked(&self) -> bool {
        matches!(self, Fate::Unlinked { .. })
    }

    pub(super) fn unlink(&mut self) {
        *self = Fate::Unlinked { lost: self.lost().cloned() };
    }

    pub(super) fn lose(&mut self, error: Error) {
        *self = match self {
            Fate::Unlinked { .. } => Fate::Unlinked { lost: Some(error) },
            Fate::Live | Fate::Keeping(_) | Fate::Lost(_) => Fate::Lost(error),
        };
    }

    pub(super) fn keep(&mut self, error: Error) {
        if matches!(self, Fate::Live) {
            *self = Fate::Keeping(error);
        }
    }

    pub(super) fn kept(&mut self) {
        if matches!(self, Fate::Keeping(_)) {
            *self = Fate::Live;
        }
    }
}

/// A check-in whose answer never came: it may or may not have happened.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    /// The draft's last change that was in it.
    pub(super) seq: u64,
    /// The size that it gave the document, in bytes.
    pub(super) size: u64,
    /// The time that it gave the content, in nanoseconds since the epoch.
    pub(super) mtime_ns: FileTime,
}

/// What the server was sent last. See the table above.
#[derive(Clone, Copy)]
pub(super) enum CheckIn {
    Settled,
    UnderWay(Option<Attempt>),
    InDoubt(Attempt),
}

impl CheckIn {
    pub(super) fn attempt(&self) -> Option<Attempt> {
        match self {
            CheckIn::Settled | CheckIn::UnderWay(None) => None,
            CheckIn::UnderWay(Some(attempt)) | CheckIn::InDoubt(attempt) => Some(*attempt),
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, CheckIn::UnderWay(_))
    }

    pub(super) fn doubt(&mut self, attempt: Attempt) {
        *self =
            if self.is_under_way() { CheckIn::UnderWay(Some(attempt)) } else { CheckIn::InDoubt(attempt) };
    }

    /// It is known what became of it.
    pub(super) fn settle(&mut self) {
        *self = if self.is_under_way() { CheckIn::UnderWay(None) } else { CheckIn::Settled };
    }

    /// Nobody waits for its answer any more.
    pub(super) fn landed(&mut self) {
        *self = self.attempt().map_or(CheckIn::Settled, CheckIn::InDoubt);
    }
}

/// The right to read what is open. See the table above.
pub(super) struct ReadRight {
    must_ask: bool,
    ends_at: Option<Instant>,
    /// The end that a timer was armed for last.
    timer: Option<Instant>,
}

impl ReadRight {
    /// Counted from when the question was sent: early rather than late. The right of the home's owner does not end.
    pub(super) fn new(right: &Effective, asked_at: Instant) -> Self {
        ReadRight {
            // An `open` for writing says nothing for those who read.
            must_ask: !right.checkout,
            ends_at: right.ends_in_ms.and_then(|ms| asked_at.checked_add(Duration::from_millis(ms))),
            timer: None,
        }
    }

    /// The same, of an answer that came later.
    pub(super) fn refreshed(&mut self, right: &Effective, asked_at: Instant) {
        *self = ReadRight { timer: self.timer, ..ReadRight::new(right, asked_at) };
    }

    pub(super) fn must_ask(&mut self) {
        self.must_ask = true;
    }

    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.ends_at
    }

    /// An end that no timer was armed for yet: each is answered once, and whoever hears it arms one.
    pub(super) fn end_without_timer(&mut self) -> Option<Instant> {
        let end = self.ends_at?;
        (self.timer.replace(end) != Some(end)).then_some(end)
    }
}

/// Where a program writes on without a jump.
#[derive(Clone, Copy, Default)]
pub(super) struct WriteRun {
    /// The offset of its first byte.
    pub(super) start: u64,
    /// The offset behind its last byte.
    pub(super) end: u64,
}

impl WriteRun {
    pub(super) fn wrote(&mut self, offset: u64, end: u64) {
        *self = WriteRun { start: if offset == self.end { self.start } else { offset }, end };
    }

    pub(super) fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// What a read finds before its first byte.
pub(super) enum Prepared {
    /// Everything that it needs.
    Ready {
        /// The parts of what it asked for.
        plan: Vec<Segment>,
        /// Where those of the base are read.
        source: Pinned,
    },
    /// The server must be asked while this holds.
    Ask(fn(&State) -> bool),
}

/// What a read finds after its last byte.
pub(super) struct After {
    /// The base as it is now; a check-in may have moved it.
    pub(super) base: Pin,
    /// Whether the right to read may have ended meanwhile.
    pub(super) asks: bool,
    /// Whether a check-in has no answer yet.
    pub(super) in_doubt: bool,
    /// See [`ReadRight::end_without_timer`].
    pub(super) end: Option<Instant>,
}

impl State {
    pub(super) fn base(&self) -> Pin {
        Pin { node: self.attr.node, version: self.attr.version }
    }

    pub(super) fn usable(&self) -> Result<()> {
        self.fate.lost().cloned().map_or(Ok(()), Err)
    }

    /// What would be written while the draft is copied would be in neither.
    pub(super) fn writable(&self) -> Result<()> {
        self.usable()?;
        match &self.fate {
            Fate::Keeping(error) => Err(error.clone()),
            Fate::Live | Fate::Lost(_) | Fate::Unlinked { .. } => Ok(()),
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.draft.is_changed() && !self.fate.is_unlinked() && self.fate.lost().is_none()
    }

    /// The base is read by its pin; an own version whose check-in was in doubt has none until it is needed.
    pub(super) fn needs_pin(&self) -> bool {
        self.asks() || (!self.pinned && !self.fate.is_unlinked() && self.attr.version != Version::NONE)
    }

    /// Whether the right to read may have ended. What was deleted here is read from what is here.
    pub(super) fn asks(&self) -> bool {
        let ended = || self.right.ends_at.is_some_and(|end| end <= monotonic());
        !self.fate.is_unlinked() && (self.right.must_ask || ended())
    }

    pub(super) fn refreshed(&mut self, right: &Effective, asked_at: Instant) {
        self.attr.right = *right;
        self.right.refreshed(right, asked_at);
    }

    /// The look before a read: how it is put together, or what must be asked first.
    pub(super) fn prepare(&self, shared: &Shared, offset: u64, length: usize) -> Result<Prepared> {
        if self.asks() {
            return Ok(Prepared::Ask(State::asks));
        }
        self.usable()?;
        let plan = self.draft.plan(offset, length)?;
        if plan.iter().any(|segment| matches!(segment, Segment::Base(..))) && self.needs_pin() {
            return Ok(Prepared::Ask(State::needs_pin));
        }
        Ok(Prepared::Ready { plan, source: self.source(shared) })
    }

    /// The look after it.
    pub(super) fn after(&mut self) -> After {
        After {
            base: self.base(),
            asks: self.asks(),
            in_doubt: self.checkin.attempt().is_some(),
            end: self.right.end_without_timer(),
        }
    }

    pub(super) fn source(&self, shared: &Shared) -> Pinned {
        Pinned {
            remote: shared.remote.clone(),
            pin: self.base(),
            size: self.attr.size,
            held: shared.held.clone(),
        }
    }

    pub(super) fn local_attr(&self) -> Attr {
        let mut attr = self.attr.clone();
        attr.size = self.draft.size();
        if let Some(mtime_ns) = self.draft.mtime_ns() {
            attr.mtime_ns = mtime_ns;
            attr.ctime_ns = attr.ctime_ns.max(mtime_ns);
        }
        attr.mode = self.draft.mode().unwrap_or(attr.mode);
        attr
    }

    /// The server has the draft up to change `seq` as its current version, and carried the session's pins
    /// along to it.
    pub(super) fn committed(&mut self, seq: u64, attr: Attr) {
        self.draft.committed(seq, attr.size);
        self.run = WriteRun::default();
        self.attr = attr;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        Attempt { seq: 1, size: 2, mtime_ns: FileTime(3) }
    }

    #[test]
    fn a_check_in_that_nobody_answered_stays_in_doubt_until_it_is_settled() {
        let mut checkin = CheckIn::UnderWay(None);
        checkin.doubt(attempt());
        assert!(checkin.is_under_way(), "its sender still asks what became of it");
        checkin.landed();
        assert!(matches!(checkin, CheckIn::InDoubt(_)));
        checkin.settle();
        assert!(matches!(checkin, CheckIn::Settled));
        let mut answered = CheckIn::UnderWay(Some(attempt()));
        answered.settle();
        answered.landed();
        assert!(matches!(answered, CheckIn::Settled));
    }

    #[test]
    fn a_draft_that_was_lost_stays_lost_when_its_document_is_deleted() {
        let mut fate = Fate::Live;
        fate.keep(Error::Gone);
        fate.lose(Error::TooLarge);
        fate.kept();
        assert_eq!(fate.lost(), Some(&Error::TooLarge));
        fate.unlink();
        assert!(fate.is_unlinked());
        assert_eq!(fate.lost(), Some(&Error::TooLarge));
        let mut spared = Fate::Live;
        spared.keep(Error::Gone);
        spared.kept();
        assert!(matches!(spared, Fate::Live));
    }

    #[test]
    fn each_end_gets_one_timer() {
        let mut right = Effective { owner: false, checkout: true, checkin: false, ends_in_ms: Some(5) };
        let now = Instant::now();
        let mut read = ReadRight::new(&right, now);
        assert_eq!(read.end_without_timer(), Some(now + Duration::from_millis(5)));
        assert_eq!(read.end_without_timer(), None);
        read.refreshed(&right, now);
        assert_eq!(read.end_without_timer(), None, "the same end");
        right.ends_in_ms = Some(6);
        read.refreshed(&right, now);
        assert_eq!(read.end_without_timer(), Some(now + Duration::from_millis(6)));
    }
}

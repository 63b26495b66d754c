//! Checking out: opening pins a version, reading streams it, closing gives it back.
//!
//! Costs: `open` is one round trip and one read of the facts; a `read` is one round trip, the facts, and what
//! `content` says. The audit row of an open is gathered and keeps nobody waiting.

use futures::StreamExt as _;
use sss_common::limits::READ_MAX;
use sss_common::wire::fs::{Attr, CloseRequest, OpenRequest};
use sss_common::{Code, Kind, NodeId, Right, Version};

use std::ops::Range;
use std::sync::Arc;

use crate::service::audit::{AuditAction, AuditOutcome};
use crate::service::content::{Content, StreamFailed, begun};
use crate::service::guard::Guard;
use crate::service::{ByteStream, Caller, Checkout, Failure, Outcome, RangeRequest, Service};
use crate::store::Seen;
use sss_policy::{self as policy, Allowed, Checkin, MayRead};
use sss_vault::VaultError;

impl Service {
    /// Checks a version out and pins it for the caller's session.
    pub async fn fs_open(&self, caller: &Caller, request: OpenRequest) -> Outcome<Attr> {
        let (seen, proof) = self.permit_right(caller, request.node, request.want).await?;
        if seen.node.kind == Kind::Folder {
            return Err(Failure::new(Code::IsFolder, "it is a folder"));
        }
        self.audit.must_be_logged()?;
        let mut attr = self.rights.attr_of(&seen);
        if let Some(version) = request.version.filter(|version| *version != attr.version) {
            self.must_be_shared(caller, &seen, version).await?;
            attr.size = self.kept_size(caller, &seen, &*proof, version).await?;
            attr.version = version;
        }
        if !self.held.pins.hold(caller.token, request.node, attr.version) {
            return Err(Failure::new(Code::Unavailable, "this session holds too many documents open"));
        }
        let detail = format!("{} version {}", request.want, attr.version);
        self.audit.note(caller, AuditAction::Open, &seen, AuditOutcome::Allowed(detail));
        Ok(attr)
    }

    /// Gives pins back.
    pub async fn fs_close(&self, caller: &Caller, request: CloseRequest) -> Outcome<()> {
        for pin in request.pins {
            self.held.pins.release(caller.token, pin.node, pin.version);
        }
        self.waking.wake();
        Ok(())
    }

    /// Streams a part of the current version, or of one that the session pinned; cut at the version's end.
    pub async fn fs_read(
        self: &Arc<Self>,
        caller: &Caller,
        node: NodeId,
        version: Version,
        offset: u64,
        length: u64,
    ) -> Outcome<(u64, ByteStream)> {
        if length > READ_MAX as u64 {
            return Err(Failure::new(Code::BadRange, format!("at most {READ_MAX} bytes at a time")));
        }
        let generation = self.hub.generation();
        let (seen, allowed) = self.rights.permit(caller, node, policy::Checkout).await?;
        let pinned = self.held.pins.holds(&caller.token, node, version);
        if version != seen.node.version && !pinned {
            return Err(Failure::new(Code::VersionGone, "this version is neither current nor pinned"));
        }
        // An open that pinned it has its own row.
        let row = (!pinned).then(|| format!("version {version} from byte {offset}"));
        let part = |size: u64| {
            let length = length.min(size.saturating_sub(offset));
            let start = offset.min(u64::MAX - length);
            Ok(start..start + length)
        };
        let reading = Reading { version, generation, row };
        let streaming = self.read_out(caller, &seen, allowed, reading, part).await?;
        Ok((streaming.part.end - streaming.part.start, streaming.body))
    }

    /// A check-out of the current version, or a part of it.
    pub(in crate::service) async fn check_out(
        self: &Arc<Self>,
        caller: &Caller,
        seen: &Seen,
        generation: u64,
        range: RangeRequest,
    ) -> Outcome<Checkout> {
        let allowed = self.rights.allow(caller, seen, policy::Checkout)?;
        if seen.node.kind == Kind::Folder {
            return Err(Failure::new(Code::IsFolder, "it is a folder"));
        }
        let attr = self.rights.attr_of(seen);
        let part = |size| {
            if size != seen.node.size {
                let failure = Failure::from(VaultError::Integrity("a version's size"));
                self.audit.note_damage(caller, seen.node.id, &seen.path, &failure);
                return Err(failure);
            }
            resolve(range, size)
                .ok_or_else(|| Failure::new(Code::BadRange, format!("the document has {size} bytes")))
        };
        let row = Some(format!("version {}", attr.version));
        let reading = Reading { version: attr.version, generation, row };
        let Streaming { size, part, body } = self.read_out(caller, seen, allowed, reading, part).await?;
        Ok(Checkout { attr, start: part.start, length: part.end - part.start, size, body })
    }

    /// What both ways to check out do behind their proof: open the version, find the part of its bytes, write the row, stream.
    async fn read_out(
        self: &Arc<Self>,
        caller: &Caller,
        seen: &Seen,
        allowed: Allowed<policy::Checkout>,
        reading: Reading,
        part: impl FnOnce(u64) -> Outcome<Range<u64>> + Send,
    ) -> Outcome<Streaming> {
        self.audit.must_be_logged()?;
        let content = match reading.version {
            Version::NONE => None,
            version => Some(self.contents.content(caller, &allowed, seen, version).await?),
        };
        let size = content.as_ref().map_or(0, |content| content.size());
        let part = part(size)?;
        if let Some(row) = reading.row {
            self.audit.note(caller, AuditAction::Checkout, seen, AuditOutcome::Allowed(row));
        }
        let body: ByteStream = match content {
            None => Box::pin(futures::stream::empty()),
            Some(content) => {
                let (path, generation) = (&seen.path, reading.generation);
                self.stream(caller, content, allowed, path, generation, part.clone()).await?
            }
        };
        Ok(Streaming { size, part, body })
    }

    /// The blocks under a guard: a right that ends or is taken back ends the stream too, whatever was read ahead.
    async fn stream(
        self: &Arc<Self>,
        caller: &Caller,
        content: Arc<Content>,
        allowed: Allowed<policy::Checkout>,
        path: &str,
        generation: u64,
        range: Range<u64>,
    ) -> Outcome<ByteStream> {
        let guard = Guard::new(self.clone(), caller, &allowed, Some(generation));
        let (service, caller, node, path) = (self.clone(), caller.clone(), allowed.node(), path.to_owned());
        let (start, length) = (range.start, range.end - range.start);
        let blocks = begun(content.stream(allowed, start, length)).await;
        let blocks =
            blocks.inspect_err(|failure| service.audit.note_damage(&caller, node, &path, failure))?;
        let noted = guard.over(blocks).inspect(move |chunk| {
            let error = chunk.as_ref().err().and_then(std::io::Error::get_ref);
            if let Some(StreamFailed(failure)) = error.and_then(|inner| inner.downcast_ref()) {
                service.audit.note_damage(&caller, node, &path, failure);
            }
        });
        Ok(noted.boxed())
    }

    /// A document that may be opened for this: one decision for each right that is wanted.
    async fn permit_right(
        &self,
        caller: &Caller,
        node: NodeId,
        want: Right,
    ) -> Outcome<(Seen, Box<dyn MayRead>)> {
        match want {
            Right::Checkin => {
                let (seen, allowed) = self.rights.permit(caller, node, Checkin).await?;
                Ok((seen, Box::new(allowed)))
            }
            Right::Checkout | Right::Both => {
                let (seen, allowed) = self.rights.permit(caller, node, policy::Checkout).await?;
                if want.writes() {
                    self.rights.allow(caller, &seen, Checkin)?;
                }
                Ok((seen, Box::new(allowed)))
            }
        }
    }

    /// Whether a version that is not the current one is part of what the caller may read: one that the session holds, or that
    /// was not replaced yet when the right began. Who may only check in needs none.
    pub(in crate::service) async fn must_be_shared(
        &self,
        caller: &Caller,
        seen: &Seen,
        version: Version,
    ) -> Outcome<()> {
        if version == seen.node.version || self.held.pins.holds(&caller.token, seen.node.id, version) {
            return Ok(());
        }
        let gone =
            || Failure::new(Code::VersionGone, "this version is kept no longer, or not shared with you");
        let allowed = policy::decide(&seen.facts, policy::Checkout, self.now()).map_err(|_| gone())?;
        let Some(since) = allowed.since() else { return Ok(()) };
        let stored = self.meta.version(seen.node.id, version).await?;
        let replaced = stored.and_then(|stored| stored.superseded).ok_or_else(gone)?;
        if replaced > since { Ok(()) } else { Err(gone()) }
    }

    async fn kept_size(
        &self,
        caller: &Caller,
        seen: &Seen,
        proof: &dyn MayRead,
        version: Version,
    ) -> Outcome<u64> {
        if version == Version::NONE {
            return Ok(0);
        }
        Ok(self.contents.content(caller, proof, seen, version).await?.size())
    }
}

/// A version that is to be read out.
struct Reading {
    version: Version,
    /// Of the rights, from before the proof was made.
    generation: u64,
    /// What the audit log is to say; `None` where it has said so already.
    row: Option<String>,
}

/// A part of a version, as it streams.
struct Streaming {
    /// The version's size.
    size: u64,
    part: Range<u64>,
    body: ByteStream,
}

/// The bytes of a range in a document of `size` bytes; `None` when it cannot be satisfied (RFC 9110, section 14.1.2).
fn resolve(range: RangeRequest, size: u64) -> Option<Range<u64>> {
    match range {
        RangeRequest::All => Some(0..size),
        RangeRequest::From(first, last) => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            (first < end).then_some(first..end)
        }
        RangeRequest::Last(count) => {
            let length = count.min(size);
            (length > 0).then(|| size - length..size)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_document() {
        for (range, expected) in [
            (RangeRequest::All, Some(0..10)),
            (RangeRequest::From(0, None), Some(0..10)),
            (RangeRequest::From(3, Some(5)), Some(3..6)),
            (RangeRequest::From(3, Some(u64::MAX)), Some(3..10)),
            (RangeRequest::From(10, None), None),
            (RangeRequest::Last(4), Some(6..10)),
            (RangeRequest::Last(40), Some(0..10)),
            (RangeRequest::Last(0), None),
        ] {
            assert_eq!(resolve(range, 10), expected, "{range:?}");
        }
        assert_eq!(resolve(RangeRequest::All, 0), Some(0..0));
        assert_eq!(resolve(RangeRequest::Last(1), 0), None);
    }
}

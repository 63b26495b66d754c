//! Checking in: a new version of a document that is there.
//!
//! Costs: one round trip; the facts three times (before the body is taken, before it counts, and in the transaction), and once
//! more where the body keeps us waiting; one pack, with one fsync of its file and one of its folder unless it is small; one metadata transaction,
//! whose fsync is shared with whatever commits at the same time.

use bytes::Bytes;
use futures::StreamExt as _;
use sss_common::framing::{Decoder, Piece};
use sss_common::wire::fs::{Attr, CheckinEnd};
use sss_common::{Code, Flag, Kind, NodeId, Version};

use crate::service::audit::AuditAction;
use crate::service::content::assemble::{Assembled, Assembler};
use crate::service::content::versions::NewVersion;
use crate::service::guard::Guard;
use crate::service::{ByteStream, Caller, CheckinId, Failure, Outcome, Service};
use crate::store::{Node, Seen};
use sss_policy::{Act, Allowed, Checkin, MayWrite};

impl Service {
    /// The mount's check-in: changed ranges on top of `base`, then the new size. With an `id` that was answered already,
    /// the same answer again.
    pub async fn fs_checkin(
        &self,
        caller: &Caller,
        node: NodeId,
        base: Version,
        id: Option<CheckinId>,
        body: ByteStream,
    ) -> Outcome<Attr> {
        if let Some(attr) = self.held.outcomes.of(caller.token, id) {
            return Ok(attr);
        }
        let (seen, allowed) = self.rights.permit(caller, node, Checkin).await?;
        let attr = match self.check_in(caller, &seen, &allowed, base, Body::Framed(body), None).await {
            // The same check-in, sent twice at once: the other one made it.
            Err(failure) if failure.code == Code::VersionMoved => {
                return self.held.outcomes.of(caller.token, id).ok_or(failure);
            }
            outcome => outcome?,
        };
        self.held.outcomes.remember(caller.token, id, &attr);
        Ok(attr)
    }

    /// Receive and seal, make durable, authorise again, commit.
    pub(in crate::service) async fn check_in<A: Act>(
        &self,
        caller: &Caller,
        seen: &Seen,
        allowed: &Allowed<A>,
        base: Version,
        body: Body,
        new_flag: Option<Flag>,
    ) -> Outcome<Attr>
    where
        Allowed<A>: MayWrite,
    {
        must_be_document(&seen.node)?;
        must_be_current(&seen.node, base)?;
        self.contents.must_have_room().await?;
        self.audit.must_be_logged()?;

        let flag = new_flag.or(seen.node.flag).unwrap_or_default();
        let content = self.contents.current_content(caller, allowed, seen).await?;
        let under = content.clone().filter(|_| matches!(body, Body::Framed(_)));
        let upload = Assembler::begin(&self.contents, allowed, under, flag).await?;
        let Received { seen, allowed, end, made } =
            self.receive_all(caller, allowed, &seen.path, upload, body).await?;
        let mtime_ns = end.mtime_ns.unwrap_or_else(|| self.now().nanos());
        let mode = end.mode.filter(|_| self.rights.attr_of(&seen).right.owner).map(|mode| mode & 0o7777);
        let mut new = NewVersion::after(content.as_deref(), flag, &caller.uid, made.content, mtime_ns);
        new.mode = mode;
        let place = (AuditAction::Checkin, seen.path.as_str());
        let node = self.contents.make_version(caller, &allowed, new, made.sealer, place).await?;
        if end.hold {
            // A session that holds too many finds out when it reads.
            self.held.pins.hold(caller.token, node.id, node.version);
        }
        Ok(self.rights.attr(&node, &seen.facts))
    }

    /// What every check-in does between its first question and its commit: takes the body in for as long as session and right
    /// last, makes it durable, and asks for both once more. What does not come to count leaves no pack.
    /// `path` is for the audit log, where what it is laid over does not verify.
    pub(in crate::service) async fn receive_all<A: Act>(
        &self,
        caller: &Caller,
        allowed: &Allowed<A>,
        path: &str,
        mut upload: Assembler<'_>,
        body: Body,
    ) -> Outcome<Received<A>> {
        let note = |failure: &Failure| self.audit.note_damage(caller, allowed.node(), path, failure);
        let ended = Guard::new(self, caller, allowed, None).ended();
        let received = tokio::select! {
            biased;
            received = self.receive(&mut upload, body) => received,
            failure = ended => Err(failure),
        };
        let end = match received {
            Ok(end) => end,
            Err(failure) => {
                note(&failure);
                upload.abort().await;
                return Err(failure);
            }
        };
        let made = upload.finish(end.size).await.inspect_err(note)?;
        match self.still_allowed(caller, allowed).await {
            Ok((seen, allowed)) => Ok(Received { seen, allowed, end, made }),
            Err(failure) => {
                self.contents.drop_pack(made.content.blob()).await;
                Err(failure)
            }
        }
    }

    /// Session and right once more.
    async fn still_allowed<A: Act>(
        &self,
        caller: &Caller,
        allowed: &Allowed<A>,
    ) -> Outcome<(Seen, Allowed<A>)> {
        self.logins.still_live(caller).await?;
        self.rights.permit(caller, allowed.node(), allowed.act()).await
    }

    /// Takes a body in. What breaks off, or has no end, is no check-in.
    async fn receive(&self, upload: &mut Assembler<'_>, body: Body) -> Outcome<CheckinEnd> {
        match body {
            Body::Framed(stream) => self.receive_frames(upload, stream).await,
            Body::Whole(mut stream) => {
                let mut size = 0;
                while let Some(chunk) = stream.next().await {
                    size = self.take(upload, size, chunk.map_err(broke_off)?).await?;
                }
                Ok(CheckinEnd { size, ..Default::default() })
            }
        }
    }

    async fn receive_frames(
        &self,
        upload: &mut Assembler<'_>,
        mut stream: ByteStream,
    ) -> Outcome<CheckinEnd> {
        let malformed = |error: &dyn std::fmt::Display| {
            Failure::new(Code::BadRequest, format!("malformed check-in: {error}"))
        };
        let mut decoder = Decoder::default();
        let mut end = None;
        while let Some(chunk) = stream.next().await {
            let mut chunk = chunk.map_err(broke_off)?;
            while let Some(piece) = decoder.next(&mut chunk).map_err(|error| malformed(&error))? {
                match piece {
                    Piece::Data { offset, bytes } => {
                        self.take(upload, offset, bytes).await?;
                    }
                    Piece::End(json) => {
                        let parsed: CheckinEnd =
                            serde_json::from_slice(&json).map_err(|error| malformed(&error))?;
                        end = Some(parsed);
                    }
                }
            }
        }
        let end =
            end.ok_or_else(|| Failure::new(Code::BadRequest, "the check-in broke off before its end"))?;
        self.contents.must_fit(end.size, upload.flag())?;
        Ok(end)
    }

    async fn take(&self, upload: &mut Assembler<'_>, offset: u64, bytes: Bytes) -> Outcome<u64> {
        let reach = offset.saturating_add(bytes.len() as u64);
        self.contents.must_fit(reach, upload.flag())?;
        upload.data(offset, bytes).await?;
        Ok(reach)
    }
}

/// A body that has arrived and may count.
pub(in crate::service) struct Received<A: Act> {
    /// The node, as it is now.
    pub(in crate::service) seen: Seen,
    /// The right, as it is now.
    pub(in crate::service) allowed: Allowed<A>,
    pub(in crate::service) end: CheckinEnd,
    pub(in crate::service) made: Assembled,
}

/// How a check-in's content comes.
pub(in crate::service) enum Body {
    /// Changed ranges in frames, over the base version.
    Framed(ByteStream),
    /// All of it, as it is.
    Whole(ByteStream),
}

fn must_be_document(node: &Node) -> Outcome<()> {
    match node.kind {
        Kind::File => Ok(()),
        // Its target is what it was made with: nobody leads others elsewhere.
        Kind::Symlink => {
            Err(Failure::new(Code::BadRequest, "a symbolic link takes no check-in; remove it first"))
        }
        Kind::Folder => Err(Failure::new(Code::IsFolder, "it is a folder")),
    }
}

fn must_be_current(node: &Node, base: Version) -> Outcome<()> {
    if node.version == base {
        return Ok(());
    }
    Err(Failure::new(Code::VersionMoved, format!("the current version is {}, not {base}", node.version)))
}

fn broke_off(error: std::io::Error) -> Failure {
    Failure::new(Code::BadRequest, "the upload broke off").caused_by(error)
}

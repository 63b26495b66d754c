//! Creating documents, folders and links.
//!
//! Costs: one round trip; the folder's facts, one transaction. With content (a link's target, a PUT of a new document) the
//! node appears only once all of its content is sealed.

use bytes::Bytes;
use sss_common::limits::SYMLINK_MAX;
use sss_common::wire::fs::{Attr, CreateRequest, CreateResponse};
use sss_common::{Code, Flag, Kind, Name, NodeId, Version};

use super::assemble::Assembler;
use super::audit::AuditAction;
use super::checkin::{Body, nanoseconds};
use super::names::facts_of_new;
use super::versions::{NewVersion, blob_of};
use super::{Caller, Failure, Outcome, Service};
use crate::store::{Creation, NewNode, Seen};
use sss_policy::{Allowed, Checkin};

impl Service {
    /// A new, empty document, folder or link. A name that an editor has just vacated gets its document back.
    pub async fn fs_create(&self, caller: &Caller, request: CreateRequest) -> Outcome<CreateResponse> {
        let parent = self.seen(caller, request.parent).await?;
        let folder = self.may_create(caller, &parent, &request.name)?;
        let flag = parent.node.flag.or(request.flag);
        let attr = match (request.kind, request.target) {
            (Kind::File, None) => {
                if let Some((attr, swapped)) =
                    self.refill(caller, &parent, &folder, &request.name, None).await?
                {
                    return Ok(CreateResponse { attr, swapped: Some(swapped) });
                }
                let flag = Some(flag.unwrap_or_default());
                let new = EmptyNode { name: request.name, kind: Kind::File, mode: request.mode, flag };
                self.create_empty(caller, &parent, &folder, new).await?
            }
            (Kind::Folder, None) => {
                let flag = parent.node.flag;
                let new = EmptyNode { name: request.name, kind: Kind::Folder, mode: request.mode, flag };
                self.create_empty(caller, &parent, &folder, new).await?
            }
            (Kind::Symlink, Some(target)) if (1..=SYMLINK_MAX).contains(&target.len()) => {
                let body = futures::stream::once(async move { Ok(Bytes::from(target)) });
                let new =
                    Unborn { name: request.name, kind: Kind::Symlink, mode: 0o777, flag: Flag::default() };
                self.create_with(caller, &folder, new, Body::Whole(Box::pin(body))).await?
            }
            (Kind::Symlink, Some(_)) => {
                return Err(Failure::new(
                    Code::NameTooLong,
                    format!("a link's target has 1 to {SYMLINK_MAX} bytes"),
                ));
            }
            _ => {
                return Err(Failure::new(
                    Code::BadRequest,
                    "`target` goes with a symlink, and only with one",
                ));
            }
        };
        Ok(CreateResponse { attr, swapped: None })
    }

    /// Whether the caller may put this name into this folder.
    pub(super) fn may_create(
        &self,
        caller: &Caller,
        parent: &Seen,
        name: &Name,
    ) -> Outcome<Allowed<Checkin>> {
        if parent.node.kind != Kind::Folder {
            return Err(Failure::new(Code::NotFolder, "it is not a folder"));
        }
        if parent.node.parent.is_none() && name.is_owner_link() {
            return Err(Failure::new(
                Code::BadName,
                "names that begin with @ are other users' homes and cannot be created in a home's root",
            ));
        }
        self.allow(caller, parent, Checkin)
    }

    /// A node without content: a folder, or a document at version 0.
    pub(super) async fn create_empty(
        &self,
        caller: &Caller,
        parent: &Seen,
        folder: &Allowed<Checkin>,
        new: EmptyNode,
    ) -> Outcome<Attr> {
        self.must_have_room().await?;
        let EmptyNode { name, kind, mode, flag } = new;
        let (id, now_ns) = (NodeId::random(), nanoseconds(self.now()));
        let audit = self.audit_row(caller, AuditAction::Create, id, path_in(parent, &name), "");
        let new = NewNode { id, name, kind, mode: mode & 0o7777, flag, now_ns };
        let node = self.meta().create(folder, new, audit).await?;
        Ok(self.attr(&node, &facts_of_new(&parent.facts, node.id)))
    }

    /// A node with its first version. It is made known once its content is durable.
    pub(super) async fn create_with(
        &self,
        caller: &Caller,
        folder: &Allowed<Checkin>,
        new: Unborn,
        body: Body,
    ) -> Outcome<Attr> {
        self.must_have_room().await?;
        self.must_be_logged()?;
        let id = NodeId::random();
        let proof = folder.made(id);
        let mut upload = Assembler::begin(self, &proof, None, new.flag).await?;
        let end = match self.receive(&mut upload, body).await {
            Ok(end) => end,
            Err(failure) => {
                upload.abort().await;
                return Err(failure);
            }
        };
        let made = upload.finish(end.size).await?;
        let (parent, folder) = match self.still_allowed(caller, folder).await {
            Ok(allowed) => allowed,
            Err(failure) => {
                self.drop_pack(blob_of(made.pack.as_ref())).await;
                return Err(failure);
            }
        };
        let now_ns = nanoseconds(self.now());
        let (facts, path) = (facts_of_new(&parent.facts, id), path_in(&parent, &new.name));
        let mode = new.mode & 0o7777;
        let node = NewNode { id, name: new.name, kind: new.kind, mode, flag: Some(new.flag), now_ns };
        let proof = folder.made(id);
        let version = NewVersion {
            base: Version::NONE,
            previous: [0; 32],
            flag: new.flag,
            author: caller.uid.clone(),
            size: made.size,
            layout: made.layout,
            digests: made.digests,
            pack: made.pack,
            mtime_ns: now_ns,
            mode: None,
            consumes: None,
            create: Some(Creation { folder, node }),
        };
        let place = (AuditAction::Checkin, path.as_str());
        let node = self.make_version(caller, &proof, version, made.sealer, place).await?;
        Ok(self.attr(&node, &facts))
    }
}

/// The path of a name in a folder, for the audit log.
pub(super) fn path_in(folder: &Seen, name: &Name) -> String {
    format!("{}/{name}", folder.path)
}

/// What is to be created with content.
pub(super) struct Unborn {
    pub(super) name: Name,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) flag: Flag,
}

/// What is to be created without content.
pub(super) struct EmptyNode {
    pub(super) name: Name,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) flag: Option<Flag>,
}

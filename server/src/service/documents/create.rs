//! Creating documents, folders and links.
//!
//! Costs: one round trip; the folder's facts, one transaction. With content (a link's target, a PUT of a new document) the
//! node appears only once all of its content is sealed.

use bytes::Bytes;
use sss_common::limits::SYMLINK_MAX;
use sss_common::wire::fs::{Attr, CreateRequest, CreateResponse};
use sss_common::{Code, FileTime, Flag, Kind, Name, NodeId};

use crate::service::audit::AuditAction;
use crate::service::content::assemble::Assembler;
use crate::service::content::versions::NewVersion;
use crate::service::documents::checkin::{Body, Received};
use crate::service::rights::facts_of_new;
use crate::service::{Caller, Failure, Outcome, Service};
use crate::store::{Creation, Limited, NewNode, Seen};
use sss_policy::{Allowed, Checkin};

impl Service {
    /// A new, empty document, folder or link. A name that an editor has just vacated gets its document back.
    pub async fn fs_create(&self, caller: &Caller, request: CreateRequest) -> Outcome<CreateResponse> {
        let parent = self.rights.seen(caller, request.parent).await?;
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
                let limited = match request.copy_of {
                    Some(document) => self.limits_of_copy(caller, document).await?,
                    None => self.limits_of_backup(caller, &parent, &request.name).await?,
                };
                let new = NewEntry {
                    name: request.name,
                    kind: Kind::File,
                    mode: request.mode,
                    flag,
                    of_home: false,
                    limited,
                };
                self.create_empty(caller, &parent, &folder, new).await?
            }
            (Kind::Folder, None) => {
                let flag = parent.node.flag;
                let new = NewEntry {
                    name: request.name,
                    kind: Kind::Folder,
                    mode: request.mode,
                    flag,
                    of_home: false,
                    limited: Limited::No,
                };
                self.create_empty(caller, &parent, &folder, new).await?
            }
            (Kind::Symlink, Some(target)) if target.contains('\0') => {
                return Err(Failure::new(Code::BadName, "a link's target has no zero byte"));
            }
            (Kind::Symlink, Some(target)) if (1..=SYMLINK_MAX).contains(&target.len()) => {
                let body = futures::stream::once(async move { Ok(Bytes::from(target)) });
                let flag = Some(flag.unwrap_or_default());
                let new = NewEntry {
                    name: request.name,
                    kind: Kind::Symlink,
                    mode: 0o777,
                    flag,
                    of_home: false,
                    limited: Limited::No,
                };
                self.create_with(caller, &parent, &folder, new, Body::Whole(Box::pin(body))).await?
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

    /// Who may not have what was read in a document, and is kept in a copy of it. What the caller may not see keeps its limits for
    /// itself: the copy is for owners only, as where it is gone.
    async fn limits_of_copy(&self, caller: &Caller, document: NodeId) -> Outcome<Limited> {
        match self.rights.seen(caller, document).await {
            Ok(_) => Ok(Limited::As(document)),
            Err(failure) if failure.code == Code::NotFound => Ok(Limited::ToOwners),
            Err(failure) => Err(failure),
        }
    }

    /// An editor that copies a document to its backup's name makes a new one there, with what the document says: it is limited as that
    /// is. No query for a name that is no backup's.
    pub(in crate::service) async fn limits_of_backup(
        &self,
        caller: &Caller,
        parent: &Seen,
        name: &Name,
    ) -> Outcome<Limited> {
        for original in name.backed_up() {
            let found = self.rights.seen_child(caller, parent.node.id, &original).await?;
            if let Some(document) = found.filter(|seen| seen.node.kind == Kind::File) {
                return Ok(Limited::As(document.node.id));
            }
        }
        Ok(Limited::No)
    }

    /// Whether the caller may put this name into this folder.
    pub(in crate::service) fn may_create(
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
        self.rights.allow(caller, parent, Checkin)
    }

    /// A node without content: a folder, or a document at version 0.
    pub(in crate::service) async fn create_empty(
        &self,
        caller: &Caller,
        parent: &Seen,
        folder: &Allowed<Checkin>,
        new: NewEntry,
    ) -> Outcome<Attr> {
        self.contents.must_have_room().await?;
        let id = NodeId::random();
        let audit = self.audit.row(caller, AuditAction::Create, id, path_in(parent, &new.name), "");
        let (place, path) = (folder.node(), parent.path.as_str());
        let late = |error: &_| self.audit.note_late(caller, AuditAction::Create, place, path, error);
        let created = self.meta.create(folder, new.node(id, self.now().nanos()), audit).await;
        let node = created.inspect_err(late)?;
        Ok(self.rights.attr(&node, &facts_of_new(&parent.facts, &node)))
    }

    /// A node with its first version. It is made known once its content is durable.
    pub(in crate::service) async fn create_with(
        &self,
        caller: &Caller,
        parent: &Seen,
        folder: &Allowed<Checkin>,
        new: NewEntry,
        body: Body,
    ) -> Outcome<Attr> {
        self.contents.must_have_room().await?;
        self.audit.must_be_logged()?;

        let (id, flag) = (NodeId::random(), new.flag.unwrap_or_default());
        let proof = folder.made(id);
        let upload = Assembler::begin(&self.contents, &proof, None, flag).await?;
        let Received { seen: parent, allowed: folder, made, .. } =
            self.receive_all(caller, folder, &parent.path, upload, body).await?;
        let (now_ns, path) = (self.now().nanos(), path_in(&parent, &new.name));
        let mut version = NewVersion::after(None, flag, &caller.uid, made.content, now_ns);
        let node = NewNode { flag: Some(flag), ..new.node(id, now_ns) };
        let proof = folder.made(id);
        version.create = Some(Creation { folder, node });
        let place = (AuditAction::Checkin, path.as_str());
        let node = self.contents.make_version(caller, &proof, version, made.sealer, place).await?;
        Ok(self.rights.attr(&node, &facts_of_new(&parent.facts, &node)))
    }
}

/// The path of a name in a folder, for the audit log.
pub(in crate::service) fn path_in(folder: &Seen, name: &Name) -> String {
    format!("{}/{name}", folder.path)
}

/// What is to be created.
pub(in crate::service) struct NewEntry {
    pub(in crate::service) name: Name,
    pub(in crate::service) kind: Kind,
    pub(in crate::service) mode: u32,
    pub(in crate::service) flag: Option<Flag>,
    /// Whether it is the home's owner's, and not who makes it.
    pub(in crate::service) of_home: bool,
    /// Who may not have it, whatever its folder gives.
    pub(in crate::service) limited: Limited,
}

impl NewEntry {
    fn node(self, id: NodeId, now_ns: FileTime) -> NewNode {
        let NewEntry { name, kind, mode, flag, of_home, limited } = self;
        NewNode { id, name, kind, mode: mode & 0o7777, flag, of_home, limited, now_ns }
    }
}

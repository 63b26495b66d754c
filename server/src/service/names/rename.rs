//! Renaming, within one home. A rename that replaces a document checks the new content into it.
//!
//! Costs: one round trip; the facts of both folders and both names; whom it concerns, before and after; one transaction. No content moves, unless the
//! replaced document is an `integrity` one and the new content has no digests yet: then it is read once.

use sss_common::wire::fs::{Attr, Pin, RenameRequest, RenameResponse};
use sss_common::{Code, Kind};

use crate::service::audit::AuditAction;
use crate::service::content::versions::{NewVersion, VersionContent};
use crate::service::{Caller, Failure, Outcome, Service};
use crate::store::{Audience, Rename, Seen};
use sss_policy::{Allowed, Checkin, Delete, Own};

impl Service {
    /// Moves what stands under a name to another.
    pub async fn fs_rename(&self, caller: &Caller, request: RenameRequest) -> Outcome<RenameResponse> {
        let source_parent = self.rights.seen(caller, request.parent).await?;
        let source = self.rights.seen_child(caller, request.parent, &request.name).await?;
        let source = source.ok_or_else(Failure::not_found)?;
        let parent = match request.new_parent == request.parent {
            true => source_parent,
            false => self.rights.seen(caller, request.new_parent).await?,
        };
        let owned = self.rights.allow(caller, &source, Own)?;
        let into = self.may_create(caller, &parent, &request.new_name)?;
        if source.node.home != parent.node.home {
            return Err(Failure::new(
                Code::OtherHome,
                "documents cannot be renamed into another home; copy them",
            ));
        }
        let mut target = self.rights.seen_child(caller, request.new_parent, &request.new_name).await?;
        let mut swapped = None;
        if target.is_none()
            && source.node.kind == Kind::File
            && !request.no_replace
            && let Some((_, swap)) =
                self.refill(caller, &parent, &into, &request.new_name, Some(source.node.id)).await?
        {
            swapped = Some(swap);
            target = self.rights.seen_child(caller, request.new_parent, &request.new_name).await?;
        }
        let moved = Pin { node: source.node.id, version: source.node.version };
        let attr = self.put_in_place(caller, &request, Moving { source, owned, into }, target).await?;
        // What only moved may have been checked in meanwhile; what was consumed is the version that was seen.
        let content_of = if attr.node == moved.node { Pin { version: attr.version, ..moved } } else { moved };
        Ok(RenameResponse { attr, content_of, swapped })
    }

    async fn put_in_place(
        &self,
        caller: &Caller,
        request: &RenameRequest,
        moving: Moving,
        target: Option<Seen>,
    ) -> Outcome<Attr> {
        let Some(target) = target else { return self.move_to(caller, request, moving, None).await };
        let source = &moving.source;
        if target.node.id == source.node.id {
            return Ok(self.rights.attr_of(source));
        }
        if request.no_replace {
            return Err(Failure::new(Code::Exists, "the new name is taken"));
        }
        match (source.node.kind, target.node.kind) {
            (Kind::File, Kind::File) if !is_backup(request) => {
                self.check_in_onto(caller, moving, &target).await
            }
            (Kind::Folder, Kind::Folder) | (Kind::File | Kind::Symlink, Kind::File | Kind::Symlink) => {
                self.move_to(caller, request, moving, Some(&target)).await
            }
            (Kind::Folder, _) => Err(Failure::new(Code::NotFolder, "the new name is not a folder")),
            (_, Kind::Folder) => Err(Failure::new(Code::IsFolder, "the new name is a folder")),
        }
    }

    /// A plain move; a document, link or empty folder that stands in the way goes.
    async fn move_to(
        &self,
        caller: &Caller,
        request: &RenameRequest,
        Moving { source, owned, into }: Moving,
        target: Option<&Seen>,
    ) -> Outcome<Attr> {
        let replacing = target.map(|target| self.rights.allow(caller, target, Delete)).transpose()?;
        let detail = format!("to {}", request.new_name);
        let audit = self.audit.row(caller, AuditAction::Rename, source.node.id, &source.path, detail);
        let rename = Rename {
            parent: request.parent,
            name: request.name.clone(),
            into,
            new_name: request.new_name.clone(),
            replacing,
            now_ns: self.now().nanos(),
        };
        let replaced = target.map(|target| target.node.id);
        let those: Vec<_> = replaced.into_iter().chain([source.node.id]).collect();
        let concerned = self.concerned(&those).await?;
        let late = |error: &_| {
            self.audit.note_late(caller, AuditAction::Rename, source.node.id, &source.path, error)
        };
        let node = self.meta.rename(&owned, rename, audit).await.inspect_err(late)?;
        if let Some(target) = target {
            self.contents.forget(target.node.id);
        }
        if node.kind == Kind::File {
            let (from, to) = ((request.parent, &request.name), (request.new_parent, &request.new_name));
            self.note_vacated(caller, &node, from, to);
        }
        // What is inherited from folders changes with the place.
        let there = self.meta.audience(node.id, self.now()).await;
        self.hub.moved(concerned.and(there.unwrap_or(Audience::Everyone)));
        self.waking.wake();
        Ok(self.rights.attr_of(&self.rights.seen(caller, node.id).await?))
    }

    /// The document under the new name keeps its grants, flag, owner and history, and gets the source's content as its
    /// next version; the source is gone.
    async fn check_in_onto(&self, caller: &Caller, moving: Moving, target: &Seen) -> Outcome<Attr> {
        let Moving { source, owned, .. } = moving;
        let allowed = self.rights.allow(caller, target, Checkin)?;
        let flag = target.node.flag.unwrap_or_default();
        let base = self.contents.current_content(caller, &allowed, target).await?;
        let content = match self.contents.current_content(caller, &owned, &source).await? {
            None => VersionContent::default(),
            Some(content) => self.contents.content_under(caller, &owned, &source, &content, flag).await?,
        };
        let mut new = NewVersion::after(base.as_deref(), flag, &caller.uid, content, source.node.mtime_ns);
        new.mode = self.rights.attr_of(target).right.owner.then_some(source.node.mode);
        new.consumes = Some((owned, source.node.version));
        let sealer = self.contents.begin(&allowed).await?;
        let place = (AuditAction::CheckinByRename, target.path.as_str());
        let concerned = self.concerned(&[source.node.id, target.node.id]).await?;
        let made = self.contents.make_version(caller, &allowed, new, sealer, place).await;
        // Where the storage failed, the source may be gone all the same.
        self.hub.moved(concerned);
        let node = made?;
        self.contents.forget(source.node.id);
        Ok(self.rights.attr(&node, &target.facts))
    }
}

/// What is renamed, and the rights to take it from where it is and to put it where it goes.
struct Moving {
    source: Seen,
    owned: Allowed<Own>,
    into: Allowed<Checkin>,
}

fn is_backup(request: &RenameRequest) -> bool {
    request.parent == request.new_parent && request.name.has_backup(&request.new_name)
}

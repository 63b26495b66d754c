//! Documents by path: the public calls.
//!
//! Costs: the facts of each name on the path, then as the mount's calls.

use std::sync::Arc;

use sss_common::receipt::SignedReceipt;
use sss_common::wire::documents::CheckedIn;
use sss_common::wire::fs::Attr;
use sss_common::{Code, DocPath, Flag, Kind, Name, NodeId, Version};

use crate::service::documents::checkin::Body;
use crate::service::documents::create::NewEntry;
use crate::service::{ByteStream, Caller, Checkout, Failure, Outcome, Precondition, RangeRequest, Service};
use crate::store::{Limited, Seen};
use sss_policy::{Allowed, Checkin, Own};

impl Service {
    /// Checks a whole document in. Creates it, and the folders on the way, where the caller may. True: it was created.
    pub async fn put_document(
        &self,
        caller: &Caller,
        path: &DocPath,
        flag: Option<Flag>,
        only_if: Precondition,
        body: ByteStream,
    ) -> Outcome<(CheckedIn, bool)> {
        let (folders, name) = split(path)?;
        let (mut parent, missing) = self.nearest_folder(caller, path, folders).await?;
        if let Some(first) = missing.first() {
            let folder = self.may_create(caller, &parent, first)?;
            must_be_new(only_if)?;
            parent = self.make_folders(caller, parent, folder, missing).await?;
        }
        let there = self.rights.seen_child(caller, parent.node.id, name).await?;
        match (there, only_if) {
            (Some(_), Precondition::Absent) => Err(already_there()),
            (Some(seen), _) => {
                let attr = self.replace(caller, seen, flag, only_if, body).await?;
                Ok((CheckedIn { version: attr.version }, false))
            }
            (None, _) => {
                let folder = self.may_create(caller, &parent, name)?;
                must_be_new(only_if)?;
                let attr = self.create_document(caller, &parent, &folder, name, flag, body).await?;
                Ok((CheckedIn { version: attr.version }, true))
            }
        }
    }

    /// Checks a document out.
    pub async fn get_document(
        self: &Arc<Self>,
        caller: &Caller,
        path: &DocPath,
        range: RangeRequest,
    ) -> Outcome<Checkout> {
        let generation = self.hub.generation();
        let seen = self.rights.seen_path(caller, path).await?;
        self.check_out(caller, &seen, generation, range).await
    }

    /// A document's attributes, for who may check it out.
    pub async fn head_document(&self, caller: &Caller, path: &DocPath) -> Outcome<Attr> {
        let seen = self.rights.seen_path(caller, path).await?;
        self.rights.allow(caller, &seen, sss_policy::Checkout)?;
        if seen.node.kind == Kind::Folder {
            return Err(Failure::new(Code::IsFolder, "it is a folder"));
        }
        Ok(self.rights.attr_of(&seen))
    }

    /// Deletes a document, or an empty folder. Returns when its keys are erased, with the receipt: the facts of the
    /// path, one transaction, one erasure, one signature.
    pub async fn delete_document(
        &self,
        caller: &Caller,
        path: &DocPath,
        only_if: Precondition,
    ) -> Outcome<SignedReceipt> {
        split(path)?;
        let seen = self.rights.seen_path(caller, path).await?;
        let version = match only_if {
            Precondition::Version(version) => Some(version),
            Precondition::None | Precondition::Absent => None,
        };
        let deletion = self.delete(caller, &seen, version).await?;
        self.upkeep.give_receipt(caller, deletion).await
    }

    async fn replace(
        &self,
        caller: &Caller,
        seen: Seen,
        flag: Option<Flag>,
        only_if: Precondition,
        body: ByteStream,
    ) -> Outcome<Attr> {
        if seen.node.kind == Kind::Folder {
            return Err(Failure::new(Code::IsFolder, "it is a folder"));
        }
        let base = match only_if {
            Precondition::Version(version) => version,
            Precondition::None | Precondition::Absent => seen.node.version,
        };
        let body = Body::Whole(body);
        match flag.filter(|flag| Some(*flag) != seen.node.flag) {
            None => {
                let allowed = self.rights.allow(caller, &seen, Checkin)?;
                self.check_in(caller, &seen, &allowed, base, body, None).await
            }
            // Another flag is the owner's to set.
            Some(flag) => {
                let owned = self.rights.allow(caller, &seen, Own)?;
                self.check_in(caller, &seen, &owned, base, body, Some(flag)).await
            }
        }
    }

    /// The last folder on the way that is there, and the names of those that are not.
    async fn nearest_folder<'p>(
        &self,
        caller: &Caller,
        path: &DocPath,
        folders: &'p [Name],
    ) -> Outcome<(Seen, &'p [Name])> {
        let mut seen = self.rights.seen_home(caller, &path.owner).await?;
        for (at, name) in folders.iter().enumerate() {
            match self.rights.seen_child(caller, seen.node.id, name).await? {
                Some(child) => seen = child,
                None => return Ok((seen, &folders[at..])),
            }
        }
        Ok((seen, &[]))
    }

    async fn make_folders(
        &self,
        caller: &Caller,
        mut parent: Seen,
        mut folder: Allowed<Checkin>,
        names: &[Name],
    ) -> Outcome<Seen> {
        for name in names {
            let made = self.make_folder(caller, &parent, &folder, name).await?;
            (parent, folder) = self.rights.permit(caller, made, Checkin).await?;
        }
        Ok(parent)
    }

    /// What somebody else made in this moment is as good as made here.
    async fn make_folder(
        &self,
        caller: &Caller,
        parent: &Seen,
        folder: &Allowed<Checkin>,
        name: &Name,
    ) -> Outcome<NodeId> {
        let flag = parent.node.flag;
        // What a guest makes on the way to his document is not his: others will put theirs there too.
        let new = NewEntry {
            name: name.clone(),
            kind: Kind::Folder,
            mode: 0o755,
            flag,
            of_home: true,
            limited: Limited::No,
        };
        match self.create_empty(caller, parent, folder, new).await {
            Err(failure) if failure.code == Code::Exists => {
                let there = self.rights.seen_child(caller, parent.node.id, name).await?.ok_or(failure)?;
                match there.node.kind {
                    Kind::Folder => Ok(there.node.id),
                    Kind::File | Kind::Symlink => Err(Failure::new(Code::NotFolder, "it is not a folder")),
                }
            }
            made => Ok(made?.node),
        }
    }

    async fn create_document(
        &self,
        caller: &Caller,
        parent: &Seen,
        folder: &Allowed<Checkin>,
        name: &Name,
        flag: Option<Flag>,
        body: ByteStream,
    ) -> Outcome<Attr> {
        let limited = self.limits_of_backup(caller, parent, name).await?;
        let new = NewEntry {
            name: name.clone(),
            kind: Kind::File,
            mode: 0o644,
            flag: flag.or(parent.node.flag),
            of_home: false,
            limited,
        };
        match self.create_with(caller, parent, folder, new, Body::Whole(body)).await {
            // Somebody else saved it while the body was on its way, as with a document that was there before.
            Err(failure) if failure.code == Code::Exists => {
                match self.rights.seen_child(caller, parent.node.id, name).await? {
                    Some(there) if there.node.kind == Kind::Folder => {
                        Err(Failure::new(Code::IsFolder, "it is a folder"))
                    }
                    Some(_) => Err(already_there()),
                    None => Err(failure),
                }
            }
            outcome => outcome,
        }
    }
}

/// What is not there has no version that the caller could name.
fn must_be_new(only_if: Precondition) -> Outcome<()> {
    match only_if {
        Precondition::Version(_) => {
            Err(Failure::new(Code::VersionMoved, "there is no such version: there is no document"))
        }
        Precondition::None | Precondition::Absent => Ok(()),
    }
}

fn already_there() -> Failure {
    Failure::new(Code::VersionMoved, "the document is already there")
}

fn split(path: &DocPath) -> Outcome<(&[Name], &Name)> {
    path.names
        .split_last()
        .map(|(name, folders)| (folders, name))
        .ok_or_else(|| Failure::new(Code::IsFolder, "a home is a folder"))
}

impl From<Version> for Precondition {
    fn from(version: Version) -> Self {
        Precondition::Version(version)
    }
}

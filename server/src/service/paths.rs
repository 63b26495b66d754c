//! Documents by path: the public calls.
//!
//! Costs: the facts of each name on the path, then as the mount's calls.

use std::sync::Arc;

use sss_common::receipt::SignedReceipt;
use sss_common::wire::documents::CheckedIn;
use sss_common::wire::fs::Attr;
use sss_common::{Code, DocPath, Flag, Kind, Name, Version};

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
        let (parent, missing) = self.nearest_folder(caller, path, folders).await?;
        let existing = match missing.is_empty() {
            true => self.rights.seen_child(caller, parent.node.id, name).await?,
            false => None,
        };
        match (existing, only_if) {
            (Some(_), Precondition::Absent) => {
                Err(Failure::new(Code::VersionMoved, "the document is already there"))
            }
            (Some(seen), _) => {
                let attr = self.replace(caller, seen, flag, only_if, body).await?;
                Ok((CheckedIn { version: attr.version }, false))
            }
            (None, Precondition::Version(_)) => {
                self.may_create(caller, &parent, missing.first().unwrap_or(name))?;
                Err(Failure::new(Code::VersionMoved, "there is no such version: there is no document"))
            }
            (None, _) => {
                let folder = self.may_create(caller, &parent, missing.first().unwrap_or(name))?;
                let (parent, folder) = self.make_folders(caller, parent, folder, missing).await?;
                let flag = flag.or(parent.node.flag);
                let limited = self.limits_of_backup(caller, &parent, name).await?;
                let new = NewEntry {
                    name: name.clone(),
                    kind: Kind::File,
                    mode: 0o644,
                    flag,
                    of_home: false,
                    limited,
                };
                let attr = self.create_with(caller, &parent, &folder, new, Body::Whole(body)).await?;
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
    ) -> Outcome<(Seen, Allowed<Checkin>)> {
        for name in names {
            let (name, flag) = (name.clone(), parent.node.flag);
            // What a guest makes on the way to his document is not his: others will put theirs there too.
            let new =
                NewEntry { name, kind: Kind::Folder, mode: 0o755, flag, of_home: true, limited: Limited::No };
            let made = self.create_empty(caller, &parent, &folder, new).await?;
            (parent, folder) = self.rights.permit(caller, made.node, Checkin).await?;
        }
        Ok((parent, folder))
    }
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

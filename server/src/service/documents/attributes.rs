//! Mode, times, flag, extended attributes, the record, and the room there is.
//!
//! Costs: one round trip each; the facts and one read or transaction. A new flag for a document with content makes a new
//! version; towards `integrity` it reads the content once.

use sss_common::limits::{XATTR_NAME_MAX, XATTR_VALUE_MAX};
use sss_common::wire::calls::*;
use sss_common::{Code, Flag, Kind, Version};

use crate::service::audit::AuditAction;
use crate::service::content::versions::NewVersion;
use crate::service::{Caller, Failure, Outcome, Service};
use crate::store::{Seen, SetAttr, StoreError};
use sss_policy::{Allowed, Checkin, Checkout, MayWrite, Own};

impl Service {
    /// Mode (the owner's to set) and modification time (with the right to check in).
    pub async fn fs_setattr(&self, caller: &Caller, request: SetAttrRequest) -> Outcome<Attr> {
        let (seen, proof): (Seen, Box<dyn MayWrite>) = if request.mode.is_some() {
            let (seen, owned) = self.rights.permit(caller, request.node, Own).await?;
            (seen, Box::new(owned))
        } else {
            let (seen, allowed) = self.rights.permit(caller, request.node, Checkin).await?;
            (seen, Box::new(allowed))
        };
        let set = SetAttr {
            mode: request.mode.map(|mode| mode & 0o7777),
            mtime_ns: request.mtime_ns,
            now: self.now(),
        };
        let node = self.meta.set_attr(&*proof, set).await?;
        Ok(self.rights.attr(&node, &seen.facts))
    }

    /// A document's protection, or what a folder's new documents get.
    pub async fn fs_setflag(&self, caller: &Caller, request: SetFlagRequest) -> Outcome<Attr> {
        let (seen, allowed) = self.rights.permit(caller, request.node, Own).await?;
        let same = seen.node.flag == Some(request.flag);
        let node = match (seen.node.kind, seen.node.version) {
            _ if same => seen.node.clone(),
            (Kind::Folder, _) | (_, Version::NONE) => {
                let flag = request.flag.as_str();
                let audit = self.audit.row(caller, AuditAction::Flag, seen.node.id, &seen.path, flag);
                let (node, path) = (seen.node.id, seen.path.as_str());
                let late = |error: &_| self.audit.note_late(caller, AuditAction::Flag, node, path, error);
                self.meta.set_flag(&allowed, request.flag, audit).await.inspect_err(late)?
            }
            _ => self.reflag(caller, &seen, &allowed, request.flag).await?,
        };
        Ok(self.rights.attr(&node, &seen.facts))
    }

    /// The same content as a new version under the other flag.
    async fn reflag(
        &self,
        caller: &Caller,
        seen: &Seen,
        allowed: &Allowed<Own>,
        flag: Flag,
    ) -> Outcome<crate::store::Node> {
        let content = self.contents.content(caller, allowed, seen, seen.node.version).await?;
        let same = self.contents.content_under(caller, allowed, seen, &content, flag).await?;
        let new = NewVersion::after(Some(&content), flag, &caller.uid, same, seen.node.mtime_ns);
        let sealer = self.contents.begin(allowed).await?;
        self.contents.make_version(caller, allowed, new, sealer, (AuditAction::Flag, &seen.path)).await
    }

    /// Other `user.*` attributes, for who has any live right.
    pub async fn fs_xattrs(&self, caller: &Caller, request: NodeRequest) -> Outcome<XattrsResponse> {
        let seen = self.rights.seen(caller, request.node).await?;
        let right = self.rights.attr_of(&seen).right;
        if !(right.checkout || right.checkin) {
            return Ok(XattrsResponse::default());
        }
        let xattrs = self.meta.xattrs(request.node).await?;
        let encode = |(name, value): (String, Vec<u8>)| Xattr { name, value: value.into() };
        Ok(XattrsResponse { xattrs: xattrs.into_iter().map(encode).collect() })
    }

    /// Sets one, with the right to check in.
    pub async fn fs_setxattr(&self, caller: &Caller, request: SetXattrRequest) -> Outcome<()> {
        let (_, allowed) = self.rights.permit(caller, request.node, Checkin).await?;
        let name = user_attribute(&request.xattr.name)?;
        let Base64(value) = request.xattr.value;
        if value.len() > XATTR_VALUE_MAX {
            return Err(Failure::new(Code::TooLarge, format!("a value has at most {XATTR_VALUE_MAX} bytes")));
        }
        self.contents.must_have_room().await?;
        let now = self.now();
        self.meta.set_xattr(&allowed, name, &value, request.mode, now).await.map_err(attribute_failure)
    }

    /// Removes one, with the right to check in.
    pub async fn fs_removexattr(&self, caller: &Caller, request: RemoveXattrRequest) -> Outcome<()> {
        let (_, allowed) = self.rights.permit(caller, request.node, Checkin).await?;
        let name = user_attribute(&request.name)?;
        self.meta.remove_xattr(&allowed, name, self.now()).await.map_err(attribute_failure)
    }

    /// A version's record and signature, for who may check it out.
    pub async fn fs_record(&self, caller: &Caller, request: RecordRequest) -> Outcome<RecordResponse> {
        let (seen, allowed) = self.rights.permit(caller, request.node, Checkout).await?;
        let version = request.version.unwrap_or(seen.node.version);
        if seen.node.kind == Kind::Folder || version == Version::NONE {
            return Err(Failure::new(Code::NotFound, "nothing was checked in under this name"));
        }
        self.must_be_shared(caller, &seen, version).await?;
        let content = self.contents.content(caller, &allowed, &seen, version).await?;
        Ok(RecordResponse {
            record: content.body.record.encode().into(),
            signature: content.body.signature.clone().map(Base64::from),
            server_key: self.contents.public_keys_pem(),
        })
    }

    /// The room on the server.
    pub async fn fs_statfs(&self, _caller: &Caller, _: Empty) -> Outcome<StatfsResponse> {
        self.contents.room().await
    }
}

fn user_attribute(name: &str) -> Outcome<&str> {
    let rest = name.strip_prefix("user.").filter(|rest| !rest.is_empty() && !rest.starts_with("3s."));
    if rest.is_none() || name.contains('\0') {
        return Err(Failure::new(Code::BadName, "only user.* attributes other than user.3s.* are kept"));
    }
    if name.len() > XATTR_NAME_MAX {
        return Err(Failure::new(Code::NameTooLong, format!("a name has at most {XATTR_NAME_MAX} bytes")));
    }
    Ok(name)
}

fn attribute_failure(error: StoreError) -> Failure {
    match error {
        StoreError::NotFound => Failure::new(Code::NotFound, "there is no such attribute"),
        StoreError::Exists => Failure::new(Code::Exists, "the attribute is already there"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_user_attributes_that_are_not_ours_are_kept() {
        for good in ["user.a", "user.mime_type", "user.3", "user.3sx"] {
            assert!(user_attribute(good).is_ok(), "{good}");
        }
        let long = format!("user.{}", "x".repeat(XATTR_NAME_MAX));
        for bad in ["", "user.", "user.3s.flag", "security.capability", "system.posix_acl_access", "a", &long]
        {
            assert!(user_attribute(bad).is_err(), "{bad}");
        }
    }
}

//! The names of extended attributes, and what each stands for.

use fuser::Errno;
use sss_common::{Grantee, NodeId, XattrMode};

use super::{Answer, Failure};

/// A name, sorted by who answers it.
pub(super) enum Attribute<'a> {
    Grant(Grantee),
    Flag,
    Owner,
    Author,
    Version,
    Right,
    Signature,
    /// The version's record, which the signature is over; for `3s verify`.
    Record,
    /// The document's id, by which its receipt is asked for once it is deleted; for `3s rm`.
    Id,
    /// The receipt of a deleted document; on the mount's root only.
    Receipt(NodeId),
    /// The public key that the server shows, for the first `3s verify`.
    ServerKey,
    Why,
    /// `user.3s.` and something that does not exist.
    Unknown,
    Other(&'a str),
    /// `security.*` and the like: never a request.
    Foreign,
}

impl<'a> Attribute<'a> {
    /// What a name stands for.
    pub(super) fn named(name: &'a str) -> Answer<Self> {
        let Some(rest) = name.strip_prefix("user.3s.") else {
            return Ok(if name.starts_with("user.") { Attribute::Other(name) } else { Attribute::Foreign });
        };
        if let Some(grantee) = rest.strip_prefix("grant.") {
            let parsed = grantee.parse::<Grantee>();
            return parsed.map(Attribute::Grant).map_err(|error| {
                Failure::new(Errno::EINVAL, format!("{grantee:?} is no user and not ALL: {error}"))
            });
        }
        if let Some(document) = rest.strip_prefix("receipt.") {
            return Ok(document.parse().map_or(Attribute::Unknown, Attribute::Receipt));
        }
        Ok(match rest {
            "flag" => Attribute::Flag,
            "owner" => Attribute::Owner,
            "author" => Attribute::Author,
            "version" => Attribute::Version,
            "right" => Attribute::Right,
            "signature" => Attribute::Signature,
            "record" => Attribute::Record,
            "id" => Attribute::Id,
            "server_key" => Attribute::ServerKey,
            "why" => Attribute::Why,
            _ => Attribute::Unknown,
        })
    }
}

/// How `setxattr(2)` is to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetMode(pub XattrMode);

impl SetMode {
    /// `setxattr(2)`'s flags.
    pub fn from_flags(flags: i32) -> SetMode {
        SetMode(match flags {
            libc::XATTR_CREATE => XattrMode::Create,
            libc::XATTR_REPLACE => XattrMode::Replace,
            _ => XattrMode::Any,
        })
    }
}

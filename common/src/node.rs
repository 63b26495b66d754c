//! What a node is, what somebody may do with it, and how its attributes may be set.

use serde::{Deserialize, Serialize};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A document with versions.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; its target is its content, so reading it is a check-out.
    Symlink,
}

/// What the asking user may do, as the policy says at the moment of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Effective {
    /// Owns the document: has the home in which it lies, or made it there as a guest and still has a right there.
    pub owner: bool,
    /// May read.
    pub checkout: bool,
    /// May write.
    pub checkin: bool,
    /// Milliseconds until this right ends, from the moment of the answer. Missing: it does not (the home's owner).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_in_ms: Option<u64>,
}

impl Effective {
    /// Whether nobody can take it away: the home is the user's own.
    pub fn is_for_good(&self) -> bool {
        self.owner && self.ends_in_ms.is_none()
    }

    /// The word of `user.3s.right`: `owner`, `both`, `checkout`, `checkin` or `none`.
    pub fn as_str(&self) -> &'static str {
        match (self.owner, self.checkout, self.checkin) {
            (true, _, _) => "owner",
            (_, true, true) => "both",
            (_, true, false) => "checkout",
            (_, false, true) => "checkin",
            (_, false, false) => "none",
        }
    }
}

/// When `setxattr` may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum XattrMode {
    /// Whether it is there or not.
    #[default]
    Any,
    /// `XATTR_CREATE`: answers `exists` when it is there.
    Create,
    /// `XATTR_REPLACE`: answers `not_found` when it is not.
    Replace,
}

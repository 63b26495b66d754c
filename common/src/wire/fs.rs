//! `/v1/fs/…`: what the mount needs beyond the public calls. Which type is which call's: [`super::calls`].
//!
//! Every request is a `POST` with a JSON body to `/v1/fs/NAME`, except: `read` is a ranged `GET` of
//! `/v1/fs/read/NODE/VERSION`; `checkin` is a `POST` to `/v1/fs/checkin/NODE?base=VERSION` whose body is
//! framed (see [`crate::framing`]); `events` is a `GET` whose answer is a stream of JSON lines.

use serde::{Deserialize, Serialize};

use crate::wire::documents::GrantInfo;
use crate::wire::text::Base64;
use crate::{
    Effective, FileTime, Flag, Grantee, Kind, MachineName, Name, NodeId, Right, Uid, Version, When, XattrMode,
};

/// A document's or folder's attributes as the asking user may see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attr {
    /// The node's id.
    pub node: NodeId,
    /// Document, folder or symbolic link.
    pub kind: Kind,
    /// Bytes of the current version; 0 for who has no live right, and for folders.
    pub size: u64,
    /// The stored permission bits (`0o7777`), not yet cut down to the right.
    pub mode: u32,
    /// Last change of content, nanoseconds since the Unix epoch.
    pub mtime_ns: FileTime,
    /// Last change of anything, nanoseconds since the Unix epoch.
    pub ctime_ns: FileTime,
    /// The current version; 0 for folders.
    pub version: Version,
    /// The user who created it.
    pub owner: Uid,
    /// The user who checked in the current version; missing when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Uid>,
    /// Its protection; on a folder, what new documents in it get. Missing on a folder: not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<Flag>,
    /// What the asking user may do with it.
    pub right: Effective,
}

/// `home`: the root of a user's home, as far as it is shared with the asking user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HomeRequest {
    /// The owner of the home.
    pub uid: Uid,
}

/// `homes`: the other users with anything in their home that the asking user has a live right on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HomesResponse {
    /// In the order of their bytes.
    pub uids: Vec<Uid>,
}

/// `lookup`: one name in a folder. Answers an [`Attr`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LookupRequest {
    /// The folder.
    pub parent: NodeId,
    /// The name in it.
    pub name: Name,
}

/// A request about one node: `attr`, `grants`, `xattrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeRequest {
    /// The node's id.
    pub node: NodeId,
}

/// `list`: a folder's entries in the order of their names' bytes, with attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListRequest {
    /// The folder.
    pub folder: NodeId,
    /// Entries behind this name; from the first when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Name>,
    /// At most so many; the server caps it at `limits::LIST_MAX`.
    pub limit: u32,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// Its attributes.
    pub attr: Attr,
}

/// A part of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListResponse {
    /// Entries that the asking user has a live right on or that lead to one.
    pub entries: Vec<Entry>,
    /// Whether there are more behind the last of these.
    pub more: bool,
}

/// `create`: a new, empty document, folder or link. An existing name is `exists`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateRequest {
    /// The folder.
    pub parent: NodeId,
    /// The name in it.
    pub name: Name,
    /// Document, folder or symbolic link.
    pub kind: Kind,
    /// Permission bits, within `0o7777`.
    pub mode: u32,
    /// A document's protection; the folder's, then the server's default when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<Flag>,
    /// A symbolic link's target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The document whose draft is kept in this new one: the grants on it are the copy's limits, so that nobody reads in the
    /// copy what was not his to read. Where it is gone, hidden or in another folder, the copy is for its owners alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<NodeId>,
}

/// The editors' rule at work: the document that was renamed to a backup name a moment ago is back under its
/// name, and what stands under the backup name is now another document with the same content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Swapped {
    /// The backup's new node.
    pub backup: Attr,
    /// The old document's version whose content the backup has.
    pub content_of: Pin,
    /// The folder in which the backup stands.
    pub folder: NodeId,
    /// The backup's name.
    pub name: Name,
}

/// What `create` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateResponse {
    /// The new document; with `swapped`, the old one back under its name, whose next check-in replaces its
    /// content.
    pub attr: Attr,
    /// Whether the editors' rule was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapped: Option<Swapped>,
}

/// `open`: checks out the current version and pins it. Answers an [`Attr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenRequest {
    /// The document's id.
    pub node: NodeId,
    /// The right that the opener needs.
    pub want: Right,
    /// Pins this version rather than the current one; for taking a pin up again after a server restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// A pinned version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pin {
    /// The document's id.
    pub node: NodeId,
    /// The version that is pinned.
    pub version: Version,
}

/// `close`: gives pins back; one that is not held is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CloseRequest {
    /// One for each `open`.
    pub pins: Vec<Pin>,
}

/// The end frame of a check-in. Answers an [`Attr`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckinEnd {
    /// The document's size in bytes; what is not covered by the base or by frames reads as zeroes.
    pub size: u64,
    /// The content's modification time, nanoseconds since the Unix epoch; the server's time when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime_ns: Option<FileTime>,
    /// New permission bits, within `0o7777`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Whether the session holds the version that this makes, as if it had opened it: `close` gives it back. For who made
    /// the document, or wrote it without having opened its base: otherwise nobody would keep the version for it once
    /// somebody else's check-in replaces it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
}

/// `setattr`: attributes without content. Answers an [`Attr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetAttrRequest {
    /// The node's id.
    pub node: NodeId,
    /// New permission bits, within `0o7777`; the owner's to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// New modification time, nanoseconds since the Unix epoch; needs the right to check in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime_ns: Option<FileTime>,
}

/// `rename`, within one home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RenameRequest {
    /// The folder to move from.
    pub parent: NodeId,
    /// The name in it.
    pub name: Name,
    /// The folder to move into.
    pub new_parent: NodeId,
    /// The name to get there.
    pub new_name: Name,
    /// Answers `exists` when the new name is taken (`RENAME_NOREPLACE`).
    #[serde(default)]
    pub no_replace: bool,
}

/// What now stands under the new name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RenameResponse {
    /// The document under the new name. When it replaced a document, that document (its grants, flag, owner
    /// and history) with a new version that has the renamed one's content; the renamed node is gone.
    pub attr: Attr,
    /// The renamed node's version whose content it has.
    pub content_of: Pin,
    /// Whether the editors' rule was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapped: Option<Swapped>,
}

/// `remove`: a document or link, or an empty folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RemoveRequest {
    /// The folder.
    pub parent: NodeId,
    /// The name in it.
    pub name: Name,
    /// Whether it must be a folder (`rmdir`) or must not (`unlink`).
    pub folder: bool,
}

/// `receipt`: what the server signs about a document that is deleted, for who deleted it and for the owner of
/// the home that it lay in. Waits until its keys are erased. Answers a [`crate::receipt::SignedReceipt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReceiptRequest {
    /// The document's id.
    pub document: NodeId,
}

/// `xattrs`: a node's other `user.*` attributes, all of them with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct XattrsResponse {
    /// In the order of their names.
    pub xattrs: Vec<Xattr>,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Xattr {
    /// `user.…`, never `user.3s.…`.
    pub name: String,
    /// Its bytes, at most `limits::XATTR_VALUE_MAX`.
    pub value: Base64,
}

/// `setxattr`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetXattrRequest {
    /// The node's id.
    pub node: NodeId,
    /// The attribute to set.
    pub xattr: Xattr,
    /// Whether it must be there already, or must not.
    #[serde(default)]
    pub mode: XattrMode,
}

/// `removexattr`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RemoveXattrRequest {
    /// The node's id.
    pub node: NodeId,
    /// The attribute's name.
    pub name: String,
}

/// `grants`: answers the grants on this very node, as [`GrantInfo`]s.
pub type GrantsResponse = crate::wire::documents::GrantList;

/// `grant`. Answers the [`GrantInfo`] that was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetGrantRequest {
    /// The node's id.
    pub node: NodeId,
    /// `ALL` or a uid.
    pub grantee: Grantee,
    /// What is allowed.
    pub right: Right,
    /// The end; the server's `default_ttl` when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// The stored grant.
pub type SetGrantResponse = GrantInfo;

/// `revoke`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RevokeRequest {
    /// The node's id.
    pub node: NodeId,
    /// `ALL` or a uid.
    pub grantee: Grantee,
}

/// `setflag`. Answers an [`Attr`]; on a document with content this makes a new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetFlagRequest {
    /// The node's id.
    pub node: NodeId,
    /// Its protection.
    pub flag: Flag,
}

/// `record`: a version's record and signature, needs the right to check out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordRequest {
    /// The document's id.
    pub node: NodeId,
    /// A version that there is still; the current one when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// A version's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordResponse {
    /// The encoded [`crate::record::VersionRecord`].
    pub record: Base64,
    /// The server's signature; missing unless the version is an `integrity` one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Base64>,
    /// The server's public key as PEM (SPKI); behind it, newest first, those that it had before.
    pub server_key: String,
}

/// `revocations`: the lists in the server's `ca.crl`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RevocationsResponse {
    /// Each a CRL (RFC 5280) as DER. Take one for its authority's signature and for a number above that of the list you have.
    pub lists: Vec<Base64>,
}

/// `statfs`: the room on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StatfsResponse {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that can still be written.
    pub available: u64,
}

/// One line of `events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line, and then every few seconds, so that silence means a broken line.
    Alive {
        /// The longest silence to expect, in milliseconds.
        every_ms: u64,
    },
    /// Rights of this user changed or a document went away: what is open must be asked for again.
    RightsChanged,
    /// The server's revocation lists may be others than before; see `revocations`.
    RevocationsChanged,
    /// The session is over: another login took its place.
    SessionReplaced {
        /// Where the other login came from.
        by_node: MachineName,
    },
    /// The session is over for another reason.
    SessionEnded {
        /// Which, in words for people; empty from a server that does not say.
        #[serde(default)]
        reason: String,
    },
}

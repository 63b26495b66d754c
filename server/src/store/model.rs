//! What the stores keep, as the service sees it.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use sss_common::{
    Epoch, FileTime, Flag, Grantee, Kind, MachineName, Name, NodeId, PackId, Right, Timestamp, Uid, Version,
};

use sss_policy::{Allowed, Checkin, Delete, Facts, Own};
use sss_vault::sealed::{KeyImage, Leaf};

/// SHA-256 of a session token. Tokens themselves are never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// SHA-256 of a machine certificate's DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Fingerprint(Sha256::digest(certificate).into())
    }
}

/// What keeps others from a new node, beside what its folder does not give them: grants on it of another kind
/// ([`sss_policy::Effect`]), which last until the owner sets others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Nothing does.
    No,
    /// The live grants on this document are its limits. As [`Limited::ToOwners`] when that document is not there any more, or lies in
    /// another folder: there other grants count.
    As(NodeId),
    /// It is for the home's owner and for who makes it.
    ToOwners,
}

/// A user to be added.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name, for good.
    pub uid: Uid,
    /// RSA public key, SPKI PEM.
    pub public_key: String,
    /// When.
    pub now: Timestamp,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub uid: Uid,
    /// RSA public key, SPKI PEM.
    pub public_key: String,
    /// May not log in, and has no live session.
    pub disabled: bool,
    /// When it was added.
    pub created: Timestamp,
    /// The root of its home.
    pub home: NodeId,
}

/// A session to be stored.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The key that the login was signed with, as its user's [`User::public_key`].
    pub public_key: String,
    /// Under what.
    pub token: TokenHash,
    /// Whose.
    pub uid: Uid,
    /// From which machine.
    pub machine: MachineName,
    /// The certificate that it is bound to.
    pub certificate: Fingerprint,
    /// Begins.
    pub now: Timestamp,
    /// Ends at the latest.
    pub expires: Timestamp,
}

/// Why a session ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its user logged out.
    Logout,
    /// Its user logged in again from this machine at this moment.
    Replaced {
        /// The other machine.
        by: MachineName,
        /// When.
        at: Timestamp,
    },
    /// An administrator disabled or removed its user, or gave the user another key.
    ByAdministrator,
}

/// A session as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub uid: Uid,
    /// From which machine.
    pub machine: MachineName,
    /// The certificate that it is bound to.
    pub certificate: Fingerprint,
    /// Ends at the latest.
    pub expires: Timestamp,
    /// Whether and why it ended.
    pub ended: Option<Ended>,
}

/// A document, folder or link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// For as long as it exists.
    pub id: NodeId,
    /// The folder it lies in; `None` for a home.
    pub parent: Option<NodeId>,
    /// Its name there; `None` for a home.
    pub name: Option<Name>,
    /// Whose home it lies in.
    pub home: Uid,
    /// Who created it.
    pub owner: Uid,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, `0o7777`.
    pub mode: u32,
    /// Content's last change, nanoseconds since the epoch.
    pub mtime_ns: FileTime,
    /// Any last change.
    pub ctime_ns: FileTime,
    /// A document's protection; a folder's default, if it has one.
    pub flag: Option<Flag>,
    /// The current version.
    pub version: Version,
    /// Its plaintext's bytes.
    pub size: u64,
    /// Who checked it in.
    pub author: Option<Uid>,
}

/// A node with what a decision about one user needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The node.
    pub node: Node,
    /// The facts about it and the asking user.
    pub facts: Facts,
    /// `@owner/a/b`, as it was at the same moment: for people and the audit log, never to be shown to the user.
    pub path: String,
}

/// A node to be created, in the folder that a proof of `Checkin` names.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// Chosen by the caller.
    pub id: NodeId,
    /// Under which name.
    pub name: Name,
    /// What.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Protection of a document.
    pub flag: Option<Flag>,
    /// Whether it belongs to the home's owner, and not to the proof's user who makes it.
    pub of_home: bool,
    /// Who may not have it, whatever its folder gives.
    pub limited: Limited,
    /// When, for both times.
    pub now_ns: FileTime,
}

/// A pack's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackRow {
    /// Which pack.
    pub id: PackId,
    /// The document it was sealed for; stands in the AAD and may be another than the one that uses it now.
    pub document: NodeId,
    /// The leaf of the key tree that holds its key.
    pub leaf: Leaf,
    /// Sealed bytes in all, header included.
    pub length: u64,
    /// Blocks in it.
    pub blocks: u64,
    /// The sealed bytes themselves when they are few; else they are in the blob store.
    pub inline: Option<Bytes>,
}

/// A version's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
    /// Which version.
    pub version: Version,
    /// The leaf whose key seals the record.
    pub leaf: Leaf,
    /// Record, extents and signature, sealed.
    pub sealed_record: Bytes,
    /// When another version took its place.
    pub superseded: Option<Timestamp>,
}

/// A new current version of the document that the proof names. Where the proof is not an owner's, the document must still have
/// the flag `flag`, else `VersionMoved`.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The version it started from.
    pub base: Version,
    /// The leaf whose key seals the record and the new pack.
    pub leaf: Leaf,
    /// Record, extents and signature, sealed.
    pub sealed_record: Bytes,
    /// The pack that the check-in brought, if it brought any block.
    pub pack: Option<PackRow>,
    /// Every pack that the version's extents use, each once; the new one included.
    pub uses: Vec<PackId>,
    /// Plaintext bytes.
    pub size: u64,
    /// Its protection.
    pub flag: Flag,
    /// Who.
    pub author: Uid,
    /// When, on the server's clock; the superseded version is marked with it.
    pub now: Timestamp,
    /// Content's modification time.
    pub mtime_ns: FileTime,
    /// New permission bits, if they change.
    pub mode: Option<u32>,
    /// The key tree with the new leaf.
    pub keys: Vec<KeyImage>,
    /// A document that is removed in the same transaction, as long as this is its current version: the one that was
    /// renamed onto this one. Its extended attributes, if it has any, take the place of this one's.
    pub consumes: Option<(Allowed<Own>, Version)>,
    /// The document itself, when it begins to exist with this version (its `base` is 0): inserted first, in the same
    /// transaction. Fails as [`super::Names::create`] does.
    pub create: Option<Creation>,
}

/// A node, and the right to make it there.
#[derive(Clone, Debug)]
pub struct Creation {
    /// In which folder, and who becomes the owner.
    pub folder: Allowed<Checkin>,
    /// What is made.
    pub node: NewNode,
}

/// A move of the node that the proof names, within one home.
#[derive(Clone, Debug)]
pub struct Rename {
    /// Where it must still be.
    pub parent: NodeId,
    /// Under which name.
    pub name: Name,
    /// To which folder.
    pub into: Allowed<Checkin>,
    /// Under which name.
    pub new_name: Name,
    /// What is removed from there first: a document or link, or an empty folder.
    pub replacing: Option<Allowed<Delete>>,
    /// When.
    pub now_ns: FileTime,
}

/// The editors' rule: the document that the proof names leaves its backup's name, and a copy takes its place.
#[derive(Clone, Debug)]
pub struct Swap {
    /// The folder in which both lie; its proof's user owns the copy.
    pub folder: Allowed<Checkin>,
    /// The document's former name, which it gets again.
    pub name: Name,
    /// The copy. Its name is the backup's: the one that the document must still have.
    pub copy: NewNode,
    /// The copy's first version (its `base` is 0); `None` when the document has no version yet.
    pub commit: Option<Commit>,
    /// The document's version that the copy was made of.
    pub version: Version,
}

/// A removal of the node that the proof names.
#[derive(Clone, Debug)]
pub struct Remove {
    /// Where it must still be.
    pub parent: NodeId,
    /// Under which name.
    pub name: Name,
    /// At which version it must still be, if that matters to the caller.
    pub version: Option<Version>,
    /// When.
    pub now_ns: FileTime,
}

/// New attributes of the node that the proof names.
#[derive(Clone, Copy, Debug)]
pub struct SetAttr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Modification time.
    pub mtime_ns: Option<FileTime>,
    /// When: the change time.
    pub now: Timestamp,
}

/// A stored grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// To whom.
    pub grantee: Grantee,
    /// What.
    pub right: Right,
    /// Until when.
    pub until: Timestamp,
    /// Its place in the order of all grants.
    pub seq: u64,
}

/// A grant to be set on the node that the proof names.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// To whom.
    pub grantee: Grantee,
    /// What.
    pub right: Right,
    /// Until when.
    pub until: Timestamp,
}

/// Room in the blob store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that can be written.
    pub available: u64,
}

/// When an erasure was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// The root key (by its epoch) that no longer leads to what was erased.
    pub epoch: Epoch,
    /// When its transaction was made, on the server's clock.
    pub time: Timestamp,
}

/// A place in the deletion log. Numbers go up, and each is given once; gaps may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeletionSeq(pub u64);

impl DeletionSeq {
    /// Before the first entry.
    pub const NONE: DeletionSeq = DeletionSeq(0);

    /// The number behind this one.
    pub fn next(self) -> DeletionSeq {
        DeletionSeq(self.0 + 1)
    }
}

impl fmt::Display for DeletionSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An entry of the deletion log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Its place in the log.
    pub seq: DeletionSeq,
    /// What was removed: a document, link or folder.
    pub document: NodeId,
    /// Whose home it lay in.
    pub home: Uid,
    /// Who removed it.
    pub user: Uid,
    /// Its path then.
    pub path: String,
    /// When.
    pub time: Timestamp,
    /// The versions that it still had, ascending.
    pub versions: Vec<Version>,
    /// Leaves of the key tree that nothing uses since, ascending.
    pub keys: Vec<Leaf>,
    /// Leaves that it used and that another document's content still needs (a copy that an editor made), ascending.
    pub shared: Vec<Leaf>,
    /// When the last of `keys` was erased; `None` before, and where there are none.
    pub erased: Option<Erased>,
}

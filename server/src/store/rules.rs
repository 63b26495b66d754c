//! What every implementation shares: what a change must find, limits, small conversions.

use sss_common::limits::{XATTR_NAME_MAX, XATTR_TOTAL_MAX, XATTR_VALUE_MAX};

use sss_common::{FileTime, Kind, Name, NodeId, Timestamp, Uid, Version};

use super::{AuditAction, AuditRow, Commit, Deletion, NewNode, Node, Remove, Result, Seen, StoreError};
use sss_policy::{Act, Action, Allowed, Below, FADES, Facts, Level, MayWrite, confirm, effective};

/// Permission bits that a node can have.
pub(super) const MODE_MASK: u32 = 0o7777;

/// Whether the document is still the one that a version was made for: at its base, and, unless an owner changes just
/// that, under its flag.
pub(super) fn current(node: &Node, commit: &Commit, by_owner: bool) -> Result<()> {
    let flag = by_owner || node.flag.is_none_or(|flag| flag == commit.flag);
    if node.version == commit.base && flag { Ok(()) } else { Err(StoreError::VersionMoved(node.version)) }
}

/// A document that begins to exist with its first version is the version's own.
pub(super) fn own_creation(document: NodeId, commit: &Commit, new: &NewNode) -> Result<()> {
    if new.id == document && commit.base == Version::NONE {
        return Ok(());
    }
    Err(StoreError::Damaged("a creation that is not its version's".into()))
}

/// A removal that was meant for one version finds that one.
pub(super) fn removable(node: &Node, remove: &Remove) -> Result<()> {
    match remove.version {
        Some(version) if version != node.version => Err(StoreError::VersionMoved(node.version)),
        _ => Ok(()),
    }
}

/// The version of a swap's copy neither makes nor removes a document of its own.
pub(super) fn plain(commit: &Commit) -> Result<()> {
    if commit.consumes.is_none() && commit.create.is_none() {
        return Ok(());
    }
    Err(StoreError::Damaged("a copy's version that makes or removes another document".into()))
}

/// Whether a move takes what lies in a folder to other rights, by who may not give them: a guest, whose folder is his and what
/// others put into it is not.
pub(super) fn takes_others_along(node: &Node, target: &Node, by: &Uid) -> bool {
    node.kind == Kind::Folder && node.parent != Some(target.id) && *by != node.home
}

/// What a proof said, to be asked again inside the transaction that rests on it.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) user: Uid,
    pub(super) node: NodeId,
    action: Action,
}

impl Claim {
    pub(super) fn of<A: Act>(proof: &Allowed<A>) -> Self {
        Claim { user: proof.user().clone(), node: proof.node(), action: A::ACTION }
    }

    pub(super) fn of_writer(proof: &dyn MayWrite) -> Self {
        Claim { user: proof.user().clone(), node: proof.node(), action: proof.action() }
    }

    /// Whether it holds for what is there now, and a user who is `disabled` or not.
    pub(super) fn confirm(&self, seen: Option<Seen>, disabled: bool, now: Timestamp) -> Result<()> {
        if disabled {
            return Err(StoreError::Disabled(self.user.clone()));
        }
        let seen = seen.ok_or(StoreError::NotFound)?;
        confirm(&seen.facts, self.action, now).map_err(StoreError::Refused)
    }
}

/// Who removes something, and when.
#[derive(Clone, Debug)]
pub(super) struct RemovedBy {
    pub(super) user: Uid,
    pub(super) time: Timestamp,
}

impl RemovedBy {
    /// Who has this proof, at the moment that the audit log will name.
    pub(super) fn of<A: Act>(proof: &Allowed<A>, audit: &AuditRow) -> Self {
        RemovedBy { user: proof.user().clone(), time: audit.time }
    }
}

/// Sessions that ended, or could have lasted, until before this moment are forgotten: a day ago.
pub(super) fn session_over(now: Timestamp) -> Timestamp {
    Timestamp(now.millis().saturating_sub(24 * 3600 * 1000))
}

/// A new user's home.
pub(super) fn home(id: NodeId, uid: &Uid, now_ns: FileTime) -> Node {
    Node {
        id,
        parent: None,
        name: None,
        home: uid.clone(),
        owner: uid.clone(),
        kind: Kind::Folder,
        mode: 0o700,
        mtime_ns: now_ns,
        ctime_ns: now_ns,
        flag: None,
        version: Version::NONE,
        size: 0,
        author: None,
    }
}

/// The folder that takes up another home's content, with what the home said of itself.
pub(super) fn transfer_folder(source: &Node, target: &Node, name: Name, now: Timestamp) -> Node {
    Node {
        id: NodeId::random(),
        parent: Some(target.id),
        name: Some(name),
        home: target.home.clone(),
        owner: target.home.clone(),
        mtime_ns: now.nanos(),
        ctime_ns: now.nanos(),
        ..source.clone()
    }
}

/// The names that such a folder may have, of which the first free one is taken: the one that was asked for, or some made of the uid.
pub(super) fn transfer_names(from: &Uid, into: Option<&Name>) -> Vec<Name> {
    let made = |text: String| text.parse().ok();
    match into {
        Some(name) => vec![name.clone()],
        None => {
            let numbered = (2..=TRANSFERS_MAX).map(|number| format!("{from} ({number})"));
            std::iter::once(from.to_string()).chain(numbered).filter_map(made).collect()
        }
    }
}

/// Of one user to another, before the latter has to tidy up.
const TRANSFERS_MAX: usize = 1000;

/// The row of a transfer, with the folder that it made.
pub(super) fn transferred(audit: AuditRow, folder: &Node) -> AuditRow {
    let name = folder.name.as_ref().map(Name::as_str).unwrap_or_default();
    AuditRow { document: Some(folder.id), path: format!("@{}/{name}", folder.home), ..audit }
}

/// The row of what went with its home.
pub(super) fn emptied(deletion: &Deletion) -> AuditRow {
    let detail = format!("with user {}", deletion.user);
    AuditRow {
        document: Some(deletion.document),
        path: deletion.path.clone(),
        ..AuditRow::administrative(deletion.time, AuditAction::Delete, detail)
    }
}

/// The facts about a node, before what is asked only where it matters: what lies below it, and its maker's own right.
pub(super) fn facts(node: &Node, user: &Uid, levels: Vec<Level>) -> Facts {
    let folder = node.kind == Kind::Folder;
    let saved = !folder && node.author.as_ref().unwrap_or(&node.owner) == user;
    let (user, below) = (user.clone(), Below::Nothing);
    Facts { user, node: node.id, levels, below, folder, saved, maker_until: None }
}

/// Whether a decision may depend on what the document's maker may: only where a grant of his is there.
pub(super) fn asks_maker(facts: &Facts) -> bool {
    let by_maker = |level: &Level| {
        let grants = level.own.iter().chain(&level.all);
        grants.into_iter().any(|grant| grant.by_maker && grant.revoked.is_none())
    };
    facts.levels.first().is_some_and(by_maker)
}

/// Whether a decision may depend on what lies below: not for files, and not where the levels give a live right.
pub(super) fn asks_below(node: &Node, facts: &Facts, now: Timestamp) -> bool {
    node.kind == Kind::Folder && !has_live_right(facts, now)
}

/// What ended until this moment is told to nobody any more.
pub(super) fn faded(now: Timestamp) -> Timestamp {
    Timestamp(now.millis().saturating_sub(i64::try_from(FADES.as_millis()).unwrap_or(i64::MAX)))
}

/// Whether the levels give any right now.
pub(super) fn has_live_right(facts: &Facts, now: Timestamp) -> bool {
    let right = effective(facts, now);
    right.owner || right.checkout || right.checkin
}

/// Whether an attribute may be set on a node whose other attributes have `others` bytes of names and values.
pub(super) fn xattr_fits(name: &str, value: &[u8], others: usize) -> Result<()> {
    let fits = name.len() <= XATTR_NAME_MAX
        && value.len() <= XATTR_VALUE_MAX
        && others.saturating_add(name.len() + value.len()) <= XATTR_TOTAL_MAX;
    if fits { Ok(()) } else { Err(StoreError::TooLarge) }
}

//! The editors' rule for saves that move the old file away: grants, flag, owner and history belong to the document under
//! a name, so when a name that was vacated for a backup is filled again, its document comes back and the backup
//! becomes a copy.

use sss_common::wire::fs::{Attr, Pin, Swapped};
use sss_common::{Name, NodeId, Version};

use crate::service::audit::AuditAction;
use crate::service::content::versions::{NewVersion, VersionContent};
use crate::service::documents::create::path_in;
use crate::service::held::vacated::Vacated;
use crate::service::rights::facts_of_new;
use crate::service::{Caller, Failure, Outcome, Service};
use crate::store::{Commit, Limited, NewNode, Node, Seen, Swap};
use sss_policy::{Allowed, Checkin, Own};
use sss_vault::Sealer;

impl Service {
    /// Remembers that a document was just moved from its name to that name's backup.
    pub(in crate::service) fn note_vacated(
        &self,
        caller: &Caller,
        document: &Node,
        from: (NodeId, &Name),
        to: (NodeId, &Name),
    ) {
        let ((folder, name), (to_folder, backup)) = (from, to);
        if folder == to_folder && name.has_backup(backup) {
            self.held.vacated.remember(Vacated {
                document: document.id,
                folder,
                name: name.clone(),
                backup: backup.clone(),
                session: caller.token,
                at: self.now(),
            });
        }
    }

    /// If this name was vacated by this session a moment ago: puts its document back and leaves a copy as the backup.
    /// `None`: there is nothing to put back, or `filler` is the document itself on its way back, and the name is to be filled by something new.
    pub(in crate::service) async fn refill(
        &self,
        caller: &Caller,
        parent: &Seen,
        folder: &Allowed<Checkin>,
        name: &Name,
        filler: Option<NodeId>,
    ) -> Outcome<Option<(Attr, Swapped)>> {
        let Some(vacated) = self.held.vacated.take(caller.token, folder.node(), name, self.now()) else {
            return Ok(None);
        };
        if filler == Some(vacated.document) {
            return Ok(None);
        }
        let Some(seen) = self.rights.seen_child(caller, vacated.folder, &vacated.backup).await? else {
            return Ok(None);
        };
        if seen.node.id != vacated.document {
            return Ok(None);
        }
        let owned = self.rights.allow(caller, &seen, Own)?;
        match self.swap_back(caller, (parent, folder), (&seen, &owned), vacated).await {
            Ok(swapped) => Ok(Some(swapped)),
            // Somebody else was quicker with the name or the backup: nothing special happened then.
            Err(failure) if is_race(&failure) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn swap_back(
        &self,
        caller: &Caller,
        (parent, folder): (&Seen, &Allowed<Checkin>),
        (seen, owned): (&Seen, &Allowed<Own>),
        vacated: Vacated,
    ) -> Outcome<(Attr, Swapped)> {
        let document = &seen.node;
        let copy = NewNode {
            id: NodeId::random(),
            name: vacated.backup.clone(),
            kind: document.kind,
            mode: document.mode,
            flag: document.flag,
            of_home: false,
            limited: Limited::As(document.id),
            now_ns: self.now().nanos(),
        };
        let (commit, sealer) = match document.version {
            Version::NONE => (None, None),
            _ => {
                let (commit, sealer) = self.copy_version(caller, owned, seen, &folder.made(copy.id)).await?;
                (Some(commit), Some(sealer))
            }
        };
        let swap = Swap {
            folder: folder.clone(),
            name: vacated.name.clone(),
            copy,
            commit,
            version: document.version,
        };
        let (path, detail) = (path_in(parent, &vacated.name), format!("backup {}", vacated.backup));
        let audit = self.audit.row(caller, AuditAction::RestoreName, document.id, path, detail);
        let content_of = Pin { node: document.id, version: document.version };
        let (node, at) = (document.id, seen.path.as_str());
        let late = |error: &_| self.audit.note_late(caller, AuditAction::RestoreName, node, at, error);
        let (document, backup) = self.meta.swap(owned, swap, audit).await.inspect_err(late)?;
        if let Some(sealer) = sealer {
            self.contents.committed(sealer);
        }
        let backup_facts = facts_of_new(&parent.facts, &backup);
        let swapped = Swapped {
            backup: self.rights.attr(&backup, &backup_facts),
            content_of,
            folder: vacated.folder,
            name: vacated.backup,
        };
        Ok((self.rights.attr(&document, &seen.facts), swapped))
    }

    /// The first version of a copy: the same blocks in the same packs under a record of its own.
    async fn copy_version(
        &self,
        caller: &Caller,
        owned: &Allowed<Own>,
        seen: &Seen,
        copy: &Allowed<Own>,
    ) -> Outcome<(Commit, Sealer)> {
        let document = &seen.node;
        let content = self.contents.content(caller, owned, seen, document.version).await?;
        let sealer = self.contents.begin(copy).await?;
        let same = VersionContent::of(&content, content.body.digests.clone());
        let (flag, author) =
            (document.flag.unwrap_or_default(), document.author.as_ref().unwrap_or(&caller.uid));
        let new = NewVersion::after(None, flag, author, same, document.mtime_ns);
        Ok((self.contents.seal_version(caller, copy.node(), new, &sealer).await?, sealer))
    }
}

fn is_race(failure: &Failure) -> bool {
    use sss_common::Code;
    matches!(failure.code, Code::NotFound | Code::Exists | Code::VersionMoved)
}

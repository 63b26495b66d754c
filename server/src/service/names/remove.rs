//! Deleting: unreachable when the call returns, its keys queued for erasure in the same transaction.
//!
//! Costs: one round trip; the facts; whom it concerns; one transaction. With an erase delay of zero also its share of an erasure.

use sss_common::wire::fs::RemoveRequest;
use sss_common::{Code, Kind, Version};

use crate::service::audit::AuditAction;
use crate::service::{Caller, Failure, Outcome, Service};
use crate::store::{Deletion, Remove, Seen};
use sss_failpoint as failpoint;
use sss_policy::Delete;

impl Service {
    /// A document or link (`unlink`), or an empty folder (`rmdir`).
    pub async fn fs_remove(&self, caller: &Caller, request: RemoveRequest) -> Outcome<()> {
        self.rights.seen(caller, request.parent).await?;
        let seen = self.rights.seen_child(caller, request.parent, &request.name).await?;
        let seen = seen.ok_or_else(Failure::not_found)?;
        match (seen.node.kind == Kind::Folder, request.folder) {
            (true, false) => return Err(Failure::new(Code::IsFolder, "it is a folder")),
            (false, true) => return Err(Failure::new(Code::NotFolder, "it is not a folder")),
            _ => {}
        }
        let deletion = self.delete(caller, &seen, None).await?;
        if self.upkeep.erases_at_once() {
            self.upkeep.erase_now(&deletion).await?;
        }
        Ok(())
    }

    /// With a `version`: only while it is the current one.
    pub(in crate::service) async fn delete(
        &self,
        caller: &Caller,
        seen: &Seen,
        version: Option<Version>,
    ) -> Outcome<Deletion> {
        let allowed = self.rights.allow(caller, seen, Delete)?;
        let (Some(parent), Some(name)) = (seen.node.parent, seen.node.name.clone()) else {
            return Err(Failure::new(Code::NoRight, "a home cannot be removed"));
        };
        let detail = format!("version {}", seen.node.version);
        let audit = self.audit.row(caller, AuditAction::Delete, seen.node.id, &seen.path, detail);
        let remove = Remove { parent, name, version, now_ns: self.now().nanos() };
        let concerned = self.concerned(&[seen.node.id]).await?;
        let late =
            |error: &_| self.audit.note_late(caller, AuditAction::Delete, seen.node.id, &seen.path, error);
        let deletion = self.meta.remove(&allowed, remove, audit).await.inspect_err(late)?;
        failpoint::at("remove.committed");
        self.contents.forget(seen.node.id);
        self.hub.moved(concerned);
        self.waking.wake();
        Ok(deletion)
    }
}

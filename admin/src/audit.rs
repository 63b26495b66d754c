//! Reading the audit log, and checking its chain. Takes no lock, changes nothing, works beside a running server.
//!
//! Costs: both read the log once, in pages of [`PAGE`] rows; filters look at each row. Checking makes one SHA-256 for each
//! row and reads all rows as of one moment.

use std::path::Path;
use std::time::Duration;

use sss_common::{Timestamp, Uid};

use sss_server::run::Advice;
use sss_server::store::audit::{ChainBreak, ChainCheck, Chained};
use sss_server::store::sqlite::Snapshot;
use sss_server::store::{AuditAction, AuditEntry, AuditHead, AuditSeq, MetaStore, StoreError};

/// Rows that are read at a time.
const PAGE: usize = 1000;

/// How often a log is looked at that another process writes. A look that finds nothing is one step in an index.
const LOOK: Duration = Duration::from_millis(250);

const READ_FAILED: &str = "see whether DATA_DIR is right and its disk is well";

/// Which rows are wanted: those that fit all that is given.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Who asked, or whom an administrator's act concerns.
    pub user: Option<Uid>,
    /// What stood at this path, or below it.
    pub path: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// What was done.
    pub action: Option<AuditAction>,
}

impl Filter {
    /// Whether a row is wanted.
    pub fn fits(&self, row: &AuditEntry) -> bool {
        self.user.as_ref().is_none_or(|user| concerns(row, user))
            && self.path.as_ref().is_none_or(|path| lies_at(&row.path, path))
            && self.since.is_none_or(|since| row.time >= since)
            && self.until.is_none_or(|until| row.time < until)
            && self.action.is_none_or(|action| row.action == action.word())
    }
}

fn concerns(row: &AuditEntry, user: &Uid) -> bool {
    let of_users = [
        AuditAction::UserAdd,
        AuditAction::UserDisable,
        AuditAction::UserEnable,
        AuditAction::UserRekey,
        AuditAction::UserRemove,
    ];
    let is = |action: &AuditAction| action.word() == row.action;
    match &row.user {
        Some(asked) => asked == user.as_str(),
        None if [AuditAction::Delete, AuditAction::Receipt].iter().any(is) => {
            row.detail.strip_prefix("with user ") == Some(user.as_str())
        }
        None if is(&AuditAction::UserTransfer) => row.detail.split(" to ").any(|of| of == user.as_str()),
        None => of_users.iter().any(is) && row.detail == user.as_str(),
    }
}

fn lies_at(path: &str, top: &str) -> bool {
    let top = top.trim_end_matches('/');
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Hands over the rows that fit, in order; with `follow` also those to come, for ever. `each` ends it by `false`; `read` is
/// called when all that there is was handed over.
pub async fn read(
    meta: &dyn MetaStore,
    filter: &Filter,
    follow: bool,
    mut each: impl FnMut(&AuditEntry) -> anyhow::Result<bool>,
    mut read: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut last = AuditSeq::NONE;
    loop {
        let rows = meta.audit_after(last, PAGE).await.advice(READ_FAILED)?;
        last = rows.last().map_or(last, |row| row.seq);
        for row in rows.iter().filter(|row| filter.fits(row)) {
            if !each(row)? {
                return Ok(());
            }
        }
        if rows.len() == PAGE {
            continue;
        }
        if !read()? || !follow {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What a check of the chain came to.
pub type Verdict = Result<Chained, ChainBreak>;

/// Checks the chain of a database, in which a remembered head must lie.
pub fn verify(database: &Path, remembered: Option<AuditHead>) -> anyhow::Result<Verdict> {
    let snapshot = Snapshot::open(database)
        .map_err(|error| anyhow::anyhow!("{}: {error}", database.display()))
        .advice("give the data directory that `3s-server init` made; nothing was changed")?;
    let (start, given) = match snapshot.audit_ends() {
        Err(StoreError::NotFound) => {
            anyhow::bail!(
                "the audit log has no chain yet: it is of an older 3S\nstart this version's server once; the chain begins then"
            )
        }
        ends => ends.advice(READ_FAILED)?,
    };
    let mut check = ChainCheck::new(start, remembered);
    let mut last = AuditSeq::NONE;
    loop {
        let rows = snapshot.audit_after(last, PAGE).advice(READ_FAILED)?;
        let Some(row) = rows.last() else { return Ok(check.end(given)) };
        last = row.seq;
        if let Err(broken) = rows.iter().try_for_each(|row| check.next(row)) {
            return Ok(Err(broken));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use sss_server::store::AuditHash;

    fn row(user: Option<&str>, action: AuditAction, path: &str, time: i64) -> AuditEntry {
        AuditEntry {
            seq: AuditSeq(1),
            time: Timestamp(time),
            user: user.map(Into::into),
            machine: None,
            action: action.word().into(),
            document: None,
            path: path.into(),
            outcome: "allowed".into(),
            detail: "bob".into(),
            request_id: String::new(),
            previous: AuditHash::NONE,
            hash: AuditHash::NONE,
        }
    }

    #[test]
    fn what_administrators_did_to_a_user_concerns_that_user() {
        for (action, detail, fits) in [
            (AuditAction::UserRemove, "bob", true),
            (AuditAction::UserRekey, "bob", true),
            (AuditAction::UserRemove, "bobby", false),
            (AuditAction::UserTransfer, "alice to bob", true),
            (AuditAction::UserTransfer, "bob to alice", true),
            (AuditAction::UserTransfer, "bobby to alice", false),
            (AuditAction::Delete, "with user bob", true),
            (AuditAction::Delete, "bob", false),
        ] {
            let row = AuditEntry { detail: detail.into(), ..row(None, action, "", 50) };
            let filter = Filter { user: Some("bob".parse().unwrap()), ..Filter::default() };
            assert_eq!(filter.fits(&row), fits, "{action} {detail}");
        }
    }

    #[test]
    fn filters_are_joined_by_and() {
        let checkin = row(Some("alice"), AuditAction::Checkin, "@alice/d/f", 50);
        assert!(Filter::default().fits(&checkin));
        let filter = |change: fn(&mut Filter)| {
            let mut filter = Filter {
                user: Some("alice".parse().unwrap()),
                path: Some("@alice/d".into()),
                since: Some(Timestamp(50)),
                until: Some(Timestamp(51)),
                action: Some(AuditAction::Checkin),
            };
            change(&mut filter);
            filter.fits(&checkin)
        };
        assert!(filter(|_| ()));
        assert!(
            !filter(|filter| filter.user = Some("bob".parse().unwrap())),
            "the detail names somebody else"
        );
        assert!(!filter(|filter| filter.since = Some(Timestamp(51))));
        assert!(!filter(|filter| filter.until = Some(Timestamp(50))));
        assert!(!filter(|filter| filter.action = Some(AuditAction::Checkout)));
        for (path, fits) in [
            ("@alice", true),
            ("@alice/d/f", true),
            ("@alice/d/", true),
            ("@alice/d/f/g", false),
            ("@al", false),
        ] {
            let filter = Filter { path: Some(path.into()), ..Filter::default() };
            assert_eq!(filter.fits(&checkin), fits, "{path}");
        }
        let bob = Filter { user: Some("bob".parse().unwrap()), ..Filter::default() };
        assert!(bob.fits(&row(None, AuditAction::UserDisable, "", 1)), "it is about bob");
        assert!(!bob.fits(&row(None, AuditAction::RotateKey, "", 1)));
    }
}

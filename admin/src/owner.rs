//! As whom a command works: run by root, it acts as the account that the data directory belongs to.
//!
//! That account can plant links under every name that a command opens or makes in its folders. Followed with root's rights
//! they would reach all of the machine, and what root makes there the server could not write. So root gives its rights up
//! before it opens anything of that account's, for good in the thread that does. What the administrator names elsewhere (a device, a key, a backup)
//! is opened before that.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io, thread};

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use sss_server::run::Advice;

/// As whom something is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// As whoever runs the command: it is no root, or what it works on is root's.
    Caller,
    /// As another account than root, which runs the command.
    Other(Account),
}

/// An account: its number, its group, all its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Owner {
    /// Whose a file or folder is; of one that is not there, whose the nearest folder above it is. A link is its own owner's,
    /// whatever it leads to, unless that is root.
    pub fn of(path: &Path) -> anyhow::Result<Owner> {
        if !geteuid().is_root() {
            return Ok(Owner::Caller);
        }
        let failed = |error: io::Error| anyhow::anyhow!("{}: {error}", path.display());
        let advice = "see that the path is right, and that root may look at it";
        let path = nearest(&std::path::absolute(path).map_err(failed).advice(advice)?);
        let link = path.symlink_metadata().map_err(failed).advice(advice)?;
        let target = path.metadata().ok();
        let foreign = [Some(link), target].into_iter().flatten().find(|there| there.uid() != 0);
        foreign.map_or(Ok(Owner::Caller), |there| Ok(Owner::Other(Account::owning(&there)?)))
    }

    /// Who decides what a path leads to, whatever is there itself: the owner of the first folder or link on the way to it that
    /// is not root's, wherever links lead.
    pub fn of_way_to(path: &Path) -> anyhow::Result<Owner> {
        let failed = |error: io::Error| anyhow::anyhow!("{}: {error}", path.display());
        let advice = "see that the path is right, and that root may look at it";
        let given = std::path::absolute(path).map_err(failed).advice(advice)?;
        let Some(folder) = given.parent() else { return Owner::of(&given) };
        let folder = nearest(folder);
        let real = folder.canonicalize().map_err(failed).advice(advice)?;
        let mut way: Vec<&Path> = folder.ancestors().chain(real.ancestors()).collect();
        way.sort_by_key(|at| at.components().count());
        for at in way {
            match Owner::of(at)? {
                Owner::Caller => {}
                other => return Ok(other),
            }
        }
        Ok(Owner::Caller)
    }

    /// Becomes the owner of a data directory, for good. For a process that has no other thread yet.
    pub fn become_of(data_dir: &Path) -> anyhow::Result<()> {
        match Owner::of(data_dir)? {
            Owner::Caller => Ok(()),
            Owner::Other(account) => account.enter(),
        }
    }

    /// Does something as the owner; the calling thread stays what it is.
    pub fn acts<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let Owner::Other(account) = self else { return work() };
        let done = thread::scope(|scope| {
            let worker = scope.spawn(|| account.enter().and_then(|()| work().map_err(noted)));
            worker.join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Gives it a folder that the caller made, in a place where nobody else can put another thing under its name.
    pub fn receive(&self, folder: &Path) -> io::Result<()> {
        match self {
            Owner::Caller => Ok(()),
            Owner::Other(account) => Ok(rustix::fs::chown(folder, Some(account.uid), Some(account.gid))?),
        }
    }
}

impl Account {
    fn owning(there: &fs::Metadata) -> anyhow::Result<Account> {
        let (uid, gid) = (Uid::from_raw(there.uid()), Gid::from_raw(there.gid()));
        let failed = |error: nix::Error| {
            anyhow::anyhow!("the account of user {} cannot be read: {error}", there.uid())
        };
        let advice = "see /etc/passwd and /etc/group, or run the command as that user";
        let known = nix::unistd::User::from_uid(there.uid().into()).map_err(failed).advice(advice)?;
        let Some(user) = known else { return Ok(Account { uid, gid, groups: vec![gid] }) };
        let name = CString::new(user.name).advice(advice)?;
        let groups = nix::unistd::getgrouplist(&name, user.gid).map_err(failed).advice(advice)?;
        let own = |gid: nix::unistd::Gid| Gid::from_raw(gid.as_raw());
        Ok(Account { uid, gid: own(user.gid), groups: groups.into_iter().map(own).collect() })
    }

    /// The calling thread, and those that it starts, become it: real, effective and saved ids, so that there is no way back.
    fn enter(&self) -> anyhow::Result<()> {
        let Account { uid, gid, groups } = self;
        let entered = set_thread_groups(groups)
            .and_then(|()| set_thread_res_gid(*gid, *gid, *gid))
            .and_then(|()| set_thread_res_uid(*uid, *uid, *uid));
        entered
            .map_err(|error| {
                anyhow::anyhow!("cannot become user {}, to whom DATA_DIR belongs: {error}", uid.as_raw())
            })
            .advice("run the command as that user")
    }
}

/// An error of a command that root began and another account ended: what root may, that one may not.
pub fn noted(error: anyhow::Error) -> anyhow::Error {
    let words = format!("{error:#}");
    let joint = if words.contains('\n') { "; " } else { "\n" };
    let uid = geteuid().as_raw();
    anyhow::anyhow!(
        "{words}{joint}root acts as user {uid} here, to whom DATA_DIR belongs: see that this one may read and write what the command needs"
    )
}

/// The path, or the nearest folder above it that is there.
fn nearest(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|at| at.symlink_metadata().is_ok());
    there.unwrap_or(Path::new("/")).to_owned()
}

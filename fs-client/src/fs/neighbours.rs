//! Other users of this machine, on a mount with `allow_other`: as far as mode bits go, and never to grants.
//!
//! The kernel asks the mode bits (`default_permissions`), and would let whoever may write a document set its attributes too. What
//! the store's own attributes do is the mounting user's alone: who shares, shares in that user's name with people whom the bits
//! know nothing of. Root is another user here, as everybody is who did not mount: no wall (root can become any user), but no
//! cron job shares by accident either.

use fuser::{Errno, INodeNo};

use super::attribute::Attribute;
use super::xattr::SetMode;
use super::{Answer, Caller, Failure, Fs};

/// Which of the store's own attributes are the mounting user's to read too: grants say whom the user knows, a receipt and the
/// reason of a refusal name documents.
fn is_private(name: &str) -> bool {
    matches!(Attribute::named(name), Ok(Attribute::Grant(_) | Attribute::Receipt(_) | Attribute::Why))
}

fn is_ours(name: &str) -> bool {
    name.starts_with("user.3s.")
}

impl Fs {
    /// [`Fs::getxattr`] for a program of `caller`'s.
    pub async fn getxattr_for(&self, caller: Caller, ino: INodeNo, name: &str) -> Answer<Vec<u8>> {
        match is_private(name) && !self.is_mounting_user(caller) {
            true => self.noted(ino, "getxattr", Err(not_theirs(Errno::EACCES))),
            false => self.getxattr(ino, name).await,
        }
    }

    /// [`Fs::listxattr`] for a program of `caller`'s: without what it may not read.
    pub async fn listxattr_for(&self, caller: Caller, ino: INodeNo) -> Answer<Vec<u8>> {
        let names = self.listxattr(ino).await?;
        if self.is_mounting_user(caller) {
            return Ok(names);
        }
        let each = names.split_inclusive(|&byte| byte == 0);
        let shown = each.filter(|name| {
            !std::str::from_utf8(name).is_ok_and(|name| is_private(name.trim_end_matches('\0')))
        });
        Ok(shown.collect::<Vec<_>>().concat())
    }

    /// [`Fs::setxattr`] for a program of `caller`'s.
    pub async fn setxattr_for(
        &self,
        caller: Caller,
        ino: INodeNo,
        name: &str,
        value: &[u8],
        mode: SetMode,
    ) -> Answer<()> {
        match is_ours(name) && !self.is_mounting_user(caller) {
            true => self.noted(ino, "setxattr", Err(not_theirs(Errno::EPERM))),
            false => self.setxattr(ino, name, value, mode).await,
        }
    }

    /// [`Fs::removexattr`] for a program of `caller`'s.
    pub async fn removexattr_for(&self, caller: Caller, ino: INodeNo, name: &str) -> Answer<()> {
        match is_ours(name) && !self.is_mounting_user(caller) {
            true => self.noted(ino, "removexattr", Err(not_theirs(Errno::EPERM))),
            false => self.removexattr(ino, name).await,
        }
    }

    fn is_mounting_user(&self, caller: Caller) -> bool {
        caller.uid == self.options.owner.uid
    }
}

fn not_theirs(errno: Errno) -> Failure {
    Failure::new(errno, "grants and the like are for the user of this machine who mounted, nobody else")
}

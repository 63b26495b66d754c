//! What was refused, for who asks `user.3s.why` later, and whether the session is over.

use dashmap::DashMap;
use fuser::INodeNo;
use parking_lot::{Mutex, RwLock};

use super::Failure;

/// The mount's refusals: the last one for each inode that the kernel knows, and the last of all.
#[derive(Default)]
pub(super) struct Refusals {
    by_inode: DashMap<INodeNo, String>,
    last: Mutex<Option<String>>,
    session_over: RwLock<Option<Failure>>,
}

impl Refusals {
    pub(super) fn remember(&self, ino: INodeNo, failure: &Failure) {
        self.by_inode.insert(ino, failure.full_why());
        *self.last.lock() = Some(failure.full_why());
    }

    /// The kernel knows the inode no more.
    pub(super) fn forget(&self, ino: INodeNo) {
        self.by_inode.remove(&ino);
    }

    /// Every later call is refused so. False when the session was over before.
    pub(super) fn end_session(&self, failure: Failure) -> bool {
        let mut over = self.session_over.write();
        if over.is_some() {
            return false;
        }
        *self.last.lock() = Some(failure.full_why());
        *over = Some(failure);
        true
    }

    /// How every call is refused since the session is over, if it is.
    pub(super) fn session_over(&self) -> Option<Failure> {
        self.session_over.read().clone()
    }

    pub(super) fn is_session_over(&self) -> bool {
        self.session_over.read().is_some()
    }

    /// Why the last refusal happened: the session's end, else at the inode, else in its folder, else anywhere.
    pub(super) fn why(&self, ino: INodeNo, folder: INodeNo) -> Option<String> {
        let of = |ino: INodeNo| self.by_inode.get(&ino).map(|why| why.value().clone());
        let session = self.session_over.read().as_ref().map(Failure::full_why);
        session.or_else(|| of(ino)).or_else(|| of(folder)).or_else(|| self.last.lock().clone())
    }
}

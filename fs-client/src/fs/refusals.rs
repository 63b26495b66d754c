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
    session_over: RwLock<Option<Over>>,
}

/// How every call is refused while there is no session.
struct Over {
    failure: Failure,
    /// No new login is possible.
    for_good: bool,
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
        if over.as_ref().is_some_and(|over| over.for_good) {
            return false;
        }
        *self.last.lock() = Some(failure.full_why());
        *over = Some(Over { failure, for_good: true });
        true
    }

    /// Every call is refused so until [`Refusals::resume`]. False when that is so already.
    pub(super) fn suspend(&self, failure: Failure) -> bool {
        let mut over = self.session_over.write();
        let news = over.is_none();
        if news {
            *over = Some(Over { failure, for_good: false });
        }
        news
    }

    /// There is a session again, unless it is over for good.
    pub(super) fn resume(&self) -> bool {
        self.session_over.write().take_if(|over| !over.for_good).is_some()
    }

    /// How every call is refused since the session is over, if it is.
    pub(super) fn session_over(&self) -> Option<Failure> {
        self.session_over.read().as_ref().map(|over| over.failure.clone())
    }

    /// Whether no new login is possible.
    pub(super) fn is_over_for_good(&self) -> bool {
        self.session_over.read().as_ref().is_some_and(|over| over.for_good)
    }

    pub(super) fn is_session_over(&self) -> bool {
        self.session_over.read().is_some()
    }

    /// Why the last refusal happened: the session's end, else at the inode, else in its folder, else anywhere.
    pub(super) fn why(&self, ino: INodeNo, folder: INodeNo) -> Option<String> {
        let of = |ino: INodeNo| self.by_inode.get(&ino).map(|why| why.value().clone());
        let session = self.session_over().as_ref().map(Failure::full_why);
        session.or_else(|| of(ino)).or_else(|| of(folder)).or_else(|| self.last.lock().clone())
    }
}

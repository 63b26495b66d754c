//! Bytes that are not written to swap and wiped when they go.

use std::ops::Range;

use region::LockGuard;
use zeroize::Zeroize;

/// A secret on pages of its own, locked into memory (mlock(2)) as far as the process's limit allows: without the lock it is
/// kept all the same.
pub struct Locked {
    // Unlocked before the memory goes back.
    _lock: Option<LockGuard>,
    room: Vec<u8>,
    at: Range<usize>,
}

impl Locked {
    /// Copies a secret. The caller wipes its own.
    pub fn new(parts: &[&[u8]]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let page = region::page::size();
        // Whole pages: unlocking does not count, so that two secrets on one page would unlock each other.
        let pages = length.max(1).next_multiple_of(page);
        let mut room = vec![0; pages + page];
        let start = room.as_ptr().align_offset(page).min(page);
        let lock = region::lock(room[start..].as_ptr(), pages).ok();
        if lock.is_none() {
            tracing::debug!(
                "the limit on locked memory (RLIMIT_MEMLOCK) is used up: a secret may be swapped"
            );
        }
        let mut end = start;
        for part in parts {
            room[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        Locked { _lock: lock, room, at: start..end }
    }

    /// The secret itself.
    pub fn expose(&self) -> &[u8] {
        &self.room[self.at.clone()]
    }
}

/// For [`bytes::Bytes::from_owner`], which keeps a secret where it is.
impl AsRef<[u8]> for Locked {
    fn as_ref(&self) -> &[u8] {
        self.expose()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.room.zeroize();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// KiB of this process that are locked.
    fn locked() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn secrets_have_pages_of_their_own() {
        let page = region::page::size();
        for length in [0, 1, page, page + 1] {
            let secret = vec![7; length];
            let (one, other) = (Locked::new(&[&secret]), Locked::new(&[b"Bearer ", &secret]));
            assert_eq!(one.expose(), secret);
            assert_eq!(other.expose(), [b"Bearer ".as_slice(), &secret].concat());
            let pages = |secret: &Locked| {
                let start = secret.expose().as_ptr() as usize;
                assert_eq!(start % page, 0);
                start / page..=(start + secret.expose().len()) / page
            };
            assert!(pages(&one).all(|number| !pages(&other).contains(&number)));
        }
    }

    #[test]
    fn a_secret_is_locked_for_as_long_as_it_lives() {
        // Other tests of this process lock too, a page or two each: this one outweighs them.
        let secret = Locked::new(&[&vec![7; 32 * 1024]]);
        let during = locked();
        assert!(during >= 32, "{during} KiB: is RLIMIT_MEMLOCK below 64 KiB?");
        drop(secret);
        assert!(locked() < during);
    }
}

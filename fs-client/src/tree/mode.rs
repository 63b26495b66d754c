//! Attributes as `stat` shows them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use sss_common::wire::fs::Attr;
use sss_common::{FileTime, Kind};

/// Whose files they are on this machine: the mounting user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id, as `stat` shows it.
    pub uid: u32,
    /// Group id, likewise.
    pub gid: u32,
}

const READ: u32 = 0o400;
const WRITE: u32 = 0o200;
const RUN: u32 = 0o100;

/// The stored permission bits, cut down to what the asking user may do.
pub fn shown_mode(attr: &Attr) -> u32 {
    let right = &attr.right;
    if right.owner {
        return attr.mode & 0o7777;
    }
    if attr.kind == Kind::Folder {
        return READ | RUN | if right.checkin { WRITE } else { 0 };
    }
    let mut allowed = 0;
    if right.checkout {
        allowed |= READ | RUN;
    }
    if right.checkin {
        allowed |= WRITE;
    }
    attr.mode & allowed
}

/// Whether an owner's own stored bits allow an `open`, as on a local disk. Others' bits are the server's
/// decision.
pub fn own_bits_allow(attr: &Attr, read: bool, write: bool) -> bool {
    !attr.right.owner || ((!read || attr.mode & READ != 0) && (!write || attr.mode & WRITE != 0))
}

/// `stat`'s answer.
pub fn file_attr(ino: INodeNo, attr: &Attr, owner: Owner) -> FileAttr {
    let kind = match attr.kind {
        Kind::File => FileType::RegularFile,
        Kind::Folder => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
    };
    let mtime = time(attr.mtime_ns);
    FileAttr {
        ino,
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: mtime,
        mtime,
        ctime: time(attr.ctime_ns),
        crtime: UNIX_EPOCH,
        kind,
        perm: shown_mode(attr) as u16,
        nlink: if attr.kind == Kind::Folder { 2 } else { 1 },
        uid: owner.uid,
        gid: owner.gid,
        rdev: 0,
        blksize: sss_common::limits::BLOCK_SIZE as u32,
        flags: 0,
    }
}

/// A moment on the wire, as the kernel hears it.
pub fn time(at: FileTime) -> SystemTime {
    let by = Duration::from_nanos(at.0.unsigned_abs());
    let at = if at.0 < 0 { UNIX_EPOCH.checked_sub(by) } else { UNIX_EPOCH.checked_add(by) };
    at.unwrap_or(UNIX_EPOCH)
}

/// A moment as the wire says it.
pub fn nanos(at: SystemTime) -> FileTime {
    FileTime(match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use sss_common::{Effective, Kind, NodeId, Version};

    fn attr(kind: Kind, mode: u32, owner: bool, checkout: bool, checkin: bool) -> Attr {
        Attr {
            node: NodeId([1; 16]),
            kind,
            size: 1,
            mode,
            mtime_ns: FileTime(0),
            ctime_ns: FileTime(0),
            version: Version(1),
            owner: "alice".parse().unwrap(),
            author: None,
            flag: None,
            right: Effective { owner, checkout, checkin, ends_in_ms: None },
        }
    }

    #[test]
    fn the_table_of_modes() {
        use Kind::{File, Folder};
        for (kind, stored, owner, checkout, checkin, shown) in [
            (File, 0o644, true, true, true, 0o644),
            (File, 0o7755, true, true, true, 0o7755),
            (File, 0o000, true, true, true, 0o000),
            (File, 0o644, false, true, false, 0o400),
            (File, 0o644, false, false, true, 0o200),
            (File, 0o644, false, true, true, 0o600),
            (File, 0o755, false, true, false, 0o500),
            (File, 0o755, false, false, true, 0o200),
            (File, 0o4755, false, true, true, 0o700),
            (File, 0o444, false, true, true, 0o400),
            (File, 0o644, false, false, false, 0o000),
            (Folder, 0o755, true, true, true, 0o755),
            (Folder, 0o755, false, false, false, 0o500),
            (Folder, 0o755, false, true, false, 0o500),
            (Folder, 0o755, false, false, true, 0o700),
            (Folder, 0o755, false, true, true, 0o700),
        ] {
            let attr = attr(kind, stored, owner, checkout, checkin);
            assert_eq!(shown_mode(&attr), shown, "{kind:?} {stored:o} {owner} {checkout} {checkin}");
        }
    }

    #[test]
    fn owners_are_held_to_their_own_bits() {
        let read_only = attr(Kind::File, 0o444, true, true, true);
        assert!(own_bits_allow(&read_only, true, false));
        assert!(!own_bits_allow(&read_only, false, true));
        let others = attr(Kind::File, 0o000, false, true, true);
        assert!(own_bits_allow(&others, true, true), "the server decides about others");
    }

    #[test]
    fn times_go_both_ways() {
        for ns in [0, 1, 1_795_273_445_123_456_789, -5_000_000_001] {
            assert_eq!(nanos(time(FileTime(ns))), FileTime(ns));
        }
    }
}

//! Whether the files of an identity are others than a moment ago, at the price of a stat each.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The files that may be renewed under a running mount.
const RENEWED: [&str; 5] = ["ca.crt", "ca.crl", "client.crt", "client.key", "user.key"];

/// Device, inode, size, and the times of content and status of a file.
type Looks = (u64, u64, u64, [i64; 4]);

/// What the files of an identity look like from outside. A file that was replaced or written looks different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp([Option<Looks>; 5]);

impl Stamp {
    /// As they are now; what is not there has no looks.
    pub fn of(dir: &Path) -> Self {
        Stamp(RENEWED.map(|name| {
            let meta = dir.join(name).metadata().ok()?;
            let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
            Some((meta.dev(), meta.ino(), meta.size(), times))
        }))
    }
}

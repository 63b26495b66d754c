//! What an administrator does to a store beside running it: each command a file, each reads as a checklist.
//!
//! They work on the data directory, most of them also while a server runs on it; each file says at its head which
//! locks it takes and what it may change.

pub mod backup;
mod bundle;
mod carve;
pub mod drill;
mod moment;
mod replay;
pub mod restore;
pub mod rotate;
pub mod scrub;

use std::path::{Path, PathBuf};

/// The file beside this one whose name goes on like that.
fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(end);
    path.with_file_name(name)
}

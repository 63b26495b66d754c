//! Names of files that belong to another.

use std::path::{Path, PathBuf};

/// The file beside this one whose name goes on like that.
pub fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(end);
    path.with_file_name(name)
}

//! What an administrator does to a store beside running it: each command a file, each reads as a checklist.
//!
//! They work on the data directory, most of them also while a server runs on it; each file says at its head which
//! locks it takes and what it may change.

pub mod audit;
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

/// A name, path or other text of somebody's on one line of a terminal: what would move its cursor or turn its writing round is escaped, as is `\`.
pub fn shown(path: &str) -> String {
    let mut shown = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '\\' => shown.push_str("\\\\"),
            c if is_plain(c) => shown.push(c),
            c => shown.extend(c.escape_default()),
        }
    }
    shown
}

/// Whether a character may go to a terminal as it is: no control, and none that turns writing round or begins a line.
pub fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

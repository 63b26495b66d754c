//! The user's folders on this machine, by the XDG Base Directory Specification: what is not an absolute path does not count.

use std::path::PathBuf;

/// What an environment variable names.
pub fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// For what outlives a program: `$XDG_STATE_HOME`, or `~/.local/state`.
pub fn state() -> Option<PathBuf> {
    named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")))
}

/// For what can be made again: `$XDG_CACHE_HOME`, or `~/.cache`.
pub fn cache() -> Option<PathBuf> {
    named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))
}

//! Where the log goes: stderr in the foreground, a file for a daemon (which has it as its stderr).

use std::fs::{File, OpenOptions};
use std::io::IsTerminal;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tracing_subscriber::EnvFilter;

use sss_common::Advised;

use crate::config::Log;
use crate::places;
use crate::remote::https::Target;

/// A log that is larger than this when a mount begins is put aside as `FILE.old`.
pub const LOG_MAX: u64 = 4 * 1024 * 1024;

/// Logs to stderr, `warn` and above unless `RUST_LOG` says otherwise.
pub fn to_stderr() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,sss_fs_client=info"));
    // A second call (in tests) keeps the first one's.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}

/// A daemon's log file: the one that was asked for, or `$XDG_STATE_HOME/3s/UID@HOST:PORT.log`
/// (`~/.local/state` when that is not set; none for a process without a home, as at boot).
pub fn file(wanted: Option<&Log>, target: &Target) -> Result<Option<(PathBuf, File)>, Advised> {
    match wanted {
        Some(Log::None) => Ok(None),
        Some(Log::File(path)) => match open(path) {
            Ok(file) => Ok(Some((path.clone(), file))),
            Err(error) => Err(Advised::new(
                format!("the log {} cannot be written: {error}", path.display()),
                "choose another file with -o log=FILE, or -o log=none",
            )),
        },
        None => Ok(default_path(target).and_then(|path| {
            std::fs::create_dir_all(path.parent()?).ok()?;
            open(&path).ok().map(|file| (path, file))
        })),
    }
}

fn default_path(target: &Target) -> Option<PathBuf> {
    Some(places::state()?.join("3s").join(format!("{target}.log")))
}

fn open(path: &Path) -> std::io::Result<File> {
    if path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > LOG_MAX) {
        let mut old = path.as_os_str().to_owned();
        old.push(".old");
        #[expect(clippy::disallowed_methods, reason = "a log that a power cut puts back is no loss")]
        std::fs::rename(path, old)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_large_log_is_put_aside_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let target: Target = "alice@h:1".parse().unwrap();
        let wanted = Log::File(path.clone());
        file(Some(&wanted), &target).unwrap().unwrap().1.set_len(LOG_MAX).unwrap();
        file(Some(&wanted), &target).unwrap();
        assert_eq!(path.metadata().unwrap().len(), LOG_MAX, "as large as it may be");
        file(Some(&wanted), &target).unwrap().unwrap().1.set_len(LOG_MAX + 1).unwrap();
        file(Some(&wanted), &target).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 0);
        assert_eq!(dir.path().join("log.old").metadata().unwrap().len(), LOG_MAX + 1);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_said() {
        let target: Target = "alice@h:1".parse().unwrap();
        let failure = file(Some(&Log::File("/proc/nowhere/log".into())), &target).unwrap_err();
        assert!(failure.to_string().contains("/proc/nowhere/log") && failure.hint.contains("-o log="));
        assert!(file(Some(&Log::None), &target).unwrap().is_none());
    }
}

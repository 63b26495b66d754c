//! What the programs say on stdout and stderr. `println!` and `eprintln!` panic when nobody reads any more.
//!
//! Who closed the pipe (`| head -1`) has read enough: that is no failure. What could not be written for another
//! reason (a full disk) is told on stderr, and [`failed`] remembers it for the exit code.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static FAILED: AtomicBool = AtomicBool::new(false);

/// A line on stdout, as `println!`.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(format_args!($($words)*)) };
}

/// A line on stderr, as `eprintln!`.
#[macro_export]
macro_rules! complain {
    ($($words:tt)*) => { $crate::say::complaint(format_args!($($words)*)) };
}

/// See [`say!`](crate::say!).
pub fn line(words: fmt::Arguments<'_>) {
    if let Err(error) = kept(writeln!(io::stdout().lock(), "{words}")) {
        FAILED.store(true, Ordering::Relaxed);
        complaint(format_args!("the output cannot be written: {error}"));
    }
}

/// See [`complain!`](crate::complain!).
pub fn complaint(words: fmt::Arguments<'_>) {
    // Nothing is left to say it on.
    let _ = writeln!(io::stderr().lock(), "{words}");
}

/// Whether something that was to be said on stdout was not, other than because nobody reads any more.
pub fn failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

fn kept(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_closed_the_pipe_has_read_enough() {
        assert!(kept(Ok(())).is_ok());
        assert!(kept(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(kept(Err(ErrorKind::StorageFull.into())).is_err());
    }
}

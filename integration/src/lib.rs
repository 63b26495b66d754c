//! The harness that end-to-end tests, benches and the documentation's examples share: real binaries, a real
//! server on loopback, real mounts.
//!
//! [`Store::start`] gives a store of its own to each test: a temporary folder with a certificate authority,
//! identities for the users of [`USERS`], and a server on a free port. [`Store::mount`] mounts it. Both clean up
//! when they are dropped, also while a test panics, and end only processes that they started.
//! Nothing here needs root; a test that does says so through [`needs_root`]. What else may be missing goes through [`needs`];
//! tools that `make test` installs are not asked for: without them a test fails.

#![allow(clippy::disallowed_methods, reason = "tests make, damage and time what they like")]

pub mod bench;
pub mod binaries;
pub mod circles;
pub mod command;
pub mod curl;
pub mod disk;
pub mod fixture;
mod home;
pub mod layers;
pub mod mount;
pub mod nobody;
pub mod store;
pub mod thief;
pub mod transcript;
pub mod wait;

pub use command::{Cmd, Done, bash};
pub use curl::with_curl;
pub use fixture::USERS;
pub use mount::Mount;
pub use nobody::Nobody;
pub use store::{Builder, Store};
pub use wait::eventually;

use std::io::Write;

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a test needs is there, or the test is left out: loudly, and never in CI. `false` is for the test to return.
///
/// In CI (`CI` is set) what is missing is a failure: a test that is skipped there is one that nobody runs.
#[must_use]
pub fn needs(test: &str, what: &str, is_there: bool) -> bool {
    if is_there {
        return true;
    }
    let in_ci = std::env::var("CI").is_ok_and(|ci| !matches!(&*ci, "" | "0" | "false"));
    assert!(!in_ci, "{test} needs {what}, and nothing is skipped in CI");
    // Only the print macros are captured: this line is seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: it needs {what}");
    false
}

/// [`needs`] root.
#[must_use]
pub fn needs_root(test: &str) -> bool {
    needs(test, "root", is_root())
}

/// `len` bytes that do not repeat and do not compress, the same for the same `seed`.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64: plenty for test data.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

//! The certificate authority of 3S: what the tool `3s-ca` does, as a library.
//!
//! ```text
//! cli -> issue | revoke | show -> ca -> crl -> profile | cert -> index | keys -> files -> host | days -> error -> serial
//! ```
//!
//! A [`Ca`] is a folder: `ca.crt`, `ca.key`, `ca.crl` and `index.tsv`, the list of what it issued. Whatever is written
//! to it or for it is staged whole beside its place, synced, and only then put there; private keys are never
//! replaced, except a server's by an explicit renewal. The clock is an argument.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make, damage and time what they like"))]

pub mod ca;
pub mod cert;
pub mod cli;
pub mod crl;
pub mod days;
pub mod error;
pub mod files;
pub mod host;
pub mod index;
pub mod issue;
pub mod keys;
pub mod profile;
pub mod revoke;
pub mod serial;
pub mod show;

pub use ca::Ca;
pub use days::Days;
pub use error::Error;
pub use host::Host;
pub use serial::Serial;

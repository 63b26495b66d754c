//! 3s: mounts a Secure Shared Store.
//!
//! The rooms, from the top: `cli`, `config` and `run` compose; `fuse` unpacks what the kernel says; `fs`
//! does it, one file per family of operations; below it `tree` (names and inodes) and `document` (what is
//! open); at the bottom `remote`, the server as the mount sees it, and `recovery`, the drafts that outlive a
//! mount. Beneath all of them `identity`, the user's keys and certificates.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make, damage and time what they like"))]

pub mod cli;
pub mod config;
pub mod document;
pub mod fs;
pub mod fuse;
pub mod identity;
pub mod places;
pub mod recovery;
pub mod remote;
pub mod run;
pub mod tree;

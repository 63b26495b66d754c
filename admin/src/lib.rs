//! What an administrator does to a store beside running it: each command a file, each reads as a checklist.
//!
//! They work on the data directory, most of them also while a server runs on it; each file says at its head which
//! locks it takes and what it may change.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make, damage and time what they like"))]

pub mod audit;
pub mod backup;
mod bundle;
mod carve;
pub mod cli;
pub mod drill;
mod moment;
mod names;
mod owner;
pub mod removal;
mod replay;
pub mod restore;
pub mod rotate;
pub mod scrub;
mod trash;
pub mod words;

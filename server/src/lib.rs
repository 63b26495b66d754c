//! The Secure Shared Store's server; its program, `3s-server`, is the crate `sss_admin`.
//!
//! The rooms, from the top: `run` and `config` compose; `tls` knows which machine speaks; `routes` is HTTP;
//! `service` does what is asked, each call a checklist; below it `store` keeps. What decides and what seals are crates of
//! their own: `sss_policy` and `sss_vault`, with `sss_vault::sealed` for the types that pass between vault and store.
//! A test in `integration/` reads the `use` lines and fails on one that points up.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make, damage and time what they like"))]

pub mod config;
pub mod routes;
pub mod run;
pub mod service;
pub mod store;
pub mod tls;

//! 3s-server: the Secure Shared Store's server.
//!
//! The rooms, from the top: `cli`, `config`, `run` and `admin` compose; `tls` knows which machine speaks; `routes` is HTTP;
//! `service` does what is asked, each call a checklist; below it `policy` decides, `vault` seals and `store` keeps,
//! with `sealed` for the types that pass between those two and `failpoint` for the crash tests.
//! A test in `integration/` reads the `use` lines and fails on one that points up.

pub mod admin;
pub mod cli;
pub mod config;
pub mod failpoint;
pub mod policy;
pub mod routes;
pub mod run;
pub mod sealed;
pub mod service;
pub mod store;
pub mod tls;
pub mod vault;

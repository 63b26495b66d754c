//! 3s-server: the Secure Shared Store's server.
//!
//! The rooms, from the top: `cli`, `config` and `run` compose; `tls` knows which machine speaks; `routes` is HTTP;
//! `service` does what is asked, each call a checklist; below it `policy` decides, `vault` seals and `store` keeps,
//! with `sealed` for the types that pass between those two.
//! A test in `integration/` reads the `use` lines and fails on one that points up.

pub mod cli;
pub mod config;
pub mod policy;
pub mod routes;
pub mod run;
pub mod sealed;
pub mod service;
pub mod store;
pub mod tls;
pub mod vault;

//! Documents: checking them out and in, creating them, what is said about them.

mod attributes;
pub(super) mod checkin;
mod checkout;
pub(super) mod create;
mod editors;

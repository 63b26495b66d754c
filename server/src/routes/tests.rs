#![allow(clippy::unwrap_used)]

mod openapi;
mod outside;
mod whole;

#![allow(clippy::unwrap_used)]

mod openapi;
mod outside;

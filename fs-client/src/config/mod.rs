//! What a mount is told: the `-o` options.

mod options;

pub use options::{KNOWN, Log, Options};

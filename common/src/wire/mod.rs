//! What travels between client and server, as JSON unless said otherwise.
//!
//! `session` and `documents` are the public calls, for people with curl as much as for the mount; `fs` is
//! what the mount needs beyond them, and `calls` is the table of its calls. WIRE.md describes both. `text`
//! has the values that are text on the wire and more than that in the program.

pub mod calls;
pub mod documents;
pub mod fs;
pub mod session;
pub mod text;

use serde::{Deserialize, Serialize};

/// An empty JSON object: the answer where there is nothing to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Empty {}

//! The contract between the 3S client and server.
//!
//! Everything that both ends must understand in the same way lives here and nowhere else: names and ids,
//! rights and the grant text, the wire's requests and answers, error codes, and what the server signs (the version
//! record, the deletion receipt) with the check of its signature. None of that does I/O or knows a clock but the one it is handed.
//!
//! Beside it stand the few things that all programs do in one way: errors of two lines ([`Advised`]), files that survive a
//! power cut ([`durable`]) and warnings in time ([`ends`]).
//!
//! One word per thing, in all crates:
//!
//! | word | is |
//! |---|---|
//! | node | a document, folder or symbolic link of the store ([`NodeId`]) |
//! | machine | a client's computer, known by its certificate's common name ([`MachineName`]); the wire, the database, the logs and the words for people say `node` for it, as the certificates' and the login statement's contract does |
//! | key node | a node of the vault's key tree |
//! | leaf | the number of a pack key in the key tree |
//! | home | the folder at the root of a user's documents |
//! | owner | who created a node; the owner of a home has an owner's rights over all of it |
//! | caller, peer | who asks: the user with a live session; the machine that a request came from |
//! | version | one whole content of a document; the record describes it, a pack holds what its check-in brought |
//! | pin | what keeps a superseded version readable for who has it open |
//! | epoch | the number of a root key; erasing moves to the next one ([`Epoch`]) |

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make, damage and time what they like"))]

pub mod advised;
pub mod clock;
pub mod durable;
pub mod ends;
pub mod flag;
pub mod framing;
pub mod grant;
pub mod id;
pub mod limits;
pub mod login;
pub mod name;
pub mod node;
pub mod problem;
pub mod receipt;
pub mod record;
pub mod say;
#[cfg(feature = "schema")]
pub mod schema;
pub mod wire;

pub use advised::Advised;
pub use clock::{Clock, FileTime, SystemClock, Timestamp};
pub use flag::Flag;
pub use grant::{GrantText, Grantee, Right, When};
pub use id::{Epoch, NodeId, PackId, StoreId, Version};
pub use name::{DocPath, MachineName, Name, Uid};
pub use node::{Effective, Kind, XattrMode};
pub use problem::{Code, Problem};

//! The contract between the 3S client and server.
//!
//! Everything that both ends must understand in the same way lives here and nowhere else: names and ids,
//! rights and the grant text, the wire's requests and answers, error codes, and what the server signs (the version
//! record, the deletion receipt) with the check of its signature. The crate does no I/O and knows no clock but the one it is handed.

pub mod clock;
pub mod flag;
pub mod framing;
pub mod grant;
pub mod id;
pub mod limits;
pub mod login;
pub mod name;
pub mod problem;
pub mod receipt;
pub mod record;
pub mod wire;

pub use clock::{Clock, SystemClock, Timestamp};
pub use flag::Flag;
pub use grant::{GrantText, Grantee, Right, When};
pub use id::{NodeId, PackId, Version};
pub use name::{DocPath, Name, NodeName, Uid};
pub use problem::{Code, Problem};

//! Why something open could not go on.

use crate::remote::RemoteError;

/// A failed operation on a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server said no, or nothing.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// An earlier check-in failed for good; every later call on the open file says so again.
    #[error("{why}")]
    Lost {
        /// What the server said to the check-in.
        cause: RemoteError,
        /// What happened, and where the draft is now.
        why: String,
    },
    /// The document was deleted, and what is asked for was not kept here.
    #[error("the document was deleted")]
    Gone,
    /// The write reaches past the largest document.
    #[error("a document holds at most {} bytes", sss_common::limits::DOCUMENT_MAX)]
    TooLarge,
    /// The write would leave a block in more pieces than can be checked in by who may not read what lies between them.
    #[error(
        "more than {} separate pieces of a block of 64 KiB can be saved only by who may check the document out",
        sss_common::limits::RANGES_MAX
    )]
    Crowded,
    /// Unsaved data did not fit into memory, nor into the spool file.
    #[error("the spool file for unsaved data: {0}")]
    Spool(String),
}

/// An operation's outcome.
pub type Result<T> = std::result::Result<T, Error>;

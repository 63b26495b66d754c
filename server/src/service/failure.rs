//! Why a call failed: a stable code and public words for the client, the cause for the log.

use sss_common::Code;

use crate::store::StoreError;
use sss_policy::Refusal;
use sss_vault::VaultError;

/// A call's outcome.
pub type Outcome<T> = Result<T, Failure>;

/// A failure. `detail` goes to the client and never reveals a hidden document; `cause` goes to the log only.
#[derive(Debug)]
pub struct Failure {
    /// What programs decide by.
    pub code: Code,
    /// What a person reads.
    pub detail: String,
    /// For the log.
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Seconds to wait, for `throttled` and `unavailable`.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// A failure with public words.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Failure { code, detail: detail.into(), cause: None, retry_after: None }
    }

    /// The same with what only the log may know.
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Not there, or not to be seen: the same words for both.
    pub fn not_found() -> Self {
        Failure::new(Code::NotFound, Refusal::Hidden.to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Hidden => Code::NotFound,
            Refusal::Ended(_) => Code::GrantEnded,
            Refusal::NoRight | Refusal::Only(_) | Refusal::NotOwner => Code::NoRight,
        };
        Failure::new(code, refusal.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound => return Failure::not_found(),
            StoreError::Refused(refusal) => return (*refusal).into(),
            StoreError::Disabled(_) => Code::SessionRevoked,
            StoreError::Exists => Code::Exists,
            StoreError::VersionMoved(_) => Code::VersionMoved,
            StoreError::NotEmpty => Code::NotEmpty,
            StoreError::IsFolder => Code::IsFolder,
            StoreError::NotFolder => Code::NotFolder,
            StoreError::Loop => Code::Loop,
            StoreError::TooDeep => Code::NameTooLong,
            StoreError::TooLarge => Code::TooLarge,
            StoreError::Full => Code::DiskFull,
            StoreError::Damaged(_) => {
                return Failure::new(Code::Integrity, "stored metadata is damaged").caused_by(error);
            }
            StoreError::Unlogged(_) => {
                let failure = Failure::new(
                    Code::Unavailable,
                    "the server's audit log cannot be written; try again later",
                );
                return Failure { retry_after: Some(5), ..failure.caused_by(error) };
            }
            StoreError::Newer { .. } | StoreError::Enabled(_) | StoreError::Backend(_) => {
                return Failure::new(Code::Internal, "the server's storage failed").caused_by(error);
            }
        };
        Failure::new(code, error.to_string())
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Integrity(_) => {
                Failure::new(Code::Integrity, "the document's sealed data does not verify").caused_by(error)
            }
            VaultError::Erased => Failure::new(Code::VersionGone, "the version's key was destroyed"),
            _ => Failure::new(Code::Internal, "the server's keys cannot be used").caused_by(error),
        }
    }
}

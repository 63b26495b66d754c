//! The one table from what went wrong to the number that a program sees.

use fuser::Errno;
use sss_common::Code;
use sss_common::grant::GrantError;
use sss_common::name::NameError;

use crate::document;
use crate::remote::RemoteError;

/// A refusal as a program and a person see it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    /// What the program sees.
    pub errno: Errno,
    /// What happened, and what to do about it.
    pub why: String,
    /// The server's name for the request that it refused; finds the cause in the server's log.
    pub request_id: Option<String>,
}

const MOVED_ON: &str = "the document has a newer version";

/// An operation's outcome.
pub type Answer<T> = Result<T, Failure>;

/// How loudly a failure is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loudness {
    /// Programs ask for what is not there all day long.
    Quiet,
    /// A person may want to know.
    Info,
    /// Something is wrong.
    Warning,
}

impl Failure {
    /// A failure that the client itself decided.
    pub fn new(errno: Errno, why: impl Into<String>) -> Self {
        Failure { errno, why: why.into(), request_id: None }
    }

    /// What `user.3s.why` says: the server's name for the request comes last.
    pub fn full_why(&self) -> String {
        match &self.request_id {
            Some(request_id) => format!("{} (request {request_id})", self.why),
            None => self.why.clone(),
        }
    }

    /// The inode's document has moved on: the kernel hears ESTALE and looks the name up again, nobody else
    /// hears of it.
    pub fn moved_on() -> Self {
        Failure::new(Errno::ESTALE, MOVED_ON)
    }

    /// How loudly to log it.
    pub fn loudness(&self) -> Loudness {
        if self.why == MOVED_ON {
            return Loudness::Quiet;
        }
        match self.errno.code() {
            libc::ENOENT
            | libc::EEXIST
            | libc::ENODATA
            | libc::ENOTEMPTY
            | libc::EISDIR
            | libc::ENOTDIR
            | libc::ENOTSUP
            | libc::EINVAL
            | libc::EXDEV
            | libc::ENAMETOOLONG
            | libc::EPERM
            | libc::EBADF => Loudness::Quiet,
            libc::EACCES | libc::EROFS => Loudness::Info,
            _ => Loudness::Warning,
        }
    }

    /// Whether `user.3s.why` remembers it: a name that is not there is no refusal, and would bury one.
    pub fn is_refusal(&self) -> bool {
        self.why != MOVED_ON
            && !matches!(
                self.errno.code(),
                libc::ENOENT | libc::EEXIST | libc::ENODATA | libc::ENOTEMPTY | libc::EBADF
            )
    }
}

/// The table.
pub fn errno_of(code: Code) -> Errno {
    match code {
        Code::NotFound => Errno::ENOENT,
        Code::NoRight | Code::GrantEnded => Errno::EACCES,
        Code::VersionMoved | Code::VersionGone => Errno::ESTALE,
        Code::SessionReplaced => Errno::from_i32(libc::EKEYREVOKED),
        Code::SessionExpired
        | Code::SessionRevoked
        | Code::NotLoggedIn
        | Code::LoginRefused
        | Code::Throttled => Errno::from_i32(libc::EKEYEXPIRED),
        Code::Integrity | Code::Internal => Errno::EIO,
        Code::NotErased => Errno::EAGAIN,
        Code::RequestTimeout | Code::Unavailable => Errno::ETIMEDOUT,
        Code::Quota => Errno::EDQUOT,
        Code::DiskFull => Errno::ENOSPC,
        Code::Exists => Errno::EEXIST,
        Code::NotEmpty => Errno::ENOTEMPTY,
        Code::IsFolder => Errno::EISDIR,
        Code::NotFolder => Errno::ENOTDIR,
        Code::OtherHome => Errno::EXDEV,
        Code::NameTooLong => Errno::ENAMETOOLONG,
        Code::TooLarge => Errno::EFBIG,
        Code::BadName
        | Code::BadGrant
        | Code::BadRequest
        | Code::BadRange
        | Code::Loop
        | Code::MethodNotAllowed
        | Code::HeadersTooLarge => Errno::EINVAL,
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Unreachable(why) => Failure::new(Errno::ETIMEDOUT, why),
            RemoteError::Refused { code, detail, request_id } => {
                Failure { request_id, ..Failure::new(errno_of(code), detail) }
            }
        }
    }
}

impl From<document::Error> for Failure {
    fn from(error: document::Error) -> Self {
        match error {
            document::Error::Remote(error) => error.into(),
            document::Error::Lost { cause, why } => Failure { why, ..Failure::from(cause) },
            document::Error::Gone => Failure::new(Errno::ESTALE, error.to_string()),
            document::Error::TooLarge => Failure::new(Errno::EFBIG, error.to_string()),
            document::Error::Crowded => Failure::new(Errno::EINVAL, error.to_string()),
            document::Error::Spool(_) => Failure::new(Errno::ENOSPC, error.to_string()),
        }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        let errno = match error {
            NameError::TooLong(_) => Errno::ENAMETOOLONG,
            NameError::Empty
            | NameError::TooDeep(_)
            | NameError::Character(_)
            | NameError::Reserved(_)
            | NameError::NoOwner
            | NameError::NotUtf8 => Errno::EINVAL,
        };
        Failure::new(errno, error.to_string())
    }
}

impl From<GrantError> for Failure {
    fn from(error: GrantError) -> Self {
        Failure::new(Errno::EINVAL, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's table; `errno_of` has no `_` arm, so a new code does not compile until it is decided.
    #[test]
    fn the_contracts_situations() {
        for (code, errno) in [
            (Code::NotFound, libc::ENOENT),
            (Code::NoRight, libc::EACCES),
            (Code::GrantEnded, libc::EACCES),
            (Code::VersionMoved, libc::ESTALE),
            (Code::VersionGone, libc::ESTALE),
            (Code::SessionReplaced, libc::EKEYREVOKED),
            (Code::SessionExpired, libc::EKEYEXPIRED),
            (Code::SessionRevoked, libc::EKEYEXPIRED),
            (Code::Integrity, libc::EIO),
            (Code::Quota, libc::EDQUOT),
            (Code::DiskFull, libc::ENOSPC),
            (Code::Exists, libc::EEXIST),
            (Code::NotEmpty, libc::ENOTEMPTY),
            (Code::IsFolder, libc::EISDIR),
            (Code::NotFolder, libc::ENOTDIR),
            (Code::OtherHome, libc::EXDEV),
            (Code::NameTooLong, libc::ENAMETOOLONG),
            (Code::BadName, libc::EINVAL),
            (Code::BadGrant, libc::EINVAL),
            (Code::TooLarge, libc::EFBIG),
            (Code::NotErased, libc::EAGAIN),
        ] {
            let failure = Failure::from(RemoteError::refused(code, "because"));
            assert_eq!(failure.errno.code(), errno, "{code}");
            assert_eq!(failure.why, "because");
        }
        assert_eq!(Failure::from(RemoteError::Unreachable(String::new())).errno, Errno::ETIMEDOUT);
    }

    #[test]
    fn the_servers_request_stands_last() {
        let failed = Failure { request_id: Some("3f2a".into()), ..Failure::new(Errno::EIO, "damaged") };
        assert_eq!(failed.full_why(), "damaged (request 3f2a)");
        let kept = Failure { why: "damaged; kept in /copy".into(), ..failed };
        assert_eq!(kept.full_why(), "damaged; kept in /copy (request 3f2a)");
    }

    #[test]
    fn every_code_has_a_number() {
        assert!(Code::EVERY.iter().all(|code| errno_of(*code).code() > 0));
    }

    #[test]
    fn a_missing_name_is_no_warning_and_no_refusal() {
        let missing = Failure::new(Errno::ENOENT, "");
        assert_eq!(missing.loudness(), Loudness::Quiet);
        assert!(!missing.is_refusal());
        assert_eq!(Failure::new(Errno::EIO, "").loudness(), Loudness::Warning);
        assert!(!Failure::moved_on().is_refusal());
    }
}

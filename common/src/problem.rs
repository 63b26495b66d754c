//! Errors on the wire: `application/problem+json` (RFC 9457) with a stable code.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal;)*) => {
        /// What went wrong, as a word that never changes. Programs decide by it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl Code {
            /// Every code, for tests that look at all of them.
            pub const EVERY: &'static [Code] = &[$(Code::$variant,)*];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)* }
            }
        }
    };
}

codes! {
    /// The request makes no sense.
    BadRequest = "bad_request", 400;
    /// A grant's text, time or grantee cannot be.
    BadGrant = "bad_grant", 400;
    /// A name that cannot be used.
    BadName = "bad_name", 400;
    /// A name or path beyond its limit.
    NameTooLong = "name_too_long", 400;
    /// No session was named.
    NotLoggedIn = "not_logged_in", 401;
    /// Uid, key, challenge or statement did not match. Which one is in the server's log.
    LoginRefused = "login_refused", 401;
    /// The session is over; a new login may be tried.
    SessionExpired = "session_expired", 401;
    /// The user has logged in somewhere else since.
    SessionReplaced = "session_replaced", 401;
    /// The user was disabled or given another key, or the node's certificate revoked; a new login is of no use.
    SessionRevoked = "session_revoked", 401;
    /// No live right.
    NoRight = "no_right", 403;
    /// There was a right, and it ended.
    GrantEnded = "grant_ended", 403;
    /// Not there, or not visible to this user.
    NotFound = "not_found", 404;
    /// The method is not for this path.
    MethodNotAllowed = "method_not_allowed", 405;
    /// The request took too long to arrive.
    RequestTimeout = "request_timeout", 408;
    /// The name is taken.
    Exists = "exists", 409;
    /// The folder has entries.
    NotEmpty = "not_empty", 409;
    /// It is a folder.
    IsFolder = "is_folder", 409;
    /// It is not a folder.
    NotFolder = "not_folder", 409;
    /// A folder cannot be moved into itself.
    Loop = "loop", 409;
    /// Documents cannot be renamed from one home to another.
    OtherHome = "other_home", 409;
    /// The version was replaced and is kept no longer, or its document was deleted.
    VersionGone = "version_gone", 410;
    /// Someone else checked in since.
    VersionMoved = "version_moved", 412;
    /// Larger than a limit.
    TooLarge = "too_large", 413;
    /// The range lies outside of the document.
    BadRange = "bad_range", 416;
    /// Header fields beyond their limit.
    HeadersTooLarge = "headers_too_large", 431;
    /// Too many failed logins; see `Retry-After`.
    Throttled = "throttled", 429;
    /// Sealed data or a signature does not verify.
    Integrity = "integrity", 500;
    /// It is deleted and stays so; its keys are not erased yet, and the server goes on trying. There is no receipt before.
    NotErased = "not_erased", 500;
    /// The server failed; its log has the cause under the request id.
    Internal = "internal", 500;
    /// The server is stopping or overloaded.
    Unavailable = "unavailable", 503;
    /// The server's disk is full.
    DiskFull = "disk_full", 507;
    /// The user's quota is used up.
    Quota = "quota", 507;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The body of an error answer. `detail` is for people and never says whether a hidden document exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// `about:blank`: the code says it all (RFC 9457, section 4.2.1).
    #[serde(rename = "type")]
    #[cfg_attr(feature = "schema", schemars(extend("const" = "about:blank")))]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// What programs decide by.
    pub code: Code,
    /// What happened, for a person.
    pub detail: String,
    /// Finds the cause in the server's log; also in `X-Request-Id`.
    pub request_id: String,
}

impl Problem {
    /// A problem with its status filled in from the code.
    pub fn new(code: Code, detail: impl Into<String>, request_id: impl Into<String>) -> Self {
        Problem {
            kind: "about:blank".into(),
            title: code.as_str().replace('_', " "),
            status: code.status(),
            code,
            detail: detail.into(),
            request_id: request_id.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_codes_have_the_contracts_statuses() {
        for (code, status) in [
            (Code::NotFound, 404),
            (Code::NoRight, 403),
            (Code::GrantEnded, 403),
            (Code::VersionMoved, 412),
            (Code::SessionReplaced, 401),
            (Code::SessionExpired, 401),
            (Code::Integrity, 500),
            (Code::Quota, 507),
            (Code::DiskFull, 507),
        ] {
            assert_eq!(code.status(), status, "{code}");
        }
    }

    #[test]
    fn codes_are_spelled_the_same_everywhere() {
        for &code in Code::EVERY {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}

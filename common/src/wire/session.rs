//! `/v1/challenge`, `/v1/login`, `/v1/logout`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Uid;

/// The server answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// `ok`.
    #[cfg_attr(feature = "schema", schemars(extend("const" = "ok")))]
    pub status: String,
    /// The server's version.
    pub version: String,
}

/// Asks for a challenge to sign.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChallengeRequest {
    /// Who wants to log in.
    pub uid: Uid,
}

/// A challenge: it serves one login.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChallengeResponse {
    /// To be put into the statement: `RANDOM.SERVER`. SERVER is base64url of the SHA-256 of the public key (SPKI) in the
    /// server's certificate; a client that signs a challenge of another server can be passed on to that one.
    pub challenge: String,
    /// Seconds until it is of no use.
    pub expires_in: u64,
}

/// A signed statement, see [`crate::login::statement`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoginRequest {
    /// Who logs in.
    pub uid: Uid,
    /// The text that was signed: `NODE as UID logs into the Server`, a line feed, `challenge: CHALLENGE`.
    /// NODE is the common name of the client's certificate.
    pub statement: String,
    /// Base64 of the RSA-PSS signature: SHA-256, MGF1-SHA-256, salt of 32 bytes.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "byte")))]
    pub signature: String,
}

/// A session.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoginResponse {
    /// Goes into `Authorization: Bearer TOKEN`.
    pub token: String,
    /// Seconds until the session is over.
    pub expires_in: u64,
}

impl fmt::Debug for LoginResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginResponse").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

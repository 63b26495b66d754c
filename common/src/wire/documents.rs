//! `/v1/documents/…` and `/v1/grants/…`.

use serde::{Deserialize, Serialize};

use super::text::rfc3339;
use crate::{Grantee, Right, Timestamp, Version, When};

/// What a check-in made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckedIn {
    /// The document's version now.
    pub version: Version,
}

/// Sets a grant. Exactly one of `seconds` and `until` may be there; with neither the server's
/// `default_ttl` counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrantRequest {
    /// `ALL` or a uid.
    pub grantee: Grantee,
    /// What is allowed.
    pub right: Right,
    /// Seconds from now on the server's clock, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 1)))]
    pub seconds: Option<u64>,
    /// The end, an RFC 3339 time.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub until: Option<Timestamp>,
}

impl GrantRequest {
    /// The end that is meant; an error text when the fields contradict.
    pub fn when(&self) -> Result<Option<When>, &'static str> {
        match (self.seconds, self.until) {
            (None, None) => Ok(None),
            (Some(0), None) => Err("`seconds` is at least 1"),
            (Some(seconds), None) => Ok(Some(When::Seconds(seconds))),
            (None, Some(at)) => Ok(Some(When::Until(at))),
            (Some(_), Some(_)) => Err("give `seconds` or `until`, not both"),
        }
    }
}

/// A grant as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrantInfo {
    /// `ALL` or a uid.
    pub grantee: Grantee,
    /// What is allowed.
    pub right: Right,
    /// RFC 3339, whole seconds, UTC.
    #[serde(with = "rfc3339")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub until: Timestamp,
}

/// The grants on one document or folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrantList {
    /// All of them for an owner, a grantee's own (and ALL's) for others.
    pub grants: Vec<GrantInfo>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_given_once() {
        let request = |json: &str| match serde_json::from_str::<GrantRequest>(json) {
            Ok(request) => request.when().map_err(str::to_owned),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(
            request(r#"{"grantee":"bob","right":"checkout","seconds":5}"#),
            Ok(Some(When::Seconds(5)))
        );
        assert_eq!(request(r#"{"grantee":"ALL","right":"both"}"#), Ok(None));
        assert!(request(r#"{"grantee":"bob","right":"both","until":"2026-11-22T15:04:05Z"}"#).is_ok());
        for bad in [r#""seconds":0"#, r#""until":"soon""#, r#""seconds":1,"until":"2026-11-22T15:04:05Z""#] {
            assert!(request(&format!(r#"{{"grantee":"bob","right":"both",{bad}}}"#)).is_err(), "{bad}");
        }
    }
}

//! Preconditions and ranges in headers (RFC 9110, sections 13 and 14). Pure.
//!
//! An entity tag is the version in quotes: `"3"`. A well-formed tag that is no version matches nothing; a
//! header that is not well-formed is refused rather than guessed at, since a lost `If-Match` loses somebody's
//! work.

use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue};
use sss_common::{Code, Version};

use crate::service::{Failure, RangeRequest};

/// What a change demands of the present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnlyIf {
    /// Nothing.
    Anything,
    /// `If-Match: "3"`.
    Version(Version),
    /// `If-Match: *`.
    Present,
    /// `If-None-Match: *`.
    Absent,
}

/// The precondition of a PUT or DELETE.
pub(super) fn for_change(headers: &HeaderMap) -> Result<OnlyIf, Failure> {
    match (one(headers, IF_MATCH)?, one(headers, IF_NONE_MATCH)?) {
        (None, None) => Ok(OnlyIf::Anything),
        (Some("*"), None) => Ok(OnlyIf::Present),
        (None, Some("*")) => Ok(OnlyIf::Absent),
        (Some(text), None) => match &*tags(text).ok_or_else(|| malformed("If-Match"))? {
            [tag] => tag.strong().map(OnlyIf::Version).ok_or_else(moved),
            _ => Err(Failure::new(Code::BadRequest, "If-Match names one version here")),
        },
        (None, Some(_)) => Err(Failure::new(Code::BadRequest, "If-None-Match takes only `*` here")),
        (Some(_), Some(_)) => Err(Failure::new(Code::BadRequest, "give If-Match or If-None-Match, not both")),
    }
}

/// What the conditions of a GET or HEAD make of the current version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer.
    Send,
    /// 304: the asker has it.
    NotModified,
    /// 412.
    Moved,
}

/// Evaluates a GET's or HEAD's conditions in RFC 9110's order (section 13.2.2).
pub(super) fn for_reading(headers: &HeaderMap, current: Version) -> Result<Verdict, Failure> {
    if let Some(text) = one(headers, IF_MATCH)? {
        let matches = |tag: &Tag<'_>| tag.strong() == Some(current);
        if text != "*" && !tags(text).ok_or_else(|| malformed("If-Match"))?.iter().any(matches) {
            return Ok(Verdict::Moved);
        }
    }
    if let Some(text) = one(headers, IF_NONE_MATCH)? {
        let matches = |tag: &Tag<'_>| tag.version() == Some(current);
        if text == "*" || tags(text).ok_or_else(|| malformed("If-None-Match"))?.iter().any(matches) {
            return Ok(Verdict::NotModified);
        }
    }
    Ok(Verdict::Send)
}

/// The version that `If-Range` demands; `Some(None)` for one that never matches (a date, a weak tag).
pub(super) fn if_range(headers: &HeaderMap) -> Option<Option<Version>> {
    let value = headers.get(IF_RANGE)?;
    Some(value.to_str().ok().and_then(tags).and_then(|tags| match &*tags {
        [tag] => tag.strong(),
        _ => None,
    }))
}

/// The bytes that are asked for. Several ranges, other units and malformed ones mean the whole (section
/// 14.2).
pub(super) fn range(headers: &HeaderMap) -> RangeRequest {
    let mut values = headers.get_all(RANGE).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(text), None) => parse_range(text).unwrap_or(RangeRequest::All),
        _ => RangeRequest::All,
    }
}

fn parse_range(text: &str) -> Option<RangeRequest> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    match (first.trim_end(), last.trim_start()) {
        ("", count) => Some(RangeRequest::Last(digits(count)?)),
        (first, "") => Some(RangeRequest::From(digits(first)?, None)),
        (first, last) => {
            let (first, last) = (digits(first)?, digits(last)?);
            (first <= last).then_some(RangeRequest::From(first, Some(last)))
        }
    }
}

/// A number beyond `u64` means as far as it goes.
fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The entity tag of a version.
pub(super) fn etag(version: Version) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes are a header value")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag<'a> {
    weak: bool,
    opaque: &'a str,
}

impl Tag<'_> {
    fn version(&self) -> Option<Version> {
        let version = digits(self.opaque).map(Version)?;
        (version.to_string() == self.opaque).then_some(version)
    }

    fn strong(&self) -> Option<Version> {
        if self.weak { None } else { self.version() }
    }
}

/// A list of entity tags; `None` when it is not one. Tags of other makers may have commas inside.
fn tags(text: &str) -> Option<Vec<Tag<'_>>> {
    let mut found = Vec::new();
    let mut rest = text.trim_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let weak = rest.starts_with("W/");
        let inside = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let (opaque, behind) = inside.split_once('"')?;
        found.push(Tag { weak, opaque });
        let behind = behind.trim_start();
        if !behind.is_empty() && !behind.starts_with(',') {
            return None;
        }
        rest = behind.trim_start_matches([' ', '\t', ',']);
    }
    if found.is_empty() { None } else { Some(found) }
}

/// A header's only value.
fn one(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Failure> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(|text| Some(text.trim())).map_err(|_| malformed(name.as_str()))
        }
        _ => Err(Failure::new(Code::BadRequest, format!("give {name} once"))),
    }
}

fn malformed(name: &str) -> Failure {
    Failure::new(
        Code::BadRequest,
        format!("{name} reads {name}: \"3\" with the version in quotes, or {name}: *"),
    )
}

/// The words for a precondition that cannot hold.
pub(super) fn moved() -> Failure {
    Failure::new(Code::VersionMoved, "the current version is another")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn changes() {
        let only_if = |fields: &[(HeaderName, &str)]| for_change(&headers(fields)).map_err(|f| f.code);
        assert_eq!(only_if(&[]), Ok(OnlyIf::Anything));
        for (text, expected) in [
            ("\"3\"", Ok(OnlyIf::Version(Version(3)))),
            (" \"0\" ", Ok(OnlyIf::Version(Version(0)))),
            ("*", Ok(OnlyIf::Present)),
            ("W/\"3\"", Err(Code::VersionMoved)),
            ("\"03\"", Err(Code::VersionMoved)),
            ("\"abc\"", Err(Code::VersionMoved)),
            ("\"99999999999999999999999\"", Err(Code::VersionMoved)),
            ("\"3\", \"4\"", Err(Code::BadRequest)),
            ("3", Err(Code::BadRequest)),
            ("\"3", Err(Code::BadRequest)),
            ("\"3\"x", Err(Code::BadRequest)),
            ("", Err(Code::BadRequest)),
        ] {
            assert_eq!(only_if(&[(IF_MATCH, text)]), expected, "{text}");
        }
        assert_eq!(only_if(&[(IF_NONE_MATCH, "*")]), Ok(OnlyIf::Absent));
        assert_eq!(only_if(&[(IF_NONE_MATCH, "\"3\"")]), Err(Code::BadRequest));
        assert_eq!(only_if(&[(IF_MATCH, "\"3\""), (IF_NONE_MATCH, "*")]), Err(Code::BadRequest));
        let mut twice = headers(&[(IF_MATCH, "\"3\"")]);
        twice.append(IF_MATCH, HeaderValue::from_static("\"4\""));
        assert_eq!(for_change(&twice).unwrap_err().code, Code::BadRequest);
    }

    #[test]
    fn readings() {
        let verdict =
            |name: HeaderName, text: &str| for_reading(&headers(&[(name, text)]), Version(3)).unwrap();
        assert_eq!(for_reading(&headers(&[]), Version(3)).unwrap(), Verdict::Send);
        for (text, expected) in [
            ("\"3\"", Verdict::Send),
            ("\"2\", \"3\"", Verdict::Send),
            ("*", Verdict::Send),
            ("\"2\"", Verdict::Moved),
            ("W/\"3\"", Verdict::Moved),
        ] {
            assert_eq!(verdict(IF_MATCH, text), expected, "{text}");
        }
        for (text, expected) in [
            ("\"3\"", Verdict::NotModified),
            ("W/\"3\"", Verdict::NotModified),
            ("\"a,b\" , \"3\"", Verdict::NotModified),
            ("*", Verdict::NotModified),
            ("\"2\"", Verdict::Send),
        ] {
            assert_eq!(verdict(IF_NONE_MATCH, text), expected, "{text}");
        }
        assert!(for_reading(&headers(&[(IF_NONE_MATCH, "3")]), Version(3)).is_err());
    }

    #[test]
    fn ranges() {
        let range = |text: &str| range(&headers(&[(RANGE, text)]));
        for (text, expected) in [
            ("bytes=0-", RangeRequest::From(0, None)),
            ("bytes=5-9", RangeRequest::From(5, Some(9))),
            ("Bytes = 5-9", RangeRequest::From(5, Some(9))),
            ("bytes=-4", RangeRequest::Last(4)),
            ("bytes=-0", RangeRequest::Last(0)),
            ("bytes=1-99999999999999999999999", RangeRequest::From(1, Some(u64::MAX))),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
        for whole in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=9-5",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=a-b",
            "bytes=+1-2",
        ] {
            assert_eq!(range(whole), RangeRequest::All, "{whole}");
        }
    }

    #[test]
    fn if_ranges() {
        let demanded = |text: &str| if_range(&headers(&[(IF_RANGE, text)]));
        assert_eq!(if_range(&headers(&[])), None);
        assert_eq!(demanded("\"3\""), Some(Some(Version(3))));
        for never in ["W/\"3\"", "Wed, 21 Oct 2026 07:28:00 GMT", "\"3\", \"4\"", ""] {
            assert_eq!(demanded(never), Some(None), "{never}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "[ -~]{0,40}") {
            for name in [IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE] {
                let headers = headers(&[(name, &text)]);
                let _ = (for_change(&headers), for_reading(&headers, Version(1)), if_range(&headers), range(&headers));
            }
        }

        #[test]
        fn a_range_comes_back_as_it_was_written(first: u64, length in 0u64..1_000_000) {
            let last = first.saturating_add(length);
            let text = format!("bytes={first}-{last}");
            prop_assert_eq!(range(&headers(&[(RANGE, &text)])), RangeRequest::From(first, Some(last)));
        }

        #[test]
        fn a_version_matches_its_own_tag_only(version: u64, other: u64) {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, etag(Version(version)));
            prop_assert_eq!(for_change(&headers).unwrap(), OnlyIf::Version(Version(version)));
            let matches = for_reading(&headers, Version(other)).unwrap() == Verdict::Send;
            prop_assert_eq!(matches, version == other);
        }
    }
}

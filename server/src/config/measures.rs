//! Times and sizes as a configuration writes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use sss_common::When;

/// `"200ms"`, `"30s"`, `"10m"`, `"24h"`, `"7d"`, as in a grant; a bare number is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(pub(super) Duration);

impl Span {
    pub(super) fn of(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }

    fn read(text: &str) -> Option<Self> {
        match (text.strip_suffix("ms"), text.parse()) {
            (Some(digits), _) => {
                digits.parse().ok().map(|digits: u32| Span(Duration::from_millis(digits.into())))
            }
            (None, _) if matches!(text, "0" | "0s") => Some(Span(Duration::ZERO)),
            (None, Ok(When::Seconds(seconds))) => Some(Span::of(seconds)),
            _ => None,
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{}s", self.0.as_secs()),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a time like \"200ms\", \"30s\", \"10m\", \"24h\" or \"7d\"";
        deserializer.deserialize_any(Measure(expected, Span::read))
    }
}

/// `"forever"`, or a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Keep {
    #[default]
    Forever,
    For(Span),
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Keep::Forever => serializer.serialize_str("forever"),
            Keep::For(span) => span.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| match text {
            "forever" => Some(Keep::Forever),
            _ => Span::read(text).map(Keep::For),
        };
        deserializer.deserialize_any(Measure("\"forever\", or a time like \"90d\"", parse))
    }
}

/// `"64MiB"`, `"1TiB"`; a bare number is bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// What a size looks like, for who wrote something else.
const SIZE: &str = "a size like \"64MiB\" or \"1TiB\", or a number of bytes";

const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (digits, unit) =
                UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse::<u64>().ok()?.checked_mul(*unit)).flatten().map(Size)
        };
        read().ok_or_else(|| format!("this is not {SIZE}"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |&&(_, unit): &&(&str, u64)| self.0 >= unit && self.0.is_multiple_of(unit);
        let (name, unit) = UNITS.iter().find(whole).unwrap_or(&("", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Measure(SIZE, |text: &str| text.parse().ok()))
    }
}

/// Reads a measure from its text or from a bare number: what is expected, and how it is read.
struct Measure<F>(&'static str, F);

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Measure<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

//! Which revocation lists were in force, so that none from before is taken up again: not at a reload, not at the next start.
//!
//! ```text
//! # 3s revocation lists 1: authority's key (SHA-256), number of the list (or -), when it was issued (seconds since 1970)
//! 9a3c…  02  1795359845
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sss_common::Timestamp;
use sss_common::durable::{self, Access};

const HEADER: &str = "# 3s revocation lists 1";

/// An authority: SHA-256 of its public key, in hexadecimal.
pub(super) type Authority = String;

/// What orders the lists of one authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edition {
    /// The list's number, big-endian without leading zeros (RFC 5280, section 5.2.3); lists of version 1 have none.
    pub(super) number: Option<Vec<u8>>,
    /// When it was issued, in seconds since 1970.
    pub(super) issued: i64,
}

impl Edition {
    fn is_before(&self, other: &Edition) -> bool {
        match (&self.number, &other.number) {
            (Some(this), Some(other)) => (this.len(), this) < (other.len(), other),
            _ => self.issued < other.issued,
        }
    }

    /// Takes a later one over, where one file has several of an authority.
    pub(super) fn renew(&mut self, other: &Edition) {
        if self.is_before(other) {
            *self = other.clone();
        }
    }

    fn in_words(&self) -> String {
        match &self.number {
            Some(number) => format!("number {} (hexadecimal)", hex::encode(number)),
            None => format!("the one of {}", Timestamp(self.issued.saturating_mul(1000))),
        }
    }
}

/// Why a list is not taken up, as the end of a sentence that begins with its file.
pub(super) type Refusal = String;

/// The lists that were in force, kept in a file.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    path: PathBuf,
    known: BTreeMap<Authority, Edition>,
}

impl Lists {
    /// As the file says; none where there is no file.
    pub(super) fn load(path: &Path) -> std::io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Lists { path: path.into(), known: BTreeMap::new() });
            }
            Err(error) => return Err(error),
        };
        let known =
            parse(&text).ok_or_else(|| std::io::Error::other("the file does not say what it should"))?;
        Ok(Lists { path: path.into(), known })
    }

    /// Whether these lists may take over, where these authorities are believed.
    pub(super) fn admit(
        &self,
        authorities: &[Authority],
        lists: &BTreeMap<Authority, Edition>,
    ) -> Result<(), Refusal> {
        for (authority, known) in self.known.iter().filter(|(authority, _)| authorities.contains(authority)) {
            let Some(list) = lists.get(authority) else { return Err("was there and is gone".into()) };
            if list.is_before(known) {
                let (old, new) = (list.in_words(), known.in_words());
                return Err(format!("is older than the list that was in force: {old}, behind {new}"));
            }
        }
        Ok(())
    }

    /// Remembers what was admitted, durably. Nothing is written when nothing is new.
    pub(super) fn remember(&mut self, lists: BTreeMap<Authority, Edition>) -> std::io::Result<()> {
        let mut known = self.known.clone();
        known.extend(lists);
        if known != self.known {
            durable::replace(&self.path, written(&known).as_bytes(), Access::Public)?;
            self.known = known;
        }
        Ok(())
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn written(known: &BTreeMap<Authority, Edition>) -> String {
    let mut text = format!(
        "{HEADER}: authority's key (SHA-256), number of the list (or -), when it was issued (seconds since 1970)\n"
    );
    for (authority, edition) in known {
        let number = edition.number.as_ref().map_or_else(|| "-".into(), hex::encode);
        let _ = writeln!(text, "{authority} {number} {}", edition.issued);
    }
    text
}

fn parse(text: &str) -> Option<BTreeMap<Authority, Edition>> {
    let mut lines = text.lines();
    lines.next().filter(|first| first.starts_with(HEADER))?;
    lines.map(line).collect()
}

fn line(text: &str) -> Option<(Authority, Edition)> {
    let parts: Vec<&str> = text.split(' ').collect();
    let [authority, number, issued] = parts[..] else { return None };
    let number = match number {
        "-" => None,
        number => Some(hex::decode(number).ok()?),
    };
    let known = hex::decode(authority).is_ok_and(|key| key.len() == 32);
    known.then_some((authority.to_owned(), Edition { number, issued: issued.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn edition(number: Option<&[u8]>, issued: i64) -> Edition {
        Edition { number: number.map(Into::into), issued }
    }

    #[test]
    fn numbers_order_lists_and_times_where_one_has_none() {
        for (a, b, before) in [
            (edition(Some(&[9]), 5), edition(Some(&[10]), 1), true),
            (edition(Some(&[255]), 1), edition(Some(&[1, 0]), 1), true),
            (edition(Some(&[1, 0]), 1), edition(Some(&[255]), 9), false),
            (edition(Some(&[7]), 1), edition(Some(&[7]), 9), false),
            (edition(None, 1), edition(Some(&[7]), 9), true),
            (edition(Some(&[1]), 9), edition(None, 1), false),
            (edition(None, 1), edition(None, 2), true),
            (edition(None, 2), edition(None, 2), false),
        ] {
            assert_eq!(a.is_before(&b), before, "{a:?} {b:?}");
        }
    }

    proptest! {
        #[test]
        fn files_round_trip(known in proptest::collection::btree_map(
            any::<[u8; 32]>().prop_map(hex::encode),
            (proptest::option::of(proptest::collection::vec(any::<u8>(), 1..20)), any::<i64>())
                .prop_map(|(number, issued)| Edition { number, issued }),
            0..4,
        )) {
            prop_assert_eq!(parse(&written(&known)), Some(known));
        }

        #[test]
        fn no_text_panics(text in ".{0,200}", header: bool) {
            let _ = parse(&format!("{}\n{text}", if header { HEADER } else { "" }));
        }
    }
}

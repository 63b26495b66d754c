//! The deletion receipt: what the server signs about a document that it deleted.
//!
//! A statement is text, lines without a blank at either end, the last one without a line feed behind it:
//!
//! ```text
//! 3S deletion receipt 1
//! store: 000102030405060708090a0b0c0d0e0f      which store
//! document: 101112131415161718191a1b1c1d1e1f   its id, for good
//! path: "@alice/report.pdf"                    where it lay; a JSON string, see below
//! home: alice                                  whose home that is
//! deleted-by: alice
//! deleted: 2026-11-21T15:04:05.123Z            on the server's clock
//! versions: 1-3,7                              those that it still had
//! keys: 12,15-16                               leaves of the key tree that were erased
//! shared-keys: none                            leaves that another document still needs
//! epoch: 9                                     the root key that no longer leads to `keys`
//! erased: 2026-11-21T15:04:05.456Z             when the key tree was written without them
//! ```
//!
//! `none` stands for no number; with no `keys`, `epoch` and `erased` are `none` too: there was nothing to erase. In the
//! path control characters, line and paragraph separators and marks that turn the writing's direction are `\uXXXX`, so
//! it can be shown to a person as it stands.
//!
//! There is one spelling only: what parses prints as the same bytes, and anything else is refused.
//!
//! The first line keeps these signatures apart from the others: a version record begins with `3SVR`, and a login's
//! statement, which users sign and not the server, has ` as ` behind the node's name.

use std::fmt::{self, Write};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rsa::RsaPublicKey;
use serde::{Deserialize, Serialize};

use crate::{Epoch, NodeId, StoreId, Timestamp, Uid, login};

mod numbers;

pub use numbers::Numbers;

/// The first line but for the format's number.
const TITLE: &str = "3S deletion receipt ";
const FORMAT: &str = "1";

/// Longest statement in bytes. The longest path takes about 200,000 of them.
pub const STATEMENT_MAX: usize = 1024 * 1024;

/// Largest receipt as JSON: every line feed, quotation mark and backslash of a statement is two bytes there.
pub const JSON_MAX: usize = 2 * STATEMENT_MAX + 4096;

/// What a statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which store.
    pub store: StoreId,
    /// What was deleted: a document, link or folder.
    pub document: NodeId,
    /// Its path then, `@owner/path`.
    pub path: String,
    /// Whose home it lay in.
    pub home: Uid,
    /// Who deleted it.
    pub deleted_by: Uid,
    /// When.
    pub deleted: Timestamp,
    /// The versions that it still had.
    pub versions: Numbers,
    /// Leaves of the key tree that nothing used any more, and that were erased.
    pub keys: Numbers,
    /// Leaves that it used and that another document still needs.
    pub shared_keys: Numbers,
    /// The erasure; `None` exactly when there were no `keys`.
    pub erasure: Option<Erasure>,
}

/// When keys were erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The root key since which the key tree leads to them no more.
    pub epoch: Epoch,
    /// When, on the server's clock.
    pub time: Timestamp,
}

/// Why something is no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Something else altogether.
    #[error("this is no deletion receipt")]
    Foreign,
    /// Made by a version of 3S that this one does not know.
    #[error("receipts of this format are not known here; use a newer 3s")]
    Newer,
    /// Longer than [`STATEMENT_MAX`] or [`JSON_MAX`].
    #[error("it is longer than a receipt may be")]
    TooLong,
    /// This line is missing, or says what cannot be.
    #[error("its line `{0}` is missing or cannot be read")]
    Line(&'static str),
    /// Every line can be read, but a server would have written them otherwise.
    #[error("it is not spelled as a server spells it")]
    Spelling,
    /// The signature is not base64.
    #[error("its signature is not base64")]
    Signature,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |value: Option<String>| value.unwrap_or_else(|| NONE.into());
        writeln!(f, "{TITLE}{FORMAT}")?;
        writeln!(f, "store: {}", self.store)?;
        writeln!(f, "document: {}", self.document)?;
        writeln!(f, "path: {}", quoted(&self.path))?;
        writeln!(f, "home: {}", self.home)?;
        writeln!(f, "deleted-by: {}", self.deleted_by)?;
        writeln!(f, "deleted: {}", self.deleted.precise())?;
        writeln!(f, "versions: {}", self.versions)?;
        writeln!(f, "keys: {}", self.keys)?;
        writeln!(f, "shared-keys: {}", self.shared_keys)?;
        writeln!(f, "epoch: {}", or_none(self.erasure.map(|erasure| erasure.epoch.to_string())))?;
        write!(f, "erased: {}", or_none(self.erasure.map(|erasure| erasure.time.precise())))
    }
}

impl FromStr for Receipt {
    type Err = ReceiptError;

    fn from_str(text: &str) -> Result<Self, ReceiptError> {
        if text.len() > STATEMENT_MAX {
            return Err(ReceiptError::TooLong);
        }
        let mut lines = Lines(text.split('\n'));
        match lines.0.next().and_then(|title| title.strip_prefix(TITLE)) {
            Some(FORMAT) => {}
            Some(_) => return Err(ReceiptError::Newer),
            None => return Err(ReceiptError::Foreign),
        }
        let receipt = Receipt {
            store: lines.field("store", |value| value.parse().ok())?,
            document: lines.field("document", |value| value.parse().ok())?,
            path: lines.field("path", |value| serde_json::from_str(value).ok())?,
            home: lines.field("home", |value| value.parse().ok())?,
            deleted_by: lines.field("deleted-by", |value| value.parse().ok())?,
            deleted: lines.field("deleted", |value| value.parse().ok())?,
            versions: lines.field("versions", |value| value.parse().ok())?,
            keys: lines.field("keys", |value| value.parse().ok())?,
            shared_keys: lines.field("shared-keys", |value| value.parse().ok())?,
            erasure: {
                let epoch = lines.field("epoch", optional)?;
                let time = lines.field("erased", optional)?;
                epoch.zip(time).map(|(epoch, time)| Erasure { epoch, time })
            },
        };
        let complete = receipt.erasure.is_none() == receipt.keys.is_empty();
        // One spelling: the printer's. This also refuses lines behind the last one.
        if complete && receipt.to_string() == text { Ok(receipt) } else { Err(ReceiptError::Spelling) }
    }
}

/// What stands where there is nothing.
const NONE: &str = "none";

/// A value, or `none`.
fn optional<T: FromStr>(value: &str) -> Option<Option<T>> {
    if value == NONE { Some(None) } else { value.parse().ok().map(Some) }
}

struct Lines<'a>(std::str::Split<'a, char>);

impl Lines<'_> {
    /// The next line's value, which must have this name.
    fn field<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ReceiptError> {
        let value = self.0.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.and_then(parse).ok_or(ReceiptError::Line(name))
    }
}

/// A JSON string that does nothing to a terminal and reads in the order in which it is written.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // All of these are in the basic plane. Writing into a `String` does not fail.
            c if is_hidden(c) => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Control characters, separators of lines, and what changes the direction of what follows (Unicode's UAX 9).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A receipt as it travels and as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignedReceipt {
    /// A [`Receipt`]'s text.
    #[cfg_attr(feature = "schema", schemars(extend("maxLength" = STATEMENT_MAX)))]
    pub statement: String,
    /// Base64 of the server's signature: RSA-PSS, SHA-256, MGF1-SHA-256, salt 32, over the statement's bytes.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "byte")))]
    pub signature: String,
}

impl SignedReceipt {
    /// Puts the two together.
    pub fn new(statement: String, signature: &[u8]) -> Self {
        SignedReceipt { statement, signature: BASE64.encode(signature) }
    }

    /// Reads the JSON of a receipt. What else it says is passed over.
    pub fn from_json(json: &[u8]) -> Result<Self, ReceiptError> {
        if json.len() > JSON_MAX {
            return Err(ReceiptError::TooLong);
        }
        serde_json::from_slice(json).map_err(|_| ReceiptError::Foreign)
    }

    /// What it says. This proves nothing yet.
    pub fn receipt(&self) -> Result<Receipt, ReceiptError> {
        self.statement.parse()
    }

    /// The signature's bytes.
    pub fn signature(&self) -> Result<Vec<u8>, ReceiptError> {
        BASE64.decode(&self.signature).map_err(|_| ReceiptError::Signature)
    }

    /// Whether it is signed with the server's key.
    pub fn is_signed_by(&self, server: &RsaPublicKey) -> bool {
        self.signature().is_ok_and(|signature| login::verify(server, self.statement.as_bytes(), &signature))
    }
}

#[cfg(test)]
mod tests;

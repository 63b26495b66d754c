//! Whom a change concerns: nobody else hears of it.

use std::collections::BTreeSet;

use sss_common::{Grantee, Uid};

/// Whom news concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every user.
    Everyone,
    /// These.
    Users(BTreeSet<Uid>),
}

impl Audience {
    /// No user.
    pub fn nobody() -> Self {
        Audience::Users(BTreeSet::new())
    }

    /// All that are named.
    pub fn of(named: impl IntoIterator<Item = Grantee>) -> Self {
        let one = |grantee| match grantee {
            Grantee::All => Audience::Everyone,
            Grantee::User(uid) => Audience::Users([uid].into()),
        };
        named.into_iter().map(one).fold(Audience::nobody(), Audience::and)
    }

    /// These and those.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Audience::Users(mut these), Audience::Users(those)) => {
                these.extend(those);
                Audience::Users(these)
            }
            _ => Audience::Everyone,
        }
    }

    /// Whether a user is among them.
    pub fn includes(&self, user: &Uid) -> bool {
        match self {
            Audience::Everyone => true,
            Audience::Users(users) => users.contains(user),
        }
    }
}

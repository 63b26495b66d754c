//! What is inside a backup: a tar stream with these members in this order, and nothing else. FORMAT.md has it.

use serde::{Deserialize, Serialize};
use sss_common::{PackId, StoreId, Timestamp};

use sss_server::store::DeletionSeq;

/// Longest manifest.
pub(super) const MANIFEST_MAX: u64 = 64 * 1024;

pub(super) const MANIFEST: &str = "manifest.json";
/// Public keys that the server had before; not in every store.
pub(super) const RETIRED: &str = "retired.pub";
pub(super) const META: &str = "meta.db";

const FORMAT: &str = "3s-backup";
const FORMAT_VERSION: u32 = 1;

/// The first member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: String,
    pub(super) version: u32,
    /// Which program made it.
    pub(super) program: String,
    /// Which store.
    pub(super) store: StoreId,
    /// The moment that it shows.
    pub(super) time: Timestamp,
    /// The last number that the deletion log had given.
    pub(super) last_deletion: DeletionSeq,
    /// Documents, links and folders.
    pub(super) nodes: u64,
    /// Bytes of the database.
    pub(super) meta_bytes: u64,
    /// How many packs follow.
    pub(super) packs: u64,
    /// Their bytes.
    pub(super) pack_bytes: u64,
}

impl Manifest {
    /// A manifest of this program's format.
    pub(super) fn new(store: StoreId, time: Timestamp) -> Self {
        Manifest {
            format: FORMAT.into(),
            version: FORMAT_VERSION,
            program: concat!("3s-server ", env!("CARGO_PKG_VERSION")).into(),
            store,
            time,
            last_deletion: DeletionSeq::NONE,
            nodes: 0,
            meta_bytes: 0,
            packs: 0,
            pack_bytes: 0,
        }
    }

    /// Reads one; else why not.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if value["format"] != FORMAT {
            return Err("it is of another format".into());
        }
        if value["version"] != FORMAT_VERSION {
            return Err(format!("it has format {}, made by a newer 3s-server", value["version"]));
        }
        serde_json::from_value(value).map_err(|error| error.to_string())
    }
}

/// A member's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// What the backup holds.
    Manifest,
    /// `server.key`, `server.pub`, `retired.pub` or `keyring`.
    Key(&'static str),
    /// The database.
    Meta,
    /// A pack.
    Pack(PackId),
}

/// The key files in their order.
pub(super) const KEYS: [&str; 4] = ["server.key", "server.pub", RETIRED, "keyring"];

impl Member {
    /// Reads a name; only those that a backup has are one.
    pub(super) fn parse(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        if name == MANIFEST {
            return Some(Member::Manifest);
        }
        if name == META {
            return Some(Member::Meta);
        }
        if let Some(key) = KEYS.iter().find(|key| **key == name) {
            return Some(Member::Key(key));
        }
        let id: PackId = name.strip_prefix("packs/")?.get(3..)?.parse().ok()?;
        (pack_name(id) == name).then_some(Member::Pack(id))
    }

    /// Where it stands among the others: members come in ascending order, each once, and packs by their ids.
    pub(super) fn order(&self) -> (usize, Option<PackId>) {
        match self {
            Member::Manifest => (0, None),
            Member::Key(name) => (1 + KEYS.iter().position(|key| key == name).unwrap_or(0), None),
            Member::Meta => (1 + KEYS.len(), None),
            Member::Pack(id) => (2 + KEYS.len(), Some(*id)),
        }
    }
}

/// A pack's name inside a backup.
pub(super) fn pack_name(id: PackId) -> String {
    format!("packs/{:02x}/{id}", id.as_bytes()[0])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_those_of_a_backup_and_no_others() {
        let id = PackId([0xab; 16]);
        let order = [
            (MANIFEST.to_owned(), Member::Manifest),
            ("server.key".into(), Member::Key("server.key")),
            ("server.pub".into(), Member::Key("server.pub")),
            (RETIRED.into(), Member::Key(RETIRED)),
            ("keyring".into(), Member::Key("keyring")),
            (META.into(), Member::Meta),
            (pack_name(id), Member::Pack(id)),
            (pack_name(PackId([0xac; 16])), Member::Pack(PackId([0xac; 16]))),
        ];
        for (name, member) in &order {
            assert_eq!(Member::parse(name.as_bytes()), Some(*member), "{name}");
        }
        assert!(order.windows(2).all(|pair| pair[0].1.order() < pair[1].1.order()));
        let hex = "ab".repeat(16);
        for name in [
            "",
            "/",
            "../keyring",
            "packs",
            "packs/",
            "./meta.db",
            "meta.db/",
            "lock",
            "packs/ab",
            "packs/ab/",
            &format!("packs/ac/{hex}"),
            &format!("packs/AB/{hex}"),
            &format!("packs/ab/{}", hex.to_uppercase()),
            &format!("packs/ab/../{hex}"),
            &format!("packs/ab/{hex}0"),
            &format!("packs/é/{hex}"),
        ] {
            assert_eq!(Member::parse(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn manifests_are_read_back_and_others_refused() {
        let manifest = Manifest { packs: 3, ..Manifest::new(StoreId([9; 16]), Timestamp(77)) };
        let bytes = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        let text = String::from_utf8(bytes).unwrap();
        let changed = |from: &str, to: &str| Manifest::parse(text.replace(from, to).as_bytes()).unwrap_err();
        assert!(changed("3s-backup", "tar").contains("another format"));
        assert!(changed("\"version\":1", "\"version\":2").contains("newer"));
        assert!(
            changed("\"packs\":3", "\"packs\":-3").contains("packs")
                || !changed("\"packs\":3", "\"packs\":-3").is_empty()
        );
    }

    proptest! {
        #[test]
        fn bytes_from_outside_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Manifest::parse(&bytes);
            prop_assert!(Member::parse(&bytes).is_none() || bytes.len() > 6);
            let _ = Member::parse(&[b"packs/", &bytes[..]].concat());
        }
    }
}

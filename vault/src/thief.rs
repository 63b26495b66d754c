//! What somebody could open who took copies of everything: the attacker of the drill.
//!
//! It has no rows' order, no sequence, no server to go by: it tries every root key that its keyrings and private keys
//! give on every image of a root node that it has, every key that it finds there on every image of the nodes below, and so on. It asks
//! for no proof, since no thief would; what it needs, files, the server gives to nobody.
//!
//! Cost: each image is tried with each key that was found for its position, so in a store where nothing was tampered with
//! about twice the number of images; only nodes on the way to the leaves that it wants are tried.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use zeroize::Zeroizing;

use sss_common::StoreId;

use super::keyring::{self, Keyring};
use super::pack::Opener;
use super::primitives::{Cipher, unwrap};
use super::secrets::SecretKey;
use super::server_key::ServerKey;
use super::tree::node::KeyNode;
use super::tree::path::{FAN_OUT, LAST_LEVEL, ROOT, path};
use super::{Result, VaultPaths};
use crate::sealed::{KeyImage, KeyPosition, Leaf};

/// A keyring file's bytes, kept to show that with them the thief is able.
#[derive(Clone)]
pub struct OldKeyring(Zeroizing<Vec<u8>>);

impl OldKeyring {
    /// Reads the file as it is now.
    pub fn keep(paths: &VaultPaths) -> Result<Self> {
        let bytes = std::fs::read(&paths.keyring);
        let bytes = bytes.map_err(|error| keyring::cannot(&paths.keyring, "cannot be read", &error))?;
        Ok(OldKeyring(Zeroizing::new(bytes)))
    }
}

/// The key tree's nodes on the way to a leaf: what a thief who wants that key looks for.
pub fn way_to(leaf: Leaf) -> impl Iterator<Item = KeyPosition> {
    path(leaf)
}

/// Keys that were found, by what they open.
pub struct Thief {
    keys: HashMap<KeyPosition, Vec<SecretKey>>,
    leaves: HashMap<Leaf, Vec<SecretKey>>,
    wrapped: Vec<Vec<u8>>,
}

impl Thief {
    /// Goes through the loot: the server's private key, the keyring that is in its place, perhaps an older one, and
    /// all images of the key tree's nodes that could be found, in any order, wrong ones among them. `wanted` are leaves.
    pub fn new(
        paths: &VaultPaths,
        old: Option<&OldKeyring>,
        images: Vec<KeyImage>,
        wanted: &[Leaf],
    ) -> Result<Thief> {
        let (_, unwrapping) = ServerKey::read(&paths.server_key)?;
        let mut thief = Thief { keys: HashMap::new(), leaves: HashMap::new(), wrapped: Vec::new() };
        let today = keyring::read(&paths.keyring)?;
        let older = old.map(|old| Keyring::decode(&old.0)).transpose();
        let older = older
            .map_err(|why| keyring::unusable(&paths.keyring, &why.to_string(), "run the drill again"))?;
        let store = today.store;
        for keyring in older.iter().chain([&today]) {
            for root in std::iter::once(&keyring.current).chain(&keyring.next) {
                if let Some(key) = unwrap(&unwrapping, &keyring::label(&store, root.epoch), &root.wrapped) {
                    thief.found(ROOT, key);
                    thief.wrapped.push(root.wrapped.clone());
                }
            }
        }
        let ways: BTreeSet<KeyPosition> = wanted.iter().copied().flat_map(path).collect();
        let mut loot: BTreeMap<KeyPosition, Vec<KeyImage>> = BTreeMap::new();
        for image in images.into_iter().filter(|image| ways.contains(&image.position)) {
            loot.entry(image.position).or_default().push(image);
        }
        // From the root down: a position's keys are all found before it is its turn.
        for (position, images) in loot {
            thief.try_images(&store, position, &images);
        }
        thief.leaves.retain(|leaf, _| wanted.contains(leaf));
        Ok(thief)
    }

    fn try_images(&mut self, store: &StoreId, position: KeyPosition, images: &[KeyImage]) {
        let keys = self.keys.remove(&position).unwrap_or_default();
        for (image, key) in images.iter().flat_map(|image| keys.iter().map(move |key| (image, key))) {
            let Ok(node) = KeyNode::open(key, store, image) else { continue };
            for (slot, index) in (position.index * FAN_OUT..).take(FAN_OUT as usize).enumerate() {
                let Some(key) = node.expose_slot(slot) else { continue };
                match position.level {
                    LAST_LEVEL => found(self.leaves.entry(Leaf(index)).or_default(), key),
                    level => self.found(KeyPosition { level: level + 1, index }, key),
                }
            }
        }
        self.keys.insert(position, keys);
    }

    fn found(&mut self, position: KeyPosition, key: SecretKey) {
        found(self.keys.entry(position).or_default(), key);
    }

    /// All that might open what was sealed under a leaf.
    pub fn openers(&self, leaf: Leaf) -> Result<Vec<Opener>> {
        let keys = self.leaves.get(&leaf).into_iter().flatten();
        keys.map(|key| Ok(Opener::new(Cipher::new(key)?))).collect()
    }

    /// What this thief has and another lacks, to be searched for where it must not be: keys in the clear, wrapped roots.
    pub fn secrets_beyond(&self, other: &Thief) -> Secrets {
        let all = |thief: &Thief| -> Vec<Zeroizing<Vec<u8>>> {
            let keys = thief.keys.values().chain(thief.leaves.values()).flatten();
            let keys = keys.map(|key| key.expose_bytes().to_vec());
            keys.chain(thief.wrapped.iter().cloned()).map(Zeroizing::new).collect()
        };
        let (mut beyond, others) = (all(self), all(other));
        beyond.retain(|secret| !others.contains(secret));
        Secrets(beyond)
    }
}

fn found(keys: &mut Vec<SecretKey>, key: SecretKey) {
    if !keys.iter().any(|known| known.expose_bytes() == key.expose_bytes()) {
        keys.push(key);
    }
}

/// Secrets that can be looked for and not looked at.
pub struct Secrets(Vec<Zeroizing<Vec<u8>>>);

impl Secrets {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Bytes of the longest.
    pub fn longest(&self) -> usize {
        self.0.iter().map(|secret| secret.len()).max().unwrap_or(0)
    }

    /// How many of them are among these bytes.
    pub fn count_in(&self, bytes: &[u8]) -> usize {
        self.0.iter().filter(|secret| memchr::memmem::find(bytes, secret).is_some()).count()
    }
}

#[cfg(test)]
mod tests;

//! One node: its own key, the 64 keys it holds, and its sealed image.

use std::ops::RangeInclusive;

use bytes::Bytes;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use sss_common::StoreId;

use super::path::FAN_OUT;
use crate::primitives::{AES_256_GCM_SIV_ID, Cipher, NONCE_BYTES, TAG_BYTES, random_nonce};
use crate::sealed::{KeyImage, KeyPosition};
use crate::secrets::{KEY_BYTES, SecretKey};
use crate::{Result, VaultError};

const MAGIC: &[u8; 4] = b"3SKN";
const VERSION: u8 = 1;
/// The first bytes of an image.
pub(crate) const HEADER: [u8; 8] =
    [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], VERSION, AES_256_GCM_SIV_ID, 0, 0];
const BITMAP: usize = 8;
const SLOTS: usize = FAN_OUT as usize;
const EMPTY: usize = HEADER.len() + NONCE_BYTES + BITMAP + TAG_BYTES;

/// Bytes of an image: without any key, and with all.
pub(crate) const LENGTHS: RangeInclusive<usize> = EMPTY..=EMPTY + SLOTS * KEY_BYTES;

/// A node in memory. What the keys are worth is in one box: moving a node leaves no copy of them.
pub(crate) struct KeyNode {
    keys: Box<Keys>,
    present: u64,
    /// When it last changed, on the tree's clock; 0 if it is as the store has it.
    pub(super) changed: u64,
    /// The latest of its images that the store is known to have.
    pub(super) committed: u64,
    /// The latest of its images that was made.
    pub(super) issued: u64,
    /// Who needs it to stay in memory.
    pub(super) pins: u32,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Keys {
    own: [u8; KEY_BYTES],
    slots: [[u8; KEY_BYTES]; SLOTS],
}

impl KeyNode {
    /// An empty node under a key.
    pub(crate) fn new(key: &SecretKey) -> Self {
        let keys = Box::new(Keys { own: *key.expose_bytes(), slots: [[0; KEY_BYTES]; SLOTS] });
        KeyNode { keys, present: 0, changed: 0, committed: 0, issued: 0, pins: 0 }
    }

    /// Whether the store lacks something of it.
    pub(super) fn is_pending(&self) -> bool {
        self.changed > self.committed
    }

    /// Whether it may leave memory.
    pub(super) fn is_idle(&self) -> bool {
        self.pins == 0 && !self.is_pending()
    }

    /// Seals it under another key from now on.
    pub(super) fn rekey(&mut self, key: &SecretKey) {
        self.keys.own.copy_from_slice(key.expose_bytes());
    }

    pub(super) fn has(&self, slot: usize) -> bool {
        self.present >> slot & 1 == 1
    }

    pub(crate) fn put(&mut self, slot: usize, key: &SecretKey) {
        self.keys.slots[slot].copy_from_slice(key.expose_bytes());
        self.present |= 1 << slot;
    }

    pub(super) fn clear(&mut self, slot: usize) {
        self.keys.slots[slot].zeroize();
        self.present &= !(1 << slot);
    }

    /// The key in a slot.
    pub(crate) fn expose_slot(&self, slot: usize) -> Option<SecretKey> {
        self.has(slot).then(|| SecretKey::from_exposed(&self.keys.slots[slot]))
    }

    /// The node as it is now, sealed.
    pub(super) fn image(&self, store: &StoreId, position: KeyPosition, sequence: u64) -> Result<KeyImage> {
        self.image_with_nonce(store, position, sequence, random_nonce()?)
    }

    /// As [`KeyNode::image`], with the nonce given; apart for the test vectors.
    pub(crate) fn image_with_nonce(
        &self,
        store: &StoreId,
        position: KeyPosition,
        sequence: u64,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<KeyImage> {
        let from = HEADER.len() + NONCE_BYTES;
        let plain = BITMAP + self.present.count_ones() as usize * KEY_BYTES;
        // All the room at once: growing would leave plaintext behind in the memory that was given up.
        let mut out = Vec::with_capacity(from + plain + TAG_BYTES);
        out.extend_from_slice(&HEADER);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&self.present.to_be_bytes());
        (0..SLOTS)
            .filter(|&slot| self.has(slot))
            .for_each(|slot| out.extend_from_slice(&self.keys.slots[slot]));
        let cipher = Cipher::new(&SecretKey::from_exposed(&self.keys.own))?;
        cipher.seal(nonce, &aad(store, position, sequence), &mut out, from)?;
        Ok(KeyImage { position, sequence, sealed: Bytes::from(out) })
    }

    /// Opens an image that was read from its position.
    pub(crate) fn open(key: &SecretKey, store: &StoreId, image: &KeyImage) -> Result<Self> {
        const BAD: VaultError = VaultError::Integrity("a node of the key tree");
        let rest = image.sealed.strip_prefix(&HEADER).ok_or(BAD)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(BAD)?;
        let mut body = Zeroizing::new(rest.to_vec());
        let aad = aad(store, image.position, image.sequence);
        let length = Cipher::new(key)?.open(*nonce, &aad, &mut body).ok_or(BAD)?;
        let (present, keys) = body[..length].split_first_chunk::<BITMAP>().ok_or(BAD)?;
        let (keys, rest) = keys.as_chunks::<KEY_BYTES>();
        let mut node = KeyNode::new(key);
        node.present = u64::from_be_bytes(*present);
        node.committed = image.sequence;
        node.issued = image.sequence;
        if !rest.is_empty() || keys.len() != node.present.count_ones() as usize {
            return Err(BAD);
        }
        let slots: Vec<usize> = (0..SLOTS).filter(|&slot| node.has(slot)).collect();
        slots.into_iter().zip(keys).for_each(|(slot, key)| node.keys.slots[slot] = *key);
        Ok(node)
    }
}

fn aad(store: &StoreId, position: KeyPosition, sequence: u64) -> [u8; HEADER.len() + 33] {
    let mut aad = [0; HEADER.len() + 33];
    aad[..8].copy_from_slice(&HEADER);
    aad[8..24].copy_from_slice(store.as_bytes());
    aad[24] = position.level;
    aad[25..33].copy_from_slice(&position.index.to_be_bytes());
    aad[33..].copy_from_slice(&sequence.to_be_bytes());
    aad
}

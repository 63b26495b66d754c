//! One moment of a store's metadata: what backups are made of, and what another store's deletion log is read from.

use std::path::Path;

use sss_common::{NodeId, PackId};

use super::{Deletion, DeletionSeq, Result};
use sss_vault::sealed::{KeyImage, KeyPosition, Leaf};

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Documents, links and folders, homes included.
    pub nodes: u64,
    /// Packs in the blob store.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
}

/// All that is read through one is of the same moment, whatever others write meanwhile. Blocking: not for async threads.
pub trait MetaSnapshot: Send {
    /// A node of the key tree.
    fn key_node(&self, position: KeyPosition) -> Result<Option<KeyImage>>;
    /// The largest leaf number ever committed.
    fn last_leaf(&self) -> Result<Option<Leaf>>;
    /// Up to `limit` entries of the deletion log behind `after`, in order. `NotFound` where the schema is of a time before it.
    fn deletions(&self, after: DeletionSeq, limit: usize) -> Result<Vec<Deletion>>;
    /// The last number that the log has given.
    fn last_deletion(&self) -> Result<DeletionSeq>;
    /// The users' homes. They are random and never change: two databases that share one are of the same store.
    fn homes(&self) -> Result<Vec<NodeId>>;
    /// How much there is.
    fn contents(&self) -> Result<Contents>;
    /// Up to `most` packs of the blob store behind `after`, by id, each with its bytes.
    fn packs(&self, after: Option<PackId>, most: usize) -> Result<Vec<(PackId, u64)>>;
    /// The path of a document that needs a pack.
    fn user_of(&self, pack: PackId) -> Result<Option<String>>;
    /// Copies the database to a new file, mode 0600, without what is of no use in a copy: sessions, and what others hold.
    /// `report` hears how many pages are copied, and of how many.
    fn copy_to(&self, path: &Path, report: &mut dyn FnMut(u64, u64)) -> Result<()>;
}

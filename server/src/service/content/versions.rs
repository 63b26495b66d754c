//! Makes a version: record, signature, key images, the transaction.

use sha2::{Digest as _, Sha256};
use sss_common::record::{BlockHash, RecordHash, RootHash, VersionRecord};
use sss_common::{Code, FileTime, Flag, NodeId, PackId, Uid, Version};

use super::{Content, Contents};
use crate::service::audit::AuditAction;
use crate::service::signing::sign;
use crate::service::{Caller, Outcome};
use crate::store::{Commit, Creation, Node, PackRow};
use sss_failpoint as failpoint;
use sss_policy::{Allowed, MayWrite, Own};
use sss_vault::digests::root_of;
use sss_vault::layout::Layout;
use sss_vault::{RecordBody, Sealer};

/// A version about to be made.
pub(in crate::service) struct NewVersion {
    base: Version,
    /// The base's record hash; zeroes without a base.
    previous: RecordHash,
    flag: Flag,
    author: Uid,
    content: VersionContent,
    mtime_ns: FileTime,
    /// New permission bits, if they change.
    pub(in crate::service) mode: Option<u32>,
    pub(in crate::service) consumes: Option<(Allowed<Own>, Version)>,
    /// The document itself, where it begins to exist with this version.
    pub(in crate::service) create: Option<Creation>,
}

/// What a version holds, and where.
#[derive(Default)]
pub(in crate::service) struct VersionContent {
    /// Bytes of plaintext.
    pub(in crate::service) size: u64,
    pub(in crate::service) layout: Layout,
    /// The blocks' digests, where the record is to have them.
    pub(in crate::service) digests: Vec<BlockHash>,
    /// The pack that was made for it, if there was any block to seal.
    pub(in crate::service) pack: Option<PackRow>,
}

impl VersionContent {
    /// The same blocks in the same packs.
    pub(in crate::service) fn of(content: &Content, digests: Vec<BlockHash>) -> Self {
        VersionContent { size: content.size(), layout: content.body.layout.clone(), digests, pack: None }
    }

    /// Its pack's object in the blob store, where it has one.
    pub(in crate::service) fn blob(&self) -> Option<PackId> {
        self.pack.as_ref().filter(|pack| pack.inline.is_none()).map(|pack| pack.id)
    }
}

impl NewVersion {
    /// The version behind `base`; the first one where there is none.
    pub(in crate::service) fn after(
        base: Option<&Content>,
        flag: Flag,
        author: &Uid,
        content: VersionContent,
        mtime_ns: FileTime,
    ) -> Self {
        let record = base.map(|base| &base.body.record);
        NewVersion {
            base: record.map_or(Version::NONE, |record| record.version),
            previous: record.map_or(RecordHash::NONE, |record| record.hash()),
            flag,
            author: author.clone(),
            content,
            mtime_ns,
            mode: None,
            consumes: None,
            create: None,
        }
    }
}

impl Contents {
    /// Seals the record of a document's version and says what must be committed for it. About 3 ms more for an
    /// `integrity` document: its signature.
    pub(in crate::service) async fn seal_version(
        &self,
        caller: &Caller,
        document: NodeId,
        new: NewVersion,
        sealer: &Sealer,
    ) -> Outcome<Commit> {
        let now = self.clock.now();
        let VersionContent { size, layout, digests, pack } = new.content;
        let (digests, root) = match new.flag {
            Flag::Integrity => root_of(digests).await?,
            Flag::Confidentiality => (Vec::new(), layout_root(&layout, size)),
        };
        let record = VersionRecord {
            document,
            version: new.base.next(),
            previous: new.previous,
            size,
            flag: new.flag,
            author: new.author.clone(),
            machine: caller.peer.machine.clone(),
            time: now,
            root,
        };
        let signature = match new.flag {
            Flag::Integrity => Some(sign(&self.vault, record.encode()).await?),
            Flag::Confidentiality => None,
        };
        let uses = layout.packs();
        let pack = pack.filter(|pack| uses.contains(&pack.id));
        let body = RecordBody { record, layout, digests, signature };
        Ok(Commit {
            base: new.base,
            leaf: sealer.leaf(),
            sealed_record: sealer.seal_record(&body)?,
            pack,
            uses,
            size,
            flag: new.flag,
            author: new.author,
            now,
            mtime_ns: new.mtime_ns,
            mode: new.mode,
            keys: self.vault.images(sealer).await?,
            consumes: new.consumes,
            create: new.create,
        })
    }

    /// Seals and commits a version of the document that the proof names; `audit` is what the audit log calls it, and the
    /// path. When it does not come about, the pack that was written for it goes.
    pub(in crate::service) async fn make_version(
        &self,
        caller: &Caller,
        proof: &dyn MayWrite,
        new: NewVersion,
        sealer: Sealer,
        audit: (AuditAction, &str),
    ) -> Outcome<Node> {
        let (node, base) = (proof.node(), new.base);
        let by_rename = new.consumes.is_some();
        let blob = new.content.blob();
        let committed = self.commit_version(caller, proof, new, &sealer, audit).await;
        // Where the storage itself failed, the transaction may have happened: its pack and its key stay until the
        // sweeper knows better.
        let undecided = committed.as_ref().is_err_and(|failure| failure.code == Code::Internal);
        let unused = match &committed {
            Ok((_, used)) => blob.filter(|_| !used),
            Err(_) => blob.filter(|_| !undecided),
        };
        self.drop_pack(unused).await;
        let (made, _) = match committed {
            Ok(made) => made,
            Err(failure) => {
                if !undecided {
                    self.vault.give_up(sealer);
                }
                return Err(failure);
            }
        };
        self.vault.committed(sealer);
        // Who wrote the version goes on from it; who had open what a rename replaced keeps what was open.
        if !by_rename {
            self.held.pins.carry(caller.token, node, base, made.version);
        }
        if !self.held.pins.is_pinned(node, base) {
            self.opened.forget_version(node, base);
        }
        self.waking.wake();
        Ok(made)
    }

    /// Deletes a pack that no row will name.
    pub(in crate::service) async fn drop_pack(&self, unused: Option<PackId>) {
        if let Some(unused) = unused
            && let Err(error) = self.blobs.delete(unused).await
        {
            tracing::warn!(%error, "an unused pack was not removed; the sweeper will");
        }
    }

    async fn commit_version(
        &self,
        caller: &Caller,
        proof: &dyn MayWrite,
        new: NewVersion,
        sealer: &Sealer,
        (action, path): (AuditAction, &str),
    ) -> Outcome<(Node, bool)> {
        let detail = match &new.create {
            Some(_) => "created, version 1".into(),
            None => format!("version {}", new.base.next()),
        };
        let audit = self.audit.row(caller, action, proof.node(), path, detail);
        let commit = self.seal_version(caller, proof.node(), new, sealer).await?;
        let uses_pack = commit.pack.is_some();
        failpoint::at("checkin.pack-durable");
        let late = |error: &_| self.audit.note_late(caller, action, proof.node(), path, error);
        let node = self.meta.commit(proof, commit, audit).await.inspect_err(late)?;
        failpoint::at("checkin.committed");
        Ok((node, uses_pack))
    }
}

/// The root hash of a `confidentiality` version: commits to size and extents.
fn layout_root(layout: &Layout, size: u64) -> RootHash {
    let mut hash = Sha256::new().chain_update(b"3S layout 1").chain_update(size.to_be_bytes());
    for extent in layout.extents() {
        hash.update(extent.first.to_be_bytes());
        hash.update(extent.count.to_be_bytes());
        hash.update(extent.pack.as_bytes());
        hash.update(extent.at.to_be_bytes());
    }
    RootHash(hash.finalize().into())
}

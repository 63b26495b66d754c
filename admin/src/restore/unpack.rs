//! The members of a backup, each checked before it is written: its name, its place in the order, its kind and its size.
//!
//! The sealing says that nobody without the public key changed the backup; the checks here keep whoever has that key from
//! making one that writes elsewhere or fills the disk.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, bail};
use bytes::Bytes;
use indicatif::ProgressBar;
use sss_common::{PackId, StoreId};
use tokio::runtime::Handle;

use super::site::{ROOM, Site};
use crate::backup::Packs;
use crate::bundle::{KEYS, MANIFEST_MAX, Manifest, Member, RETIRED};
use sss_server::run::{Advice, compose};
use sss_server::store::BlobStore;
use sss_vault::backup::{BackupOpener, KEY_FILE_MAX, write_key_file};

/// Bytes of a pack that are handed on at a time.
const PART: usize = 1024 * 1024;

/// What is wrong with a backup that opens and is none of ours.
const NOT_OURS: &str = "use another backup; nothing is left behind";

/// What a damaged one asks for.
const DAMAGED: &str = "use another copy of it, or another backup; nothing is left behind";

/// Unpacks all of it, and reads to the end: only there is it known that the backup was not cut.
pub(super) fn unpack<R: Read>(
    opener: BackupOpener<R>,
    site: &Site,
    blobs: &dyn BlobStore,
    runtime: &Handle,
    bar: &ProgressBar,
) -> anyhow::Result<Manifest> {
    let store = opener.header().store;
    let mut archive = tar::Archive::new(opener);
    let mut desk = Desk { site, blobs, runtime, bar, manifest: None, order: None, keys: 0 };
    let mut entries = archive.entries().advice(DAMAGED)?.raw(true);
    let mut ahead = None;
    for entry in entries.by_ref() {
        let entry = entry.advice(DAMAGED)?;
        let member = desk.accept(&entry)?;
        if let Member::Pack(_) = member {
            ahead = Some((entry, member));
            break;
        }
        desk.small(member, entry)?;
    }
    let manifest = desk.complete(store)?;
    desk.packs(&manifest, ahead, &mut entries)?;
    only_zeroes(&mut archive.into_inner())?;
    Ok(manifest)
}

struct Desk<'a> {
    site: &'a Site,
    blobs: &'a dyn BlobStore,
    runtime: &'a Handle,
    bar: &'a ProgressBar,
    manifest: Option<Manifest>,
    /// Of the last member.
    order: Option<(usize, Option<PackId>)>,
    /// Key files that were there, but the optional one.
    keys: usize,
}

type Entry<'e, R> = tar::Entry<'e, BackupOpener<R>>;

impl Desk<'_> {
    /// Checks name, order and kind.
    fn accept<R: Read>(&mut self, entry: &Entry<'_, R>) -> anyhow::Result<Member> {
        let name = entry.path_bytes();
        let shown = String::from_utf8_lossy(&name).escape_debug().to_string();
        let member = Member::parse(&name).filter(|_| entry.header().entry_type().is_file());
        let Some(member) = member else {
            bail!("the backup holds something that no backup has: {shown}\n{NOT_OURS}")
        };
        if self.order.is_some_and(|last| last >= member.order())
            || (self.order.is_none() && member.order().0 > 0)
        {
            bail!("the backup holds {shown} in a wrong place\n{NOT_OURS}");
        }
        self.order = Some(member.order());
        Ok(member)
    }

    /// Manifest, key files, database.
    fn small<R: Read>(&mut self, member: Member, mut entry: Entry<'_, R>) -> anyhow::Result<()> {
        let size = entry.size();
        match member {
            Member::Manifest => {
                within(size, MANIFEST_MAX, "manifest")?;
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).advice(DAMAGED)?;
                let manifest = Manifest::parse(&bytes);
                let manifest = manifest.map_err(|why| {
                    anyhow::anyhow!("the backup's manifest is not usable: {why}\n{NOT_OURS}")
                })?;
                self.bar.set_length(manifest.meta_bytes.saturating_add(manifest.pack_bytes));
                self.manifest = Some(manifest);
            }
            Member::Key(name) => {
                within(size, KEY_FILE_MAX, name)?;
                let paths = self.site.paths();
                let path =
                    if name == "keyring" { paths.keyring.clone() } else { self.site.folder().join(name) };
                write_key_file(&path, &mut entry)?;
                self.keys += usize::from(name != RETIRED);
            }
            Member::Meta => self.database(size, &mut self.bar.wrap_read(entry))?,
            Member::Pack(_) => {}
        }
        Ok(())
    }

    fn database(&self, size: u64, from: &mut dyn Read) -> anyhow::Result<()> {
        within(size, self.manifest.as_ref().map_or(0, |manifest| manifest.meta_bytes), "database")?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&self.site.paths().meta);
        copy(from, &mut file.advice(ROOM)?)
    }

    /// What must be there before the packs.
    fn complete(&mut self, store: StoreId) -> anyhow::Result<Manifest> {
        let all = self.keys + 1 == KEYS.len() && self.site.paths().meta.exists();
        match self.manifest.take().filter(|manifest| all && manifest.store == store) {
            Some(manifest) => Ok(manifest),
            None => bail!("the backup lacks its manifest, a key file or its database\n{NOT_OURS}"),
        }
    }

    /// The packs that the database names, and no others.
    fn packs<'e, R: Read + 'e>(
        &mut self,
        manifest: &Manifest,
        ahead: Option<(Entry<'e, R>, Member)>,
        entries: &mut tar::Entries<'e, BackupOpener<R>>,
    ) -> anyhow::Result<()> {
        let snapshot = compose::open_snapshot(&self.site.paths().meta);
        let snapshot = snapshot
            .map_err(|error| anyhow::anyhow!("the backup's database is not usable: {error}\n{NOT_OURS}"))?;
        let contents = snapshot.contents().advice(NOT_OURS)?;
        if (contents.packs, contents.pack_bytes) != (manifest.packs, manifest.pack_bytes) {
            bail!("the backup's manifest does not fit its database\n{NOT_OURS}");
        }
        let mut expected = Packs::of(&*snapshot);
        let mut next = ahead;
        loop {
            let (entry, member) = match next.take() {
                Some(first) => first,
                None => match entries.next() {
                    None => break,
                    Some(entry) => {
                        let entry = entry.advice(DAMAGED)?;
                        let member = self.accept(&entry)?;
                        (entry, member)
                    }
                },
            };
            let Member::Pack(id) = member else { bail!("the backup goes on behind its packs\n{NOT_OURS}") };
            let row = expected.next().transpose().advice(NOT_OURS)?;
            if row != Some((id, entry.size())) {
                bail!(
                    "the backup holds a pack that its database does not name, or not like this: {id}\n{NOT_OURS}"
                );
            }
            self.pack(id, entry)?;
        }
        match expected.next().transpose().advice(NOT_OURS)? {
            None => Ok(()),
            Some((id, _)) => bail!("the backup lacks pack {id}\n{NOT_OURS}"),
        }
    }

    fn pack(&self, id: PackId, mut from: impl Read) -> anyhow::Result<()> {
        let mut writer = self.runtime.block_on(self.blobs.begin(id)).advice(ROOM)?;
        loop {
            let mut part = Vec::with_capacity(PART);
            (&mut from).take(PART as u64).read_to_end(&mut part).advice(DAMAGED)?;
            if part.is_empty() {
                break;
            }
            self.bar.inc(part.len() as u64);
            self.runtime.block_on(writer.write(Bytes::from(part))).advice(ROOM)?;
        }
        self.runtime.block_on(writer.finish()).advice(ROOM)
    }
}

fn within(size: u64, most: u64, what: &str) -> anyhow::Result<()> {
    if size > most {
        bail!("the backup's {what} is longer than it can be: {size} bytes\n{NOT_OURS}");
    }
    Ok(())
}

/// Keeps apart what the backup fails at and what the disk does.
fn copy(from: &mut dyn Read, to: &mut dyn io::Write) -> anyhow::Result<()> {
    let mut part = vec![0; PART];
    loop {
        match from.read(&mut part).advice(DAMAGED)? {
            0 => return Ok(()),
            length => to.write_all(&part[..length]).advice(ROOM)?,
        }
    }
}

/// Behind the members there is the tar's end, and then the backup's.
fn only_zeroes(from: &mut impl Read) -> anyhow::Result<()> {
    let mut part = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut part).context("the backup's end").advice(DAMAGED)?;
        if length == 0 {
            return Ok(());
        }
        if part[..length].iter().any(|byte| *byte != 0) {
            bail!("the backup goes on behind its end\n{NOT_OURS}");
        }
    }
}

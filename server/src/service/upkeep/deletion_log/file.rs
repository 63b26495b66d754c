//! The file: lines of JSON, the first for the store, then one for each deletion, in the order of their numbers.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sss_common::{NodeId, StoreId, Timestamp, Uid, Version};

use crate::store::{Deletion, DeletionSeq};

const FORMAT: &str = "3s-deletion-log";
const FORMAT_VERSION: u32 = 1;

/// Longest line.
const LINE_MAX: u64 = 1024 * 1024;

/// Most versions that an entry lists; of a document with more it lists none. Nothing depends on them.
const VERSIONS_MAX: usize = 10_000;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    store: StoreId,
}

/// A deletion. Names are not in it: they stay in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub seq: DeletionSeq,
    /// What was removed.
    pub document: NodeId,
    /// When, in milliseconds since the epoch.
    pub time: Timestamp,
    /// Who removed it.
    pub user: Uid,
    /// The versions that it still had.
    pub versions: Vec<Version>,
}

impl Entry {
    pub(super) fn of(deletion: Deletion) -> Self {
        let Deletion { seq, document, time, user, mut versions, .. } = deletion;
        if versions.len() > VERSIONS_MAX {
            versions.clear();
        }
        Entry { seq, document, time, user, versions }
    }
}

/// Why a file is no deletion log of this store, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LogFailed {
    /// The operating system refuses.
    #[error("the deletion log cannot be read or written: {0}")]
    Io(#[source] io::Error),
    /// It did not answer in time.
    #[error("the deletion log's medium does not answer")]
    Slow,
    /// It is not the file that it was a moment ago.
    #[error("the deletion log was replaced")]
    Changed,
    /// Another kind of file.
    #[error("this is no deletion log of a 3S store")]
    Foreign,
    /// Made by a newer program.
    #[error("the deletion log has format {0}, made by a newer 3s-server")]
    Newer(u32),
    /// Another store's.
    #[error("this is the deletion log of another store ({0})")]
    OtherStore(String),
    /// A line in the middle does not make sense.
    #[error("line {0} of the deletion log is damaged")]
    Damaged(u64),
    /// It has entries that the store does not.
    #[error("the deletion log goes on to entry {0}, which this store does not have")]
    Ahead(DeletionSeq),
}

impl LogFailed {
    /// Whether it may be otherwise in a moment.
    pub fn may_pass(&self) -> bool {
        matches!(self, LogFailed::Io(_) | LogFailed::Slow | LogFailed::Changed)
    }

    /// What to do.
    pub fn way_on(&self) -> &'static str {
        match self {
            LogFailed::Io(_) | LogFailed::Slow | LogFailed::Changed => {
                "see that its folder is there, has room and may be written by the server's user"
            }
            LogFailed::Foreign => {
                "name the file that `3s-server run --deletion-log FILE` writes, or a new one"
            }
            LogFailed::Newer(_) => "use the 3s-server that wrote it, or a newer one",
            LogFailed::OtherStore(_) => "name this store's own, or a new file",
            LogFailed::Damaged(_) => {
                "keep the file for a restore that may need what is in it, and name a new one: it gets all that the store knows"
            }
            LogFailed::Ahead(_) => {
                "the store was restored without it: restore again with --deletions FILE, or keep it aside and name a new file"
            }
        }
    }
}

impl From<io::Error> for LogFailed {
    fn from(error: io::Error) -> Self {
        LogFailed::Io(error)
    }
}

/// Reads a log from its beginning.
pub struct Reader<R> {
    from: BufReader<R>,
    store: StoreId,
    line: u64,
    last: DeletionSeq,
    /// Bytes up to the end of the last whole line.
    whole: u64,
}

impl Reader<File> {
    /// Opens a log for reading.
    pub fn open(path: &Path) -> Result<Self, LogFailed> {
        Reader::begin(File::open(path)?)?.ok_or(LogFailed::Foreign)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the first line; `None` where there is none, or only the beginning of one.
    pub(super) fn begin(from: R) -> Result<Option<Self>, LogFailed> {
        let mut reader = Reader {
            from: BufReader::new(from),
            store: StoreId([0; 16]),
            line: 0,
            last: DeletionSeq::NONE,
            whole: 0,
        };
        let Some(line) = reader.line().map_err(|failed| match failed {
            LogFailed::Damaged(_) => LogFailed::Foreign,
            other => other,
        })?
        else {
            return Ok(None);
        };
        // The version before all else: a newer one may have other fields.
        let head: serde_json::Value = serde_json::from_slice(&line).map_err(|_| LogFailed::Foreign)?;
        if head["format"] != FORMAT {
            return Err(LogFailed::Foreign);
        }
        match head["version"].as_u64().and_then(|version| u32::try_from(version).ok()) {
            Some(FORMAT_VERSION) => {}
            Some(newer) if newer > FORMAT_VERSION => return Err(LogFailed::Newer(newer)),
            _ => return Err(LogFailed::Damaged(1)),
        }
        reader.store = Head::deserialize(head).map_err(|_| LogFailed::Damaged(1))?.store;
        Ok(Some(reader))
    }

    /// Which store's.
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// The next entry; `None` at the end, which a line that a crash cut short belongs to.
    pub fn entry(&mut self) -> Result<Option<Entry>, LogFailed> {
        let Some(line) = self.line()? else { return Ok(None) };
        let entry: Entry = serde_json::from_slice(&line).map_err(|_| LogFailed::Damaged(self.line))?;
        if entry.seq <= self.last {
            return Err(LogFailed::Damaged(self.line));
        }
        self.last = entry.seq;
        Ok(Some(entry))
    }

    /// A whole line without its end.
    fn line(&mut self) -> Result<Option<Vec<u8>>, LogFailed> {
        let mut line = Vec::new();
        let length = (&mut self.from).take(LINE_MAX).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            let too_long = length as u64 == LINE_MAX;
            return if too_long { Err(LogFailed::Damaged(self.line + 1)) } else { Ok(None) };
        }
        self.line += 1;
        self.whole += length as u64;
        Ok(Some(line))
    }
}

/// The last entry of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) seq: DeletionSeq,
    pub(super) document: NodeId,
}

/// Who writes. Everything here may block.
pub(super) struct Desk {
    path: PathBuf,
    store: StoreId,
    open: Option<Open>,
}

struct Open {
    file: File,
    place: (u64, u64),
    length: u64,
    last: DeletionSeq,
}

impl Desk {
    pub(super) fn new(path: &Path, store: StoreId) -> Self {
        Desk { path: path.to_owned(), store, open: None }
    }

    /// Opens the file, makes it where there is none, and cuts off what a crash left of a last line.
    pub(super) fn open(&mut self) -> Result<Option<Last>, LogFailed> {
        self.open = None;
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        let (mut length, mut last) = (0, None);
        if let Some(mut reader) = Reader::begin(&file)? {
            if reader.store() != self.store {
                return Err(LogFailed::OtherStore(reader.store().to_string()));
            }
            while let Some(entry) = reader.entry()? {
                last = Some(Last { seq: entry.seq, document: entry.document });
            }
            length = reader.whole;
        }
        if file.metadata()?.len() > length {
            file.set_len(length)?;
        }
        if length == 0 {
            let head = Head { format: FORMAT.into(), version: FORMAT_VERSION, store: self.store };
            let line = line_of(&head)?;
            file.write_all(&line)?;
            length = line.len() as u64;
        }
        file.sync_all()?;
        sss_common::durable::sync_folder_of(&self.path).map_err(io::Error::from)?;
        let place = place_of(&file.metadata()?);
        self.open = Some(Open { file, place, length, last: last.map_or(DeletionSeq::NONE, |last| last.seq) });
        Ok(last)
    }

    /// Appends entries behind `after`, durably. `Changed` when that is not where the file ends.
    pub(super) fn append(&mut self, after: DeletionSeq, entries: &[Entry]) -> Result<(), LogFailed> {
        let open = self.open.take().filter(|open| open.last == after).ok_or(LogFailed::Changed)?;
        let mut open = open;
        let there = std::fs::metadata(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LogFailed::Changed,
            _ => LogFailed::Io(error),
        })?;
        if (place_of(&there), there.len()) != (open.place, open.length) {
            return Err(LogFailed::Changed);
        }
        let mut lines = Vec::new();
        for entry in entries {
            lines.extend(line_of(entry)?);
            open.last = entry.seq;
        }
        open.file.write_all(&lines)?;
        open.file.sync_data()?;
        open.length += lines.len() as u64;
        self.open = Some(open);
        Ok(())
    }
}

fn place_of(meta: &std::fs::Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

fn line_of(value: &impl Serialize) -> Result<Vec<u8>, LogFailed> {
    let mut line = serde_json::to_vec(value).map_err(io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

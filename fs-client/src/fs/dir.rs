//! Listings, and the room on the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{Errno, FileAttr, FileHandle, FileType, INodeNo};
use futures::{StreamExt, stream};
use sss_common::clock::monotonic;
use sss_common::limits::LIST_MAX;
use sss_common::wire::calls::{Attr, Empty, Entry, HomeRequest, ListRequest, StatfsResponse};
use sss_common::{Code, Kind, Name};

use super::{Answer, Failure, Fs, TTL};
use crate::remote::RemoteError;
use crate::tree::ROOT;
use crate::tree::mode::file_attr;

/// Homes that are asked for at the same time.
const HOMES_AT_ONCE: usize = 8;

/// Entries that are handed to the kernel at once; its buffers hold fewer.
const ENTRIES_AT_ONCE: usize = 512;

/// An open folder: a listing that stays as it was read, fetched page by page.
#[derive(Default)]
pub struct OpenDir {
    listing: tokio::sync::Mutex<Listing>,
}

#[derive(Default)]
struct Listing {
    entries: Vec<(Entry, Instant)>,
    complete: bool,
}

/// An entry on its way to the kernel.
pub enum DirItem {
    /// `.` or `..`, with its inode.
    Dot(&'static str, INodeNo),
    /// A name and what stands under it, and when the server said so.
    Entry(Entry, Instant),
}

/// The room as the server said it, and when.
#[derive(Clone, Copy)]
pub struct Room {
    said: StatfsResponse,
    at: Instant,
}

impl Fs {
    /// Opens a folder. No round trip.
    pub async fn opendir(&self, ino: INodeNo) -> Answer<FileHandle> {
        let answer = async {
            self.live()?;
            let inode = self.inode(ino).await?;
            match inode.attr.kind {
                Kind::Folder => Ok(()),
                _ => Err(Failure::new(Errno::ENOTDIR, "not a folder")),
            }
        };
        self.noted(ino, "opendir", answer.await)?;
        let fh = self.handle();
        self.dirs.insert(fh, Arc::default());
        Ok(fh)
    }

    /// Closes a folder.
    pub fn releasedir(&self, fh: FileHandle) {
        self.dirs.remove(&fh);
    }

    /// Entries from `offset` on: item `i` of the answer has the offset `offset + i`. Empty at the end. One
    /// round trip for each [`LIST_MAX`] entries, attributes included; a mount's root asks for the other
    /// homes too.
    pub async fn readdir(&self, ino: INodeNo, fh: FileHandle, offset: u64) -> Answer<Vec<DirItem>> {
        let answer = self.list(ino, fh, offset).await;
        self.noted(ino, "readdir", answer)
    }

    async fn list(&self, ino: INodeNo, fh: FileHandle, offset: u64) -> Answer<Vec<DirItem>> {
        self.live()?;
        let dir = self.dirs.get(&fh).map(|dir| dir.value().clone());
        let dir = dir.ok_or_else(|| Failure::new(Errno::EBADF, "the folder is not open"))?;
        let mut listing = dir.listing.lock().await;
        if offset == 0 {
            // rewinddir(3) sees what is there now.
            *listing = Listing::default();
        }
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        while !listing.complete && listing.entries.len() + 2 <= skip {
            self.page(ino, &mut listing).await?;
        }
        if listing.entries.is_empty() && !listing.complete {
            self.page(ino, &mut listing).await?;
        }
        let parent = self.known(ino)?.place.map_or(ROOT, |(parent, _)| parent);
        let dots = [DirItem::Dot(".", ino), DirItem::Dot("..", parent)];
        let entries = listing.entries.iter().map(|(entry, at)| DirItem::Entry(entry.clone(), *at));
        Ok(dots.into_iter().chain(entries).skip(skip).take(ENTRIES_AT_ONCE).collect())
    }

    async fn page(&self, ino: INodeNo, listing: &mut Listing) -> Answer<()> {
        let folder = self.node(ino).await?;
        let after = listing.entries.last().map(|(entry, _)| entry.name.clone());
        let at = monotonic();
        let page = self.remote.list(ListRequest { folder, after, limit: LIST_MAX }).await;
        let page = page.map_err(|error| self.refused(error))?;
        listing.complete = !page.more || page.entries.is_empty();
        listing.entries.extend(page.entries.into_iter().map(|entry| (entry, at)));
        if listing.complete && ino == ROOT {
            listing.entries.extend(self.homes().await?.into_iter().map(|entry| (entry, at)));
        }
        Ok(())
    }

    /// Other users' homes as far as they are shared with me, as `@owner`.
    async fn homes(&self) -> Answer<Vec<Entry>> {
        let uids = self.remote.homes(Empty {}).await.map_err(|error| self.refused(error))?.uids;
        let homes = stream::iter(uids).map(|uid| async move {
            let name: Name = format!("@{uid}").parse()?;
            match self.remote.home(HomeRequest { uid }).await {
                Ok(attr) => Ok(Some(Entry { name, attr })),
                // Its last grant ended since.
                Err(RemoteError::Refused {
                    code: Code::NotFound | Code::NoRight | Code::GrantEnded, ..
                }) => Ok(None),
                Err(error) => Err(self.refused(error)),
            }
        });
        let homes: Vec<Answer<Option<Entry>>> = homes.buffered(HOMES_AT_ONCE).collect().await;
        homes.into_iter().filter_map(Answer::transpose).collect()
    }

    /// Binds an entry that is about to be shown with its attributes: counts one lookup, which
    /// [`Fs::forget`] takes back when the entry did not fit. Answers how long the kernel may believe it,
    /// too. A page that was read some time ago says nothing about where a document is now, nor what it is.
    pub fn bind(&self, folder: INodeNo, entry: &Entry, at: Instant) -> Answer<(FileAttr, Duration)> {
        let ino = match at.elapsed() < TTL {
            true => self.seen(folder, entry.name.clone(), entry.attr.clone()),
            false => self.tree.lock().heard_of(&entry.attr),
        };
        let attr = self.shown(ino)?;
        Ok((attr, self.believed(ino).saturating_sub(at.elapsed())))
    }

    /// An entry's inode number and kind for a listing without attributes; counts nothing.
    pub fn hint(&self, attr: &Attr) -> (INodeNo, FileType) {
        let known = self.tree.lock().current(attr.node);
        let some = u64::from_be_bytes(*attr.node.as_bytes().first_chunk().unwrap_or(&[1; 8]));
        (known.unwrap_or(INodeNo(some | 1 << 63)), file_attr(INodeNo(0), attr, self.options.owner).kind)
    }

    /// Room on the server; remembered for a moment. One round trip.
    pub async fn statfs(&self) -> Answer<StatfsResponse> {
        let room = *self.room.lock();
        if let Some(room) = room.filter(|room| room.at.elapsed() < TTL) {
            return Ok(room.said);
        }
        self.live()?;
        let at = monotonic();
        let answer = self.remote.statfs(Empty {}).await.map_err(|error| self.refused(error));
        let said = self.noted(ROOT, "statfs", answer)?;
        *self.room.lock() = Some(Room { said, at });
        Ok(said)
    }
}

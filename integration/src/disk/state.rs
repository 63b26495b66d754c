//! What the disk holds, and what of it is durable. No kernel here.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::io::Errno;

/// The number of the root folder, as FUSE wants it.
pub(super) const ROOT: u64 = 1;

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing: neither names nor content.
    OnlySynced,
    /// All names, and only the content that was synced: a file system whose journal of names runs ahead of the data.
    NamesAhead,
}

/// A name's or a file's value now and the one that survives.
#[derive(Clone, Default)]
pub(super) struct Both<T> {
    pub now: T,
    pub durable: T,
}

#[derive(Clone)]
pub(super) enum Body {
    File(Both<Arc<Vec<u8>>>),
    Folder(Both<Arc<BTreeMap<OsString, u64>>>),
}

/// A file or folder. It is never forgotten: an open file may have lost its last name, and a durable name may lead to it.
#[derive(Clone)]
pub(super) struct Item {
    pub body: Body,
    pub mode: u32,
    pub links: u32,
    pub modified: SystemTime,
    /// The folder and name that it got last.
    place: (u64, OsString),
}

#[derive(Clone)]
pub(super) struct State {
    items: HashMap<u64, Item>,
    next: u64,
    pub syncs: Vec<String>,
    pub ignores: fn(&str) -> bool,
}

type Answer<T> = Result<T, Errno>;

impl State {
    fn empty() -> State {
        let mut state = State { items: HashMap::new(), next: ROOT, syncs: Vec::new(), ignores: |_| false };
        state.add(Body::Folder(Both::default()), 0o700, (ROOT, OsString::new()));
        state
    }

    /// A folder's content, all of it durable.
    pub fn load(from: &Path) -> io::Result<State> {
        let mut state = State::empty();
        state.load_folder(ROOT, from)?;
        for number in 1..state.next {
            state.sync(number).map_err(io::Error::from)?;
        }
        state.syncs.clear();
        Ok(state)
    }

    fn load_folder(&mut self, folder: u64, from: &Path) -> io::Result<()> {
        self.item_mut(folder)?.mode = fs::metadata(from)?.permissions().mode() & 0o7777;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let mode = entry.metadata()?.permissions().mode() & 0o7777;
            if entry.file_type()?.is_dir() {
                let number = self.make(folder, &entry.file_name(), mode, true)?;
                self.load_folder(number, &entry.path())?;
            } else {
                let number = self.make(folder, &entry.file_name(), mode, false)?;
                self.write(number, 0, &fs::read(entry.path())?)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, body: Body, mode: u32, place: (u64, OsString)) -> u64 {
        let number = self.next;
        self.next += 1;
        self.items.insert(number, Item { body, mode, links: 1, modified: SystemTime::now(), place });
        number
    }

    pub fn item(&self, number: u64) -> Answer<&Item> {
        self.items.get(&number).ok_or(Errno::NOENT)
    }

    pub fn item_mut(&mut self, number: u64) -> Answer<&mut Item> {
        self.items.get_mut(&number).ok_or(Errno::NOENT)
    }

    pub fn entries(&self, folder: u64) -> Answer<&BTreeMap<OsString, u64>> {
        match &self.item(folder)?.body {
            Body::Folder(entries) => Ok(&entries.now),
            Body::File(_) => Err(Errno::NOTDIR),
        }
    }

    fn entries_mut(&mut self, folder: u64) -> Answer<&mut BTreeMap<OsString, u64>> {
        match &mut self.item_mut(folder)?.body {
            Body::Folder(entries) => Ok(Arc::make_mut(&mut entries.now)),
            Body::File(_) => Err(Errno::NOTDIR),
        }
    }

    pub fn find(&self, folder: u64, name: &OsStr) -> Answer<u64> {
        self.entries(folder)?.get(name).copied().ok_or(Errno::NOENT)
    }

    /// Makes a file or folder.
    pub fn make(&mut self, folder: u64, name: &OsStr, mode: u32, is_folder: bool) -> Answer<u64> {
        if self.entries(folder)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let body = if is_folder { Body::Folder(Both::default()) } else { Body::File(Both::default()) };
        let number = self.add(body, mode, (folder, name.into()));
        self.entries_mut(folder)?.insert(name.into(), number);
        Ok(number)
    }

    /// Gives a file a second name.
    pub fn link(&mut self, number: u64, folder: u64, name: &OsStr) -> Answer<()> {
        if self.entries(folder)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        self.item_mut(number)?.links += 1;
        self.entries_mut(folder)?.insert(name.into(), number);
        Ok(())
    }

    pub fn remove(&mut self, folder: u64, name: &OsStr) -> Answer<()> {
        let number = self.find(folder, name)?;
        if self.entries(number).is_ok_and(|entries| !entries.is_empty()) {
            return Err(Errno::NOTEMPTY);
        }
        self.entries_mut(folder)?.remove(name);
        let item = self.item_mut(number)?;
        item.links = item.links.saturating_sub(1);
        Ok(())
    }

    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr), keeps_existing: bool) -> Answer<()> {
        let number = self.find(from.0, from.1)?;
        match self.find(to.0, to.1) {
            Ok(_) if keeps_existing => return Err(Errno::EXIST),
            Ok(same) if same == number => return Ok(()),
            Ok(_) => self.remove(to.0, to.1)?,
            Err(_) => {}
        }
        self.entries_mut(from.0)?.remove(from.1);
        self.entries_mut(to.0)?.insert(to.1.into(), number);
        self.item_mut(number)?.place = (to.0, to.1.into());
        Ok(())
    }

    pub fn content(&self, number: u64) -> Answer<&Arc<Vec<u8>>> {
        match &self.item(number)?.body {
            Body::File(content) => Ok(&content.now),
            Body::Folder(_) => Err(Errno::ISDIR),
        }
    }

    fn content_mut(&mut self, number: u64) -> Answer<&mut Vec<u8>> {
        let item = self.item_mut(number)?;
        item.modified = SystemTime::now();
        match &mut item.body {
            Body::File(content) => Ok(Arc::make_mut(&mut content.now)),
            Body::Folder(_) => Err(Errno::ISDIR),
        }
    }

    pub fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) -> Answer<()> {
        let offset = usize::try_from(offset).map_err(|_| Errno::FBIG)?;
        let end = offset.checked_add(bytes.len()).ok_or(Errno::FBIG)?;
        let content = self.content_mut(number)?;
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset..end].copy_from_slice(bytes);
        Ok(())
    }

    pub fn truncate(&mut self, number: u64, length: u64) -> Answer<()> {
        let length = usize::try_from(length).map_err(|_| Errno::FBIG)?;
        self.content_mut(number)?.resize(length, 0);
        Ok(())
    }

    /// Makes a file's content or a folder's entries durable.
    pub fn sync(&mut self, number: u64) -> Answer<()> {
        let path = self.path(number)?;
        if (self.ignores)(&path) {
            return Ok(());
        }
        match &mut self.item_mut(number)?.body {
            Body::File(content) => content.durable = content.now.clone(),
            Body::Folder(entries) => entries.durable = entries.now.clone(),
        }
        self.syncs.push(path);
        Ok(())
    }

    /// From the root, which is `/`; a folder's ends with `/`.
    fn path(&self, number: u64) -> Answer<String> {
        if number == ROOT {
            return Ok("/".into());
        }
        let item = self.item(number)?;
        let (folder, name) = &item.place;
        let end = if matches!(item.body, Body::Folder(_)) { "/" } else { "" };
        Ok(format!("{}{}{end}", self.path(*folder)?, name.display()))
    }

    pub fn write_image(&self, cut: Cut, to: &Path) -> io::Result<()> {
        self.write_item(ROOT, cut, to, &mut HashMap::new())
    }

    fn write_item(
        &self,
        number: u64,
        cut: Cut,
        to: &Path,
        written: &mut HashMap<u64, PathBuf>,
    ) -> io::Result<()> {
        // A file with two names stays one file.
        if let Some(first) = written.insert(number, to.into()) {
            return fs::hard_link(first, to);
        }
        let item = self.item(number)?;
        match &item.body {
            Body::File(content) => fs::write(to, &*content.durable)?,
            Body::Folder(entries) => {
                fs::create_dir(to)?;
                let left = if cut == Cut::NamesAhead { &entries.now } else { &entries.durable };
                for (name, &below) in &**left {
                    self.write_item(below, cut, &to.join(name), written)?;
                }
            }
        }
        fs::set_permissions(to, fs::Permissions::from_mode(item.mode))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Bench {
        state: State,
        folder: tempfile::TempDir,
    }

    impl Bench {
        /// A disk with the file `old`, which is durable.
        fn new() -> Bench {
            let folder = tempfile::tempdir().unwrap();
            let start = folder.path().join("start");
            fs::create_dir(&start).unwrap();
            fs::write(start.join("old"), "durable").unwrap();
            Bench { state: State::load(&start).unwrap(), folder }
        }

        fn make(&mut self, name: &str, content: &str) -> u64 {
            let number = self.state.make(ROOT, name.as_ref(), 0o600, false).unwrap();
            self.state.write(number, 0, content.as_bytes()).unwrap();
            number
        }

        fn rename(&mut self, from: &str, to: &str) {
            self.state.rename((ROOT, from.as_ref()), (ROOT, to.as_ref()), false).unwrap();
        }

        /// What a file holds after a power cut; `None` where it is not there.
        fn after(&self, cut: Cut, name: &str) -> Option<String> {
            let room = tempfile::tempdir_in(&self.folder).unwrap();
            let image = room.path().join("image");
            self.state.write_image(cut, &image).unwrap();
            fs::read_to_string(image.join(name)).ok()
        }
    }

    #[test]
    fn what_was_not_synced_is_lost() {
        let mut bench = Bench::new();
        bench.make("new", "content");
        assert_eq!(bench.after(Cut::OnlySynced, "new"), None);
        assert_eq!(bench.after(Cut::NamesAhead, "new").as_deref(), Some(""));
        bench.state.sync(ROOT).unwrap();
        assert_eq!(bench.after(Cut::OnlySynced, "new").as_deref(), Some(""));
        assert_eq!(bench.after(Cut::OnlySynced, "old").as_deref(), Some("durable"));
    }

    #[test]
    fn what_was_synced_is_kept_as_it_was_then() {
        let mut bench = Bench::new();
        let new = bench.make("new", "content");
        bench.state.sync(new).unwrap();
        assert_eq!(bench.after(Cut::OnlySynced, "new"), None, "its name is not durable");
        bench.state.sync(ROOT).unwrap();
        bench.state.write(new, 0, b"CONTENT").unwrap();
        bench.state.truncate(new, 3).unwrap();
        bench.state.remove(ROOT, "new".as_ref()).unwrap();
        assert_eq!(bench.after(Cut::OnlySynced, "new").as_deref(), Some("content"));
        assert_eq!(bench.after(Cut::NamesAhead, "new"), None);
    }

    #[test]
    fn a_rename_without_an_fsync_before_it_leaves_an_empty_file() {
        let mut bench = Bench::new();
        let new = bench.make("new", "content");
        bench.rename("new", "old");
        assert_eq!(bench.after(Cut::OnlySynced, "old").as_deref(), Some("durable"));
        assert_eq!(bench.after(Cut::NamesAhead, "old").as_deref(), Some(""));
        bench.state.sync(new).unwrap();
        assert_eq!(bench.after(Cut::NamesAhead, "old").as_deref(), Some("content"));
        bench.state.sync(ROOT).unwrap();
        assert_eq!(bench.after(Cut::OnlySynced, "old").as_deref(), Some("content"));
        assert_eq!(bench.state.syncs, ["/old", "/"]);
    }

    #[test]
    fn a_sync_that_is_ignored_does_nothing() {
        let mut bench = Bench::new();
        let new = bench.make("new", "content");
        bench.state.ignores = |path| path == "/new";
        bench.state.sync(new).unwrap();
        bench.state.sync(ROOT).unwrap();
        assert_eq!(bench.after(Cut::OnlySynced, "new").as_deref(), Some(""));
        assert_eq!(bench.state.syncs, ["/"]);
    }
}

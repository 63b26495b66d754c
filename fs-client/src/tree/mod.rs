//! Inode numbers: which document and version each stands for, and under which names.
//!
//! The kernel's page cache belongs to an inode number, so a number belongs to a document *at a version*. Own
//! check-ins move an inode to its new version; a version that came from elsewhere is shown under a new
//! number, and whoever has the old one open keeps the old version, whole. Numbers are never used again. An
//! inode lives for as long as the kernel remembers it or it is open; so the table is as large as the
//! kernel's own.

pub mod mode;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use fuser::INodeNo;
use sss_common::wire::fs::Attr;
use sss_common::{Effective, FileTime, Kind, Name, NodeId, Uid, Version};

/// The root of the mount.
pub const ROOT: INodeNo = INodeNo::ROOT;
/// `@me`: a link to `.`.
pub const SELF: INodeNo = INodeNo(2);

/// What an inode number stands for.
#[derive(Clone, Debug)]
pub struct Inode {
    /// The document or folder and what is known of it. `attr.version` is the version that this inode shows.
    pub attr: Attr,
    /// Folder and name under which it was seen last.
    pub place: Option<(INodeNo, Name)>,
    /// Another inode shows the document now, or none does: `open` must look the name up again.
    pub moved_on: bool,
    /// It was open on this mount: the kernel may have pages of the version that it shows.
    pub opened: bool,
    lookups: u64,
}

/// The table.
pub struct Tree {
    inodes: HashMap<INodeNo, Inode>,
    current: HashMap<NodeId, INodeNo>,
    children: HashMap<(INodeNo, Name), INodeNo>,
    next: u64,
}

impl Tree {
    /// The root of `me`, whose node is not known yet.
    pub fn new(me: &Uid) -> Self {
        let blank = |kind, mode, size| Attr {
            node: NodeId([0; 16]),
            kind,
            size,
            mode,
            mtime_ns: FileTime(0),
            ctime_ns: FileTime(0),
            version: Version::NONE,
            owner: me.clone(),
            author: None,
            flag: None,
            right: Effective { owner: true, checkout: true, checkin: true, ends_in_ms: None },
        };
        let inode = |attr| Inode { attr, place: None, moved_on: false, opened: false, lookups: 1 };
        let inodes = HashMap::from([
            (ROOT, inode(blank(Kind::Folder, 0o700, 0))),
            (SELF, inode(blank(Kind::Symlink, 0o777, 1))),
        ]);
        Tree { inodes, current: HashMap::new(), children: HashMap::new(), next: SELF.0 + 1 }
    }

    /// Says which node the root is.
    pub fn set_root(&mut self, attr: Attr) {
        self.current.insert(attr.node, ROOT);
        if let Some(root) = self.inodes.get_mut(&ROOT) {
            root.attr = attr;
        }
    }

    /// What a number stands for.
    pub fn inode(&self, ino: INodeNo) -> Option<&Inode> {
        self.inodes.get(&ino)
    }

    /// The inode last seen under a name.
    pub fn child(&self, parent: INodeNo, name: &Name) -> Option<INodeNo> {
        self.children.get(&(parent, name.clone())).copied()
    }

    /// The inode that shows a node's current version.
    pub fn current(&self, node: NodeId) -> Option<INodeNo> {
        self.current.get(&node).copied()
    }

    /// The inode of a folder, if the kernel knows it.
    pub fn current_folder(&self, node: NodeId) -> Option<INodeNo> {
        self.current(node).filter(|ino| self.inode(*ino).is_some_and(|inode| inode.attr.kind == Kind::Folder))
    }

    /// How many inodes there are, for tests of its bounds.
    pub fn len(&self) -> usize {
        self.inodes.len()
    }

    /// Never: the root is always there.
    pub fn is_empty(&self) -> bool {
        self.inodes.is_empty()
    }

    /// The server says that `attr` stands under a name. Answers the inode to show for it and counts one lookup.
    /// `busy`: whether an own check-in of that inode is under way, so that a next version may be one's own.
    pub fn seen(
        &mut self,
        place: Option<(INodeNo, Name)>,
        attr: Attr,
        busy: impl Fn(INodeNo) -> bool,
    ) -> INodeNo {
        let known =
            self.current.get(&attr.node).copied().filter(|ino| *ino != ROOT || attr.kind == Kind::Folder);
        let ino = match known {
            Some(ino) => match self.inodes.get_mut(&ino) {
                Some(inode) if attr.version == inode.attr.version => {
                    inode.attr = attr;
                    ino
                }
                // An answer that was under way while an own check-in made the next version.
                Some(inode) if attr.version < inode.attr.version || busy(ino) => {
                    inode.attr.right = attr.right;
                    ino
                }
                Some(inode) => {
                    inode.moved_on = true;
                    self.insert(attr)
                }
                None => self.insert(attr),
            },
            None => self.insert(attr),
        };
        if let Some(place) = place {
            self.name(ino, place);
        }
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.lookups += 1;
        }
        ino
    }

    /// An old listing named a node: counts one lookup of the inode that shows it, and changes nothing that
    /// is known.
    pub fn heard_of(&mut self, attr: &Attr) -> INodeNo {
        let ino = self.current(attr.node).unwrap_or_else(|| self.insert(attr.clone()));
        self.looked_up(ino);
        ino
    }

    /// It is being opened: from now on the kernel may have pages of it.
    pub fn opened(&mut self, ino: INodeNo) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.opened = true;
        }
    }

    fn insert(&mut self, attr: Attr) -> INodeNo {
        let ino = INodeNo(self.next);
        self.next += 1;
        self.current.insert(attr.node, ino);
        self.inodes.insert(ino, Inode { attr, place: None, moved_on: false, opened: false, lookups: 0 });
        ino
    }

    fn name(&mut self, ino: INodeNo, place: (INodeNo, Name)) {
        let Some(inode) = self.inodes.get_mut(&ino) else { return };
        if let Some(before) = inode.place.replace(place.clone())
            && before != place
            && self.children.get(&before) == Some(&ino)
        {
            self.children.remove(&before);
        }
        self.children.insert(place, ino);
    }

    /// Fresh attributes of the version that an inode shows, or of the node at a later one: then only what is
    /// not content.
    pub fn refreshed(&mut self, ino: INodeNo, attr: &Attr) {
        let Some(inode) = self.inodes.get_mut(&ino) else { return };
        if inode.attr.version == attr.version {
            inode.attr = attr.clone();
        } else {
            inode.attr.mode = attr.mode;
            inode.attr.right = attr.right;
            inode.attr.owner = attr.owner.clone();
            inode.attr.flag = attr.flag;
        }
    }

    /// An own change made this the node and version that an inode shows.
    pub fn rebind(&mut self, ino: INodeNo, attr: Attr) {
        let Some(inode) = self.inodes.get_mut(&ino) else { return };
        let before = std::mem::replace(&mut inode.attr, attr);
        inode.moved_on = false;
        let node = inode.attr.node;
        if before.node != node && self.current.get(&before.node) == Some(&ino) {
            self.current.remove(&before.node);
        }
        if let Some(other) = self.current.insert(node, ino).filter(|other| *other != ino)
            && let Some(other) = self.inodes.get_mut(&other)
        {
            other.moved_on = true;
        }
    }

    /// The next lookup of its document gets a new number: the kernel's pages of this one are not its version's.
    pub fn retire(&mut self, ino: INodeNo) {
        let Some(inode) = self.inodes.get_mut(&ino) else { return };
        inode.moved_on = true;
        let node = inode.attr.node;
        if ino != ROOT && self.current.get(&node) == Some(&ino) {
            self.current.remove(&node);
        }
    }

    /// A name is gone.
    pub fn removed(&mut self, parent: INodeNo, name: &Name) -> Option<INodeNo> {
        let ino = self.children.remove(&(parent, name.clone()))?;
        self.retire(ino);
        Some(ino)
    }

    /// A name was moved; what stood under the new name does not any more.
    pub fn renamed(
        &mut self,
        from: (INodeNo, &Name),
        to: (INodeNo, Name),
    ) -> (Option<INodeNo>, Option<INodeNo>) {
        let source = self.children.remove(&(from.0, from.1.clone()));
        let target = self.children.remove(&to).filter(|target| Some(*target) != source);
        if let Some(target) = target {
            self.retire(target);
        }
        if let Some(source) = source {
            self.name(source, to);
        }
        (source, target)
    }

    /// One lookup more of a known inode.
    pub fn looked_up(&mut self, ino: INodeNo) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.lookups += 1;
        }
    }

    /// The kernel forgets `count` lookups. `open`: whether the inode is open still. Answers whether it is gone.
    pub fn forget(&mut self, ino: INodeNo, count: u64, open: bool) -> bool {
        if ino == ROOT || ino == SELF {
            return false;
        }
        let Some(inode) = self.inodes.get_mut(&ino) else { return true };
        inode.lookups = inode.lookups.saturating_sub(count);
        if inode.lookups > 0 || open {
            return false;
        }
        let (node, place) = (inode.attr.node, inode.place.clone());
        self.inodes.remove(&ino);
        if self.current.get(&node) == Some(&ino) {
            self.current.remove(&node);
        }
        if let Some(place) = place.filter(|place| self.children.get(place) == Some(&ino)) {
            self.children.remove(&place);
        }
        true
    }
}

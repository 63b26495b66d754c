//! A server in this process, for tests: users, grants, versions, pins and the editors' rule, and nothing
//! sealed.
//!
//! It follows the contract's rules in the shortest way that is right; the real server's own tests hold the
//! golden tables.

mod body;
mod names;
mod pins;
mod remote;
mod rights;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sss_common::receipt::{Numbers, Receipt};
use sss_common::wire::calls::*;
use sss_common::wire::documents::GrantInfo;
use sss_common::{
    Clock, Code, FileTime, Flag, Grantee, Kind, MachineName, Name, NodeId, Right, Timestamp, Uid, Version,
};
use tokio::sync::broadcast;

use super::{RemoteError, Result};
pub use remote::MemoryRemote;

/// The server.
pub struct MemoryServer {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    events: broadcast::Sender<(u64, Event)>,
}

#[derive(Default)]
struct State {
    nodes: HashMap<NodeId, Node>,
    homes: BTreeMap<Uid, NodeId>,
    grants: Vec<Grant>,
    /// Live session of each user, and what ended the others.
    sessions: HashMap<Uid, u64>,
    ended: HashMap<u64, (Code, String)>,
    disabled: BTreeSet<Uid>,
    pins: HashMap<(u64, Pin), usize>,
    /// Names that were vacated for a backup a moment ago.
    vacated: Vec<Vacated>,
    /// What was deleted, as its receipt says.
    deleted: HashMap<NodeId, Receipt>,
    counter: u64,
    /// The check-in quota in bytes, if there is one.
    quota: Option<u64>,
    fault: Option<CommitFault>,
    /// Users are added before they are named; else whoever is named may log in later.
    knows_its_users: bool,
}

/// What goes wrong with the next version that is about to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitFault {
    /// What the check-in is answered with.
    pub code: Code,
    /// Whether the version was committed all the same.
    pub late: bool,
}

/// A document that its session renamed to the backup of its own name.
struct Vacated {
    session: u64,
    folder: NodeId,
    name: Name,
    backup: Name,
    document: NodeId,
    at: Timestamp,
}

struct Node {
    parent: Option<(NodeId, Name)>,
    kind: Kind,
    owner: Uid,
    author: Option<Uid>,
    mode: u32,
    mtime_ns: FileTime,
    ctime_ns: FileTime,
    flag: Option<Flag>,
    version: Version,
    versions: BTreeMap<Version, Bytes>,
    xattrs: BTreeMap<String, Base64>,
}

#[derive(Clone)]
struct Grant {
    node: NodeId,
    grantee: Grantee,
    right: Right,
    until: Timestamp,
    /// Taken back, or replaced, at that moment: it rules nothing, but its holder knows of the document for a day.
    over: Option<Timestamp>,
    /// Set by who made the document as a guest, not by the home's owner.
    by_maker: bool,
    effect: Effect,
}

/// What a grant does: those on a document are limits on a copy that was made of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Gives,
    /// Of what folders give there is no more than its right.
    Limits,
    /// There is nothing of it.
    Bars,
}

fn refuse<T>(code: Code, detail: &str) -> Result<T> {
    Err(RemoteError::refused(code, detail))
}

impl MemoryServer {
    /// An empty server.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(MemoryServer { clock, state: Mutex::default(), events: broadcast::channel(64).0 })
    }

    /// A user with an empty home; one that is there stays. From now on nobody else can be granted anything.
    pub fn add_user(&self, uid: &str) {
        self.make_home(uid);
        self.state.lock().knows_its_users = true;
    }

    fn make_home(&self, uid: &str) {
        let uid: Uid = uid.parse().expect("a test names a user");
        let mut state = self.state.lock();
        if !state.homes.contains_key(&uid) {
            let home = state.add(None, Kind::Folder, uid.clone(), 0o700, self.now_ns());
            state.homes.insert(uid, home);
        }
    }

    /// A login of a user who is there from now on; it ends the user's earlier one.
    pub fn login(self: &Arc<Self>, uid: &str, node: &str) -> Arc<MemoryRemote> {
        self.make_home(uid);
        self.log_in(uid, node).expect("a test logs in who may")
    }

    /// A login; it ends the user's earlier one. Refused for a user who is disabled.
    pub fn log_in(self: &Arc<Self>, uid: &str, node: &str) -> Result<Arc<MemoryRemote>> {
        let uid: Uid = uid.parse().expect("a test names a user");
        let node: MachineName = node.parse().expect("a test names a node");
        let mut state = self.state.lock();
        if state.disabled.contains(&uid) {
            return refuse(Code::SessionRevoked, "the user is disabled");
        }
        state.counter += 1;
        let session = state.counter;
        if let Some(before) = state.sessions.insert(uid.clone(), session) {
            state.end(before, Code::SessionReplaced, format!("session replaced by node {node}"));
            let _ = self.events.send((before, Event::SessionReplaced { by_node: node.clone() }));
        }
        drop(state);
        Ok(Arc::new(MemoryRemote { server: self.clone(), uid, session }))
    }

    /// Disables a user, whose session ends, or enables one.
    pub fn set_disabled(&self, uid: &str, disabled: bool) {
        let uid: Uid = uid.parse().expect("a test names a user");
        let mut state = self.state.lock();
        if !disabled {
            state.disabled.remove(&uid);
            return;
        }
        if let Some(session) = state.sessions.remove(&uid) {
            state.end(session, Code::SessionRevoked, format!("user {uid} was disabled"));
            let _ = self
                .events
                .send((session, Event::SessionEnded { reason: format!("user {uid} was disabled") }));
        }
        state.disabled.insert(uid);
    }

    /// What a server that is started anew has forgotten. Pins stay here: the mounts would take them up again.
    pub fn restart(&self) {
        self.state.lock().vacated.clear();
    }

    /// The next version fails to be committed; `None` takes it back.
    pub fn fail_next_commit(&self, fault: Option<CommitFault>) {
        self.state.lock().fault = fault;
    }

    /// Check-ins beyond so many bytes are refused.
    pub fn set_quota(&self, bytes: Option<u64>) {
        self.state.lock().quota = bytes;
    }

    /// Pins that are held.
    pub fn pins(&self) -> usize {
        self.state.lock().pins.values().sum()
    }

    /// All names below a user's home with their content, for a test to compare.
    pub fn files(&self, uid: &str) -> BTreeMap<String, Vec<u8>> {
        let state = self.state.lock();
        let mut files = BTreeMap::new();
        for (id, node) in &state.nodes {
            let (path, home) = state.path(*id);
            if node.kind == Kind::File && home.as_str() == uid {
                files.insert(path, state.content(*id, node.version).unwrap_or_default().to_vec());
            }
        }
        files
    }

    /// Tells all sessions how often there is a sign of life, behind what they were told before.
    pub fn say_alive(&self, every_ms: u64) {
        self.tell(&Event::Alive { every_ms });
    }

    fn now_ns(&self) -> FileTime {
        self.clock.now().nanos()
    }

    fn rights_changed(&self) {
        self.tell(&Event::RightsChanged);
    }

    fn tell(&self, event: &Event) {
        let sessions: Vec<u64> = self.state.lock().sessions.values().copied().collect();
        for session in sessions {
            let _ = self.events.send((session, event.clone()));
        }
    }
}

impl State {
    fn add(
        &mut self,
        parent: Option<(NodeId, Name)>,
        kind: Kind,
        owner: Uid,
        mode: u32,
        now_ns: FileTime,
    ) -> NodeId {
        let id = NodeId::random();
        let node = Node {
            parent,
            kind,
            owner,
            author: None,
            mode,
            mtime_ns: now_ns,
            ctime_ns: now_ns,
            flag: None,
            version: Version::NONE,
            versions: BTreeMap::new(),
            xattrs: BTreeMap::new(),
        };
        self.nodes.insert(id, node);
        id
    }

    /// A folder changes with its entries.
    fn touch(&mut self, folder: NodeId, now_ns: FileTime) {
        if let Some(folder) = self.nodes.get_mut(&folder) {
            (folder.mtime_ns, folder.ctime_ns) = (now_ns, now_ns);
        }
    }

    fn node(&self, id: NodeId) -> Result<&Node> {
        self.nodes.get(&id).map_or_else(|| refuse(Code::NotFound, "no such document"), Ok)
    }

    fn node_mut(&mut self, id: NodeId) -> Result<&mut Node> {
        self.nodes.get_mut(&id).map_or_else(|| refuse(Code::NotFound, "no such document"), Ok)
    }

    fn child(&self, folder: NodeId, name: &Name) -> Option<NodeId> {
        let at = Some((folder, name.clone()));
        self.nodes.iter().find(|(_, node)| node.parent == at).map(|(id, _)| *id)
    }

    fn children(&self, folder: NodeId) -> BTreeMap<Name, NodeId> {
        let below = self.nodes.iter().filter_map(|(id, node)| Some((node.parent.clone()?, *id)));
        below.filter(|((parent, _), _)| *parent == folder).map(|((_, name), id)| (name, id)).collect()
    }

    /// The node first, its home last.
    fn levels(&self, id: NodeId) -> Vec<NodeId> {
        let mut levels = vec![id];
        let mut at = id;
        while let Some((parent, _)) = self.nodes.get(&at).and_then(|node| node.parent.clone()) {
            levels.push(parent);
            at = parent;
        }
        levels
    }

    fn path(&self, id: NodeId) -> (String, Uid) {
        let levels = self.levels(id);
        let home = self.nodes[levels.last().unwrap_or(&id)].owner.clone();
        let names = levels.iter().rev().filter_map(|id| self.nodes[id].parent.as_ref());
        (names.map(|(_, name)| name.to_string()).collect::<Vec<_>>().join("/"), home)
    }

    fn home_of(&self, id: NodeId) -> Option<NodeId> {
        self.levels(id).last().copied()
    }

    fn attr(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<Attr> {
        let node = self.node(id)?;
        self.see(id, user, now)?;
        let shown = self.listed(id, user, now);
        let size = self.content(id, node.version).map_or(0, |content| content.len() as u64);
        Ok(Attr {
            node: id,
            kind: node.kind,
            size: if shown { size } else { 0 },
            mode: node.mode,
            mtime_ns: if shown { node.mtime_ns } else { FileTime(0) },
            ctime_ns: if shown { node.ctime_ns } else { FileTime(0) },
            version: if shown { node.version } else { Version::NONE },
            owner: node.owner.clone(),
            author: node.author.clone().filter(|_| shown),
            flag: node.flag.filter(|_| shown),
            right: self.effective(id, user, now),
        })
    }

    fn content(&self, id: NodeId, version: Version) -> Result<Bytes> {
        let node = self.node(id)?;
        match node.versions.get(&version) {
            Some(content) => Ok(content.clone()),
            None if version == Version::NONE => Ok(Bytes::new()),
            None => refuse(Code::VersionGone, "the version was replaced"),
        }
    }

    /// What is said of a deletion. There are no keys in this process.
    fn receipt(&self, id: NodeId, by: &Uid, now: Timestamp) -> Result<Receipt> {
        let (path, home) = self.path(id);
        Ok(Receipt {
            store: sss_common::StoreId([0; 16]),
            document: id,
            path: format!("@{home}/{path}"),
            home,
            deleted_by: by.clone(),
            deleted: now,
            versions: self.node(id)?.versions.keys().map(|version| version.0).collect(),
            keys: Numbers::default(),
            shared_keys: Numbers::default(),
            erasure: None,
        })
    }

    /// A new current version; what nobody pins goes.
    fn commit(&mut self, id: NodeId, content: Bytes, author: &Uid, mtime_ns: FileTime) -> Result<()> {
        if self.quota.is_some_and(|quota| content.len() as u64 > quota) {
            return refuse(Code::Quota, "your quota is used up");
        }
        let fault = self.fault.take();
        if let Some(CommitFault { code, late: false }) = fault {
            return refuse(code, "the storage failed");
        }
        self.put(id, content, author, mtime_ns)?;
        fault.map_or(Ok(()), |fault| refuse(fault.code, "the storage failed"))
    }

    fn put(&mut self, id: NodeId, content: Bytes, author: &Uid, mtime_ns: FileTime) -> Result<()> {
        let pinned: Vec<Version> =
            self.pins.keys().filter(|(_, pin)| pin.node == id).map(|(_, pin)| pin.version).collect();
        let node = self.node_mut(id)?;
        node.versions.retain(|version, _| pinned.contains(version));
        node.version = node.version.next();
        node.versions.insert(node.version, content);
        node.author = Some(author.clone());
        node.mtime_ns = mtime_ns;
        node.ctime_ns = mtime_ns;
        Ok(())
    }

    /// A session holds nothing any more, and hears why from now on.
    fn end(&mut self, session: u64, code: Code, detail: String) {
        self.pins.retain(|(of, _), _| *of != session);
        self.ended.insert(session, (code, detail));
    }
}

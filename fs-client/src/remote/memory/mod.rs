//! A server in this process, for tests: users, grants, versions, pins and the editors' rule, and nothing
//! sealed.
//!
//! It follows the contract's rules in the shortest way that is right; the real server's own tests hold the
//! golden tables.

mod remote;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sss_common::framing::{Decoder, Piece};
use sss_common::receipt::{Numbers, Receipt};
use sss_common::wire::calls::*;
use sss_common::wire::documents::GrantInfo;
use sss_common::{
    Clock, Code, Effective, Flag, Grantee, Kind, MachineName, Name, NodeId, Right, Timestamp, Uid, Version,
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
    ended: HashMap<u64, MachineName>,
    pins: HashMap<(u64, Pin), usize>,
    /// Documents that were renamed to a backup's name: from where.
    moved: HashMap<(NodeId, Name), NodeId>,
    /// What was deleted, as its receipt says.
    deleted: HashMap<NodeId, Receipt>,
    counter: u64,
    /// The check-in quota in bytes, if there is one.
    quota: Option<u64>,
}

struct Node {
    parent: Option<(NodeId, Name)>,
    kind: Kind,
    owner: Uid,
    author: Option<Uid>,
    mode: u32,
    mtime_ns: i64,
    ctime_ns: i64,
    flag: Option<Flag>,
    version: Version,
    versions: BTreeMap<Version, Bytes>,
    xattrs: BTreeMap<String, Base64>,
}

struct Grant {
    node: NodeId,
    grantee: Grantee,
    right: Right,
    until: Timestamp,
    seq: u64,
}

fn refuse<T>(code: Code, detail: &str) -> Result<T> {
    Err(RemoteError::refused(code, detail))
}

impl MemoryServer {
    /// An empty server.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(MemoryServer { clock, state: Mutex::default(), events: broadcast::channel(64).0 })
    }

    /// A login; it ends the user's earlier one.
    pub fn login(self: &Arc<Self>, uid: &str, node: &str) -> Arc<MemoryRemote> {
        let uid: Uid = uid.parse().expect("a test names a user");
        let node: MachineName = node.parse().expect("a test names a node");
        let mut state = self.state.lock();
        state.counter += 1;
        let session = state.counter;
        let now_ns = self.now_ns();
        if !state.homes.contains_key(&uid) {
            let home = state.add(None, Kind::Folder, uid.clone(), 0o700, now_ns);
            state.homes.insert(uid.clone(), home);
        }
        if let Some(before) = state.sessions.insert(uid.clone(), session) {
            state.ended.insert(before, node.clone());
            let _ = self.events.send((before, Event::SessionReplaced { by_node: node.clone() }));
        }
        drop(state);
        Arc::new(MemoryRemote { server: self.clone(), uid, session })
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

    fn now_ns(&self) -> i64 {
        self.clock.now().0 * 1_000_000
    }

    fn rights_changed(&self) {
        let sessions: Vec<u64> = self.state.lock().sessions.values().copied().collect();
        for session in sessions {
            let _ = self.events.send((session, Event::RightsChanged));
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
        now_ns: i64,
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

    fn bears_on(&self, node: NodeId, user: &Uid) -> bool {
        let user = Grantee::User(user.clone());
        self.grants
            .iter()
            .any(|grant| grant.node == node && (grant.grantee == user || grant.grantee == Grantee::All))
    }

    fn owns(&self, id: NodeId, user: &Uid) -> bool {
        self.levels(id).iter().any(|level| self.nodes.get(level).is_some_and(|node| node.owner == *user))
    }

    /// The latest grant is the rule; the nearest level with a live one decides.
    fn ruling(&self, id: NodeId, user: &Uid, now: Timestamp) -> Option<(Right, Timestamp)> {
        self.levels(id).into_iter().find_map(|level| {
            let last = |grantee: &Grantee| {
                let here =
                    self.grants.iter().filter(|grant| grant.node == level && grant.grantee == *grantee);
                here.max_by_key(|grant| grant.seq)
            };
            let all = last(&Grantee::All);
            let own =
                last(&Grantee::User(user.clone())).filter(|own| all.is_none_or(|all| own.seq > all.seq));
            own.or(all).filter(|grant| now < grant.until).map(|grant| (grant.right, grant.until))
        })
    }

    fn effective(&self, id: NodeId, user: &Uid, now: Timestamp) -> Effective {
        if self.owns(id, user) {
            return Effective { owner: true, checkout: true, checkin: true, ends_in_ms: None };
        }
        self.ruling(id, user, now).map_or_else(Effective::default, |(right, until)| Effective {
            owner: false,
            checkout: right.reads(),
            checkin: right.writes(),
            ends_in_ms: Some(until.since(now).as_millis() as u64),
        })
    }

    fn below_is_visible(&self, id: NodeId, user: &Uid) -> bool {
        self.nodes.keys().any(|other| {
            self.levels(*other).contains(&id)
                && (self.bears_on(*other, user) || self.nodes[other].owner == *user)
        })
    }

    fn visible(&self, id: NodeId, user: &Uid) -> bool {
        self.owns(id, user)
            || self.levels(id).iter().any(|level| self.bears_on(*level, user))
            || self.below_is_visible(id, user)
    }

    fn allow(&self, id: NodeId, user: &Uid, now: Timestamp, want: Right) -> Result<()> {
        self.node(id)?;
        let right = self.effective(id, user, now);
        if (!want.reads() || right.checkout) && (!want.writes() || right.checkin) {
            return Ok(());
        }
        match self.visible(id, user) {
            true if self.ruling(id, user, now).is_none() => refuse(Code::GrantEnded, "the grant ended"),
            true => refuse(Code::NoRight, "your grant does not give you this right"),
            false => refuse(Code::NotFound, "no such document"),
        }
    }

    fn own(&self, id: NodeId, user: &Uid) -> Result<()> {
        self.node(id)?;
        match (self.owns(id, user), self.visible(id, user)) {
            (true, _) => Ok(()),
            (_, true) => refuse(Code::NoRight, "only the owner may do this"),
            (_, false) => refuse(Code::NotFound, "no such document"),
        }
    }

    fn attr(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<Attr> {
        let node = self.node(id)?;
        if !self.visible(id, user) {
            return refuse(Code::NotFound, "no such document");
        }
        let right = self.effective(id, user, now);
        let size = self.content(id, node.version).map_or(0, |content| content.len() as u64);
        Ok(Attr {
            node: id,
            kind: node.kind,
            size: if right.checkout || right.checkin { size } else { 0 },
            mode: node.mode,
            mtime_ns: node.mtime_ns,
            ctime_ns: node.ctime_ns,
            version: node.version,
            owner: node.owner.clone(),
            author: node.author.clone(),
            flag: node.flag,
            right,
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
    fn commit(&mut self, id: NodeId, content: Bytes, author: &Uid, mtime_ns: i64) -> Result<()> {
        if self.quota.is_some_and(|quota| content.len() as u64 > quota) {
            return refuse(Code::Quota, "your quota is used up");
        }
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

    /// The session that held `from` checked in on top of it: its pins move on.
    fn carry(&mut self, session: u64, from: Pin, to: Version) {
        if let Some(count) = self.pins.remove(&(session, from)) {
            *self.pins.entry((session, Pin { version: to, ..from })).or_default() += count;
        }
        self.drop_unpinned(from);
    }

    /// Gives a pin back once; one that was carried may be named by its old number.
    fn unpin(&mut self, session: u64, pin: Pin) {
        let carried = || self.pins.keys().find(|(of, other)| *of == session && other.node == pin.node);
        let named = self.pins.contains_key(&(session, pin)).then_some(pin);
        let Some(pin) = named.or_else(|| carried().map(|(_, pin)| *pin)) else { return };
        if let Some(count) = self.pins.get_mut(&(session, pin)) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(&(session, pin));
            }
        }
        self.drop_unpinned(pin);
    }

    fn drop_unpinned(&mut self, pin: Pin) {
        let still = self.pins.keys().any(|(_, other)| *other == pin);
        if let Some(node) = self.nodes.get_mut(&pin.node).filter(|node| !still && node.version != pin.version)
        {
            node.versions.remove(&pin.version);
        }
    }

    /// The editors' rule: `id`, which lies under a backup's name, goes back, and a copy takes its place.
    fn swap(&mut self, id: NodeId, back: (NodeId, Name), user: &Uid, now: Timestamp) -> Result<Swapped> {
        let node = self.node(id)?;
        let (content, mtime_ns) = (self.content(id, node.version)?, node.mtime_ns);
        let (owner, mode) = (node.owner.clone(), node.mode);
        let Some((folder, name)) = node.parent.clone() else {
            return refuse(Code::Internal, "a home has no backup");
        };
        let copy = self.add(Some((folder, name.clone())), Kind::File, owner, mode, mtime_ns);
        self.commit(copy, content, user, mtime_ns)?;
        self.node_mut(id)?.parent = Some(back);
        Ok(Swapped { backup: self.attr(copy, user, now)?, folder, name })
    }
}

/// A check-in's body over its base.
fn apply(base: &[u8], chunks: Vec<Bytes>) -> Result<(Vec<u8>, CheckinEnd)> {
    let mut decoder = Decoder::default();
    let mut content = base.to_vec();
    let mut blocks = Vec::new();
    for mut chunk in chunks {
        while let Some(piece) =
            decoder.next(&mut chunk).map_err(|e| RemoteError::refused(Code::BadRequest, e.to_string()))?
        {
            match piece {
                Piece::Data { offset, bytes } => {
                    repeats(&mut blocks, offset, bytes.len())?;
                    let end = offset as usize + bytes.len();
                    content.resize(content.len().max(end), 0);
                    content[offset as usize..end].copy_from_slice(&bytes);
                }
                Piece::End(json) => {
                    let end: CheckinEnd = serde_json::from_slice(&json)
                        .map_err(|e| RemoteError::refused(Code::BadRequest, e.to_string()))?;
                    content.resize(end.size as usize, 0);
                    return Ok((content, end));
                }
            }
        }
    }
    refuse(Code::BadRequest, "the body has no end frame")
}

/// A block may come again only whole.
fn repeats(blocks: &mut Vec<u64>, offset: u64, length: usize) -> Result<()> {
    const BLOCK: u64 = sss_common::limits::BLOCK_SIZE as u64;
    for block in offset / BLOCK..=(offset + length as u64 - 1) / BLOCK {
        let whole = offset <= block * BLOCK && (block + 1) * BLOCK <= offset + length as u64;
        if blocks.contains(&block) && blocks.last() != Some(&block) && !whole {
            return refuse(Code::BadRequest, "a block came again in parts");
        }
        if blocks.last() != Some(&block) {
            blocks.push(block);
        }
    }
    Ok(())
}

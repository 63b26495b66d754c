//! The reference: what the contract says (`docs/SEMANTICS.md`), in the shortest form that is obviously right.
//!
//! Everything lies in plain tables, every question is answered by walking them. `policy` says who may do what, `server` what
//! a server does when asked, `mounts` what a mount adds to that: handles, drafts, conflict copies; `steps` plays a step.

mod attributes;
mod mounts;
mod paths;
mod policy;
mod server;
pub(crate) mod steps;

use std::collections::BTreeMap;
use std::rc::Rc;

use sss_common::{Kind, Right};

use crate::answer::{Shown, is_conflict_copy, without_time};
use crate::step::{Fault, Seat, USERS};
use mounts::Mount;

/// A document or folder.
type Id = usize;

/// An errno.
type Refused<T> = Result<T, i32>;

/// The whole world.
pub struct Model {
    nodes: BTreeMap<Id, Node>,
    next: Id,
    /// Milliseconds.
    now: i64,
    disabled: [bool; USERS.len()],
    /// Each user's live session.
    live: [Option<usize>; USERS.len()],
    sessions: usize,
    vacated: Vec<Vacated>,
    fault: Option<Fault>,
    mounts: BTreeMap<Seat, Mount>,
    lost_track: bool,
}

struct Node {
    /// Folder and name; a home has none.
    place: Option<(Id, String)>,
    kind: Kind,
    owner: usize,
    author: Option<usize>,
    mode: u32,
    integrity: Option<bool>,
    /// When content or entries changed last, in milliseconds.
    time: i64,
    version: u64,
    /// Of a link: where it leads.
    content: Rc<Vec<u8>>,
    /// Other `user.*` attributes.
    attributes: BTreeMap<&'static str, Vec<u8>>,
    /// In the order in which they were set.
    grants: Vec<Grant>,
    /// Of a copy that was made of a document: to whom (`None`: everybody), at most what (`None`: nothing), until when.
    limits: Vec<(Option<usize>, Option<Right>, i64)>,
}

#[derive(Clone)]
struct Grant {
    /// `None`: everybody.
    to: Option<usize>,
    right: Right,
    /// When it was set.
    since: i64,
    until: i64,
    revoked: Option<i64>,
    /// Set by a guest who made the document.
    by_maker: bool,
}

impl Node {
    fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }
}

/// The editors' rule: a document that was moved to its own backup's name.
struct Vacated {
    session: usize,
    folder: Id,
    name: String,
    backup: String,
    document: Id,
    at: i64,
}

impl Model {
    /// Three users with empty homes.
    pub fn new(now: i64) -> Model {
        let home = |owner| Node {
            place: None,
            kind: Kind::Folder,
            owner,
            author: None,
            mode: 0o700,
            integrity: None,
            time: now,
            version: 0,
            content: Rc::default(),
            attributes: BTreeMap::new(),
            grants: Vec::new(),
            limits: Vec::new(),
        };
        Model {
            nodes: (0..USERS.len()).map(|user| (user, home(user))).collect(),
            next: USERS.len(),
            now,
            disabled: [false; USERS.len()],
            live: [None; USERS.len()],
            sessions: 0,
            vacated: Vec::new(),
            fault: None,
            mounts: BTreeMap::new(),
            lost_track: false,
        }
    }

    /// Whether the sequence came to a place where the programs have a fault that is known and not mended: a version that its
    /// maker has open since before it was made is not held on the server, and may be gone once somebody else has saved.
    pub fn lost_track(&self) -> bool {
        self.lost_track
    }

    /// The seats at which somebody is, and can ask.
    pub fn awake(&self) -> Vec<Seat> {
        self.mounts.iter().filter(|(_, mount)| mount.dead.is_none()).map(|(seat, _)| *seat).collect()
    }

    /// The seats at which something is mounted, with handles that are open there.
    pub fn handles(&self) -> Vec<(Seat, u8)> {
        self.mounts.iter().flat_map(|(seat, m)| m.handles.keys().map(|handle| (*seat, *handle))).collect()
    }

    /// All that a listing of everything shows to a user, in order.
    pub fn view(&self, user: usize) -> Vec<Shown> {
        let mut found = vec![self.shown(user, user, String::new())];
        self.view_below(user, user, "", &mut found);
        for home in self.homes(user) {
            let path = format!("@{}", USERS[home]);
            found.push(self.shown(home, user, path.clone()));
            self.view_below(home, user, &path, &mut found);
        }
        found.sort();
        found
    }

    fn view_below(&self, folder: Id, user: usize, path: &str, found: &mut Vec<Shown>) {
        for (name, id) in self.children(folder) {
            if self.listed(id, user) {
                let path = format!("{path}/{}", without_time(&name));
                found.push(self.shown(id, user, path.clone()));
                self.view_below(id, user, &path, found);
            }
        }
    }

    /// What a user is told of a node that it may see.
    fn shown(&self, id: Id, user: usize, path: String) -> Shown {
        let node = &self.nodes[&id];
        let told = self.listed(id, user);
        let copy = is_conflict_copy(&path);
        let flag = |integrity| if integrity { "integrity".to_string() } else { "confidentiality".into() };
        Shown {
            path,
            kind: node.kind,
            size: if told { node.content.len() as u64 } else { 0 },
            mode: if copy { 0 } else { node.mode },
            time: if told { node.time } else { 0 },
            version: if told { node.version } else { 0 },
            owner: USERS[node.owner].into(),
            author: node.author.filter(|_| told).map(|author| USERS[author].into()),
            flag: node.integrity.filter(|_| told && !copy).map(flag),
            right: self.right(id, user),
        }
    }

    /// Whether a link stands there, for whomever.
    pub fn is_link(&self, path: &crate::step::Path) -> bool {
        self.at(path).is_some_and(|id| self.nodes[&id].kind == Kind::Symlink)
    }

    fn at(&self, path: &crate::step::Path) -> Option<Id> {
        path.names.iter().try_fold(path.home, |at, name| self.child(at, name))
    }

    /// What a lookup of each name says, in order: what `find` and `ls -l NAME` see of what no listing shows.
    pub fn looked_up(&self, user: usize, folder: &crate::step::Path, name: &str) -> Option<Shown> {
        let mut at = folder.home;
        if !self.visible(at, user) {
            return None;
        }
        for name in folder.names.iter().copied().chain([name]) {
            at = self.child(at, name).filter(|id| self.visible(*id, user))?;
        }
        Some(self.shown(at, user, format!("{folder}/{name}")))
    }
}

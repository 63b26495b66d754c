//! All that there is, and the changes that are not to names.

use std::collections::{BTreeMap, BTreeSet};

use sss_common::{Grantee, NodeId, PackId, Right, Timestamp, Uid, Version, XattrMode};

use crate::store::rules;
use crate::store::{
    Deletion, DeletionSeq, Ended, GrantRow, Limited, NewGrant, NewSession, NewUser, Node, PackRow, Result,
    Session, StoreError, StoredVersion, TokenHash, User,
};
use sss_policy::{Effect, Grant};
use sss_vault::sealed::{KeyImage, KeyPosition, Leaf};

/// A session with what its row holds besides.
#[derive(Clone)]
pub(super) struct KeptSession {
    pub(super) token: TokenHash,
    pub(super) session: Session,
    ended_at: Option<Timestamp>,
}

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) users: BTreeMap<Uid, User>,
    /// In the order in which they began.
    pub(super) sessions: Vec<KeptSession>,
    /// Users who are no more, each with when it was removed.
    pub(super) removed: BTreeMap<Uid, Timestamp>,
    pub(super) reordered: u64,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) grants: BTreeMap<(NodeId, Grantee), Grant>,
    last_grant: u64,
    pub(super) xattrs: BTreeMap<(NodeId, String), Vec<u8>>,
    pub(super) versions: BTreeMap<(NodeId, Version), StoredVersion>,
    pub(super) uses: BTreeSet<(NodeId, Version, PackId)>,
    pub(super) packs: BTreeMap<PackId, PackRow>,
    pub(super) keys: BTreeMap<KeyPosition, KeyImage>,
    pub(super) last_leaf: Option<Leaf>,
    /// Each with the document whose removal queued it.
    pub(super) erasures: Vec<(Leaf, Option<NodeId>)>,
    pub(super) trash: Vec<PackId>,
    pub(super) audit: super::audit::AuditLog,
    /// In the order of their numbers.
    pub(super) deletions: Vec<Deletion>,
    pub(super) last_deletion: DeletionSeq,
    pub(super) holds: BTreeMap<String, Timestamp>,
    pub(super) latest: super::moments::Latest,
}

impl State {
    pub(super) fn add_user(&mut self, new: NewUser) -> Result<()> {
        if self.users.contains_key(&new.uid) || self.removed.contains_key(&new.uid) {
            return Err(StoreError::Exists);
        }
        let home = rules::home(NodeId::random(), &new.uid, new.now.nanos());
        let NewUser { uid, public_key, now: created } = new;
        let user = User { uid: uid.clone(), public_key, disabled: false, created, home: home.id };
        self.nodes.insert(home.id, home);
        self.users.insert(uid, user);
        Ok(())
    }

    pub(super) fn set_disabled(&mut self, uid: &Uid, disabled: bool) -> Result<()> {
        self.users.get_mut(uid).ok_or(StoreError::NotFound)?.disabled = disabled;
        if disabled {
            self.end_sessions(uid);
        }
        Ok(())
    }

    pub(super) fn set_key(&mut self, uid: &Uid, public_key: &str) -> Result<()> {
        self.users.get_mut(uid).ok_or(StoreError::NotFound)?.public_key = public_key.into();
        self.end_sessions(uid);
        Ok(())
    }

    fn end_sessions(&mut self, uid: &Uid) {
        let live =
            self.sessions.iter_mut().filter(|kept| kept.session.uid == *uid && kept.session.ended.is_none());
        live.for_each(|kept| kept.session.ended = Some(Ended::ByAdministrator));
    }

    pub(super) fn session(&self, token: &TokenHash) -> Option<&KeptSession> {
        self.sessions.iter().find(|kept| kept.token == *token)
    }

    pub(super) fn live_sessions(&self) -> Vec<TokenHash> {
        let live = self.sessions.iter().filter(|kept| kept.session.ended.is_none());
        live.map(|kept| kept.token).collect()
    }

    pub(super) fn begin_session(&mut self, new: NewSession, keep: usize) -> Result<Vec<TokenHash>> {
        if self.users.get(&new.uid).is_none_or(|user| user.disabled || user.public_key != new.public_key) {
            return Err(StoreError::NotFound);
        }
        let over = rules::session_over(new.now);
        self.sessions.retain(|kept| kept.ended_at.unwrap_or(kept.session.expires) >= over);
        if self.session(&new.token).is_some() {
            return Err(StoreError::Exists);
        }
        let live = self.sessions.iter_mut().filter(|kept| {
            kept.session.uid == new.uid && kept.session.ended.is_none() && kept.session.expires > new.now
        });
        let mut replaced = Vec::new();
        for kept in live.rev().skip(keep.max(1) - 1) {
            kept.session.ended = Some(Ended::Replaced { by: new.machine.clone(), at: new.now });
            kept.ended_at = Some(new.now);
            replaced.insert(0, kept.token);
        }
        let NewSession { token, uid, machine, certificate, expires, .. } = new;
        let session = Session { uid, machine, certificate, expires, ended: None };
        self.sessions.push(KeptSession { token, session, ended_at: None });
        Ok(replaced)
    }

    pub(super) fn end_session(&mut self, token: &TokenHash, now: Timestamp) {
        let found =
            self.sessions.iter_mut().find(|kept| kept.token == *token && kept.session.ended.is_none());
        if let Some(kept) = found {
            kept.session.ended = Some(Ended::Logout);
            kept.ended_at = Some(now);
        }
    }

    /// As if all had logged out; says how many there were.
    pub(super) fn end_all_sessions(&mut self, now: Timestamp) -> u64 {
        let live = self.live_sessions();
        live.iter().for_each(|token| self.end_session(token, now));
        for kept in &mut self.sessions {
            kept.ended_at = kept.ended_at.map(|at| at.min(now));
        }
        live.len() as u64
    }

    pub(super) fn set_xattr(&mut self, id: NodeId, name: &str, value: &[u8], mode: XattrMode) -> Result<()> {
        self.existing(id)?;
        let key = (id, name.to_owned());
        match (mode, self.xattrs.contains_key(&key)) {
            (XattrMode::Create, true) => return Err(StoreError::Exists),
            (XattrMode::Replace, false) => return Err(StoreError::NotFound),
            _ => {}
        }
        let others = self.xattrs.iter().filter(|(other, _)| other.0 == id && **other != key);
        rules::xattr_fits(name, value, others.map(|((_, name), value)| name.len() + value.len()).sum())?;
        self.xattrs.insert(key, value.to_vec());
        Ok(())
    }

    /// Gives a node another's attributes in place of its own, unless the other has none.
    pub(super) fn take_xattrs(&mut self, from: NodeId, to: NodeId) {
        let of = |node: NodeId| move |key: &(NodeId, String)| key.0 == node;
        if self.xattrs.keys().any(of(from)) {
            self.xattrs.retain(|key, _| !of(to)(key));
            let all = std::mem::take(&mut self.xattrs).into_iter();
            self.xattrs = all
                .map(|((node, name), value)| ((if node == from { to } else { node }, name), value))
                .collect();
        }
    }

    pub(super) fn grants_on(&self, id: NodeId) -> Result<Vec<GrantRow>> {
        self.existing(id)?;
        let rows = self.grants.iter().filter(|((node, _), grant)| {
            *node == id && grant.revoked.is_none() && grant.effect == Effect::Gives
        });
        Ok(rows
            .map(|((_, grantee), grant)| GrantRow {
                grantee: grantee.clone(),
                right: grant.right,
                until: grant.until,
                seq: grant.seq,
            })
            .collect())
    }

    pub(super) fn set_grant(&mut self, id: NodeId, new: NewGrant, by: &Uid, since: Timestamp) -> Result<()> {
        let by_maker = self.existing(id)?.home != *by;
        if new.grantee == Grantee::All {
            let earlier = self.grants.iter_mut().filter(|((node, _), _)| *node == id);
            earlier.for_each(|(_, grant)| grant.revoked = grant.revoked.or(Some(since)));
        }
        self.last_grant += 1;
        let (NewGrant { grantee, right, until }, seq) = (new, self.last_grant);
        let grant = Grant { right, until, seq, revoked: None, since, by_maker, effect: Effect::Gives };
        self.grants.insert((id, grantee), grant);
        Ok(())
    }

    /// What keeps others from a new node.
    pub(super) fn limit(&mut self, node: &Node, limited: Limited) {
        let document = match limited {
            Limited::No => return,
            Limited::As(document) => self.nodes.get(&document).filter(|there| there.parent == node.parent),
            Limited::ToOwners => None,
        };
        let Some(document) = document else {
            let (right, until) = (Right::Both, Timestamp::MAX);
            let (seq, since, effect) = (0, Timestamp(0), Effect::Bars);
            let bar = Grant { right, until, seq, revoked: None, since, by_maker: false, effect };
            self.grants.insert((node.id, Grantee::All), bar);
            return;
        };
        let now = Timestamp(node.ctime_ns.0 / 1_000_000);
        let there = |(on, _): &(NodeId, Grantee), grant: &Grant| {
            *on == document.id && grant.revoked.is_none() && now < grant.until
        };
        let limits: Vec<_> = self
            .grants
            .iter()
            .filter(|(key, grant)| there(key, grant))
            .map(|((_, grantee), grant)| {
                let effect = if grant.effect == Effect::Bars { Effect::Bars } else { Effect::Limits };
                (
                    (node.id, grantee.clone()),
                    Grant { by_maker: false, effect, until: Timestamp::MAX, ..*grant },
                )
            })
            .collect();
        self.grants.extend(limits);
    }

    pub(super) fn revoke_grant(&mut self, id: NodeId, grantee: &Grantee, now: Timestamp) -> Result<()> {
        let given = |grant: &&mut Grant| grant.revoked.is_none() && grant.effect == Effect::Gives;
        let grant = self.grants.get_mut(&(id, grantee.clone())).filter(given);
        grant.ok_or(StoreError::NotFound)?.revoked = Some(now);
        Ok(())
    }

    pub(super) fn write_keys(&mut self, keys: Vec<KeyImage>) {
        for key in keys {
            if self.keys.get(&key.position).is_none_or(|stored| stored.sequence < key.sequence) {
                self.keys.insert(key.position, key);
            }
        }
    }

    /// Deletes versions and sends what only they used to the queues. Returns the leaves that were queued, and those that
    /// are in use elsewhere.
    pub(super) fn forget_versions(
        &mut self,
        versions: &[(NodeId, Version)],
        document: Option<NodeId>,
    ) -> (Vec<Leaf>, Vec<Leaf>) {
        let mut packs = BTreeSet::new();
        let mut leaves = BTreeSet::new();
        for (id, version) in versions {
            leaves.extend(self.versions.remove(&(*id, *version)).map(|row| row.leaf));
            let of_it = |used: &(NodeId, Version, PackId)| (used.0, used.1) == (*id, *version);
            packs.extend(self.uses.iter().filter(|used| of_it(used)).map(|used| used.2));
            self.uses.retain(|used| !of_it(used));
        }
        for pack in packs {
            if self.uses.iter().any(|used| used.2 == pack) {
                leaves.extend(self.packs.get(&pack).map(|row| row.leaf));
                continue;
            }
            if let Some(row) = self.packs.remove(&pack) {
                leaves.insert(row.leaf);
                if row.inline.is_none() {
                    self.trash.push(pack);
                }
            }
        }
        leaves.into_iter().partition(|leaf| self.queue(*leaf, document))
    }

    pub(super) fn is_used(&self, leaf: Leaf) -> bool {
        self.versions.values().any(|row| row.leaf == leaf) || self.packs.values().any(|row| row.leaf == leaf)
    }

    /// Queues a leaf that nothing uses; whether it is queued now.
    pub(super) fn queue(&mut self, leaf: Leaf, document: Option<NodeId>) -> bool {
        let used = self.is_used(leaf);
        if !used && !self.erasures.iter().any(|(queued, _)| *queued == leaf) {
            self.erasures.push((leaf, document));
        }
        !used
    }
}

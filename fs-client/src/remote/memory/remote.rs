//! A session on the server in this process.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use sss_common::limits::XATTR_TOTAL_MAX;
use sss_common::{When, XattrMode};

use super::body::apply;
use super::*;
use crate::remote::{Calls, CheckinBody, Remote};

/// A user's session, as the mount sees it.
pub struct MemoryRemote {
    pub(super) server: Arc<MemoryServer>,
    pub(super) uid: Uid,
    pub(super) session: u64,
}

impl MemoryRemote {
    pub(super) fn enter(&self) -> Result<(parking_lot::MutexGuard<'_, State>, Timestamp)> {
        let state = self.server.state.lock();
        if let Some((code, detail)) = state.ended.get(&self.session) {
            return Err(RemoteError::refused(*code, detail.clone()));
        }
        Ok((state, self.server.clock.now()))
    }
}

#[async_trait]
impl Calls for MemoryRemote {
    async fn home(&self, HomeRequest { uid }: HomeRequest) -> Result<Attr> {
        let (state, now) = self.enter()?;
        match state.homes.get(&uid) {
            Some(home) => state.attr(*home, &self.uid, now),
            None => refuse(Code::NotFound, "no such document"),
        }
    }

    async fn homes(&self, _: Empty) -> Result<HomesResponse> {
        let (state, now) = self.enter()?;
        let others = state.homes.iter().filter(|(uid, _)| **uid != self.uid);
        let others = others.filter(|(_, home)| state.listed(**home, &self.uid, now));
        Ok(HomesResponse { uids: others.map(|(uid, _)| uid.clone()).collect() })
    }

    async fn lookup(&self, request: LookupRequest) -> Result<Attr> {
        let (state, now) = self.enter()?;
        match state.child(request.parent, &request.name) {
            Some(id) => state.attr(id, &self.uid, now),
            None => refuse(Code::NotFound, "no such document"),
        }
    }

    async fn attr(&self, NodeRequest { node }: NodeRequest) -> Result<Attr> {
        let (state, now) = self.enter()?;
        state.attr(node, &self.uid, now)
    }

    async fn list(&self, request: ListRequest) -> Result<ListResponse> {
        let (state, now) = self.enter()?;
        state.see(request.folder, &self.uid, now)?;
        if state.node(request.folder)?.kind != Kind::Folder {
            return refuse(Code::NotFolder, "it is no folder");
        }
        let mut entries: Vec<Entry> = Vec::new();
        for (name, id) in state.children(request.folder) {
            if request.after.as_ref().is_some_and(|after| name <= *after) {
                continue;
            }
            if state.listed(id, &self.uid, now) {
                let attr = state.attr(id, &self.uid, now)?;
                entries.push(Entry { name, attr });
            }
        }
        let more = entries.len() > request.limit as usize;
        entries.truncate(request.limit as usize);
        Ok(ListResponse { entries, more })
    }

    async fn create(&self, request: CreateRequest) -> Result<CreateResponse> {
        let (mut state, now) = self.enter()?;
        state.may_fill(request.parent, &self.uid, now)?;
        let place = (request.parent, request.name.clone());
        if request.kind == Kind::File
            && let Some((id, swapped)) = state.refill(self.session, &place, None, &self.uid, now)?
        {
            return Ok(CreateResponse { attr: state.attr(id, &self.uid, now)?, swapped: Some(swapped) });
        }
        if state.child(request.parent, &request.name).is_some() {
            return refuse(Code::Exists, "the name is taken");
        }
        let inherited = state.node(request.parent)?.flag;
        let now_ns = self.server.now_ns();
        let limits = match request.copy_of {
            Some(of) => Some(state.see(of, &self.uid, now).ok().map(|()| of)),
            None if request.kind == Kind::File => state.backed_up(&place, &self.uid, now).map(Some),
            None => None,
        };
        let id = state.add(Some(place), request.kind, self.uid.clone(), request.mode, now_ns);
        if let Some(document) = limits {
            state.limit(id, document, now);
        }
        state.node_mut(id)?.flag = match request.kind {
            Kind::Folder => inherited,
            _ => Some(inherited.or(request.flag).unwrap_or_default()),
        };
        let committed = match request.target {
            Some(target) => state.commit(id, target.into(), &self.uid, now_ns),
            None => Ok(()),
        };
        // A link is there once its target is.
        match (request.kind, state.node(id)?.version) {
            (Kind::Symlink, Version::NONE) => state.forget(id),
            _ => state.touch(request.parent, now_ns),
        }
        committed?;
        Ok(CreateResponse { attr: state.attr(id, &self.uid, now)?, swapped: None })
    }

    async fn open(&self, request: OpenRequest) -> Result<Attr> {
        let (mut state, now) = self.enter()?;
        state.allow(request.node, &self.uid, now, request.want)?;
        if state.node(request.node)?.kind == Kind::Folder {
            return refuse(Code::IsFolder, "it is a folder");
        }
        let mut attr = state.attr(request.node, &self.uid, now)?;
        let version = request.version.unwrap_or(attr.version);
        attr.size = state.content(request.node, version)?.len() as u64;
        attr.version = version;
        *state.pins.entry((self.session, Pin { node: request.node, version })).or_default() += 1;
        Ok(attr)
    }

    async fn close(&self, request: CloseRequest) -> Result<Empty> {
        let (mut state, _) = self.enter()?;
        request.pins.into_iter().for_each(|pin| state.unpin(self.session, pin));
        Ok(Empty {})
    }

    async fn setattr(&self, request: SetAttrRequest) -> Result<Attr> {
        let (mut state, now) = self.enter()?;
        match request.mode {
            Some(_) => state.own(request.node, &self.uid, now)?,
            None => state.allow(request.node, &self.uid, now, Right::Checkin)?,
        }
        let node = state.node_mut(request.node)?;
        node.mode = request.mode.unwrap_or(node.mode);
        node.mtime_ns = request.mtime_ns.unwrap_or(node.mtime_ns);
        state.attr(request.node, &self.uid, now)
    }

    async fn rename(&self, request: RenameRequest) -> Result<RenameResponse> {
        let answer = self.renamed(request);
        // What is inherited changes with the place; and what was renamed over another is gone.
        self.server.rights_changed();
        answer
    }

    async fn remove(&self, request: RemoveRequest) -> Result<Empty> {
        let (mut state, now) = self.enter()?;
        let Some(id) = state.child(request.parent, &request.name) else {
            return refuse(Code::NotFound, "no such document");
        };
        state.delete(id, &self.uid, now)?;
        match (state.node(id)?.kind == Kind::Folder, request.folder) {
            (true, false) => return refuse(Code::IsFolder, "it is a folder"),
            (false, true) => return refuse(Code::NotFolder, "it is no folder"),
            _ if !state.children(id).is_empty() => return refuse(Code::NotEmpty, "the folder has entries"),
            _ => {}
        }
        let receipt = state.receipt(id, &self.uid, now)?;
        state.deleted.insert(id, receipt);
        state.forget(id);
        state.touch(request.parent, now.nanos());
        drop(state);
        self.server.rights_changed();
        Ok(Empty {})
    }

    async fn xattrs(&self, NodeRequest { node }: NodeRequest) -> Result<XattrsResponse> {
        let (state, now) = self.enter()?;
        let right = state.attr(node, &self.uid, now)?.right;
        if !right.checkout && !right.checkin {
            return Ok(XattrsResponse::default());
        }
        let all = state.node(node)?.xattrs.iter();
        let xattrs = all.map(|(name, value)| Xattr { name: name.clone(), value: value.clone() }).collect();
        Ok(XattrsResponse { xattrs })
    }

    async fn setxattr(&self, request: SetXattrRequest) -> Result<Empty> {
        let (mut state, now) = self.enter()?;
        state.allow(request.node, &self.uid, now, Right::Checkin)?;
        let xattrs = &mut state.node_mut(request.node)?.xattrs;
        match (request.mode, xattrs.contains_key(&request.xattr.name)) {
            (XattrMode::Create, true) => return refuse(Code::Exists, "the attribute is there"),
            (XattrMode::Replace, false) => return refuse(Code::NotFound, "no such attribute"),
            _ => {}
        }
        let Xattr { name, value } = request.xattr;
        let others = xattrs.iter().filter(|(other, _)| **other != name);
        let others: usize = others.map(|(other, value)| other.len() + value.0.len()).sum();
        if others + name.len() + value.0.len() > XATTR_TOTAL_MAX {
            return refuse(Code::TooLarge, "the attributes are too large");
        }
        xattrs.insert(name, value);
        Ok(Empty {})
    }

    async fn removexattr(&self, request: RemoveXattrRequest) -> Result<Empty> {
        let (mut state, now) = self.enter()?;
        state.allow(request.node, &self.uid, now, Right::Checkin)?;
        match state.node_mut(request.node)?.xattrs.remove(&request.name) {
            Some(_) => Ok(Empty {}),
            None => refuse(Code::NotFound, "no such attribute"),
        }
    }

    async fn grants(&self, NodeRequest { node }: NodeRequest) -> Result<GrantsResponse> {
        let (state, now) = self.enter()?;
        state.attr(node, &self.uid, now)?;
        let own = Grantee::User(self.uid.clone());
        let owns = state.owns(node, &self.uid, now);
        let mut grants: Vec<&Grant> =
            state.grants.iter().filter(|grant| grant.node == node && grant.gives()).collect();
        let has_own = grants.iter().any(|grant| grant.grantee == own);
        let alls = |grant: &Grant| grant.grantee == Grantee::All && !has_own && now < grant.until;
        grants.retain(|grant| owns || grant.grantee == own || alls(grant));
        let info = |grant: &&Grant| GrantInfo {
            grantee: grant.grantee.clone(),
            right: grant.right,
            until: grant.until,
        };
        Ok(GrantsResponse { grants: grants.iter().map(info).collect() })
    }

    async fn grant(&self, request: SetGrantRequest) -> Result<GrantInfo> {
        let (mut state, now) = self.enter()?;
        state.share(request.node, &self.uid, now)?;
        let (node, grantee, right) = (request.node, request.grantee, request.right);
        let until = request.when.unwrap_or(When::Seconds(86_400)).end(now);
        if until.since(now) > Duration::from_secs(366 * 86_400) {
            return refuse(Code::BadGrant, "the end is past the server's max_ttl");
        }
        if let Grantee::User(uid) = &grantee
            && state.knows_its_users
            && !state.homes.contains_key(uid)
        {
            return refuse(Code::BadGrant, "there is no such user");
        }
        let replaced = |other: &&mut Grant| {
            other.node == node
                && other.over.is_none()
                && (grantee == Grantee::All || other.grantee == grantee)
        };
        state.grants.iter_mut().filter(replaced).for_each(|other| other.over = Some(now));
        let info = GrantInfo { grantee: grantee.clone(), right, until };
        let by_maker = !state.has_home_of(node, &self.uid);
        state.grants.push(Grant { node, grantee, right, until, over: None, by_maker, effect: Effect::Gives });
        drop(state);
        self.server.rights_changed();
        Ok(info)
    }

    async fn revoke(&self, RevokeRequest { node, grantee }: RevokeRequest) -> Result<Empty> {
        let (mut state, now) = self.enter()?;
        state.share(node, &self.uid, now)?;
        let mut here = state.grants.iter_mut().filter(|grant| grant.node == node && grant.gives());
        match here.find(|grant| grant.grantee == grantee) {
            Some(grant) => grant.over = Some(now),
            None => return refuse(Code::NotFound, "no such grant"),
        }
        drop(state);
        self.server.rights_changed();
        Ok(Empty {})
    }

    async fn setflag(&self, SetFlagRequest { node, flag }: SetFlagRequest) -> Result<Attr> {
        let (mut state, now) = self.enter()?;
        state.own(node, &self.uid, now)?;
        let document = state.node(node)?;
        let (before, same) = (document.version, document.flag == Some(flag));
        let mut committed = Ok(());
        if !same && document.kind == Kind::File && before != Version::NONE {
            let (content, mtime_ns) = (state.content(node, before)?, document.mtime_ns);
            committed = state.commit(node, content, &self.uid, mtime_ns);
            let made = state.node(node)?.version;
            if made != before {
                state.node_mut(node)?.flag = Some(flag);
            }
            committed.clone()?;
            state.carry(self.session, Pin { node, version: before }, made);
        }
        committed?;
        state.node_mut(node)?.flag = Some(flag);
        state.attr(node, &self.uid, now)
    }

    async fn record(&self, request: RecordRequest) -> Result<RecordResponse> {
        let (state, now) = self.enter()?;
        state.allow(request.node, &self.uid, now, Right::Checkout)?;
        let signed = state.node(request.node)?.flag == Some(Flag::Integrity);
        Ok(RecordResponse {
            record: Base64::default(),
            signature: signed.then(|| Base64::from("signed")),
            server_key: String::new(),
        })
    }

    async fn receipt(&self, ReceiptRequest { document }: ReceiptRequest) -> Result<SignedReceipt> {
        let (state, _) = self.enter()?;
        match state.deleted.get(&document) {
            Some(receipt) if receipt.deleted_by == self.uid || receipt.home == self.uid => {
                Ok(SignedReceipt::new(receipt.to_string(), b"signed"))
            }
            _ => refuse(Code::NotFound, "no such document"),
        }
    }

    async fn revocations(&self, _: Empty) -> Result<RevocationsResponse> {
        drop(self.enter()?);
        Ok(RevocationsResponse::default())
    }

    async fn statfs(&self, _: Empty) -> Result<StatfsResponse> {
        drop(self.enter()?);
        Ok(StatfsResponse { total: 1 << 40, available: 1 << 39 })
    }
}

#[async_trait]
impl Remote for MemoryRemote {
    fn uid(&self) -> &Uid {
        &self.uid
    }

    async fn read(&self, pin: Pin, offset: u64, length: usize) -> Result<Bytes> {
        let (state, now) = self.enter()?;
        state.allow(pin.node, &self.uid, now, Right::Checkout)?;
        let content = state.content(pin.node, pin.version)?;
        let from = (offset as usize).min(content.len());
        Ok(content.slice(from..(from + length).min(content.len())))
    }

    async fn checkin(&self, node: NodeId, base: Version, body: CheckinBody) -> Result<Attr> {
        self.enter()?.0.node(node)?;
        let chunks = match body {
            CheckinBody::Whole(chunks) => chunks,
            CheckinBody::Stream(stream) => {
                let chunks: Vec<_> = stream.collect().await;
                let broken = |e: std::io::Error| RemoteError::Unreachable(e.to_string());
                chunks.into_iter().collect::<std::io::Result<_>>().map_err(broken)?
            }
        };
        let (mut state, now) = self.enter()?;
        state.allow(node, &self.uid, now, Right::Checkin)?;
        if state.node(node)?.kind == Kind::Symlink {
            return refuse(Code::BadRequest, "a symbolic link takes no check-in");
        }
        if state.node(node)?.version != base {
            return refuse(Code::VersionMoved, "someone else checked in since");
        }
        let (content, end) = apply(&state.content(node, base)?, chunks)?;
        let mtime_ns = end.mtime_ns.unwrap_or_else(|| self.server.now_ns());
        let committed = state.commit(node, content.into(), &self.uid, mtime_ns);
        let made = state.node(node)?.version;
        if made != base
            && let Some(mode) = end.mode.filter(|_| state.owns(node, &self.uid, now))
        {
            state.node_mut(node)?.mode = mode;
        }
        committed?;
        state.carry(self.session, Pin { node, version: base }, made);
        if end.hold {
            *state.pins.entry((self.session, Pin { node, version: made })).or_default() += 1;
        }
        state.attr(node, &self.uid, now)
    }

    async fn events(&self) -> Result<BoxStream<'static, Event>> {
        drop(self.enter()?);
        let session = self.session;
        let receiver = self.server.events.subscribe();
        let alive = stream::once(async { Event::Alive { every_ms: 1000 } });
        let told = stream::unfold(receiver, move |mut receiver| async move {
            loop {
                let (to, event) = receiver.recv().await.ok()?;
                if to == session {
                    return Some((event, receiver));
                }
            }
        });
        Ok(alive.chain(told).boxed())
    }

    async fn logout(&self) -> Result<()> {
        let (mut state, _) = self.enter()?;
        state.sessions.remove(&self.uid);
        state.end(self.session, Code::SessionExpired, "the session was logged out".into());
        Ok(())
    }
}

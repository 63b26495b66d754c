//! A twin that fails when a test says so.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use sss_common::receipt::SignedReceipt;
use sss_common::wire::documents::GrantInfo;
use sss_common::wire::fs::*;
use sss_common::{Flag, Grantee, NodeId, Uid, Version};

use super::{CheckinBody, Remote, RemoteError, Result};

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It never reaches the server.
    Before(RemoteError),
    /// The server does it, and its answer is lost.
    After(RemoteError),
}

type Plan = dyn FnMut(&'static str) -> Option<Fault> + Send;

/// A [`Remote`] in front of another one, with a plan of faults by the call's name.
pub struct FaultRemote {
    inner: Arc<dyn Remote>,
    plan: Mutex<Box<Plan>>,
    calls: Mutex<Vec<&'static str>>,
}

impl FaultRemote {
    /// Without faults yet.
    pub fn new(inner: Arc<dyn Remote>) -> Arc<Self> {
        Arc::new(FaultRemote { inner, plan: Mutex::new(Box::new(|_| None)), calls: Mutex::default() })
    }

    /// From now on, each call asks `plan`.
    pub fn plan(&self, plan: impl FnMut(&'static str) -> Option<Fault> + Send + 'static) {
        *self.plan.lock() = Box::new(plan);
    }

    /// No call reaches the server.
    pub fn unplug(&self) {
        self.plan(|_| Some(Fault::Before(RemoteError::Unreachable("the server is away".into()))));
    }

    /// All calls reach the server.
    pub fn plug(&self) {
        self.plan(|_| None);
    }

    /// The names of the calls since the last question, to count round trips.
    pub fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock())
    }

    fn fault(&self, call: &'static str) -> Option<Fault> {
        self.calls.lock().push(call);
        (self.plan.lock())(call)
    }

    async fn call<T>(&self, name: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.fault(name) {
            None => call.await,
            Some(Fault::Before(error)) => Err(error),
            Some(Fault::After(error)) => {
                call.await?;
                Err(error)
            }
        }
    }
}

#[async_trait]
impl Remote for FaultRemote {
    fn uid(&self) -> &Uid {
        self.inner.uid()
    }
    async fn home(&self, uid: &Uid) -> Result<Attr> {
        self.call("home", self.inner.home(uid)).await
    }
    async fn homes(&self) -> Result<HomesResponse> {
        self.call("homes", self.inner.homes()).await
    }
    async fn lookup(&self, request: LookupRequest) -> Result<Attr> {
        self.call("lookup", self.inner.lookup(request)).await
    }
    async fn attr(&self, node: NodeId) -> Result<Attr> {
        self.call("attr", self.inner.attr(node)).await
    }
    async fn list(&self, request: ListRequest) -> Result<ListResponse> {
        self.call("list", self.inner.list(request)).await
    }
    async fn create(&self, request: CreateRequest) -> Result<CreateResponse> {
        self.call("create", self.inner.create(request)).await
    }
    async fn open(&self, request: OpenRequest) -> Result<Attr> {
        self.call("open", self.inner.open(request)).await
    }
    async fn close(&self, request: CloseRequest) -> Result<()> {
        self.call("close", self.inner.close(request)).await
    }
    async fn read(&self, pin: Pin, offset: u64, length: usize) -> Result<Bytes> {
        self.call("read", self.inner.read(pin, offset, length)).await
    }
    async fn checkin(&self, node: NodeId, base: Version, body: CheckinBody) -> Result<Attr> {
        self.call("checkin", self.inner.checkin(node, base, body)).await
    }
    async fn setattr(&self, request: SetAttrRequest) -> Result<Attr> {
        self.call("setattr", self.inner.setattr(request)).await
    }
    async fn rename(&self, request: RenameRequest) -> Result<RenameResponse> {
        self.call("rename", self.inner.rename(request)).await
    }
    async fn remove(&self, request: RemoveRequest) -> Result<()> {
        self.call("remove", self.inner.remove(request)).await
    }
    async fn xattrs(&self, node: NodeId) -> Result<XattrsResponse> {
        self.call("xattrs", self.inner.xattrs(node)).await
    }
    async fn setxattr(&self, request: SetXattrRequest) -> Result<()> {
        self.call("setxattr", self.inner.setxattr(request)).await
    }
    async fn removexattr(&self, request: RemoveXattrRequest) -> Result<()> {
        self.call("removexattr", self.inner.removexattr(request)).await
    }
    async fn grants(&self, node: NodeId) -> Result<GrantsResponse> {
        self.call("grants", self.inner.grants(node)).await
    }
    async fn grant(&self, request: SetGrantRequest) -> Result<GrantInfo> {
        self.call("grant", self.inner.grant(request)).await
    }
    async fn revoke(&self, node: NodeId, grantee: Grantee) -> Result<()> {
        self.call("revoke", self.inner.revoke(node, grantee)).await
    }
    async fn setflag(&self, node: NodeId, flag: Flag) -> Result<Attr> {
        self.call("setflag", self.inner.setflag(node, flag)).await
    }
    async fn record(&self, request: RecordRequest) -> Result<RecordResponse> {
        self.call("record", self.inner.record(request)).await
    }
    async fn receipt(&self, document: NodeId) -> Result<SignedReceipt> {
        self.call("receipt", self.inner.receipt(document)).await
    }
    async fn statfs(&self) -> Result<StatfsResponse> {
        self.call("statfs", self.inner.statfs()).await
    }
    async fn events(&self) -> Result<BoxStream<'static, Event>> {
        self.call("events", self.inner.events()).await
    }
    async fn logout(&self) -> Result<()> {
        self.call("logout", self.inner.logout()).await
    }
}

//! A twin that fails when a test says so.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use sss_common::wire::calls::*;
use sss_common::{NodeId, Uid, Version, fs_calls};

use super::{Calls, CheckinBody, Remote, RemoteError, Result};

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

macro_rules! calls {
    (
        plain { $(
            $(#[$doc:meta])*
            $name:ident($request:ty) -> $answer:ty, $lifetime:ident, $($repeat:ident)::+;
        )* }
        streamed { $($streamed:tt)* }
    ) => {
        #[async_trait]
        impl Calls for FaultRemote {
            $(async fn $name(&self, request: $request) -> Result<$answer> {
                self.call(call::$name.name, self.inner.$name(request)).await
            })*
        }
    };
}

fs_calls!(calls);

#[async_trait]
impl Remote for FaultRemote {
    fn uid(&self) -> &Uid {
        self.inner.uid()
    }
    async fn read(&self, pin: Pin, offset: u64, length: usize) -> Result<Bytes> {
        self.call(call::read.name, self.inner.read(pin, offset, length)).await
    }
    async fn checkin(&self, node: NodeId, base: Version, body: CheckinBody) -> Result<Attr> {
        self.call(call::checkin.name, self.inner.checkin(node, base, body)).await
    }
    async fn events(&self) -> Result<BoxStream<'static, Event>> {
        self.call(call::events.name, self.inner.events()).await
    }
    async fn logout(&self) -> Result<()> {
        self.call("logout", self.inner.logout()).await
    }
}

//! The `Remote` trait, call by call.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use http::header::RANGE;
use parking_lot::Mutex;
use reqwest::Method;
use serde::Deserialize;
use sss_common::limits::READ_MAX;
use sss_common::receipt::SignedReceipt;
use sss_common::wire::Empty;
use sss_common::wire::documents::GrantInfo;
use sss_common::wire::fs::*;
use sss_common::{Code, Flag, Grantee, NodeId, Uid, Version, XattrMode};

use super::attempts::Repeat;
use super::session::Verdict;
use super::transport::Lost;
use super::{Https, answer};
use crate::remote::{CheckinBody, Remote, RemoteError, Result};

/// An answer in which there is nothing to look for.
#[derive(Deserialize)]
struct Nothing {}

#[async_trait]
impl Remote for Https {
    fn uid(&self) -> &Uid {
        &self.uid
    }

    async fn home(&self, uid: &Uid) -> Result<Attr> {
        self.call("home", &HomeRequest { uid: uid.clone() }, Repeat::Once).await
    }

    async fn homes(&self) -> Result<HomesResponse> {
        self.call("homes", &Empty {}, Repeat::Once).await
    }

    async fn lookup(&self, request: LookupRequest) -> Result<Attr> {
        self.call("lookup", &request, Repeat::Once).await
    }

    async fn attr(&self, node: NodeId) -> Result<Attr> {
        self.call("attr", &NodeRequest { node }, Repeat::Once).await
    }

    async fn list(&self, request: ListRequest) -> Result<ListResponse> {
        self.call("list", &request, Repeat::Once).await
    }

    async fn create(&self, request: CreateRequest) -> Result<CreateResponse> {
        self.call("create", &request, Repeat::Never).await
    }

    /// A repetition may leave a pin behind, which ends with the session.
    async fn open(&self, request: OpenRequest) -> Result<Attr> {
        self.call("open", &request, Repeat::Once).await
    }

    /// Not repeated: a pin given back twice might be the one of another handle.
    async fn close(&self, request: CloseRequest) -> Result<()> {
        self.call("close", &request, Repeat::Never).await.map(|Nothing {}| ())
    }

    /// A range that begins behind the end is empty. The answer's head must come within the timeout, and so must each
    /// part of its body. An answer that breaks off is taken up where it broke, as long as each attempt brings something:
    /// that is how the server says in the middle of an answer that something is wrong, and the next one says what.
    async fn read(&self, pin: Pin, offset: u64, length: usize) -> Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        if length > READ_MAX {
            let detail = format!("a read of {length} bytes is longer than {READ_MAX}");
            return Err(RemoteError::refused(Code::TooLarge, detail));
        }
        let sink = &Mutex::new(BytesMut::new());
        loop {
            let before = sink.lock().len();
            match self.read_on(pin, offset, length, sink).await {
                Ok(()) | Err(RemoteError::Refused { code: Code::BadRange, .. }) => break,
                Err(RemoteError::Unreachable(_)) if sink.lock().len() > before => {}
                Err(error) => return Err(error),
            }
        }
        Ok(std::mem::take(&mut *sink.lock()).freeze())
    }

    async fn checkin(&self, node: NodeId, base: Version, body: CheckinBody) -> Result<Attr> {
        self.check_in(node, base, body).await
    }

    async fn setattr(&self, request: SetAttrRequest) -> Result<Attr> {
        self.call("setattr", &request, Repeat::Once).await
    }

    async fn rename(&self, request: RenameRequest) -> Result<RenameResponse> {
        self.call("rename", &request, Repeat::Never).await
    }

    async fn remove(&self, request: RemoveRequest) -> Result<()> {
        self.call("remove", &request, Repeat::Never).await.map(|Nothing {}| ())
    }

    async fn xattrs(&self, node: NodeId) -> Result<XattrsResponse> {
        self.call("xattrs", &NodeRequest { node }, Repeat::Once).await
    }

    async fn setxattr(&self, request: SetXattrRequest) -> Result<()> {
        let repeat = if request.mode == XattrMode::Create { Repeat::Never } else { Repeat::Once };
        self.call("setxattr", &request, repeat).await.map(|Nothing {}| ())
    }

    async fn removexattr(&self, request: RemoveXattrRequest) -> Result<()> {
        self.call("removexattr", &request, Repeat::Never).await.map(|Nothing {}| ())
    }

    async fn grants(&self, node: NodeId) -> Result<GrantsResponse> {
        self.call("grants", &NodeRequest { node }, Repeat::Once).await
    }

    async fn grant(&self, request: SetGrantRequest) -> Result<GrantInfo> {
        self.call("grant", &request, Repeat::Once).await
    }

    async fn revoke(&self, node: NodeId, grantee: Grantee) -> Result<()> {
        self.call("revoke", &RevokeRequest { node, grantee }, Repeat::Never).await.map(|Nothing {}| ())
    }

    async fn setflag(&self, node: NodeId, flag: Flag) -> Result<Attr> {
        self.call("setflag", &SetFlagRequest { node, flag }, Repeat::Once).await
    }

    async fn record(&self, request: RecordRequest) -> Result<RecordResponse> {
        self.call("record", &request, Repeat::Once).await
    }

    async fn receipt(&self, document: NodeId) -> Result<SignedReceipt> {
        self.call("receipt", &ReceiptRequest { document }, Repeat::Once).await
    }

    async fn statfs(&self) -> Result<StatfsResponse> {
        self.call("statfs", &Empty {}, Repeat::Once).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Event>> {
        self.event_stream().await
    }

    /// Logs in for nobody: without a session there is nothing to end.
    async fn logout(&self) -> Result<()> {
        let Some(token) = self.session.current() else { return Ok(()) };
        let exchange = async {
            let request = self.signed(Method::POST, "/v1/logout", &token)?;
            answer::successful(&self.transport, self.transport.send(request).await?).await
        };
        let outcome = self.transport.within(exchange).await;
        match outcome {
            Ok(_) => self.session.forget(&token),
            Err(Lost::Broken(why)) => return Err(self.transport.why_broken(why).await),
            Err(Lost::Final(error)) => {
                // A session that ran out by itself is ended all the same.
                if self.session.refused(&token, &error) == Verdict::Report {
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl Https {
    /// What is missing in `sink` of a range, in one or two attempts.
    async fn read_on(&self, pin: Pin, offset: u64, length: usize, sink: &Mutex<BytesMut>) -> Result<()> {
        let path = &format!("/v1/fs/read/{}/{}", pin.node, pin.version);
        self.attempts(Repeat::Once, |token| async move {
            let _place = self.transport.place().await;
            let (from, missing) = {
                let had = sink.lock().len();
                (offset.saturating_add(had as u64), length - had)
            };
            if missing == 0 {
                return Ok(());
            }
            let range = format!("bytes={from}-{}", from.saturating_add(missing as u64 - 1));
            let request = self.signed(Method::GET, path, &token)?.header(RANGE, range);
            let head =
                async { answer::successful(&self.transport, self.transport.send(request).await?).await };
            let response = self.transport.within::<_, Lost>(head).await?;
            answer::range(&self.transport, response, from, missing, sink).await
        })
        .await
    }
}

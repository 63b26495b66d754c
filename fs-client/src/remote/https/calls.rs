//! The `Remote` trait: the plain calls from their table, the others by hand.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use http::header::RANGE;
use parking_lot::Mutex;
use reqwest::Method;
use sss_common::limits::READ_MAX;
use sss_common::wire::calls::*;
use sss_common::{Code, NodeId, Uid, Version, fs_calls};

use super::session::Verdict;
use super::transport::Lost;
use super::{Https, answer};
use crate::remote::{Calls, CheckinBody, Remote, RemoteError, Result};

macro_rules! calls {
    (
        plain { $(
            $(#[$doc:meta])*
            $name:ident($request:ty) -> $answer:ty, $lifetime:ident, $($repeat:ident)::+;
        )* }
        streamed { $($streamed:tt)* }
    ) => {
        #[async_trait]
        impl Calls for Https {
            $(async fn $name(&self, request: $request) -> Result<$answer> {
                self.call(&call::$name, &request).await
            })*
        }
    };
}

fs_calls!(calls);

#[async_trait]
impl Remote for Https {
    fn uid(&self) -> &Uid {
        &self.uid
    }

    /// A range that begins behind the end is empty. The answer's head must come within the timeout, and so
    /// must each part of its body. An answer that breaks off is taken up where it broke, as long as each
    /// attempt brings something (`retries::RANGE`): that is how the server says in the middle of an answer
    /// that something is wrong, and the next one says what.
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

    async fn events(&self) -> Result<BoxStream<'static, Event>> {
        self.event_stream().await
    }

    /// Logs in for nobody: without a session there is nothing to end.
    async fn logout(&self) -> Result<()> {
        let Some(token) = self.session.current() else { return Ok(()) };
        let exchange = async {
            let request = self.signed(Method::POST, "/v1/logout", &token);
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
        let path = &call::read.url.path_to(&[&pin.node, &pin.version]);
        self.attempts((call::read.repeat)(&()), |token| async move {
            let _place = self.transport.place().await;
            let (from, missing) = {
                let had = sink.lock().len();
                (offset.saturating_add(had as u64), length - had)
            };
            if missing == 0 {
                return Ok(());
            }
            let range = format!("bytes={from}-{}", from.saturating_add(missing as u64 - 1));
            let request = self.signed(Method::GET, path, &token).header(RANGE, range);
            let head =
                async { answer::successful(&self.transport, self.transport.send(request).await?).await };
            let response = self.transport.within::<_, Lost>(head).await?;
            answer::range(&self.transport, response, from, missing, sink).await
        })
        .await
    }
}

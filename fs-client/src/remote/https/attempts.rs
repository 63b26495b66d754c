//! What is sent again, and when; how often stands in [`retries`](crate::remote::retries).
//!
//! - A connection that broke, if the call may be repeated. Never after a deadline.
//! - A session that ran out, after a new login. Nothing was carried out in this case.

use std::future::Future;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sss_common::Code;
use sss_common::login::{self, Challenge};
use sss_common::wire::calls::{Call, Repeat};
use sss_common::wire::session::{ChallengeRequest, ChallengeResponse, LoginRequest, LoginResponse};

use super::session::{Token, Verdict};
use super::transport::Lost;
use super::{Https, answer};
use crate::remote::retries::{CHALLENGE, CONNECTION, SESSION};
use crate::remote::{RemoteError, Result};

impl Https {
    /// Logs in now rather than at the first call, and says how that went in the server's own words.
    pub async fn log_in(&self) -> Result<()> {
        self.token().await.map(drop)
    }

    /// The session's token; logs in when there is none.
    pub(super) async fn token(&self) -> Result<Arc<Token>> {
        self.session.token(|| self.new_session()).await
    }

    /// A plain call, all within the timeout.
    pub(super) async fn call<Q, A>(&self, call: &Call<Q, A>, request: &Q) -> Result<A>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned + Send,
    {
        let path = call.url.path;
        let attempt = |token: Arc<Token>| async move {
            let request = self.signed(Method::POST, path, &token).json(request);
            let _place = self.transport.place().await;
            let response = self.transport.send(request).await?;
            answer::json(&self.transport, answer::successful(&self.transport, response).await?).await
        };
        self.transport.within(self.attempts((call.repeat)(request), attempt)).await
    }

    /// Tries until there is an outcome, by the rules at the head of this file.
    pub(super) async fn attempts<A, F, Fut>(&self, repeat: Repeat, attempt: F) -> Result<A>
    where
        F: Fn(Arc<Token>) -> Fut,
        Fut: Future<Output = std::result::Result<A, Lost>>,
    {
        let mut repeats = if repeat == Repeat::Once { CONNECTION.repeats() } else { 0 };
        let mut renewals = SESSION.repeats();
        loop {
            let token = match renewals == SESSION.repeats() {
                true => self.token().await?,
                false => self.renewed_token().await?,
            };
            match attempt(token.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Lost::Broken(_)) if repeats > 0 => repeats -= 1,
                Err(Lost::Broken(why)) => {
                    let error = self.transport.why_broken(why).await;
                    self.session.refused(&token, &error);
                    return Err(error);
                }
                Err(Lost::Final(error)) => match self.session.refused(&token, &error) {
                    Verdict::Again if renewals > 0 => renewals -= 1,
                    _ => return Err(without_session(error)),
                },
            }
        }
    }

    /// A token after the session ran out. A login that the server refuses now means that the session is over.
    pub(super) async fn renewed_token(&self) -> Result<Arc<Token>> {
        self.token().await.map_err(as_expired)
    }

    /// A request with the session's token on it.
    pub(super) fn signed(&self, method: Method, path: &str, token: &Token) -> RequestBuilder {
        let request = self.transport.request(method, path);
        request.header(http::header::AUTHORIZATION, token.expose_header())
    }

    /// Challenge, signature, login: two round trips, and one private key operation off the async threads.
    async fn new_session(&self) -> Result<Token> {
        let mut repeats = CHALLENGE.repeats();
        let challenge = loop {
            match self.challenge().await {
                Err(Lost::Broken(_)) if repeats > 0 => repeats -= 1,
                outcome => break self.settled(outcome).await?,
            }
        };
        let statement = login::statement(&self.machine, &self.uid, challenge.as_str());
        let signature = self.signature(statement.clone()).await?;
        // A challenge serves once, so this is not sent twice.
        let request = LoginRequest { uid: self.uid.clone(), statement, signature };
        let session = self.settled(self.logged_in(&request).await).await?;
        tracing::debug!(expires_in = session.expires_in, "logged in");
        let token = Token::new(session.token)
            .ok_or_else(|| self.transport.not_a_server("its token cannot stand in a header"));
        self.settled(token).await
    }

    async fn signature(&self, statement: String) -> Result<String> {
        let key = self.shown.read().key.clone();
        let signed = tokio::task::spawn_blocking(move || key.sign(statement.as_bytes())).await;
        match signed {
            Ok(Some(signature)) => Ok(BASE64.encode(signature)),
            Ok(None) | Err(_) => {
                Err(RemoteError::refused(Code::LoginRefused, "the login could not be signed with user.key"))
            }
        }
    }

    /// A challenge of the very server that this connection leads to. One of another server is never signed: whoever passed it
    /// on would be logged in there.
    async fn challenge(&self) -> std::result::Result<Challenge, Lost> {
        let request = ChallengeRequest { uid: self.uid.clone() };
        let exchange = async {
            let response = self.public_call("challenge", &request).await?;
            let shown = self.transport.shown_key(&response)?;
            let given: ChallengeResponse = answer::json(&self.transport, response).await?;
            match Challenge::parse(&given.challenge) {
                None => Err(self.transport.not_a_server("its challenge names no server")),
                Some(challenge) if challenge.server() != shown => Err(self.transport.in_between()),
                Some(challenge) => Ok(challenge),
            }
        };
        self.transport.within(exchange).await
    }

    async fn logged_in(&self, request: &LoginRequest) -> std::result::Result<LoginResponse, Lost> {
        let exchange =
            async { answer::json(&self.transport, self.public_call("login", request).await?).await };
        self.transport.within(exchange).await
    }

    async fn public_call<Q: Serialize>(
        &self,
        name: &str,
        request: &Q,
    ) -> std::result::Result<Response, Lost> {
        let request = self.transport.request(Method::POST, &format!("/v1/{name}")).json(request);
        answer::successful(&self.transport, self.transport.send(request).await?).await
    }

    /// The outcome of a call that is not sent again.
    async fn settled<A>(&self, outcome: std::result::Result<A, Lost>) -> Result<A> {
        match outcome {
            Ok(answer) => Ok(answer),
            Err(Lost::Final(error)) => Err(error),
            Err(Lost::Broken(why)) => Err(self.transport.why_broken(why).await),
        }
    }
}

/// To the mount, a refused new login is the end of the session, with the reason in words.
fn as_expired(error: RemoteError) -> RemoteError {
    match error {
        RemoteError::Refused { code: Code::LoginRefused, detail, request_id } => RemoteError::Refused {
            code: Code::SessionExpired,
            detail: format!("the session ended, and a new login was refused: {detail}"),
            request_id,
        },
        error => error,
    }
}

/// A token that was just renewed and is not known either is the end of the session too.
fn without_session(error: RemoteError) -> RemoteError {
    match error {
        RemoteError::Refused { code: Code::NotLoggedIn, detail, request_id } => {
            RemoteError::Refused { code: Code::SessionExpired, detail, request_id }
        }
        error => error,
    }
}

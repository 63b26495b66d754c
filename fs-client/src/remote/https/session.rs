//! The session: one token, one login at a time, and an end by a newer login that is never talked back. Who is refused
//! otherwise tries again, ever more slowly: a user can be enabled again, and a machine get a new certificate.
//!
//! The token lives in memory only, on locked pages, and is wiped when it is replaced. Requests borrow it from there; what hyper
//! and TLS copy on its way to the socket, and from it at the login, is theirs and not wiped.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderValue;
use parking_lot::{Mutex, RwLock};
use sss_common::Code;
use sss_common::clock::monotonic;
use zeroize::Zeroizing;

use crate::identity::Locked;
use crate::remote::retries::{LOGIN_PAUSE, Pauses, REVOKED};
use crate::remote::{RemoteError, Result};

/// What the server gave for a login, as the `Authorization` header that it is sent in.
pub struct Token(HeaderValue);

impl Token {
    /// Takes the text of a login's answer; `None` when it cannot stand in a header.
    pub fn new(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        let header = Bytes::from_owner(Locked::new(&[b"Bearer ", text.as_bytes()]));
        let mut value = HeaderValue::from_maybe_shared(header).ok()?;
        value.set_sensitive(true);
        Some(Token(value))
    }

    /// The `Authorization` header. Its bytes are the token's own.
    pub fn expose_header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// What to do with a refused call.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Get a token and send it again.
    Again,
    /// Hand the refusal on.
    Report,
}

/// The state that all calls share.
pub struct Session {
    state: RwLock<State>,
    one_login: tokio::sync::Mutex<()>,
    /// Between logins that are refused because the user is disabled or the machine's certificate revoked.
    revoked: Mutex<Pauses>,
}

enum State {
    None,
    Live(Arc<Token>),
    /// A login was refused just now.
    Paused {
        until: Instant,
        error: RemoteError,
    },
    /// Replaced: every later call is answered with this.
    Over(RemoteError),
}

impl Session {
    /// Nobody is logged in yet.
    pub fn new() -> Self {
        Session {
            state: RwLock::new(State::None),
            one_login: Default::default(),
            revoked: Mutex::new(REVOKED.pause.begin()),
        }
    }

    /// The token; `login` is asked for one when there is none, by one task while the others wait for it.
    pub async fn token<F, Fut>(&self, login: F) -> Result<Arc<Token>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Token>>,
    {
        if let Some(known) = self.known() {
            return known;
        }
        let _only_one = self.one_login.lock().await;
        if let Some(known) = self.known() {
            return known;
        }
        let outcome = login().await.map(Arc::new);
        *self.state.write() = match &outcome {
            Ok(token) => {
                self.revoked.lock().reset();
                State::Live(token.clone())
            }
            Err(error @ RemoteError::Refused { code, .. }) if ends_for_good(*code) => {
                State::Over(error.clone())
            }
            Err(error @ RemoteError::Refused { code: Code::LoginRefused | Code::Throttled, .. }) => {
                State::Paused { until: monotonic() + LOGIN_PAUSE, error: error.clone() }
            }
            Err(error @ RemoteError::Refused { code: Code::SessionRevoked, .. }) => {
                State::Paused { until: monotonic() + self.revoked.lock().advance(), error: error.clone() }
            }
            Err(_) => State::None,
        };
        outcome
    }

    /// The token as it is, without a login.
    pub fn current(&self) -> Option<Arc<Token>> {
        match &*self.state.read() {
            State::Live(token) => Some(token.clone()),
            _ => None,
        }
    }

    fn known(&self) -> Option<Result<Arc<Token>>> {
        match &*self.state.read() {
            State::None => None,
            State::Live(token) => Some(Ok(token.clone())),
            State::Paused { until, error } => (monotonic() < *until).then(|| Err(error.clone())),
            State::Over(error) => Some(Err(error.clone())),
        }
    }

    /// Draws the consequence of a refusal that `token` met. A refusal of a token that was renewed in the
    /// meantime is about the old session (the own new login may have replaced it) and ends nothing.
    pub fn refused(&self, token: &Arc<Token>, error: &RemoteError) -> Verdict {
        let RemoteError::Refused { code, .. } = error else { return Verdict::Report };
        let over = ends_for_good(*code);
        if !over && !matches!(code, Code::SessionExpired | Code::SessionRevoked | Code::NotLoggedIn) {
            return Verdict::Report;
        }
        let mut state = self.state.write();
        match &*state {
            State::Live(current) if Arc::ptr_eq(current, token) => {
                *state = if over { State::Over(error.clone()) } else { State::None };
                if over { Verdict::Report } else { Verdict::Again }
            }
            _ => Verdict::Again,
        }
    }

    /// The machine has another certificate: the next call logs in with it, without the pause after a refusal of the old one.
    /// What is over stays over.
    pub fn restart(&self) {
        let mut state = self.state.write();
        if !matches!(&*state, State::Over(_)) {
            *state = State::None;
            self.revoked.lock().reset();
        }
    }

    /// Logged out: later calls log in again.
    pub fn forget(&self, token: &Arc<Token>) {
        let mut state = self.state.write();
        if matches!(&*state, State::Live(current) if Arc::ptr_eq(current, token)) {
            *state = State::None;
        }
    }
}

fn ends_for_good(code: Code) -> bool {
    code == Code::SessionReplaced
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refusal(code: Code) -> RemoteError {
        RemoteError::refused(code, "said the server")
    }

    async fn logged_in(session: &Session) -> Arc<Token> {
        session.token(|| async { Ok(Token::new("t".into()).unwrap()) }).await.unwrap()
    }

    #[test]
    fn requests_borrow_the_locked_token() {
        let token = Token::new("abc".into()).unwrap();
        let header = token.expose_header();
        assert_eq!(header, "Bearer abc");
        assert!(header.is_sensitive());
        assert_eq!(header.as_bytes().as_ptr(), token.expose_header().as_bytes().as_ptr(), "no copy");
        assert!(Token::new("a\nb".into()).is_none());
    }

    #[tokio::test]
    async fn a_replaced_session_is_never_renewed() {
        let session = Session::new();
        let token = logged_in(&session).await;
        let replaced = refusal(Code::SessionReplaced);
        assert_eq!(session.refused(&token, &replaced), Verdict::Report);
        let later = session.token(|| async { panic!("no login may be tried") }).await;
        assert_eq!(later.err(), Some(replaced));
    }

    #[tokio::test]
    async fn a_refusal_of_the_old_token_ends_nothing() {
        let session = Session::new();
        let old = logged_in(&session).await;
        assert_eq!(session.refused(&old, &refusal(Code::SessionExpired)), Verdict::Again);
        let new = logged_in(&session).await;
        assert_eq!(session.refused(&old, &refusal(Code::SessionReplaced)), Verdict::Again);
        assert!(Arc::ptr_eq(&session.current().unwrap(), &new));
    }

    #[tokio::test]
    async fn a_refused_login_is_not_tried_again_at_once() {
        let session = Session::new();
        let refused = refusal(Code::LoginRefused);
        assert_eq!(
            session.token(|| async { Err(refusal(Code::LoginRefused)) }).await.err(),
            Some(refused.clone())
        );
        assert_eq!(session.token(|| async { panic!("too early") }).await.err(), Some(refused));
        let unreachable = Session::new();
        let away = RemoteError::Unreachable("away".into());
        assert_eq!(unreachable.token(|| async { Err(away.clone()) }).await.err(), Some(away.clone()));
        logged_in(&unreachable).await;
    }

    #[tokio::test]
    async fn a_revoked_session_is_tried_again_ever_more_slowly() {
        let session = Session::new();
        let token = logged_in(&session).await;
        let revoked = refusal(Code::SessionRevoked);
        assert_eq!(session.refused(&token, &revoked), Verdict::Again, "the user may be enabled again by now");
        let mut waits = Vec::new();
        for _ in 0..7 {
            let login = session.token(|| async { Err(refusal(Code::SessionRevoked)) }).await;
            assert_eq!(login.err(), Some(revoked.clone()));
            assert_eq!(session.token(|| async { panic!("too early") }).await.err(), Some(revoked.clone()));
            let State::Paused { until, .. } = &mut *session.state.write() else { panic!("it pauses") };
            waits.push(until.saturating_duration_since(monotonic()).as_secs_f64().round());
            *until = monotonic();
        }
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        let token = logged_in(&session).await;
        assert!(session.current().is_some());
        assert_eq!(session.refused(&token, &revoked), Verdict::Again);
        assert!(session.token(|| async { Err(refusal(Code::SessionRevoked)) }).await.is_err());
        let State::Paused { until, .. } = &*session.state.read() else { panic!("it pauses") };
        assert!(*until <= monotonic() + REVOKED.pause.first, "a login that worked forgives");
    }

    #[tokio::test]
    async fn a_new_certificate_logs_in_at_once_unless_the_session_was_taken() {
        let session = Session::new();
        assert!(session.token(|| async { Err(refusal(Code::SessionRevoked)) }).await.is_err());
        session.restart();
        let token = logged_in(&session).await;
        session.restart();
        assert!(session.current().is_none(), "the session is the old certificate's");
        assert_eq!(session.refused(&token, &refusal(Code::SessionReplaced)), Verdict::Again, "by our own");
        let token = logged_in(&session).await;
        assert_eq!(session.refused(&token, &refusal(Code::SessionReplaced)), Verdict::Report);
        session.restart();
        assert!(session.token(|| async { panic!("no login may be tried") }).await.is_err());
    }

    #[tokio::test]
    async fn other_refusals_are_only_reported() {
        let session = Session::new();
        let token = logged_in(&session).await;
        for &code in Code::EVERY {
            let session_code = matches!(
                code,
                Code::SessionReplaced | Code::SessionRevoked | Code::SessionExpired | Code::NotLoggedIn
            );
            if !session_code {
                assert_eq!(session.refused(&token, &refusal(code)), Verdict::Report, "{code}");
            }
        }
        assert!(session.current().is_some());
    }
}

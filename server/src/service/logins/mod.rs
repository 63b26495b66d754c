//! Challenge, login, logout, and who a request comes from.

mod cache;
mod challenges;
mod throttle;
mod watch;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::RngCore as _;
use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey as _;
use sha2::{Digest as _, Sha256};
use sss_common::wire::session::{ChallengeRequest, ChallengeResponse, LoginRequest, LoginResponse};
use sss_common::{Clock, Code, login};

use crate::service::audit::{AuditAction, AuditLog, AuditOutcome};
use crate::service::base::Base;
use crate::service::held::Held;
use crate::service::hub::Hub;
use crate::service::{Caller, Failure, Outcome, Peer, Settings};
use crate::store::{Ended, MetaStore, NewSession, Session, TokenHash, User};
use cache::SessionCache;
use challenges::Challenges;
use sss_vault::Vault;
use throttle::Throttle;

/// Who logs in, and which sessions live.
pub struct Logins {
    meta: Arc<dyn MetaStore>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    audit: Arc<AuditLog>,
    challenges: Challenges,
    throttle: Throttle,
    sessions: SessionCache,
    held: Arc<Held>,
    hub: Arc<Hub>,
}

impl Logins {
    pub(super) fn new(base: &Base, held: Arc<Held>, hub: Arc<Hub>) -> Self {
        let settings = base.settings.clone();
        let throttle = Throttle::new(settings.login_failures, settings.login_delay, settings.login_delay_max);
        Logins {
            meta: base.stores.meta.clone(),
            vault: base.vault.clone(),
            clock: base.clock.clone(),
            settings,
            audit: base.audit.clone(),
            challenges: Challenges::default(),
            throttle,
            sessions: SessionCache::default(),
            held,
            hub,
        }
    }

    /// A challenge for whoever asks: an unknown user gets one too, and fails at the login. It names the server's key as this
    /// connection saw it, which after a renewal need not be the newest.
    pub async fn challenge(&self, peer: &Peer, request: ChallengeRequest) -> Outcome<ChallengeResponse> {
        let now = self.clock.now();
        self.not_throttled(peer, &request.uid)?;
        let until = now.after(self.settings.challenge_ttl);
        let issued = self.challenges.issue(request.uid, peer.certificate, peer.server, now, until);
        let challenge = issued.ok_or_else(|| {
            Failure::new(Code::Unavailable, "too many logins are under way; try again soon")
        })?;
        Ok(ChallengeResponse {
            challenge: challenge.to_string(),
            expires_in: self.settings.challenge_ttl.as_secs(),
        })
    }

    /// Opens a session for a signed statement. One RSA verification; one durable transaction.
    pub async fn login(&self, peer: &Peer, request: LoginRequest) -> Outcome<LoginResponse> {
        self.not_throttled(peer, &request.uid)?;
        let user = match self.believable(peer, &request).await? {
            Ok(user) => user,
            Err(reason) => {
                self.throttle.failed(&request.uid, peer.certificate, self.clock.now());
                self.audit.note_refused_login(peer, &request, reason);
                return Err(Failure::new(
                    Code::LoginRefused,
                    "the login was refused: the user, its key, the challenge or the node does not match",
                )
                .caused_by(reason));
            }
        };
        self.throttle.succeeded(&request.uid, peer.certificate);
        if user.disabled {
            self.audit.note_refused_login(peer, &request, "disabled");
            return Err(Failure::new(Code::SessionRevoked, format!("user {} is disabled", user.uid)));
        }
        let token = self.open_session(peer, user).await?;
        Ok(LoginResponse { token, expires_in: self.settings.session_ttl.as_secs() })
    }

    /// Who a request comes from. `token` is the text behind `Bearer `. Usually no query at all, else one.
    pub async fn authenticate(&self, peer: &Peer, token: &str) -> Outcome<Caller> {
        let hash = TokenHash(Sha256::digest(token).into());
        let session = self.session(hash).await?;
        if session.certificate != peer.certificate || !peer.serves.includes(&session.uid) {
            return Err(Failure::new(Code::NotLoggedIn, "the session belongs to another node's certificate"));
        }
        self.must_live(hash, &session)?;
        Ok(Caller { uid: session.uid, token: hash, peer: peer.clone() })
    }

    /// Whether the caller's session is still what it was when the request began. Usually no query at all, else one.
    pub(in crate::service) async fn still_live(&self, caller: &Caller) -> Outcome<()> {
        let session = self.session(caller.token).await?;
        self.must_live(caller.token, &session)
    }

    /// A session that is over holds nothing any more.
    fn must_live(&self, token: TokenHash, session: &Session) -> Outcome<()> {
        match over(session, self.clock.now()) {
            None => Ok(()),
            Some(failure) => {
                self.held.end_session(&token);
                Err(failure)
            }
        }
    }

    /// A session as it was within the last second.
    async fn session(&self, token: TokenHash) -> Outcome<Session> {
        if let Some(session) = self.sessions.fresh(&token) {
            return Ok(session);
        }
        let forgotten = self.sessions.forgotten();
        let session = self.meta.session(&token).await?;
        let session =
            session.ok_or_else(|| Failure::new(Code::NotLoggedIn, "there is no such session; log in"))?;
        self.sessions.remember(token, session.clone(), forgotten);
        Ok(session)
    }

    /// Ends the caller's session and gives back what it pinned.
    pub async fn logout(&self, caller: &Caller) -> Outcome<()> {
        let audit = self.audit.session_row(caller, AuditAction::Logout, AuditOutcome::allowed());
        self.meta.end_session(&caller.token, self.clock.now(), audit).await?;
        self.end(caller.token, "the session was logged out".into());
        Ok(())
    }

    /// A session is over: nobody believes in it any more, it holds nothing, and its mount hears why.
    fn end(&self, token: TokenHash, why: String) {
        self.sessions.forget(&token);
        self.held.end_session(&token);
        self.hub.ended(token, why);
    }

    fn not_throttled(&self, peer: &Peer, uid: &sss_common::Uid) -> Outcome<()> {
        match self.throttle.wait(uid, peer.certificate, self.clock.now()) {
            None => Ok(()),
            Some(wait) => {
                let seconds = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
                let mut failure = Failure::new(
                    Code::Throttled,
                    format!("too many failed logins; try again in {seconds} s"),
                );
                failure.retry_after = Some(seconds);
                Err(failure)
            }
        }
    }

    /// The user, or for the log why the statement proves nothing.
    async fn believable(&self, peer: &Peer, request: &LoginRequest) -> Outcome<Result<User, &'static str>> {
        let Some(challenge) = request.statement.rsplit_once("challenge: ").map(|(_, text)| text) else {
            return Ok(Err("the statement has no challenge"));
        };
        if !self.challenges.redeem(challenge, &request.uid, peer.certificate, self.clock.now()) {
            return Ok(Err("the challenge is unknown, used, late, or another's"));
        }
        if request.statement != login::statement(&peer.machine, &request.uid, challenge) {
            return Ok(Err("the statement names another node or user"));
        }
        if !peer.serves.includes(&request.uid) {
            return Ok(Err("the node's certificate is another user's"));
        }
        // For an unknown user a key is tried all the same, so that the time tells nothing.
        let user = self.meta.user(&request.uid).await?;
        let pem = user.as_ref().map_or(self.vault.public_key_pem(), |user| &user.public_key);
        let Ok(signature) = STANDARD.decode(&request.signature) else {
            return Ok(Err("the signature is not base64"));
        };
        let key = RsaPublicKey::from_public_key_pem(pem).map_err(|error| {
            Failure::new(Code::Internal, "the stored key cannot be read").caused_by(error)
        })?;
        let fits = login::verify(&key, request.statement.as_bytes(), &signature);
        Ok(match user {
            None => Err("unknown user"),
            Some(_) if !fits => Err("wrong signature"),
            Some(user) => Ok(user),
        })
    }

    async fn open_session(&self, peer: &Peer, user: User) -> Outcome<String> {
        let mut secret = zeroize::Zeroizing::new([0; 32]);
        rand::rngs::OsRng.fill_bytes(&mut *secret);
        let token = URL_SAFE_NO_PAD.encode(*secret);
        let now = self.clock.now();
        let session = NewSession {
            token: TokenHash(Sha256::digest(&token).into()),
            uid: user.uid,
            public_key: user.public_key,
            machine: peer.machine.clone(),
            certificate: peer.certificate,
            now,
            expires: now.after(self.settings.session_ttl),
        };
        let audit = self.audit.login_row(peer, &session.uid);
        for replaced in self.meta.begin_session(session, self.settings.sessions_per_user, audit).await? {
            self.sessions.forget(&replaced);
            self.held.end_session(&replaced);
            self.hub.replaced(replaced, peer.machine.clone());
        }
        Ok(token)
    }
}

/// Why a session is over, if it is.
pub(in crate::service) fn over(session: &Session, now: sss_common::Timestamp) -> Option<Failure> {
    match &session.ended {
        Some(Ended::Replaced { by, at }) => Some(Failure::new(
            Code::SessionReplaced,
            format!("this session was replaced by a login from node {by} at {at}"),
        )),
        Some(Ended::Logout) => Some(Failure::new(Code::SessionExpired, "the session was logged out")),
        Some(Ended::ByAdministrator) => Some(Failure::new(
            Code::SessionRevoked,
            format!("an administrator disabled user {}, or gave the user another key", session.uid),
        )),
        None if session.expires <= now => {
            Some(Failure::new(Code::SessionExpired, format!("the session ended at {}", session.expires)))
        }
        None => None,
    }
}

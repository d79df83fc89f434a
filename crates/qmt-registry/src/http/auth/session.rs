//! Authorization for requests: the registry's last challenge, and tokens until they expire.
//!
//! A session belongs to one origin, repository and access. What was acquired for one is never sent
//! for another. The request that acquires a token holds the session's lock, so that any number of
//! requests that were refused together cause one request to the token server.

mod refusal;
mod renew;
mod unchallenged;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use qmt_oci_ref::Repository;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use url::Url;

use self::refusal::is_refusal;
use super::basic;
use super::challenge::{self, BearerChallenge, Challenge};
use super::realm;
use super::scope::{Access, AuthScope};
use crate::credentials::{Credential, CredentialStore};
use crate::error::{ClientError, WithheldReason};
use crate::events::RegistryEvent;
use crate::http::transport::Failure;
use crate::limits::TOKENS_HELD_MAX;
use crate::redact::RedactedUrl;

/// A token this close to its expiry is not used any more.
const LEEWAY: Duration = Duration::from_secs(5);
/// How long a credential that was refused or can't be used is not tried again. A host runs for days,
/// and a login replaces the credential meanwhile.
const CREDENTIAL_PAUSE: Duration = Duration::from_mins(1);

/// The `Authorization` header of a session.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) header: HeaderValue,
    /// Another token of the same answer, to be tried if the registry refuses `header`.
    alternative: Option<HeaderValue>,
    kind: Kind,
    expires: Option<Instant>,
}

impl Authorization {
    fn new(header: HeaderValue, kind: Kind) -> Self {
        Self {
            header,
            alternative: None,
            kind,
            expires: None,
        }
    }

    /// Whether there is no credential behind it.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.kind == Kind::AnonymousToken
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A user name and password. Requests without them were refused before.
    Password,
    /// A token for which a credential was sent, or that is the credential.
    Token,
    /// A token without a credential.
    AnonymousToken,
}

/// What follows from a status 401.
pub(crate) enum AuthOutcome {
    /// Send the request again, with the header that the session has now.
    Retry,
    /// There is no better credential.
    Refused,
}

/// What is known about the credential of a session.
#[derive(Clone, Default, PartialEq, Eq)]
enum CredentialState {
    /// It is used where there is one.
    #[default]
    InUse,
    /// It was refused, so requests are sent without it.
    Refused,
    /// Its file or helper can't be used, so requests are sent without it.
    Unusable,
    /// The registry alone names this token server, so requests to it are sent without the credential.
    Withheld(Url),
}

/// All sessions of one client.
#[derive(Default)]
pub(crate) struct Auth {
    store: Option<Arc<dyn CredentialStore>>,
    /// Whether requests that read may be sent without a refused credential.
    anonymous_fallback: bool,
    sessions: Mutex<HashMap<SessionKey, Arc<tokio::sync::Mutex<Session>>>>,
    /// Origins that required a token once; they get no password over plain HTTP after that.
    bearer_origins: Mutex<HashSet<String>>,
    /// Origins that answer `GET /v2/` without a credential, so they have no challenge.
    open_origins: Mutex<HashSet<String>>,
}

/// Everything that a token depends on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct SessionKey {
    origin: String,
    repository: Option<String>,
    mount_from: Option<String>,
    access: Access,
}

#[derive(Default)]
struct Session {
    authorization: Option<Authorization>,
    /// What the token was for, to acquire the next one before a request is refused.
    challenge: Option<BearerChallenge>,
    credential_state: CredentialState,
    /// Whether the registry was asked for a challenge that it had not sent.
    is_challenge_requested: bool,
    /// Whether a request without a credential was answered with content.
    is_read_anonymously: bool,
    /// Whether there is a credential that the registry did not ask for, even where it was requested to.
    is_unchallenged: bool,
    /// When `credential_state` or `is_challenge_requested` was last set.
    paused_at: Option<Instant>,
}

impl Session {
    /// Continues without the credential.
    fn pause_credential(&mut self, state: CredentialState) {
        (self.credential_state, self.paused_at) = (state, Some(Instant::now()));
    }

    /// Tries the credential again if the pause is over.
    fn end_pause(&mut self) {
        let is_over = |at: Instant| at.elapsed() >= CREDENTIAL_PAUSE;
        if self.paused_at.take_if(|at| is_over(*at)).is_some() {
            self.credential_state = CredentialState::InUse;
            self.is_challenge_requested = false;
            self.is_unchallenged = false;
        }
    }
}

/// A session that one request uses, and what that request needs access to.
struct LockedSession<'a> {
    auth: &'a Auth,
    scope: &'a AuthScope<'a>,
    session: OwnedMutexGuard<Session>,
}

impl Auth {
    pub(crate) fn new(store: Option<Arc<dyn CredentialStore>>, anonymous_fallback: bool) -> Self {
        Self {
            store,
            anonymous_fallback,
            ..Self::default()
        }
    }

    /// Sessions without credentials.
    pub(crate) fn anonymous() -> Self {
        Self::default()
    }

    /// The header to send, if the session has one; an expired token is renewed first.
    pub(crate) async fn current(
        &self,
        scope: &AuthScope<'_>,
    ) -> Result<Option<Authorization>, Failure> {
        let mut locked = self.session(scope).await;
        let now = Instant::now();
        let held = locked.session.authorization.as_ref();
        let expires = held.and_then(|held| held.expires);
        if expires.is_some_and(|expires| expires <= now) {
            locked.session.authorization = None;
            if let Some(challenge) = locked.session.challenge.clone() {
                locked.renew(&challenge).await?;
            }
        }
        Ok(locked.session.authorization.clone())
    }

    /// Handles the refusal (status 401) of a request that was sent with `used`. `is_fresh`: `used`
    /// was acquired for this request.
    pub(crate) async fn refused(
        &self,
        scope: &AuthScope<'_>,
        used: Option<&Authorization>,
        is_fresh: bool,
        headers: &HeaderMap,
    ) -> Result<AuthOutcome, Failure> {
        let mut locked = self.session(scope).await;
        if let Some(held) = &locked.session.authorization
            && used.is_none_or(|used| used.header != held.header)
        {
            return Ok(AuthOutcome::Retry); // Another request has renewed it.
        }
        if let Some(used) = used.filter(|_| is_fresh) {
            if let Some(held) = &mut locked.session.authorization
                && let Some(alternative) = held.alternative.take()
            {
                held.header = alternative;
                return Ok(AuthOutcome::Retry);
            }
            if !self.may_drop_credential(scope, Some(used)) {
                return Ok(AuthOutcome::Refused);
            }
            locked.drop_credential(None);
        }
        locked.session.authorization = None;
        locked.answer_challenge(used, headers).await
    }

    /// Whether the same request may be sent without the credential behind `used`. Where a password
    /// was sent, requests without it were refused before.
    pub(crate) fn may_drop_credential(
        &self,
        scope: &AuthScope<'_>,
        used: Option<&Authorization>,
    ) -> bool {
        used.is_some_and(|used| used.kind == Kind::Token) && self.may_read_anonymously(scope)
    }

    /// Continues this session without its credential.
    pub(crate) async fn drop_credential(&self, scope: &AuthScope<'_>) {
        let mut locked = self.session(scope).await;
        if locked.session.credential_state == CredentialState::InUse {
            locked.drop_credential(None);
        }
    }

    /// Whether a request that was sent with `used` was refused because there is no credential. If
    /// there is one that can't be used, its error.
    pub(crate) async fn is_without_credential(
        &self,
        scope: &AuthScope<'_>,
        used: Option<&Authorization>,
    ) -> Result<bool, ClientError> {
        let mut locked = self.session(scope).await;
        locked.check_usable().await?;
        let is_anonymous = used.is_none_or(Authorization::is_anonymous);
        Ok(is_anonymous && locked.session.credential_state != CredentialState::Refused)
    }

    /// The credential that the store has.
    async fn stored(&self, scope: &AuthScope<'_>) -> Result<Option<Credential>, ClientError> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let host = &scope.endpoint.host;
        Ok(store.credential(host, scope.repository).await?)
    }

    /// Whether requests that read may be sent without a credential that can't be used or sent.
    fn may_skip_credential(&self, scope: &AuthScope<'_>) -> bool {
        self.anonymous_fallback && scope.access != Access::Push
    }

    fn may_read_anonymously(&self, scope: &AuthScope<'_>) -> bool {
        self.anonymous_fallback && scope.access == Access::Pull
    }

    async fn session<'a>(&'a self, scope: &'a AuthScope<'a>) -> LockedSession<'a> {
        let mut session = self.shared_session(scope).lock_owned().await;
        session.end_pause();
        LockedSession {
            auth: self,
            scope,
            session,
        }
    }

    fn shared_session(&self, scope: &AuthScope<'_>) -> Arc<tokio::sync::Mutex<Session>> {
        let key = SessionKey {
            origin: scope.origin(),
            repository: scope.repository.map(|r| r.path().to_owned()),
            mount_from: scope.mount_from.map(|r| r.path().to_owned()),
            access: scope.access,
        };
        let mut sessions = lock(&self.sessions);
        if sessions.len() >= TOKENS_HELD_MAX && !sessions.contains_key(&key) {
            // Requests keep the sessions that they use; later ones acquire new tokens.
            sessions.clear();
        }
        Arc::clone(sessions.entry(key).or_default())
    }
}

impl LockedSession<'_> {
    /// Acquires what the challenge in `headers` asks for.
    async fn answer_challenge(
        &mut self,
        used: Option<&Authorization>,
        headers: &HeaderMap,
    ) -> Result<AuthOutcome, Failure> {
        match challenge::strongest(&self.scope.endpoint.host, headers)? {
            Challenge::Bearer(challenge) => {
                lock(&self.auth.bearer_origins).insert(self.scope.origin());
                let was_refused = self.session.credential_state == CredentialState::Refused;
                match self.renew(&challenge).await {
                    // The registry's refusal of the credential is the reason.
                    Err(failure) if was_refused && is_refusal(&failure) => {
                        return Ok(AuthOutcome::Refused);
                    }
                    renewed => renewed?,
                }
                self.session.challenge = Some(challenge);
                Ok(AuthOutcome::Retry)
            }
            Challenge::Basic => {
                self.session.challenge = None;
                Ok(self.answer_basic(used).await?)
            }
        }
    }

    /// Answers a challenge for user name and password.
    async fn answer_basic(
        &mut self,
        used: Option<&Authorization>,
    ) -> Result<AuthOutcome, ClientError> {
        let (auth, scope) = (self.auth, self.scope);
        let base = &scope.endpoint.base;
        let withhold = |reason| {
            Err(ClientError::CredentialWithheld {
                url: RedactedUrl::from(base),
                reason,
                origin: auth.origin(scope),
            })
        };
        let (username, password) = match self.credential().await? {
            Some(Credential::Basic { username, password }) => (username, password),
            Some(_) => return withhold(WithheldReason::IsToken),
            None => return Ok(AuthOutcome::Refused),
        };
        if base.scheme() == "http" && lock(&auth.bearer_origins).contains(&scope.origin()) {
            return withhold(WithheldReason::WeakerChallenge);
        }
        let header = basic(&username, &password);
        let header = header.map_err(|reason| auth.unusable(scope, reason))?;
        if used.is_some_and(|used| used.header == header) {
            return Ok(AuthOutcome::Refused);
        }
        self.session.authorization = Some(Authorization::new(header, Kind::Password));
        Ok(AuthOutcome::Retry)
    }

    async fn credential(&self) -> Result<Option<Credential>, ClientError> {
        match self.session.credential_state {
            CredentialState::InUse => self.auth.stored(self.scope).await,
            CredentialState::Refused | CredentialState::Unusable | CredentialState::Withheld(_) => {
                Ok(None)
            }
        }
    }

    /// Reports a credential that could not be used, if it still can't, or not be sent.
    async fn check_usable(&mut self) -> Result<(), ClientError> {
        match &self.session.credential_state {
            CredentialState::Unusable => {
                self.auth.stored(self.scope).await?;
                self.session.credential_state = CredentialState::InUse;
                Ok(())
            }
            CredentialState::Withheld(server) => {
                Err(realm::untrusted(&self.scope.endpoint.host, server))
            }
            CredentialState::InUse | CredentialState::Refused => Ok(()),
        }
    }

    /// Continues without the refused credential, or the one for which the token server gave the `answer`.
    fn drop_credential(&mut self, answer: Option<String>) {
        self.session.authorization = None;
        self.session.pause_credential(CredentialState::Refused);
        let (endpoint, repository) = (&self.scope.endpoint, self.scope.repository);
        endpoint
            .context
            .events
            .send(RegistryEvent::CredentialRefused {
                host: endpoint.host.clone(),
                repository: repository.map_or("", Repository::path).to_owned(),
                origin: self.auth.origin(self.scope),
                answer,
            });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

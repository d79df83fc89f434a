//! Authorization for requests: what a registry demanded last time, and tokens until they expire.
//!
//! A session belongs to one origin, repository and access. What was obtained for one is never
//! sent for another. Whoever needs a new token holds the session's lock while asking, so that any
//! number of requests that were refused together cause one question to the token server.

mod header;
mod scope;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use qmt_oci_ref::Repository;
use tokio::time::Instant;

pub(super) use self::header::basic;
use self::header::bearer;
use self::scope::scopes;
use super::challenge::{self, BearerChallenge, Challenge};
use super::endpoint::Endpoint;
use super::exchange::{self, TokenRequest};
use super::realm;
use super::request::Context;
use super::retry::Failure;
use crate::credential::{Credential, CredentialStore};
use crate::error::RegistryError;
use crate::events::RegistryEvent;
use crate::limits::TOKENS_HELD_MAX;
use crate::redact::RedactedUrl;

/// A token this close to its end is not used any more.
const LEEWAY: Duration = Duration::from_secs(5);

/// What a request is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    /// Ask for nothing but whether the credential is good.
    Check,
    /// Read.
    Pull,
    /// Read and write.
    Push,
}

/// Who asks for what.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) repository: Option<&'a Repository>,
    pub(crate) access: Access,
    /// Another repository of the same registry that is read at the same time.
    pub(crate) mount_from: Option<&'a Repository>,
}

/// A header that was obtained for a session.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) header: HeaderValue,
    /// Whether a credential was at its origin.
    with_credential: bool,
    /// Whether it is a password: then going without was refused before it was sent.
    is_password: bool,
    expires: Option<Instant>,
}

/// What follows from a refusal.
pub(crate) enum Verdict {
    /// Ask again, with the session's header of now.
    Again,
    /// There is nothing better to ask with.
    Refused {
        /// Whether there was no credential at all.
        anonymous: bool,
    },
}

/// All sessions of one client.
pub(crate) struct Auth {
    store: Option<Arc<dyn CredentialStore>>,
    /// Whether a refused credential may be left away for reading.
    anonymous_fallback: bool,
    sessions: Mutex<HashMap<SessionKey, Arc<Session>>>,
    /// Origins that asked for a token once; they don't get a password over plain HTTP after that.
    bearer_origins: Mutex<HashSet<String>>,
}

/// The whole of what a token is for (AUTH-11).
#[derive(Clone, PartialEq, Eq, Hash)]
struct SessionKey {
    origin: String,
    repository: Option<String>,
    mount_from: Option<String>,
    access: Access,
}

#[derive(Default)]
struct Session {
    slot: tokio::sync::Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    authorization: Option<Authorization>,
    /// What the token was for, to ask for the next one before it is refused.
    challenge: Option<BearerChallenge>,
    /// Whether the credential was refused, and reading goes without.
    without_credential: bool,
}

impl Auth {
    pub(crate) fn new(store: Option<Arc<dyn CredentialStore>>, anonymous_fallback: bool) -> Self {
        Self {
            store,
            anonymous_fallback,
            sessions: Mutex::new(HashMap::new()),
            bearer_origins: Mutex::new(HashSet::new()),
        }
    }

    /// The header to send, if this session has one; an expired token is replaced first.
    ///
    /// # Errors
    ///
    /// Those of the token server.
    pub(crate) async fn current(
        &self,
        context: &Context,
        ask: &Ask<'_>,
    ) -> Result<Option<Authorization>, Failure> {
        let session = self.session(ask);
        let mut slot = session.slot.lock().await;
        let expired = slot.authorization.as_ref().is_some_and(|held| {
            held.expires
                .is_some_and(|expires| expires <= Instant::now())
        });
        if expired {
            slot.authorization = None;
            if let Some(challenge) = slot.challenge.clone() {
                self.renew(context, ask, &mut slot, &challenge).await?;
            }
        }
        Ok(slot.authorization.clone())
    }

    /// Answers a refusal (status 401) of a request that was sent with `used`. `fresh` says that
    /// `used` was obtained for this very request.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Challenge`], [`RegistryError::RealmRefused`],
    /// [`RegistryError::CredentialWithheld`], the token server's and the credential store's.
    pub(crate) async fn refused(
        &self,
        context: &Context,
        ask: &Ask<'_>,
        used: Option<&Authorization>,
        fresh: bool,
        headers: &HeaderMap,
    ) -> Result<Verdict, Failure> {
        let session = self.session(ask);
        let mut slot = session.slot.lock().await;
        if let Some(held) = &slot.authorization
            && used.is_none_or(|used| used.header != held.header)
        {
            return Ok(Verdict::Again); // Somebody else was quicker.
        }
        if let Some(used) = used.filter(|_| fresh) {
            if !self.may_go_without(ask, Some(used)) {
                return Ok(Verdict::Refused {
                    anonymous: !used.with_credential,
                });
            }
            slot.authorization = None;
            leave_credential(context, ask, &mut slot);
        }
        slot.authorization = None;
        match challenge::strongest(&ask.endpoint.host, headers)? {
            Challenge::Bearer(challenge) => {
                self.bearer_origins().insert(origin(ask));
                if !self.renew(context, ask, &mut slot, &challenge).await? {
                    return Ok(Verdict::Refused { anonymous: false });
                }
                slot.challenge = Some(challenge);
            }
            Challenge::Basic => {
                slot.challenge = None;
                let withhold = |fault| {
                    let url = RedactedUrl::from(&ask.endpoint.base);
                    Err(RegistryError::CredentialWithheld { url, fault }.into())
                };
                let (username, password) = match self.credential(ask, &slot).await? {
                    Some(Credential::Basic { username, password }) => (username, password),
                    Some(_) => return withhold("it wants a password, and there is only a token"),
                    None => return Ok(Verdict::Refused { anonymous: true }),
                };
                let plain = ask.endpoint.base.scheme() == "http";
                if plain && self.bearer_origins().contains(&origin(ask)) {
                    return withhold(
                        "it asked for a token before, and now for a password over HTTP",
                    );
                }
                let header = basic(&username, &password)?;
                if used.is_some_and(|used| used.header == header) {
                    return Ok(Verdict::Refused { anonymous: false });
                }
                slot.authorization = Some(Authorization {
                    header,
                    with_credential: true,
                    is_password: true,
                    expires: None,
                });
            }
        }
        Ok(Verdict::Again)
    }

    /// Whether the same request may be made without the credential behind `used`. Where a password
    /// is sent, going without was refused before.
    pub(crate) fn may_go_without(&self, ask: &Ask<'_>, used: Option<&Authorization>) -> bool {
        let may_leave = self.may_leave_credential(ask);
        used.is_some_and(|used| used.with_credential && !used.is_password && may_leave)
    }

    /// Notes that this session goes on without its credential.
    pub(crate) async fn go_without(&self, context: &Context, ask: &Ask<'_>) {
        let session = self.session(ask);
        let mut slot = session.slot.lock().await;
        if !slot.without_credential {
            slot.authorization = None;
            leave_credential(context, ask, &mut slot);
        }
    }

    /// Obtains a token for `slot`; `false` where the credential itself is the token and was refused.
    async fn renew(
        &self,
        context: &Context,
        ask: &Ask<'_>,
        slot: &mut Slot,
        challenge: &BearerChallenge,
    ) -> Result<bool, Failure> {
        let credential = self.credential(ask, slot).await?;
        if let Some(Credential::Bearer(token)) = &credential {
            let header = bearer(token).ok_or(RegistryError::CredentialOption {
                origin: ask.endpoint.host.to_string(),
                fault: "the token has characters that no header can carry",
            })?;
            slot.authorization = Some(Authorization {
                header,
                with_credential: true,
                is_password: false,
                expires: None,
            });
            return Ok(true);
        }
        let endpoint = ask.endpoint;
        let allow = &endpoint.options.allow_realms;
        let realm = realm::judge(&endpoint.host, &endpoint.base, allow, &challenge.realm)?;
        let request = |credential| TokenRequest {
            endpoint,
            realm: &realm,
            service: challenge.service.as_deref(),
            scopes: scopes(ask, challenge.scope.as_deref()),
            credential,
        };
        let token = match exchange::token(context, &request(credential.as_ref())).await {
            Err(Failure {
                error: RegistryError::TokenRefused { .. },
                ..
            }) if credential.is_some() && self.may_leave_credential(ask) => {
                leave_credential(context, ask, slot);
                exchange::token(context, &request(None)).await?
            }
            other => other?,
        };
        let header = bearer(&token.text).ok_or_else(|| RegistryError::Token {
            realm: RedactedUrl::from(&realm.url),
            fault: "it has characters that no header can carry",
            source: None,
        })?;
        let with_credential = credential.is_some() && !slot.without_credential;
        let expires = Some(Instant::now() + token.lifetime.saturating_sub(LEEWAY));
        slot.authorization = Some(Authorization {
            header,
            with_credential,
            is_password: false,
            expires,
        });
        Ok(true)
    }

    async fn credential(
        &self,
        ask: &Ask<'_>,
        slot: &Slot,
    ) -> Result<Option<Credential>, RegistryError> {
        let Some(store) = self.store.as_ref().filter(|_| !slot.without_credential) else {
            return Ok(None);
        };
        let host = &ask.endpoint.host;
        // A mirror has credentials of its own, by its own name and paths.
        let at_mirror = match ask.repository {
            Some(repository) if repository.host() != host || ask.endpoint.is_mirror() => {
                format!("{host}/{}", ask.endpoint.path(repository))
                    .parse::<Repository>()
                    .ok()
            }
            _ => None,
        };
        store
            .credential(host, at_mirror.as_ref().or(ask.repository))
            .await
    }

    fn may_leave_credential(&self, ask: &Ask<'_>) -> bool {
        self.anonymous_fallback && ask.access == Access::Pull
    }

    fn session(&self, ask: &Ask<'_>) -> Arc<Session> {
        let path = |repository: &Repository| ask.endpoint.path(repository);
        let key = SessionKey {
            origin: origin(ask),
            repository: ask.repository.map(path),
            mount_from: ask.mount_from.map(path),
            access: ask.access,
        };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= TOKENS_HELD_MAX && !sessions.contains_key(&key) {
            // Whoever uses a session keeps it alive; the others ask again.
            sessions.clear();
        }
        Arc::clone(sessions.entry(key).or_default())
    }

    fn bearer_origins(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.bearer_origins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn origin(ask: &Ask<'_>) -> String {
    ask.endpoint.base.origin().ascii_serialization()
}

fn leave_credential(context: &Context, ask: &Ask<'_>, slot: &mut Slot) {
    slot.without_credential = true;
    let repository = ask
        .repository
        .map(|repository| ask.endpoint.path(repository));
    context.events.send(RegistryEvent::CredentialRefused {
        host: ask.endpoint.host.clone(),
        repository: repository.unwrap_or_default(),
    });
}

#[cfg(test)]
mod tests;

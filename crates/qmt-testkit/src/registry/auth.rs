//! Who may do what: basic authentication and the docker token flow.
//!
//! Spec: <https://distribution.github.io/distribution/spec/auth/token/>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use super::api::error::{ApiError, Code, json_response};
use super::server::Received;
use crate::clock::TestClock;

/// How long a token lasts where nothing else is said, in seconds. The spec's least.
const TOKEN_SECONDS: u64 = 60;

/// What a registry asks of its clients.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// User name and password with each request.
    Basic {
        /// The one user.
        username: String,
        /// The password.
        password: String,
    },
    /// Bearer tokens, which the registry itself issues at `/token`.
    Token(TokenOptions),
    /// Bearer tokens of a [`TokenServer`](super::TokenServer), see its `auth`.
    Issuer(TokenIssuer),
}

impl Auth {
    /// Basic authentication with one user.
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic {
            username: username.into(),
            password: password.into(),
        }
    }

    /// The token flow with one user and default options.
    pub fn token(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Token(TokenOptions::new(username, password))
    }
}

/// How tokens are issued. They are named `testkit-token-<number>`, counted from 1.
#[derive(Clone, Debug)]
pub struct TokenOptions {
    username: String,
    password: String,
    service: String,
    realm: Option<String>,
    challenges: Option<Vec<HeaderValue>>,
    expires_in: Duration,
    anonymous_pull: bool,
    read_only: bool,
    identity_token: Option<String>,
    clock: Option<TestClock>,
}

impl TokenOptions {
    /// One user who may do everything; anonymous clients may do nothing.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
            service: "testkit".to_owned(),
            realm: None,
            challenges: None,
            expires_in: Duration::from_secs(TOKEN_SECONDS),
            anonymous_pull: false,
            read_only: false,
            identity_token: None,
            clock: None,
        }
    }

    /// Names another realm in the challenge than the one that issues tokens.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Names the service in the challenge.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = service.into();
        self
    }

    /// Sends these `WWW-Authenticate` headers, one each, in place of the true challenge. `{realm}`,
    /// `{service}` and `{scope}` in them are filled in.
    ///
    /// # Panics
    ///
    /// If a text cannot be a header.
    #[must_use]
    pub fn challenges<S: AsRef<[u8]>>(mut self, headers: impl IntoIterator<Item = S>) -> Self {
        let header = |text: S| {
            HeaderValue::from_bytes(text.as_ref())
                .unwrap_or_else(|_| panic!("the challenge holds bytes that no header may hold"))
        };
        self.challenges = Some(headers.into_iter().map(header).collect());
        self
    }

    /// Sets how long tokens last; whole seconds.
    #[must_use]
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.expires_in = time;
        self
    }

    /// Lets clients without credentials pull.
    #[must_use]
    pub fn anonymous_pull(mut self) -> Self {
        self.anonymous_pull = true;
        self
    }

    /// Grants the user `pull` only, whatever is asked.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Accepts this identity token in the `OAuth2` refresh flow.
    #[must_use]
    pub fn identity_token(mut self, token: impl Into<String>) -> Self {
        self.identity_token = Some(token.into());
        self
    }

    /// Checks expiry by a clock of the test instead of the system's.
    #[must_use]
    pub fn clock(mut self, clock: &TestClock) -> Self {
        self.clock = Some(clock.clone());
        self
    }
}

/// Issues tokens and knows them again. Clones share their tokens.
#[derive(Clone, Debug)]
pub struct TokenIssuer {
    options: TokenOptions,
    realm: String,
    state: Arc<Mutex<Issued>>,
}

#[derive(Debug, Default)]
struct Issued {
    count: u64,
    tokens: BTreeMap<String, Grant>,
    refresh_tokens: BTreeSet<String>,
    scopes: Vec<String>,
}

/// What a token allows: actions by repository.
#[derive(Clone, Debug)]
struct Grant {
    actions: BTreeMap<String, BTreeSet<String>>,
    expires: SystemTime,
}

/// What a request needs.
#[derive(Clone, Debug)]
pub(super) struct Access<'a> {
    pub(super) repository: &'a str,
    pub(super) action: &'static str,
}

impl TokenIssuer {
    /// `realm` is where tokens are issued, unless the options name another.
    pub(super) fn new(options: TokenOptions, realm: String) -> Self {
        let realm = options.realm.clone().unwrap_or(realm);
        Self {
            options,
            realm,
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, Issued> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        self.options
            .clock
            .as_ref()
            .map_or_else(SystemTime::now, TestClock::now)
    }

    /// All scopes that were asked for, in order.
    pub(super) fn scopes(&self) -> Vec<String> {
        self.state().scopes.clone()
    }

    /// Makes every token that was issued so far worthless.
    pub(super) fn revoke(&self) {
        self.state().tokens.clear();
    }

    /// Answers a request to the token endpoint: GET with basic authentication, or POST with a form
    /// as `OAuth2` has it.
    pub(super) fn issue(&self, request: &Received) -> Response {
        let form: Vec<(String, String)> = if request.method == Method::POST {
            url::form_urlencoded::parse(&request.body)
                .into_owned()
                .collect()
        } else {
            url::form_urlencoded::parse(request.query.as_bytes())
                .into_owned()
                .collect()
        };
        let value = |name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map(|(_, v)| v.as_str())
        };
        let known = match (&request.method, basic(request)) {
            (&Method::POST, _) => match value("grant_type") {
                Some("password") => {
                    value("username") == Some(&self.options.username)
                        && value("password") == Some(&self.options.password)
                }
                Some("refresh_token") => value("refresh_token").is_some_and(|token| {
                    self.options.identity_token.as_deref() == Some(token)
                        || self.state().refresh_tokens.contains(token)
                }),
                _ => return ApiError::new(Code::Unsupported, "unknown grant type").into(),
            },
            (_, Some((user, password))) => {
                user == self.options.username && password == self.options.password
            }
            // No credentials: an anonymous token, which may turn out to allow nothing.
            (_, None) if self.options.anonymous_pull => return self.grant(&form, false),
            (_, None) => false,
        };
        if known {
            self.grant(&form, true)
        } else {
            ApiError::new(Code::Unauthorized, "user name or password is wrong").into()
        }
    }

    fn grant(&self, form: &[(String, String)], known: bool) -> Response {
        let value = |name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map(|(_, v)| v.as_str())
        };
        let mut actions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut state = self.state();
        for (_, scopes) in form.iter().filter(|(key, _)| key == "scope") {
            for scope in scopes.split(' ').filter(|scope| !scope.is_empty()) {
                state.scopes.push(scope.to_owned());
                let Some((repository, asked)) = scope
                    .strip_prefix("repository:")
                    .and_then(|rest| rest.rsplit_once(':'))
                else {
                    continue;
                };
                let granted = actions.entry(repository.to_owned()).or_default();
                granted.extend(
                    asked
                        .split(',')
                        .filter(|action| *action == "pull" || (known && !self.options.read_only))
                        .map(str::to_owned),
                );
            }
        }
        state.count += 1;
        let token = format!("testkit-token-{}", state.count);
        let expires = self.now() + self.options.expires_in;
        state
            .tokens
            .insert(token.clone(), Grant { actions, expires });
        let mut answer = json!({
            "token": token,
            "access_token": token,
            "expires_in": self.options.expires_in.as_secs(),
        });
        let offline =
            value("offline_token") == Some("true") || value("access_type") == Some("offline");
        if known
            && offline
            && let Some(fields) = answer.as_object_mut()
        {
            let refresh = format!("testkit-refresh-{}", state.count);
            state.refresh_tokens.insert(refresh.clone());
            fields.insert("refresh_token".into(), refresh.into());
        }
        json_response(StatusCode::OK, "application/json", &answer)
    }

    /// Checks the bearer token of `request` against what it needs.
    pub(super) fn check(
        &self,
        request: &Received,
        access: Option<&Access<'_>>,
    ) -> Option<ApiError> {
        let token = request.header("authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token)
        });
        let Some(token) = token else {
            return Some(self.challenge(access, None));
        };
        let grant = self.state().tokens.get(token).cloned();
        let Some(grant) = grant.filter(|grant| self.now() < grant.expires) else {
            return Some(self.challenge(access, Some("invalid_token")));
        };
        let allowed = access.is_none_or(|access| {
            grant
                .actions
                .get(access.repository)
                .is_some_and(|actions| actions.contains(access.action) || actions.contains("*"))
        });
        (!allowed).then(|| self.challenge(access, Some("insufficient_scope")))
    }

    fn challenge(&self, access: Option<&Access<'_>>, error: Option<&str>) -> ApiError {
        let scope = access.map_or_else(String::new, |access| {
            let actions = if access.action == "push" {
                "pull,push"
            } else {
                access.action
            };
            format!("repository:{}:{actions}", access.repository)
        });
        let refused = ApiError::new(Code::Unauthorized, "authentication required");
        if let Some(challenges) = &self.options.challenges {
            return challenges.iter().fold(refused, |refused, challenge| {
                refused.with_header("www-authenticate", &self.filled(challenge, &scope))
            });
        }
        let mut challenge = format!(
            "Bearer realm=\"{}\",service=\"{}\"",
            self.realm, self.options.service
        );
        if !scope.is_empty() {
            challenge = format!("{challenge},scope=\"{scope}\"");
        }
        if let Some(error) = error {
            challenge = format!("{challenge},error=\"{error}\"");
        }
        refused.with_header("www-authenticate", challenge.as_bytes())
    }

    /// Fills in a challenge of the test. One that is not text stays as it is.
    fn filled(&self, challenge: &HeaderValue, scope: &str) -> Vec<u8> {
        match challenge.to_str() {
            Ok(text) => text
                .replace("{realm}", &self.realm)
                .replace("{service}", &self.options.service)
                .replace("{scope}", scope)
                .into_bytes(),
            Err(_) => challenge.as_bytes().to_vec(),
        }
    }
}

/// Checks user name and password of `request`.
pub(super) fn check_basic(request: &Received, username: &str, password: &str) -> Option<ApiError> {
    let right = basic(request).is_some_and(|(user, pass)| user == username && pass == password);
    (!right).then(|| {
        ApiError::new(Code::Unauthorized, "authentication required")
            .with_header("www-authenticate", b"Basic realm=\"testkit\"")
    })
}

fn basic(request: &Received) -> Option<(String, String)> {
    let (scheme, value) = request.header("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

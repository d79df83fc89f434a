//! The endpoints of the OCI distribution spec.
//!
//! Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#endpoints>

mod blobs;
pub(super) mod error;
mod lists;
mod manifests;
mod uploads;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode};
use qmt_oci_ref::{RegistryHost, Repository};

use self::error::{ApiError, Code, json_response};
use super::auth::{Access, Auth, TokenIssuer, check_basic};
use super::server::Received;
use super::store::Store;

/// What a registry of this kind does and does not do.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, each named by its builder method"
)]
#[derive(Clone, Debug)]
pub(super) struct Abilities {
    pub(super) referrers_page: usize,
    pub(super) deletes: bool,
    pub(super) ranges: bool,
    pub(super) mounts: bool,
    pub(super) check_references: bool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            referrers_page: usize::MAX,
            deletes: true,
            ranges: true,
            mounts: true,
            check_references: true,
        }
    }
}

/// One registry's state and rules.
pub(super) struct Api {
    store: Mutex<Store>,
    abilities: Abilities,
    referrers: AtomicBool,
    access: AccessRule,
    host: RegistryHost,
}

enum AccessRule {
    Open,
    Basic { username: String, password: String },
    Token { issuer: TokenIssuer, own: bool },
}

/// The parts of a path.
enum Route<'a> {
    Base,
    Token,
    Tags(&'a str),
    Uploads(&'a str),
    Upload(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Manifest(&'a str, &'a str),
    Referrers(&'a str, &'a str),
}

type Reply = Result<Response, ApiError>;

impl Api {
    pub(super) fn new(
        store: Store,
        abilities: Abilities,
        referrers: bool,
        auth: Auth,
        host: RegistryHost,
        url: &str,
    ) -> Self {
        let access = match auth {
            Auth::None => AccessRule::Open,
            Auth::Basic { username, password } => AccessRule::Basic { username, password },
            Auth::Token(options) => AccessRule::Token {
                issuer: TokenIssuer::new(options, format!("{url}/token")),
                own: true,
            },
            Auth::Issuer(issuer) => AccessRule::Token { issuer, own: false },
        };
        Self {
            store: Mutex::new(store),
            abilities,
            referrers: AtomicBool::new(referrers),
            access,
            host,
        }
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_referrers(&self, on: bool) {
        self.referrers.store(on, Ordering::SeqCst);
    }

    pub(super) fn has_referrers(&self) -> bool {
        self.referrers.load(Ordering::SeqCst)
    }

    pub(super) fn issuer(&self) -> Option<&TokenIssuer> {
        match &self.access {
            AccessRule::Token { issuer, .. } => Some(issuer),
            AccessRule::Open | AccessRule::Basic { .. } => None,
        }
    }

    /// Answers one request.
    pub(super) fn answer(&self, request: &Received) -> Response {
        let mut response = self.route(request).unwrap_or_else(Response::from);
        response.headers_mut().insert(
            "docker-distribution-api-version",
            HeaderValue::from_static("registry/2.0"),
        );
        response
    }

    fn route(&self, request: &Received) -> Reply {
        let not_found = || ApiError::new(Code::NameUnknown, "no such endpoint");
        let route = parse(&request.path).ok_or_else(not_found)?;
        if matches!(route, Route::Token) {
            return self
                .own_issuer()
                .map(|issuer| issuer.issue(request))
                .ok_or_else(not_found);
        }
        if let Some(name) = route.repository()
            && Repository::new(self.host.clone(), name).is_err()
        {
            return Err(ApiError::new(Code::NameInvalid, "not a repository name"));
        }
        self.authorize(request, &route)?;
        let method = &request.method;
        match route {
            Route::Base if reads(method) => Ok(json_response(
                StatusCode::OK,
                "application/json",
                &serde_json::json!({}),
            )),
            Route::Tags(name) if reads(method) => self.tags(name, request),
            Route::Referrers(name, digest) if reads(method) => {
                self.referrers(name, digest, request)
            }
            Route::Uploads(name) if method == Method::POST => self.begin_upload(name, request),
            Route::Upload(name, id) => self.upload(name, id, request),
            Route::Blob(name, digest) => self.blob(name, digest, request),
            Route::Manifest(name, reference) => self.manifest(name, reference, request),
            Route::Base
            | Route::Token
            | Route::Tags(_)
            | Route::Referrers(..)
            | Route::Uploads(_) => Err(unsupported()),
        }
    }

    fn own_issuer(&self) -> Option<&TokenIssuer> {
        match &self.access {
            AccessRule::Token { issuer, own: true } => Some(issuer),
            _ => None,
        }
    }

    fn authorize(&self, request: &Received, route: &Route<'_>) -> Result<(), ApiError> {
        let action = match request.method {
            Method::GET | Method::HEAD if !matches!(route, Route::Upload(..)) => "pull",
            // Cancelling an upload takes nothing away that is in the registry.
            Method::DELETE if !matches!(route, Route::Upload(..)) => "delete",
            _ => "push",
        };
        let access = route
            .repository()
            .map(|repository| Access { repository, action });
        let refused = match &self.access {
            AccessRule::Open => None,
            AccessRule::Basic { username, password } => check_basic(request, username, password),
            AccessRule::Token { issuer, .. } => issuer.check(request, access.as_ref()),
        };
        refused.map_or(Ok(()), Err)
    }

    /// Whether the request's credential allows to pull from `repository`.
    fn may_pull(&self, request: &Received, repository: &str) -> bool {
        let access = Access {
            repository,
            action: "pull",
        };
        match &self.access {
            AccessRule::Open | AccessRule::Basic { .. } => true,
            AccessRule::Token { issuer, .. } => issuer.check(request, Some(&access)).is_none(),
        }
    }
}

impl Route<'_> {
    fn repository(&self) -> Option<&str> {
        match self {
            Route::Base | Route::Token => None,
            Route::Tags(name)
            | Route::Uploads(name)
            | Route::Upload(name, _)
            | Route::Blob(name, _)
            | Route::Manifest(name, _)
            | Route::Referrers(name, _) => Some(name),
        }
    }
}

/// Splits a path from its end: repository names may hold any word, `blobs` too.
fn parse(path: &str) -> Option<Route<'_>> {
    if path == "/token" {
        return Some(Route::Token);
    }
    let rest = path.strip_prefix("/v2")?;
    if rest.is_empty() || rest == "/" {
        return Some(Route::Base);
    }
    let (front, last) = rest.strip_prefix('/')?.rsplit_once('/')?;
    let (name, kind) = front.rsplit_once('/')?;
    match (kind, last) {
        ("tags", "list") => Some(Route::Tags(name)),
        ("blobs", "uploads") => Some(Route::Uploads(name)),
        ("uploads", id) => {
            let name = name.strip_suffix("/blobs")?;
            Some(if id.is_empty() {
                Route::Uploads(name)
            } else {
                Route::Upload(name, id)
            })
        }
        ("blobs", digest) => Some(Route::Blob(name, digest)),
        ("manifests", reference) => Some(Route::Manifest(name, reference)),
        ("referrers", digest) => Some(Route::Referrers(name, digest)),
        _ => None,
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn unsupported() -> ApiError {
    ApiError::new(Code::Unsupported, "the method is not supported here")
}

/// An answer without body.
fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-length", HeaderValue::from_static("0"));
    response
}

/// Sets a header whose value is made of digests, names and numbers, so that it is always valid.
fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

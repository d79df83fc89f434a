//! Servers next to the registry: one that serves files, one that issues tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;

use super::auth::{Auth, TokenIssuer, TokenOptions};
use super::content;
use super::count;
use super::deliver::bare;
use super::fault::Fault;
use super::log::LoggedRequest;
use super::server::{Server, Service};
use super::tls::{self, Certificates, TlsOptions};
use crate::error::TestkitError;

/// A server that gives out files by path: the storage to which registries redirect, or any host
/// that should not be asked at all. It knows the same faults as [`FakeRegistry`].
///
/// [`FakeRegistry`]: super::FakeRegistry
pub struct PlainServer {
    server: Server,
    files: Files,
    certificates: Option<Certificates>,
}

type Files = Arc<Mutex<BTreeMap<String, Bytes>>>;

impl PlainServer {
    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// [`Bind`](TestkitError::Bind) if no port is free.
    pub fn start() -> Result<Self, TestkitError> {
        Self::start_at(loopback(), None)
    }

    /// Starts a server with TLS.
    ///
    /// # Errors
    ///
    /// [`Bind`](TestkitError::Bind) if no port is free, [`Tls`](TestkitError::Tls) if names cannot
    /// stand in a certificate.
    pub fn start_tls(options: &TlsOptions) -> Result<Self, TestkitError> {
        Self::start_at(loopback(), Some(options))
    }

    /// Starts a server on an address of choice; port 0 is a free port.
    ///
    /// # Errors
    ///
    /// As [`start_tls`](Self::start_tls).
    pub fn start_at(address: SocketAddr, tls: Option<&TlsOptions>) -> Result<Self, TestkitError> {
        let (acceptor, certificates) = tls::make_optional(tls)?;
        let files = Files::default();
        let held = Arc::clone(&files);
        let server = Server::start(address, acceptor, |_| -> Service {
            Arc::new(move |request| {
                let files = held.lock().unwrap_or_else(PoisonError::into_inner);
                match files.get(&request.path) {
                    Some(bytes) => content::respond(bytes.clone(), request.header("range")),
                    None => bare(StatusCode::NOT_FOUND),
                }
            })
        })?;
        Ok(Self {
            server,
            files,
            certificates,
        })
    }

    /// Gives out `bytes` at `path`, which begins with a slash. Returns the URL.
    pub fn put(&self, path: &str, bytes: impl Into<Bytes>) -> String {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(path.to_owned(), bytes.into());
        format!("{}{path}", self.server.url())
    }

    /// Gives out `files` below `folder`, a path that begins and ends with a slash, in place of all
    /// that it gave out there.
    pub(crate) fn replace(&self, folder: &str, files: &BTreeMap<String, Bytes>) {
        let mut served = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        served.retain(|path, _| !path.starts_with(folder));
        let files = files.iter();
        served.extend(files.map(|(name, content)| (format!("{folder}{name}"), content.clone())));
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The origin.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The certificates of a server with TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Adds a fault to the script.
    pub fn fault(&self, fault: Fault) {
        self.server.faults().add(fault);
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.server.log().all()
    }

    /// How many requests so far fit method and path pattern, see [`Fault::on`].
    pub fn count(&self, method: &str, pattern: &str) -> usize {
        count(&self.server, method, pattern)
    }
}

impl fmt::Debug for PlainServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainServer")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

/// A token server on an origin of its own, as large registries have it.
///
/// ```
/// # async fn example() {
/// use qmt_testkit::{FakeRegistry, TokenOptions, TokenServer};
/// let tokens = TokenServer::start(TokenOptions::new("alice", "secret")).unwrap();
/// let registry = FakeRegistry::builder().auth(tokens.auth()).serve().await;
/// # }
/// ```
pub struct TokenServer {
    server: Server,
    issuer: TokenIssuer,
    certificates: Option<Certificates>,
}

impl TokenServer {
    /// Starts a server on a free port of 127.0.0.1; it answers at `/token`.
    ///
    /// # Errors
    ///
    /// [`Bind`](TestkitError::Bind) if no port is free.
    pub fn start(options: TokenOptions) -> Result<Self, TestkitError> {
        Self::start_at(loopback(), options, None)
    }

    /// Starts a server with TLS.
    ///
    /// # Errors
    ///
    /// [`Bind`](TestkitError::Bind) if no port is free, [`Tls`](TestkitError::Tls) if names cannot
    /// stand in a certificate.
    pub fn start_tls(options: TokenOptions, tls: &TlsOptions) -> Result<Self, TestkitError> {
        Self::start_at(loopback(), options, Some(tls))
    }

    /// Starts a server on an address of choice; port 0 is a free port.
    ///
    /// # Errors
    ///
    /// As [`start_tls`](Self::start_tls).
    pub fn start_at(
        address: SocketAddr,
        options: TokenOptions,
        tls: Option<&TlsOptions>,
    ) -> Result<Self, TestkitError> {
        let (acceptor, certificates) = tls::make_optional(tls)?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let mut started = None;
        let server = Server::start(address, acceptor, |address| -> Service {
            let issuer = TokenIssuer::new(options, format!("{scheme}://{address}/token"));
            started = Some(issuer.clone());
            Arc::new(move |request| match request.path.as_str() {
                "/token" => issuer.issue(request),
                _ => bare(StatusCode::NOT_FOUND),
            })
        })?;
        let Some(issuer) = started else {
            unreachable!("`Server::start` asks for its service before it succeeds");
        };
        Ok(Self {
            server,
            issuer,
            certificates,
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The certificates of a server with TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// The rule for a registry that trusts this server's tokens.
    pub fn auth(&self) -> Auth {
        Auth::Issuer(self.issuer.clone())
    }

    /// The URL at which tokens are issued.
    pub fn realm(&self) -> String {
        format!("{}/token", self.server.url())
    }

    /// The scopes that were asked for, in order.
    pub fn scopes(&self) -> Vec<String> {
        self.issuer.scopes()
    }

    /// Makes all tokens that were issued so far worthless.
    pub fn revoke(&self) {
        self.issuer.revoke();
    }

    /// Adds a fault to the script.
    pub fn fault(&self, fault: Fault) {
        self.server.faults().add(fault);
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.server.log().all()
    }

    /// How many requests so far fit method and path pattern, see [`Fault::on`].
    pub fn count(&self, method: &str, pattern: &str) -> usize {
        count(&self.server, method, pattern)
    }
}

impl fmt::Debug for TokenServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenServer")
            .field("realm", &self.realm())
            .finish_non_exhaustive()
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

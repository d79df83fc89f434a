//! How a [`FakeRegistry`] is set up.

use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use qmt_oci_ref::RegistryHost;

use super::api::{Abilities, Api};
use super::auth::Auth;
use super::registry_host;
use super::server::{Server, Service};
use super::store::Store;
use super::tls::{self, TlsOptions};
use super::{FakeRegistry, layout};
use crate::error::TestkitError;

/// Sets up a [`FakeRegistry`]. The default is plain HTTP on a free port of 127.0.0.1, open to all,
/// with everything that the spec knows.
#[derive(Clone, Debug)]
#[must_use]
pub struct FakeRegistryBuilder {
    bind: SocketAddr,
    auth: Auth,
    tls: Option<TlsOptions>,
    referrers: bool,
    abilities: Abilities,
    layouts: Vec<(String, PathBuf)>,
}

impl FakeRegistryBuilder {
    pub(super) fn new() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            auth: Auth::None,
            tls: None,
            referrers: true,
            abilities: Abilities::default(),
            layouts: Vec::new(),
        }
    }

    /// Listens on this address; port 0 is a free port.
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.bind = address;
        self
    }

    /// Asks clients for credentials.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Speaks HTTPS only.
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.tls = Some(options);
        self
    }

    /// Whether there is a referrers API. Without it the endpoint answers 404 and pushes are not
    /// answered with `OCI-Subject`, so that clients use the tag schema.
    pub fn referrers_api(mut self, on: bool) -> Self {
        self.referrers = on;
        self
    }

    /// Lists at most `entries` referrers per page (at least 1), the rest behind a `Link`.
    pub fn referrers_page(mut self, entries: usize) -> Self {
        self.abilities.referrers_page = entries.max(1);
        self
    }

    /// Whether manifests and blobs can be deleted; if not, the answer is 405.
    pub fn deletes(mut self, on: bool) -> Self {
        self.abilities.deletes = on;
        self
    }

    /// Whether `Range` is honoured; if not, the whole blob is sent.
    pub fn ranges(mut self, on: bool) -> Self {
        self.abilities.ranges = on;
        self
    }

    /// Whether blobs can be mounted from other repositories; if not, an upload begins.
    pub fn mounts(mut self, on: bool) -> Self {
        self.abilities.mounts = on;
        self
    }

    /// Whether a pushed manifest is refused when content that it names is missing.
    pub fn check_references(mut self, on: bool) -> Self {
        self.abilities.check_references = on;
        self
    }

    /// Starts with the content of an OCI image layout in a repository.
    pub fn layout(mut self, repository: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.layouts.push((repository.into(), path.into()));
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// [`Bind`](TestkitError::Bind) if the address is taken, [`Tls`](TestkitError::Tls) if names
    /// cannot stand in a certificate, [`Layout`](TestkitError::Layout) if
    /// a layout does not load.
    pub fn start(self) -> Result<FakeRegistry, TestkitError> {
        let mut store = Store::default();
        for (repository, path) in &self.layouts {
            layout::load(&mut store, repository, path)?;
        }
        let (acceptor, certificates) = tls::make_optional(self.tls.as_ref())?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let mut started: Option<(Arc<Api>, RegistryHost)> = None;
        let server = Server::start(self.bind, acceptor, |address| -> Service {
            let host = registry_host(address);
            let url = format!("{scheme}://{address}");
            let api = Arc::new(Api::new(
                store,
                self.abilities,
                self.referrers,
                self.auth,
                host.clone(),
                &url,
            ));
            started = Some((Arc::clone(&api), host));
            Arc::new(move |request| api.answer(request))
        })?;
        let Some((api, host)) = started else {
            unreachable!("`Server::start` asks for its service before it succeeds");
        };
        Ok(FakeRegistry {
            server,
            api,
            host,
            certificates,
        })
    }

    /// Starts the server, as [`start`](Self::start) does, for tests that have nothing to say about
    /// a failure. There is nothing to wait for: the server is ready when this returns.
    ///
    /// # Panics
    ///
    /// If the server cannot start.
    pub fn serve(self) -> Ready<FakeRegistry> {
        ready(
            self.start()
                .unwrap_or_else(|error| panic!("the registry cannot start: {error}")),
        )
    }
}

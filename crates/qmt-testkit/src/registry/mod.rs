//! The registry: the OCI distribution spec over real HTTP, with scripted faults.

mod api;
mod auth;
mod builder;
mod conn;
mod content;
mod deliver;
mod fault;
mod flood;
mod gate;
mod layout;
mod log;
mod plain;
mod proxy;
mod script;
mod server;
mod store;
mod thread;
mod tls;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, MediaType, Reference, RegistryHost, Repository};

use self::api::Api;
pub use self::auth::{Auth, TokenIssuer, TokenOptions};
pub use self::builder::FakeRegistryBuilder;
pub use self::fault::{Cut, Fault};
pub use self::flood::{Flood, FloodServer};
pub use self::gate::Gate;
pub use self::log::LoggedRequest;
pub use self::plain::{PlainServer, TokenServer};
pub use self::proxy::ProxyServer;
use self::server::Server;
use self::store::StoredManifest;
pub use self::tls::{Certificates, TlsOptions};
pub use self::wire::{WireFault, WireProxy};
use crate::error::TestkitError;

/// The repository into which [`FakeRegistry::from_layout`] loads.
const LAYOUT_REPOSITORY: &str = "layout";

/// A registry for tests: real HTTP on a port of this machine, content in memory, faults on
/// request.
///
/// It runs on a thread of its own and stops when it is dropped, open connections included. Several
/// can run at the same time; they share nothing. Names, uploads and tokens are numbered, so that
/// the same test sees the same answers each time.
///
/// Methods that change content do so past all rules: a test may plant content under a digest that
/// is not its own. A client over HTTP can not.
pub struct FakeRegistry {
    server: Server,
    api: Arc<Api>,
    host: RegistryHost,
    certificates: Option<Certificates>,
}

impl FakeRegistry {
    /// Sets up a registry.
    pub fn builder() -> FakeRegistryBuilder {
        FakeRegistryBuilder::new()
    }

    /// Starts a registry that holds the content of an OCI image layout, in the repository
    /// `layout`. [`FakeRegistryBuilder::layout`] takes another name.
    ///
    /// # Errors
    ///
    /// As [`FakeRegistryBuilder::start`].
    pub fn from_layout(path: impl AsRef<Path>) -> Result<Self, TestkitError> {
        Self::builder()
            .layout(LAYOUT_REPOSITORY, path.as_ref())
            .start()
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The host in references, `127.0.0.1:<port>`.
    pub fn host(&self) -> RegistryHost {
        self.host.clone()
    }

    /// The origin, `http://127.0.0.1:<port>` or with `https`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The certificates of a registry with TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// The repository of that path here.
    ///
    /// # Panics
    ///
    /// If `path` is not a repository path.
    pub fn repository(&self, path: &str) -> Repository {
        Repository::new(self.host(), path)
            .unwrap_or_else(|error| panic!("`{path}` is not a repository: {error}"))
    }

    /// The reference `<host>/<name>`, where `name` is such as `acme/echo:1`.
    ///
    /// # Panics
    ///
    /// If `name` does not make a reference.
    pub fn reference(&self, name: &str) -> Reference {
        format!("{}/{name}", self.host)
            .parse()
            .unwrap_or_else(|error| panic!("`{name}` is not a reference: {error}"))
    }

    /// Keeps a blob. The descriptor has the media type `application/octet-stream`.
    pub fn put_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> Descriptor {
        let bytes = bytes.into();
        let size = bytes.len() as u64;
        let digest = self.api.store().put_blob(repository, bytes);
        Descriptor::new(MediaType::from("application/octet-stream"), digest, size)
    }

    /// Keeps a manifest or index and tags it, if a tag is given. The bytes may be anything.
    pub fn put_manifest<'a>(
        &self,
        repository: &str,
        tag: impl Into<Option<&'a str>>,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Descriptor {
        let (bytes, media_type) = (bytes.into(), MediaType::from(media_type));
        let size = bytes.len() as u64;
        let digest = self
            .api
            .store()
            .put_manifest(repository, tag.into(), &media_type, bytes);
        Descriptor::new(media_type, digest, size)
    }

    /// Stores `bytes` as the blob `digest`, which is that of other bytes, as a malicious registry
    /// does.
    pub fn plant_blob(&self, repository: &str, digest: &Digest, bytes: impl Into<Bytes>) {
        let mut store = self.api.store();
        store
            .repository_or_new(repository)
            .blobs
            .insert(digest.clone(), bytes.into());
    }

    /// Stores `bytes` as the manifest `digest`, which is that of other bytes.
    pub fn plant_manifest(
        &self,
        repository: &str,
        digest: &Digest,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) {
        let manifest = StoredManifest::new(media_type, bytes.into());
        let mut store = self.api.store();
        store
            .repository_or_new(repository)
            .manifests
            .insert(digest.clone(), manifest);
    }

    /// Points a tag at a digest, whether or not there is such a manifest.
    pub fn retag(&self, repository: &str, tag: &str, digest: &Digest) {
        let mut store = self.api.store();
        store
            .repository_or_new(repository)
            .tags
            .insert(tag.to_owned(), digest.clone());
    }

    /// Removes a tag. Returns the digest that it pointed at.
    pub fn delete_tag(&self, repository: &str, tag: &str) -> Option<Digest> {
        self.api
            .store()
            .repository_mut(repository)?
            .tags
            .remove(tag)
    }

    /// Removes a manifest, but not the tags that point at it. Returns its bytes.
    pub fn delete_manifest(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        let mut store = self.api.store();
        let removed = store.repository_mut(repository)?.manifests.remove(digest)?;
        Some(removed.bytes)
    }

    /// Removes a blob. Returns its bytes.
    pub fn delete_blob(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        self.api
            .store()
            .repository_mut(repository)?
            .blobs
            .remove(digest)
    }

    /// The bytes of a blob.
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        self.api.store().blob(repository, digest)
    }

    /// Descriptor and bytes of a manifest, by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(Descriptor, Bytes)> {
        let store = self.api.store();
        let (digest, manifest) = store.manifest(repository, reference)?;
        let size = manifest.bytes.len() as u64;
        let descriptor =
            Descriptor::new(MediaType::from(manifest.media_type.as_str()), digest, size);
        Some((descriptor, manifest.bytes.clone()))
    }

    /// The tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let store = self.api.store();
        store
            .repository(repository)
            .map_or_else(Vec::new, |held| held.tags.keys().cloned().collect())
    }

    /// The repositories, sorted.
    pub fn repositories(&self) -> Vec<String> {
        self.api.store().names()
    }

    /// Switches the referrers API on or off, see [`FakeRegistryBuilder::referrers_api`].
    pub fn set_referrers_api(&self, on: bool) {
        self.api.set_referrers(on);
    }

    /// Adds a fault to the script.
    pub fn fault(&self, fault: Fault) {
        self.server.faults().add(fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.server.faults().clear();
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.server.log().all()
    }

    /// How many requests so far fit method (`"*"` is any) and path pattern, see [`Fault::on`].
    pub fn count(&self, method: &str, pattern: &str) -> usize {
        count(&self.server, method, pattern)
    }

    /// One line per request: method, target, status.
    pub fn request_log(&self) -> String {
        self.server.log().text()
    }

    /// Forgets all requests.
    pub fn clear_requests(&self) {
        self.server.log().clear();
    }

    /// The scopes that were asked for at this registry's token endpoint, in order.
    pub fn token_scopes(&self) -> Vec<String> {
        self.api.issuer().map_or_else(Vec::new, TokenIssuer::scopes)
    }

    /// Makes all tokens that were issued so far worthless.
    pub fn revoke_tokens(&self) {
        if let Some(issuer) = self.api.issuer() {
            issuer.revoke();
        }
    }
}

impl fmt::Debug for FakeRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeRegistry")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

/// The host part of references to a server.
fn registry_host(address: SocketAddr) -> RegistryHost {
    address
        .to_string()
        .parse()
        .unwrap_or_else(|error| panic!("`{address}` is not a registry host: {error}"))
}

fn count(server: &Server, method: &str, pattern: &str) -> usize {
    let matcher = Fault::on(method, pattern);
    server
        .log()
        .all()
        .iter()
        .filter(|request| matcher.matches(request))
        .count()
}

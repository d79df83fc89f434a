//! One registry: its address, its options, and the connections to it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use qmt_oci_ref::address::AddressKind;
use qmt_oci_ref::{RegistryHost, Repository};
use reqwest::Client;
use tokio::sync::OnceCell;
use url::Url;

use super::connect::{configure, is_local_machine, proxy_hosts};
use super::options::HostOptions;
use super::redirect::same_origin;
use super::resolver::{CheckedResolver, Kinds, LookupFn, kinds_of, literal};
use crate::error::ClientError;
use crate::limits::Limits;

/// Docker Hub is named `docker.io` and served by this host.
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";

/// A registry.
pub(crate) struct Endpoint {
    pub(crate) host: RegistryHost,
    pub(crate) base: Url,
    pub(crate) options: HostOptions,
    kinds: OnceCell<Kinds>,
    clients: Mutex<HashMap<ClientKey, Client>>,
    lookup: LookupFn,
    limits: Limits,
}

/// What two requests must have in common to share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClientKey {
    /// Whether it is the endpoint's own host, which gets the client certificate.
    is_own: bool,
    /// Without TLS, the system's certificates are not read.
    is_plain: bool,
    /// The local machine, which the environment's proxy can't reach.
    is_local: bool,
    /// `None` for hosts that the operator named, else the kinds of address that may be reached.
    allowed: Option<Kinds>,
}

impl Endpoint {
    /// Makes the endpoint of a registry. The files of its options are read, so that a wrong path
    /// is reported before the first request.
    pub(crate) fn new(
        host: RegistryHost,
        options: HostOptions,
        lookup: LookupFn,
        limits: &Limits,
    ) -> Result<Self, ClientError> {
        let scheme = if options.plain_http { "http" } else { "https" };
        let name = if host.is_docker_hub() {
            DOCKER_HUB_SERVER
        } else {
            host.as_str()
        };
        let base = Url::parse(&format!("{scheme}://{name}/")).map_err(ClientError::setup)?;
        drop(configure(&host, &options, limits, true, false)?);
        Ok(Self {
            host,
            base,
            options,
            kinds: OnceCell::new(),
            clients: Mutex::new(HashMap::new()),
            lookup,
            limits: limits.clone(),
        })
    }

    /// The URL of `rest` (such as `manifests/latest`) in `repository`.
    pub(crate) fn url(&self, repository: &Repository, rest: &str) -> Url {
        let mut url = self.base.clone();
        // By their grammars, paths, tags and digests have no characters with a meaning in URLs.
        url.set_path(&format!("/v2/{}/{rest}", repository.path()));
        url
    }

    /// Whether `url` is at this registry.
    pub(crate) fn is_origin_of(&self, url: &Url) -> bool {
        same_origin(url, &self.base)
    }

    /// The kinds of network that this endpoint is in, looked up once.
    pub(crate) async fn kinds(&self) -> &Kinds {
        self.kinds
            .get_or_init(|| kinds_of(&self.base, &self.lookup))
            .await
    }

    /// The client for requests to the endpoint's own host.
    pub(crate) fn own_client(&self) -> Result<Client, ClientError> {
        self.client(true, &self.base, None)
    }

    /// The client for another host that the operator named.
    pub(crate) fn trusted_client(&self, url: &Url) -> Result<Client, ClientError> {
        self.client(false, url, None)
    }

    /// The client for a host that the endpoint named: without the client certificate, and only to
    /// public addresses or those of the endpoint's own kinds.
    pub(crate) async fn foreign_client(&self, url: &Url) -> Result<Client, ClientError> {
        let mut allowed = self.kinds().await.clone();
        allowed.insert(AddressKind::Public);
        self.client(false, url, Some(allowed))
    }

    fn client(
        &self,
        is_own: bool,
        url: &Url,
        allowed: Option<Kinds>,
    ) -> Result<Client, ClientError> {
        let key = ClientKey {
            is_own,
            is_plain: url.scheme() == "http",
            is_local: is_local_machine(url, literal(url)),
            allowed,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let mut builder = configure(
            &self.host,
            &self.options,
            &self.limits,
            is_own,
            key.is_local,
        )?
        .dns_resolver(CheckedResolver {
            lookup: self.lookup.clone(),
            allowed: key.allowed.clone(),
            exempt: proxy_hosts(&self.options),
        });
        if key.is_plain {
            // Reading the system's certificates takes longer than many requests.
            builder = builder.tls_certs_only([]);
        }
        let client = builder
            .build()
            .map_err(|cause| ClientError::setup(cause.without_url()))?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

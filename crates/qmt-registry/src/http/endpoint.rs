//! One place that is asked: a registry or a mirror, with its options and its HTTP clients.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use qmt_oci_ref::{RegistryHost, Repository};
use reqwest::{Certificate, Client, ClientBuilder, Identity, NoProxy, Proxy, redirect, tls};
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::options::HostOptions;
use super::resolver::{AddressKind, CheckedResolver, Kinds, LookupFn, kinds_of};
use crate::error::{BoxError, RegistryError};
use crate::limits::Limits;
use crate::mirror::{MirrorOptions, Source};

/// Docker Hub is named `docker.io` and served by this host.
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";
const USER_AGENT: &str = concat!("qmt-plugins/", env!("CARGO_PKG_VERSION"));
/// Flow-control window of one HTTP/2 stream and of a connection, in bytes: enough for a fast line,
/// and the most that a server can make us hold.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// A registry or a mirror.
pub(crate) struct Endpoint {
    pub(crate) host: RegistryHost,
    pub(crate) base: Url,
    pub(crate) options: HostOptions,
    prefix: Option<String>,
    is_mirror: bool,
    authoritative: bool,
    lied: AtomicBool,
    kinds: OnceCell<Kinds>,
    clients: Mutex<HashMap<ClientKey, Client>>,
    lookup: LookupFn,
    limits: Limits,
}

/// What two requests must have in common to share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClientKey {
    /// Whether it is the endpoint's own host, which is shown the client certificate.
    own: bool,
    /// Without TLS, the system's certificates need not be read.
    plain: bool,
    /// This very machine, to which the environment's proxy has no way.
    here: bool,
    /// `None` for hosts that the operator named, else the kinds of address that may be reached.
    allowed: Option<Vec<AddressKind>>,
}

impl Endpoint {
    /// Makes the endpoint of a registry.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Options`] where a file or the proxy can't be used.
    pub(crate) fn registry(
        host: RegistryHost,
        options: HostOptions,
        lookup: LookupFn,
        limits: &Limits,
    ) -> Result<Self, RegistryError> {
        Self::new(host, options, None, (false, true), lookup, limits)
    }

    /// Makes the endpoint of a mirror.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::registry`].
    pub(crate) fn mirror(
        mirror: MirrorOptions,
        lookup: LookupFn,
        limits: &Limits,
    ) -> Result<Self, RegistryError> {
        let MirrorOptions {
            host,
            prefix,
            authoritative,
            options,
        } = mirror;
        Self::new(host, options, prefix, (true, authoritative), lookup, limits)
    }

    fn new(
        host: RegistryHost,
        options: HostOptions,
        prefix: Option<String>,
        (is_mirror, authoritative): (bool, bool),
        lookup: LookupFn,
        limits: &Limits,
    ) -> Result<Self, RegistryError> {
        let scheme = if options.plain_http { "http" } else { "https" };
        let name = if host.is_docker_hub() {
            DOCKER_HUB_SERVER
        } else {
            host.as_str()
        };
        let base =
            Url::parse(&format!("{scheme}://{name}/")).map_err(|cause| RegistryError::Client {
                source: cause.into(),
            })?;
        let endpoint = Self {
            host,
            base,
            options,
            prefix,
            is_mirror,
            authoritative,
            lied: AtomicBool::new(false),
            kinds: OnceCell::new(),
            clients: Mutex::new(HashMap::new()),
            lookup,
            limits: limits.clone(),
        };
        // Files are read once here, so that a wrong path is known before the first request.
        drop(endpoint.with_options(Client::builder(), true, false)?);
        Ok(endpoint)
    }

    pub(crate) fn is_mirror(&self) -> bool {
        self.is_mirror
    }

    /// Remembers that it sent wrong content: it isn't asked again.
    pub(crate) fn set_lied(&self) {
        self.lied.store(true, Ordering::Relaxed);
    }

    /// The path under which this endpoint keeps `repository`.
    pub(crate) fn path(&self, repository: &Repository) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{}", repository.path()),
            None => repository.path().to_owned(),
        }
    }

    /// The URL of `rest` (such as `manifests/latest`) in `repository`.
    pub(crate) fn url(&self, repository: &Repository, rest: &str) -> Url {
        let mut url = self.base.clone();
        // The grammars of path, tag and digest leave nothing that could mean more than itself.
        url.set_path(&format!("/v2/{}/{rest}", self.path(repository)));
        url
    }

    /// The URL of the version check.
    pub(crate) fn version_url(&self) -> Url {
        let mut url = self.base.clone();
        url.set_path("/v2/");
        url
    }

    /// The kinds of network that this endpoint is in, looked up once.
    pub(crate) async fn kinds(&self) -> &Kinds {
        self.kinds
            .get_or_init(|| kinds_of(&self.base, &self.lookup))
            .await
    }

    /// The client for requests to the endpoint's own host.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Client`] and [`RegistryError::Options`].
    pub(crate) fn client(&self) -> Result<Client, RegistryError> {
        self.client_for(ClientKey {
            own: true,
            plain: self.base.scheme() == "http",
            here: is_this_machine(&self.base),
            allowed: None,
        })
    }

    /// The client for another place that the operator named.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Client`] and [`RegistryError::Options`].
    pub(crate) fn trusted_client(&self, url: &Url) -> Result<Client, RegistryError> {
        self.client_for(ClientKey {
            own: false,
            plain: url.scheme() == "http",
            here: is_this_machine(url),
            allowed: None,
        })
    }

    /// The client for a place that the endpoint named: without its client certificate, and only to
    /// addresses of the endpoint's own kinds or the internet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Client`] and [`RegistryError::Options`].
    pub(crate) async fn foreign_client(&self, url: &Url) -> Result<Client, RegistryError> {
        let mut allowed = self.kinds().await.clone();
        allowed.insert(AddressKind::Public);
        let allowed = Some(allowed.into_iter().collect());
        self.client_for(ClientKey {
            own: false,
            plain: url.scheme() == "http",
            here: is_this_machine(url),
            allowed,
        })
    }

    fn client_for(&self, key: ClientKey) -> Result<Client, RegistryError> {
        let mut clients = self
            .clients
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let allowed = key.allowed.clone().map(|kinds| kinds.into_iter().collect());
        let resolver = CheckedResolver::new(self.lookup.clone(), allowed, self.proxy_hosts());
        let mut builder = self
            .with_options(Client::builder(), key.own, key.here)?
            .dns_resolver(resolver);
        if key.plain {
            // Reading the system's certificates takes longer than many a request.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(client_error)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn with_options(
        &self,
        builder: ClientBuilder,
        own: bool,
        here: bool,
    ) -> Result<ClientBuilder, RegistryError> {
        let limits = &self.limits;
        let mut builder = builder
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .tls_version_min(tls::Version::TLS_1_2)
            .connect_timeout(limits.connect_timeout)
            // One more than the limit, so that it is our error that names it.
            .http1_max_headers(limits.headers.saturating_add(2))
            .http2_max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .tcp_nodelay(true);
        if let Some(path) = &self.options.ca_file {
            let pem = self.read("ca_file", path)?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|cause| {
                self.fault("ca_file", Some(path), NO_CERTIFICATES, Some(cause.into()))
            })?;
            if certificates.is_empty() {
                return Err(self.fault("ca_file", Some(path), NO_CERTIFICATES, None));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        match (&self.options.client_cert, &self.options.client_key) {
            (Some(cert), Some(key)) if own => {
                let mut pem = self.read("client_cert", cert)?;
                pem.push(b'\n');
                pem.extend(self.read("client_key", key)?);
                // The cause is not kept: it could quote the key.
                let identity = Identity::from_pem(&pem).map_err(|_| {
                    let fault = "certificate or key is not PEM";
                    self.fault("client_cert", Some(cert), fault, None)
                })?;
                zeroize::Zeroize::zeroize(&mut pem);
                builder = builder.identity(identity);
            }
            (Some(_), Some(_)) | (None, None) => {}
            (Some(path), None) | (None, Some(path)) => {
                let fault = "client_cert and client_key go together";
                return Err(self.fault("client_cert", Some(path), fault, None));
            }
        }
        match &self.options.proxy {
            Some(proxy) if proxy.0.is_empty() => builder = builder.no_proxy(),
            Some(proxy) => {
                // The cause is not kept: it could quote the password.
                let proxy = Proxy::all(&proxy.0)
                    .map_err(|_| self.fault("proxy", None, "it is not a proxy's URL", None))?;
                builder = builder.proxy(proxy.no_proxy(NoProxy::from_env()));
            }
            None if here => builder = builder.no_proxy(),
            None => {}
        }
        Ok(builder)
    }

    /// The proxies' names, which resolve to whatever the operator wants.
    fn proxy_hosts(&self) -> Vec<String> {
        let variables = [
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ];
        let configured = self.options.proxy.as_ref().map(|proxy| proxy.0.clone());
        configured
            .into_iter()
            .chain(variables.iter().filter_map(|name| std::env::var(name).ok()))
            .filter_map(|proxy| Url::parse(&proxy).ok()?.host_str().map(str::to_owned))
            .collect()
    }

    fn read(&self, option: &'static str, path: &Path) -> Result<Vec<u8>, RegistryError> {
        std::fs::read(path)
            .map_err(|cause| self.fault(option, Some(path), "it can't be read", Some(cause.into())))
    }

    fn fault(
        &self,
        option: &'static str,
        path: Option<&Path>,
        fault: &'static str,
        source: Option<BoxError>,
    ) -> RegistryError {
        let path = path.map(Path::to_path_buf);
        RegistryError::Options {
            host: self.host.clone(),
            option,
            path,
            fault,
            source,
        }
    }
}

const NO_CERTIFICATES: &str = "it holds no PEM certificate";

impl Source for std::sync::Arc<Endpoint> {
    fn is_authoritative(&self) -> bool {
        self.authoritative
    }

    fn has_lied(&self) -> bool {
        self.lied.load(Ordering::Relaxed)
    }
}

fn client_error(cause: reqwest::Error) -> RegistryError {
    RegistryError::Client {
        source: cause.without_url().into(),
    }
}

/// Whether `url` leads to this very machine by its own words: no name is looked up for that.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(v4)) => AddressKind::of(v4.into()) == AddressKind::Loopback,
        Some(Host::Ipv6(v6)) => AddressKind::of(v6.into()) == AddressKind::Loopback,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_by_its_names_and_addresses() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST.", true),
            ("registry.localhost", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("localhost.example", false),
            ("notlocalhost", false),
            ("10.0.0.1", false),
            ("[fd00::1]", false),
            ("0.0.0.0", false),
        ] {
            let url = Url::parse(&format!("http://{host}:5000/")).unwrap();
            assert_eq!(is_this_machine(&url), expected, "{host}");
        }
    }
}

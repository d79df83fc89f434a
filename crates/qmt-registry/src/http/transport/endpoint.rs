//! One registry: its address, its options, and the connections to it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header};
use qmt_oci_ref::address::AddressKind;
use qmt_oci_ref::time::rfc3339;
use qmt_oci_ref::{RegistryHost, Repository};
use reqwest::{Client, Proxy, redirect};
use rustls::ClientConfig;
use url::Url;

use super::authorities::Authorities;
use super::options::HostOptions;
use super::proxy::{Proxies, ProxyUrl, Route};
use super::redirect::same_origin;
use super::request::RequestSpec;
use super::resolver::{CheckedResolver, LookupFn, RegistryKind};
use super::tls::TlsFiles;
use crate::error::{ClientError, Phase};
use crate::events::Events;
use crate::limits::Limits;
use crate::redact::RedactedUrl;

/// What the paths of the registry API begin with:
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#endpoints>
pub(crate) const API: &str = "/v2/";
/// Docker Hub is named `docker.io` and served by this host.
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";

const USER_AGENT: &str = concat!("qmt-plugins/", env!("CARGO_PKG_VERSION"));
/// Flow-control window of one HTTP/2 stream and of a connection, in bytes: enough for a fast line,
/// and the most that a server can make the client buffer.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// A registry.
pub(crate) struct Endpoint {
    pub(crate) host: RegistryHost,
    pub(crate) base: Url,
    pub(crate) options: HostOptions,
    pub(crate) context: Context,
    kind: RegistryKind,
    /// When the client's certificate is valid, if there is one.
    client_validity: Option<[SystemTime; 2]>,
    /// Whether it sent an answer to a request.
    has_answered: AtomicBool,
    connections: Mutex<HashMap<ClientKey, Connection>>,
}

/// What the endpoints of one client share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) limits: Limits,
    pub(crate) events: Events,
    pub(crate) lookup: LookupFn,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) authorities: Arc<Authorities>,
}

/// Connections to a server.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(super) client: Client,
    /// The proxy that they lead through.
    pub(super) proxy: Option<RedactedUrl>,
    /// The same with its password.
    pub(super) proxy_url: Option<ProxyUrl>,
    /// Whether they are to the registry itself, which may get a client certificate.
    pub(super) is_own: bool,
}

/// What two requests must have in common to share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClientKey {
    /// Whether it is the endpoint's own host, which gets the client certificate.
    is_own: bool,
    /// Without TLS, the system's certificates are not read.
    is_plain: bool,
    route: Route,
    /// The registry whose `ca_file` is for this server, which another registry leads to.
    authorities_of: Option<RegistryHost>,
    /// `None` for hosts that the operator named, else the outermost network of the servers that led there.
    named_by: Option<AddressKind>,
}

impl Endpoint {
    /// Makes the endpoint of a registry. The files of its options are read, so that a wrong path
    /// is reported before the first request.
    pub(crate) fn new(
        host: RegistryHost,
        options: HostOptions,
        context: Context,
    ) -> Result<Self, ClientError> {
        let scheme = if options.plain_http { "http" } else { "https" };
        let name = if host.is_docker_hub() {
            DOCKER_HUB_SERVER
        } else {
            host.as_str()
        };
        let base = Url::parse(&format!("{scheme}://{name}/")).map_err(ClientError::setup)?;
        let client_validity = TlsFiles::read(&host, &options)?.client_validity();
        if let Some(Err(reason)) = options.proxy {
            return Err(ClientError::Options {
                host,
                option: "proxy",
                path: None,
                reason,
                source: None,
            });
        }
        Ok(Self {
            host,
            kind: RegistryKind::of(&base),
            base,
            options,
            context,
            client_validity,
            has_answered: AtomicBool::new(false),
            connections: Mutex::default(),
        })
    }

    /// The URL of `rest` (such as `manifests/latest`) in `repository`.
    pub(crate) fn url(&self, repository: &Repository, rest: &str) -> Url {
        let mut url = self.base.clone();
        // By their grammars, paths, tags and digests have no characters with a meaning in URLs.
        url.set_path(&format!("{API}{}/{rest}", repository.path()));
        url
    }

    /// Whether `url` is at this registry.
    pub(crate) fn is_origin_of(&self, url: &Url) -> bool {
        same_origin(url, &self.base)
    }

    /// Whether a request is to this registry, and no other server led there: only such a request gets
    /// the authorization.
    pub(crate) fn is_own_request(&self, spec: &RequestSpec<'_>) -> bool {
        spec.led_by.is_none() && self.is_origin_of(&spec.url)
    }

    /// Notes that `url` sent an answer.
    pub(super) fn note_answer(&self, url: &Url) {
        if self.is_origin_of(url) {
            self.has_answered.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the registry sent an answer to this request or an earlier one.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Whether `NO_PROXY` names the host of `url`.
    pub(super) fn is_exempt(&self, url: &RedactedUrl) -> bool {
        Url::parse(url.as_str()).is_ok_and(|url| self.context.proxies.exempts(&url))
    }

    /// The `ca_file` for the server of `url`, if that is another one than this registry, and the registry
    /// in whose options it is.
    fn authorities(&self, url: &Url) -> Option<(&RegistryHost, &Path)> {
        let file = self.context.authorities.file(url);
        file.filter(|_| !self.is_origin_of(url))
    }

    /// The registry whose options decide which certificates of `url` are trusted, and these options.
    pub(super) fn trust_of(&self, url: &RedactedUrl) -> (RegistryHost, HostOptions) {
        let (mut host, mut options) = (self.host.clone(), self.options.clone());
        let url = Url::parse(url.as_str()).ok();
        if let Some((other, file)) = url.as_ref().and_then(|url| self.authorities(url)) {
            host = other.clone();
            options = options.plain_http(false).ca_file(file);
        }
        (host, options)
    }

    /// What is wrong with the client's certificate at `now`. The server decides about it in the end.
    pub(crate) fn certificate_warning(&self, now: SystemTime) -> Option<String> {
        let [from, until] = self.client_validity?;
        let (path, _) = self.options.client_certificate.as_ref()?;
        let rule = if now > until {
            format!("expired on {}", rfc3339(until))
        } else if now < from {
            format!("is not valid before {}", rfc3339(from))
        } else {
            return None;
        };
        Some(format!(
            "the certificate in `{}`, which `client_cert` of registry `{}` names, {rule}; most servers \
             refuse it then",
            path.display(),
            self.host
        ))
    }

    /// Checks that the proxy for this registry can be read, if there is one.
    pub(crate) fn check_proxy(&self) -> Result<(), ClientError> {
        let route = self.context.proxies.route(&self.options, &self.base);
        route.map(drop)
    }

    /// The kind of network that this endpoint is in.
    pub(crate) fn kind(&self) -> AddressKind {
        self.kind.get()
    }

    /// The kind of network that this endpoint is in; `None` where it is not known.
    pub(crate) fn known_kind(&self) -> Option<AddressKind> {
        self.kind.known()
    }

    /// The error for an operation that was not finished within `limit`; without `rest`, of any request.
    pub(crate) fn timed_out(
        &self,
        request: Option<(&Repository, &str)>,
        limit: Duration,
    ) -> ClientError {
        let url = request.map(|(repository, rest)| self.url(repository, rest));
        let url = RedactedUrl::from(url.as_ref().unwrap_or(&self.base));
        ClientError::timed_out(url, Phase::Finish, limit)
    }

    /// The client for a `url` at the endpoint's own host. On another port, which the endpoint named,
    /// the name leads only where a foreign one may.
    pub(crate) fn own_client(&self, url: &Url) -> Result<Connection, ClientError> {
        let named_by = (!self.is_origin_of(url)).then(|| self.kind());
        self.client(true, url, named_by)
    }

    /// The client for another host that the operator named.
    pub(crate) fn trusted_client(&self, url: &Url) -> Result<Connection, ClientError> {
        self.client(false, url, None)
    }

    /// The client for a host that a redirect or a challenge names: without the client certificate, and
    /// only to addresses to which a server in the network `named_by` may lead.
    pub(super) fn foreign_client(
        &self,
        url: &Url,
        named_by: AddressKind,
    ) -> Result<Connection, ClientError> {
        self.client(false, url, Some(named_by))
    }

    fn client(
        &self,
        is_own: bool,
        url: &Url,
        named_by: Option<AddressKind>,
    ) -> Result<Connection, ClientError> {
        let route = self.context.proxies.route(&self.options, url)?;
        let proxy = match &route {
            Route::Proxy(proxy) => Some(&proxy.0),
            Route::Direct | Route::System => None,
        };
        let is_plain = |url: &Url| url.scheme() != "https";
        // A proxy with TLS would be trusted by them as well.
        let authorities = self.authorities(url);
        let authorities = authorities.filter(|_| proxy.is_none_or(is_plain));
        let key = ClientKey {
            is_own,
            is_plain: is_plain(url) && proxy.is_none_or(is_plain),
            route: route.clone(),
            authorities_of: authorities.map(|(host, _)| host.clone()),
            named_by,
        };
        let connections = self.connections.lock();
        let mut connections = connections.unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = connections.get(&key) {
            return Ok(connection.clone());
        }
        let resolver = CheckedResolver {
            lookup: self.context.lookup.clone(),
            registry: self.kind.clone(),
            named_by,
            // The operator named the proxy, so its name may resolve to any address.
            exempt: proxy.and_then(|proxy| Some(proxy.host_str()?.to_owned())),
        };
        let tls = if key.is_plain {
            None
        } else {
            let (host, options) = (&self.host, &self.options);
            let mut files = TlsFiles::read(host, options)?;
            if let Some((other, file)) = authorities {
                files.trust(other, file)?;
            }
            Some(files.config(host, options.plain_http, is_own)?)
        };
        let connection = Connection {
            client: connect(&self.context.limits, tls, &route, resolver)?,
            proxy: proxy.map(RedactedUrl::of_proxy),
            proxy_url: proxy.cloned().map(ProxyUrl),
            is_own,
        };
        connections.insert(key, connection.clone());
        Ok(connection)
    }
}

/// Makes a client that keeps to `limits`. Without `tls`, it connects by plain HTTP only.
fn connect(
    limits: &Limits,
    tls: Option<ClientConfig>,
    route: &Route,
    resolver: CheckedResolver,
) -> Result<Client, ClientError> {
    // Without the header, a server may choose any encoding, and digests are those of plain bytes.
    let identity = (
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(HeaderMap::from_iter([identity]))
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(limits.connect_timeout)
        // Above the limit, so that the check of this crate, whose error names the limit, applies.
        .http1_max_headers(limits.headers.saturating_add(2))
        // Old servers fold long header lines (RFC 9112, section 5.2), and curl reads those.
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        // A malformed line, such as one with a blank before its colon, is left out: nothing is read
        // from it, and curl accepts such answers, too.
        .http1_ignore_invalid_headers_in_responses(true)
        .http2_max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .tcp_nodelay(true)
        .dns_resolver(resolver);
    let builder = match tls {
        Some(config) => builder.tls_backend_preconfigured(config),
        // Reading the system's certificates takes longer than many requests.
        None => builder.tls_certs_only([]),
    };
    let builder = match route {
        Route::Direct => builder.no_proxy(),
        Route::System => builder,
        Route::Proxy(ProxyUrl(url)) => {
            let proxy = Proxy::all(url.clone());
            builder.proxy(proxy.map_err(|cause| ClientError::setup(cause.without_url()))?)
        }
    };
    let built = builder.build();
    built.map_err(|cause| ClientError::setup(cause.without_url()))
}

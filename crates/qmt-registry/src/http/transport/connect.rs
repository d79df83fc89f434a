//! Makes HTTP clients: TLS, proxies, bounds on what a server may send.

use reqwest::{Client, Proxy, redirect};
use rustls::ClientConfig;

use super::proxy::{ProxyUrl, Route};
use super::resolver::CheckedResolver;
use crate::error::ClientError;
use crate::limits::Limits;

const USER_AGENT: &str = concat!("qmt-plugins/", env!("CARGO_PKG_VERSION"));
/// Flow-control window of one HTTP/2 stream and of a connection, in bytes: enough for a fast line,
/// and the most that a server can make the client buffer.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// Makes a client that keeps to `limits`. Without `tls`, it connects by plain HTTP only.
pub(super) fn connect(
    limits: &Limits,
    tls: Option<ClientConfig>,
    route: &Route,
    resolver: CheckedResolver,
) -> Result<Client, ClientError> {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(limits.connect_timeout)
        // Above the limit, so that the check of this crate, whose error names the limit, applies.
        .http1_max_headers(limits.headers.saturating_add(2))
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

//! Sets up connections: TLS, client certificates, proxies, bounds on what a server may send.

use std::net::IpAddr;
use std::path::Path;

use qmt_oci_ref::RegistryHost;
use qmt_oci_ref::address::AddressKind;
use reqwest::{Certificate, Client, ClientBuilder, Identity, NoProxy, Proxy, redirect, tls};
use url::Url;
use zeroize::Zeroizing;

use super::options::HostOptions;
use crate::error::{BoxError, ClientError};
use crate::limits::Limits;

const USER_AGENT: &str = concat!("qmt-plugins/", env!("CARGO_PKG_VERSION"));
/// Flow-control window of one HTTP/2 stream and of a connection, in bytes: enough for a fast line,
/// and the most that a server can make the client buffer.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
const PROXY_VARIABLES: [&str; 6] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Applies `options` and `limits`. `is_own` is for requests to the registry itself, which get the
/// client certificate; `is_local` for hosts that the environment's proxy can't reach.
pub(super) fn configure(
    host: &RegistryHost,
    options: &HostOptions,
    limits: &Limits,
    is_own: bool,
    is_local: bool,
) -> Result<ClientBuilder, ClientError> {
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .tls_version_min(tls::Version::TLS_1_2)
        .connect_timeout(limits.connect_timeout)
        // Above the limit, so that the check of this crate, whose error names the limit, applies.
        .http1_max_headers(limits.headers.saturating_add(2))
        .http2_max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .tcp_nodelay(true);
    let unusable = |option, path: Option<&Path>, reason, source| ClientError::Options {
        host: host.clone(),
        option,
        path: path.map(Path::to_path_buf),
        reason,
        source,
    };
    let read = |option, path| {
        let unreadable = |cause: std::io::Error| {
            unusable(option, Some(path), "it can't be read", Some(cause.into()))
        };
        std::fs::read(path).map(Zeroizing::new).map_err(unreadable)
    };
    if let Some(path) = &options.ca_file {
        let without = |source: Option<BoxError>| {
            unusable("ca_file", Some(path), "it has no PEM certificate", source)
        };
        let certificates = Certificate::from_pem_bundle(&read("ca_file", path)?)
            .map_err(|cause| without(Some(cause.into())))?;
        if certificates.is_empty() {
            return Err(without(None));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some((certificate, key)) = options.client_certificate.as_ref().filter(|_| is_own) {
        let mut pem = read("client_cert", certificate)?;
        pem.push(b'\n');
        pem.extend_from_slice(&read("client_key", key)?);
        // The cause is dropped, because it could quote the key.
        let identity = Identity::from_pem(&pem).map_err(|_| {
            let reason = "certificate or key is not PEM";
            unusable("client_cert", Some(certificate), reason, None)
        })?;
        builder = builder.identity(identity);
    }
    Ok(match &options.proxy {
        Some(proxy) if !proxy.0.is_empty() => {
            // The cause is dropped, because it could quote the password.
            let proxy = Proxy::all(&proxy.0)
                .map_err(|_| unusable("proxy", None, "it is not the URL of a proxy", None))?;
            builder.proxy(proxy.no_proxy(NoProxy::from_env()))
        }
        Some(_) => builder.no_proxy(),
        None if is_local => builder.no_proxy(),
        None => builder,
    })
}

/// The hosts of the proxies. The operator chose them, so they may resolve to any address.
pub(super) fn proxy_hosts(options: &HostOptions) -> Vec<String> {
    let configured = options.proxy.as_ref().map(|proxy| proxy.0.clone());
    let variables = PROXY_VARIABLES.iter();
    configured
        .into_iter()
        .chain(variables.filter_map(|name| std::env::var(name).ok()))
        .filter_map(|proxy| Url::parse(&proxy).ok()?.host_str().map(str::to_owned))
        .collect()
}

/// Whether `url`, whose host may be an `address`, names the local machine. No name is looked up.
pub(super) fn is_local_machine(url: &Url, address: Option<IpAddr>) -> bool {
    if let Some(address) = address {
        return AddressKind::of(address) == AddressKind::Loopback;
    }
    let name = url.domain().unwrap_or_default().trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests;

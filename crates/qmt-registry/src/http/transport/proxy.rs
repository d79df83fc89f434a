//! Which proxy a request goes through: the one of its registry's options, else the environment's.
//!
//! Variables are read as curl reads them (<https://curl.se/docs/manpage.html#ENVIRONMENT>), for
//! each request: a redirect may lead to a host for which another proxy, or none, is set.

use std::env;
use std::ffi::OsString;
use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;
use qmt_oci_ref::address::AddressKind;
use url::{Host, Url};

use super::options::HostOptions;
use super::resolver::literal;
use crate::error::{ClientError, ProxyError};
use crate::redact::RedactedUrl;

/// The schemes by which proxies are reached.
const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The proxies of the environment, and the hosts that are reached without.
#[derive(Default)]
pub(crate) struct Proxies {
    /// In the order in which they are looked at.
    variables: Vec<Variable>,
    exempt: Exempt,
}

/// A variable that is set and names a proxy.
struct Variable {
    name: &'static str,
    /// The scheme of the URLs that it is for; `None` for all.
    scheme: Option<&'static str>,
    value: OsString,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Route {
    Direct,
    Proxy(ProxyUrl),
    /// As the operating system's settings say.
    System,
}

/// The URL of a proxy. It may have a password, so `Debug` redacts it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct ProxyUrl(pub(super) Url);

impl Proxies {
    /// Reads the environment of this process.
    pub(crate) fn of_process() -> Self {
        Self::read(|name| env::var_os(name))
    }

    /// Reads variables. The names in lower case come first, and an empty one is not set.
    pub(crate) fn read<T: Into<OsString>>(variable: impl Fn(&str) -> Option<T>) -> Self {
        let variable = |name: &str| {
            let value: OsString = variable(name)?.into();
            (!value.is_empty()).then_some(value)
        };
        // In a CGI program, this variable is a header of a request (CVE-2016-5385).
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let variables = [
            ("http_proxy", Some("http")),
            ("HTTP_PROXY", Some("http")),
            ("https_proxy", Some("https")),
            ("HTTPS_PROXY", Some("https")),
            ("all_proxy", None),
            ("ALL_PROXY", None),
        ];
        let variables = variables.into_iter().filter_map(|(name, scheme)| {
            let value = variable(name).filter(|_| !(is_cgi && name == "HTTP_PROXY"))?;
            Some(Variable {
                name,
                scheme,
                value,
            })
        });
        let exempt = |name: &str| {
            // A host that is not read goes through the proxy.
            let list = variable(name)?.to_string_lossy().into_owned();
            (!list.trim().is_empty()).then(|| Exempt::parse(&list))
        };
        let exempt = exempt("no_proxy").or_else(|| exempt("NO_PROXY"));
        Self {
            variables: variables.collect(),
            exempt: exempt.unwrap_or_default(),
        }
    }

    /// Whether `NO_PROXY` names the host of `url`.
    pub(super) fn exempts(&self, url: &Url) -> bool {
        self.exempt.covers(url)
    }

    /// How `url` is reached with the options of its registry.
    pub(super) fn route(&self, options: &HostOptions, url: &Url) -> Result<Route, ClientError> {
        if self.exempts(url) || (options.proxy.is_none() && is_local_machine(url)) {
            return Ok(Route::Direct);
        }
        if let Some(configured) = options.proxy.clone() {
            // An error was reported when the client was made, with the registry and the option.
            let proxy = configured.map_err(ClientError::setup)?;
            return Ok(proxy.map_or(Route::Direct, Route::Proxy));
        }
        let is_for = |variable: &&Variable| variable.scheme.is_none_or(|s| s == url.scheme());
        let Some(variable) = self.variables.iter().find(is_for) else {
            let has_settings = cfg!(any(windows, target_os = "macos"));
            return Ok(if has_settings && self.variables.is_empty() {
                Route::System
            } else {
                Route::Direct
            });
        };
        variable.proxy().map(Route::Proxy).map_err(|reason| {
            let variable = variable.name;
            ProxyError::Variable { variable, reason }.into()
        })
    }
}

impl Variable {
    fn proxy(&self) -> Result<ProxyUrl, &'static str> {
        parse(self.value.to_str().ok_or("it is not UTF-8")?)
    }
}

/// Reads the option `proxy` of a registry; `None` for the empty text.
pub(super) fn option(text: &str) -> Result<Option<ProxyUrl>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(Some)
}

/// Reads the URL of a proxy; without a scheme it is reached by HTTP. A path, a query and a fragment
/// mean nothing there and are ignored, as by curl. Requests would go without a proxy if the HTTP client
/// did not understand the URL, so only one that it understands is returned.
fn parse(text: &str) -> Result<ProxyUrl, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it has only spaces");
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("socks") => ("socks4", rest),
        Some(parts) => parts,
        // Else the scheme would be a host.
        None if text.contains(":/") => return Err("it has `:/` in place of `://`"),
        None => ("http", text),
    };
    // As by curl, the user name and the password end at the last `@`, and may have characters that
    // have a meaning elsewhere in a URL, such as the `\` of `DOMAIN\user`.
    let (user, address) = match rest.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, rest),
    };
    let malformed = "it is not the URL of a proxy";
    let host = address.split(['/', '?', '#']).next().unwrap_or(address);
    if host.contains(['$', '{', '}', '<', '>', '%', '~', '`']) {
        return Err("it has a variable or placeholder instead of a host");
    }
    if host.contains(['"', '\'']) {
        return Err("it has quotation marks");
    }
    if address.contains('\\') {
        return Err(malformed);
    }
    let mut url = Url::parse(&format!("{scheme}://{address}")).map_err(|_| malformed)?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err("its scheme is not `http`, `https` or one of `socks`");
    }
    if !url.host_str().is_some_and(is_host) {
        return Err(malformed);
    }
    url.set_path("");
    url.set_query(None);
    url.set_fragment(None);
    if let Some(user) = user {
        let (name, password) = match user.split_once(':') {
            Some((name, password)) => (name, Some(password)),
            None => (user, None),
        };
        // They encode what a URL can't have.
        url.set_username(name).map_err(|()| malformed)?;
        url.set_password(password).map_err(|()| malformed)?;
    }
    if url.as_str().parse::<Uri>().is_err() {
        return Err(malformed);
    }
    Ok(ProxyUrl(url))
}

/// Whether `host`, as in a URL, is an address or has the characters of names in DNS. URLs allow others.
fn is_host(host: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    host.starts_with('[') || (!host.is_empty() && host.bytes().all(is_of_name))
}

/// Whether `url` names the local machine. No name is looked up.
fn is_local_machine(url: &Url) -> bool {
    if let Some(address) = literal(url) {
        return AddressKind::of(address) == AddressKind::Loopback;
    }
    let name = url.domain().unwrap_or_default().trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// The hosts of `NO_PROXY`, each with its only port, if there is one.
#[derive(Default)]
struct Exempt(Vec<(Hosts, Option<u16>)>);

enum Hosts {
    All,
    /// A name and all names below it.
    Name(String),
    Network(IpNet),
}

impl Exempt {
    /// Reads a list that is separated by commas or white space.
    fn parse(list: &str) -> Self {
        let entries = list.split(|c: char| c == ',' || c.is_ascii_whitespace());
        Self(entries.filter_map(exempt).collect())
    }

    fn covers(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        let address = literal(url).map(|address| address.to_canonical());
        let name = url.domain().unwrap_or_default();
        let name = name.strip_suffix('.').unwrap_or(name);
        self.0.iter().any(|(hosts, only)| {
            let has_host = match hosts {
                Hosts::All => true,
                Hosts::Name(suffix) => name
                    .strip_suffix(suffix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
                Hosts::Network(network) => {
                    address.is_some_and(|address| network.contains(&address))
                }
            };
            has_host && (only.is_none() || *only == port)
        })
    }
}

/// Reads `*`, a name (also as `.name` or `*.name`), an address or a network, each with a port or
/// without. Everything else is ignored, as by curl.
fn exempt(text: &str) -> Option<(Hosts, Option<u16>)> {
    if let Some(hosts) = Hosts::parse(text) {
        return Some((hosts, None));
    }
    let (host, port) = text.rsplit_once(':')?;
    Some((Hosts::parse(host)?, Some(port.parse().ok()?)))
}

impl Hosts {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let bracketed = text.strip_prefix('[').and_then(|text| text.split_once(']'));
        let address = match bracketed {
            Some((address, size)) if size.is_empty() || size.starts_with('/') => {
                format!("{address}{size}")
            }
            Some(_) => return None,
            None => text.to_owned(),
        };
        if let Ok(address) = address.parse::<IpAddr>() {
            return Some(Self::Network(address.to_canonical().into()));
        }
        if let Ok(network) = address.parse::<IpNet>() {
            return Some(Self::Network(network));
        }
        let name = text.strip_prefix('*').unwrap_or(text);
        let name = name.strip_prefix('.').unwrap_or(name);
        // In the form in which URLs have names: lower case, international ones encoded.
        match Host::parse(name.strip_suffix('.').unwrap_or(name)).ok()? {
            Host::Domain(name) => Some(Self::Name(name)),
            Host::Ipv4(address) => Some(Self::Network(IpAddr::V4(address).into())),
            Host::Ipv6(address) => Some(Self::Network(IpAddr::V6(address).into())),
        }
    }
}

impl std::fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({})", RedactedUrl::of_proxy(&self.0))
    }
}

#[cfg(test)]
mod tests;

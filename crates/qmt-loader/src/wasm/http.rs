//! HTTP for plugins: only to granted hosts, on every hop, within the time of the call.
//!
//! Extism's own client looks at the first URL only and follows redirects to anywhere. This one
//! follows none by itself: each hop is held against the list, each name is resolved once, and
//! names that lead into private networks are refused unless the operator granted that very address.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use extism::Error;
use ureq::config::Config;
use ureq::http::uri::Authority;
use ureq::http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use crate::error::shown;

/// The bytes of a request without its body: 64 KiB.
pub(super) const REQUEST_MAX: usize = 64 * 1024;
/// The bytes of a response's headers: 64 KiB.
const HEADERS_MAX: usize = 64 * 1024;
/// The headers of a request.
const HEADER_COUNT_MAX: usize = 100;
/// The redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// The time of a request where the call has no deadline, which does not happen.
const NO_DEADLINE: Duration = Duration::from_mins(1);

/// Headers that belong to the connection, which is ours, not to the request.
const HEADERS_OF_OURS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers that carry credentials, which stay with the origin they were meant for.
const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "x-api-key"];

/// One entry of the list of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AllowedHost {
    /// Lower case; an IPv6 address without its brackets.
    host: String,
    /// `None` is the scheme's own port.
    port: Option<u16>,
}

impl AllowedHost {
    /// Reads `host` or `host:port`.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const RULE: &str =
            "a host is granted as `name` or `name:port`, without scheme, path or wildcard";
        let uri: Uri = format!("http://{text}/").parse().map_err(|_| RULE)?;
        let authority = uri.authority().ok_or(RULE)?;
        let is_plain = authority.as_str() == text
            && uri.path() == "/"
            && uri.query().is_none()
            && !text.contains(['@', '*', '?', '%', ' ', ',']);
        let port = port_of(authority).map_err(|_| RULE)?;
        if !is_plain || authority.host().is_empty() {
            return Err(RULE);
        }
        Ok(Self {
            host: bare(authority.host()),
            port,
        })
    }

    fn is(&self, origin: &Origin) -> bool {
        let port = self.port.unwrap_or(default_port(origin.https));
        self.host == origin.host && port == origin.port
    }

    /// The operator named an address, or this machine, and not a name that leads there.
    fn names_an_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok() || self.host == "localhost"
    }
}

/// Scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Error::msg("only http and https URLs can be requested")),
        };
        let Some(authority) = uri.authority() else {
            return Err(Error::msg("the URL names no host"));
        };
        if authority.as_str().contains('@') {
            return Err(Error::msg("a URL may not carry a user name or password"));
        }
        let port = port_of(authority).map_err(Error::msg)?;
        let port = port.unwrap_or(default_port(https));
        Ok(Self {
            https,
            host: bare(authority.host()),
            port,
        })
    }
}

/// Returns the port, if there is one; fails if what stands in its place is no port.
fn port_of(authority: &Authority) -> Result<Option<u16>, &'static str> {
    const RULE: &str = "the port is no number";
    let rest = authority.as_str().strip_prefix(authority.host());
    match rest.ok_or(RULE)? {
        "" => Ok(None),
        rest => {
            let port = rest.strip_prefix(':').ok_or(RULE)?;
            port.parse().map(Some).map_err(|_| RULE)
        }
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

fn bare(host: &str) -> String {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .trim_end_matches('.')
        .to_ascii_lowercase()
}

/// What a lane knows of the last response, and whom it may ask.
#[derive(Debug)]
pub(super) struct HttpState {
    hosts: Vec<AllowedHost>,
    /// The bytes of a response's body.
    body_max: u64,
    status: u16,
    headers: BTreeMap<String, String>,
}

impl HttpState {
    pub(super) fn new(hosts: Vec<AllowedHost>, body_max: u64) -> Self {
        Self {
            hosts,
            body_max,
            status: 0,
            headers: BTreeMap::new(),
        }
    }

    /// Returns the status of the last response; 0 if there was none.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Returns the headers of the last response as a JSON object.
    pub(super) fn headers(&self) -> Result<String, Error> {
        Ok(serde_json::to_string(&self.headers)?)
    }

    /// Sends what a plugin asks for, as JSON of Extism's `HttpRequest`, and returns the body.
    pub(super) fn send(
        &mut self,
        request: &[u8],
        body: &[u8],
        time: Option<Duration>,
    ) -> Result<Vec<u8>, Error> {
        self.status = 0;
        self.headers.clear();
        let deadline = Instant::now() + time.unwrap_or(NO_DEADLINE).min(NO_DEADLINE * 60);
        let mut hop = Hop::parse(request, body)?;
        for _ in 0..=REDIRECTS_MAX {
            let origin = Origin::of(&hop.uri)?;
            let Some(granted) = self.hosts.iter().find(|host| host.is(&origin)) else {
                return Err(Error::msg(format!(
                    "host `{}` on port {} is not granted to this plugin",
                    shown(&origin.host),
                    origin.port
                )));
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::msg("timeout"));
            }
            let response = hop.send(left, granted.names_an_address())?;
            match hop.next(&response, &origin)? {
                Some(next) => hop = next,
                None => return self.receive(response),
            }
        }
        Err(Error::msg(format!(
            "the request was redirected more than {REDIRECTS_MAX} times"
        )))
    }

    fn receive(&mut self, response: Response<Body>) -> Result<Vec<u8>, Error> {
        self.status = response.status().as_u16();
        for (name, value) in response.headers() {
            if let Ok(value) = value.to_str() {
                self.headers.insert(name.to_string(), value.to_owned());
            }
        }
        let limit = self.body_max;
        let mut content = Vec::new();
        // One byte more than allowed tells a full body from a cut one.
        response
            .into_body()
            .into_reader()
            .take(limit.saturating_add(1))
            .read_to_end(&mut content)?;
        if u64::try_from(content.len()).is_ok_and(|length| length > limit) {
            return Err(Error::msg(format!(
                "the response is larger than {limit} bytes"
            )));
        }
        Ok(content)
    }
}

/// One request on its way, before redirects.
struct Hop {
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Hop {
    fn parse(request: &[u8], body: &[u8]) -> Result<Self, Error> {
        let request: serde_json::Value = serde_json::from_slice(request)?;
        let text = |key: &str| request.get(key).and_then(serde_json::Value::as_str);
        let url = text("url").ok_or_else(|| Error::msg("the request has no URL"))?;
        let uri: Uri = url
            .parse()
            .map_err(|_| Error::msg("the request's URL cannot be read"))?;
        let method = match text("method")
            .unwrap_or("GET")
            .to_ascii_uppercase()
            .as_str()
        {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "DELETE" => Method::DELETE,
            "PATCH" => Method::PATCH,
            "OPTIONS" => Method::OPTIONS,
            _ => return Err(Error::msg("the request's method is not allowed")),
        };
        let mut headers = Vec::new();
        for key in ["headers", "header"] {
            let given = request.get(key).and_then(serde_json::Value::as_object);
            for (name, value) in given.into_iter().flatten() {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Error::msg("a header's name is not valid"))?;
                if HEADERS_OF_OURS.contains(&name.as_str()) {
                    return Err(Error::msg(format!(
                        "header `{name}` cannot be set by a plugin"
                    )));
                }
                let value = value
                    .as_str()
                    .and_then(|value| HeaderValue::from_str(value).ok())
                    .ok_or_else(|| Error::msg(format!("header `{name}` has no valid value")))?;
                headers.push((name, value));
            }
        }
        if headers.len() > HEADER_COUNT_MAX {
            return Err(Error::msg(format!(
                "the request has more than {HEADER_COUNT_MAX} headers"
            )));
        }
        Ok(Self {
            method,
            uri,
            headers,
            body: body.to_vec(),
        })
    }

    fn send(&self, time: Duration, private: bool) -> Result<Response<Body>, Error> {
        let config = Config::builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(HEADERS_MAX)
            .timeout_global(Some(time))
            // The environment of the host has no say in where a plugin's requests go.
            .proxy(None)
            .user_agent("qmt-plugins")
            .build();
        let resolver = PublicOnly {
            private,
            inner: DefaultResolver::default(),
        };
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let sent = if self.body.is_empty() {
            agent.run(request.body(())?)
        } else {
            agent.run(request.body(&self.body[..])?)
        };
        sent.map_err(|error| match error {
            ureq::Error::Timeout(_) => Error::msg("timeout"),
            // The words of other errors may hold the URL, whose query may be secret.
            other => Error::msg(format!("the request failed: {}", kind_of(&other))),
        })
    }

    /// Returns where a redirect leads, if the response is one.
    fn next(&self, response: &Response<Body>, from: &Origin) -> Result<Option<Self>, Error> {
        let status = response.status().as_u16();
        let location = response.headers().get("location");
        let (true, Some(location)) = (matches!(status, 301 | 302 | 303 | 307 | 308), location)
        else {
            return Ok(None);
        };
        let location = location
            .to_str()
            .map_err(|_| Error::msg("the redirect's location cannot be read"))?;
        let uri = resolve(&self.uri, location)?;
        let to = Origin::of(&uri)?;
        if from.https && !to.https {
            return Err(Error::msg("a redirect may not leave https"));
        }
        let keeps_body = matches!(status, 307 | 308) || self.method == Method::HEAD;
        let keeps_secrets = to == *from;
        let headers = self
            .headers
            .iter()
            .filter(|(name, _)| keeps_secrets || !SECRET_HEADERS.contains(&name.as_str()))
            .filter(|(name, _)| keeps_body || !name.as_str().starts_with("content-"))
            .cloned()
            .collect();
        Ok(Some(Self {
            method: if keeps_body {
                self.method.clone()
            } else {
                Method::GET
            },
            uri,
            headers,
            body: if keeps_body {
                self.body.clone()
            } else {
                Vec::new()
            },
        }))
    }
}

/// Resolves a redirect's target against the URL that redirected.
fn resolve(base: &Uri, location: &str) -> Result<Uri, Error> {
    let unreadable = || Error::msg("the redirect's location cannot be read");
    let location = location.split('#').next().unwrap_or_default();
    if location.contains("://") {
        return location.parse().map_err(|_| unreadable());
    }
    let scheme = base.scheme_str().unwrap_or("https");
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}")
            .parse()
            .map_err(|_| unreadable());
    }
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let path = if location.starts_with('/') {
        location.to_owned()
    } else {
        let folder = base
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        format!("{folder}/{location}")
    };
    format!("{scheme}://{authority}{path}")
        .parse()
        .map_err(|_| unreadable())
}

fn kind_of(error: &ureq::Error) -> &'static str {
    match error {
        ureq::Error::HostNotFound => "the host has no address that may be asked",
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed => "the connection broke off",
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => "TLS could not be agreed on",
        ureq::Error::LargeResponseHeader(..) => "the response's headers are too large",
        _ => "the exchange broke a rule of HTTP",
    }
}

/// Leaves out addresses of this machine and of private networks. The connection goes to an address
/// that this returned, so that a name which changes its mind between two questions gains nothing.
#[derive(Debug)]
struct PublicOnly {
    private: bool,
    inner: DefaultResolver,
}

impl Resolver for PublicOnly {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for address in found
            .iter()
            .filter(|address| self.private || is_public(address.ip()))
        {
            kept.push(*address);
        }
        if kept.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(kept)
    }
}

/// Returns whether an address belongs to the public network.
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, and its IPv6 sibling.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            // Ways to write or to tunnel IPv4 addresses are judged by what they hold, or refused.
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || first == 0
                || first == 0x2002
                || (first == 0x64 && second == 0xff9b)
                || (first == 0x2001 && second < 0x200)
                || (first == 0x2001 && second == 0xdb8)
                || (first & 0xffc0) == 0xfec0)
        }
    }
}

#[cfg(test)]
mod tests;

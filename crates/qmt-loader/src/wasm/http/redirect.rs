//! One request on its way to one host, and where a redirect leads.

use std::time::Duration;

use extism::Error;
use ureq::config::Config;
use ureq::http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

use super::host::Origin;
use super::public::PublicOnly;

/// The bytes of a response's headers: 64 KiB.
const HEADERS_MAX: usize = 64 * 1024;
/// The headers of a request.
pub(super) const HEADER_COUNT_MAX: usize = 100;

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

/// One request on its way, before redirects.
pub(super) struct PluginRequest {
    method: Method,
    pub(super) uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl PluginRequest {
    pub(super) fn parse(request: &[u8], body: &[u8]) -> Result<Self, Error> {
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

    pub(super) fn send(&self, time: Duration, private: bool) -> Result<Response<Body>, Error> {
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
    pub(super) fn next(
        &self,
        response: &Response<Body>,
        from: &Origin,
    ) -> Result<Option<Self>, Error> {
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
pub(super) fn resolve(base: &Uri, location: &str) -> Result<Uri, Error> {
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

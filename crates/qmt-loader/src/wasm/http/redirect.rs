//! One request on its way to one host, and where a redirect leads.

use bytes::Bytes;
use qmt_oci_ref::text::escape_ascii;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::error::HttpError;
use super::host::Origin;

/// The headers of a request.
pub(super) const HEADER_COUNT_MAX: usize = 100;

/// Headers that belong to the connection, which the host controls, not to the request.
const CONNECTION_HEADERS: [&str; 11] = [
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
/// Headers that another origin gets after a redirect, by the beginning of their names. Any other
/// header may carry credentials, which are for one origin.
const HARMLESS_HEADERS: [&str; 5] = ["accept", "content-", "if-", "range", "user-agent"];

/// One request on its way, before redirects.
pub(super) struct PluginRequest {
    method: Method,
    url: Url,
    origin: Origin,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl PluginRequest {
    pub(super) fn parse(request: &[u8], body: Vec<u8>) -> Result<Self, HttpError> {
        let request: Value = serde_json::from_slice(request).map_err(HttpError::Json)?;
        let text = |key: &str| request.get(key).and_then(Value::as_str);
        let url = text("url").ok_or(HttpError::NoUrl)?;
        let url = Url::parse(url).map_err(|error| HttpError::Url(Some(error)))?;
        let origin = Origin::of(&url)?;
        let method = method(text("method").unwrap_or("GET"))?;
        if method == Method::HEAD && !body.is_empty() {
            return Err(HttpError::BodyNotAllowed);
        }
        let mut headers = Vec::new();
        for key in ["headers", "header"] {
            let given = request.get(key).and_then(Value::as_object);
            for (name, value) in given.into_iter().flatten() {
                headers.push(header(name, value)?);
            }
        }
        if headers.len() > HEADER_COUNT_MAX {
            return Err(HttpError::TooManyHeaders {
                limit: HEADER_COUNT_MAX,
            });
        }
        Ok(Self {
            method,
            url,
            origin,
            headers,
            body: body.into(),
        })
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    #[cfg(test)]
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) async fn send(&self, client: &Client) -> Result<reqwest::Response, HttpError> {
        let mut request = client.request(self.method.clone(), self.url.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !self.body.is_empty() {
            request = request.body(self.body.clone());
        } else if matches!(self.method, Method::POST | Method::PUT | Method::PATCH) {
            // Servers refuse these methods without a length (RFC 9110, section 8.6).
            request = request.header(CONTENT_LENGTH, 0);
        }
        request.send().await.map_err(HttpError::exchange)
    }

    /// Returns the next request if the response is a redirect.
    pub(super) fn redirected(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Option<Self>, HttpError> {
        let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let (true, Some(location)) = (is_redirect, headers.get(LOCATION)) else {
            return Ok(None);
        };
        let location = location.to_str().map_err(|_| HttpError::Location)?;
        let url = self.url.join(location).map_err(|_| HttpError::Location)?;
        let origin = Origin::of(&url)?;
        if self.origin.is_https() && !origin.is_https() {
            return Err(HttpError::Downgrade);
        }
        let keeps_body = matches!(status.as_u16(), 307 | 308) || self.method == Method::HEAD;
        let is_harmless = |name: &str| {
            let mut harmless = HARMLESS_HEADERS.iter();
            harmless.any(|start| name.starts_with(start))
        };
        let is_same_origin = origin == self.origin;
        let headers = self
            .headers
            .iter()
            .filter(|(name, _)| is_same_origin || is_harmless(name.as_str()))
            .filter(|(name, _)| keeps_body || !name.as_str().starts_with("content-"))
            .cloned()
            .collect();
        let (method, body) = if keeps_body {
            (self.method.clone(), self.body.clone())
        } else {
            (Method::GET, Bytes::new())
        };
        Ok(Some(Self {
            method,
            url,
            origin,
            headers,
            body,
        }))
    }
}

fn method(name: &str) -> Result<Method, HttpError> {
    match name.to_ascii_uppercase().as_str() {
        "GET" => Ok(Method::GET),
        "HEAD" => Ok(Method::HEAD),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "DELETE" => Ok(Method::DELETE),
        "PATCH" => Ok(Method::PATCH),
        "OPTIONS" => Ok(Method::OPTIONS),
        _ => Err(HttpError::Method),
    }
}

fn header(name: &str, value: &Value) -> Result<(HeaderName, HeaderValue), HttpError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HttpError::HeaderName)?;
    if CONNECTION_HEADERS.contains(&name.as_str()) {
        return Err(HttpError::ReservedHeader {
            name: name.to_string(),
        });
    }
    let value = value
        .as_str()
        .and_then(|value| HeaderValue::from_str(value).ok())
        .ok_or_else(|| HttpError::HeaderValue {
            name: escape_ascii(name.as_str()),
        })?;
    Ok((name, value))
}

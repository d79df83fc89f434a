//! HTTP for plugins: only to granted hosts, on every redirect, within the time of the call.
//!
//! The HTTP client follows no redirect by itself: each one is checked against the list, each name
//! is resolved once, and names that resolve to private addresses are refused unless the operator
//! granted that very address. Requests run on a runtime of their own, so callers need none.
//!
//! What bounds memory during an exchange, apart from the body limit: over HTTP/1 the client buffers
//! at most 408 KiB of a response's head and 128 headers, over HTTP/2 it decodes at most 128 KiB of
//! headers and buffers at most its flow-control windows, which are below 8 MiB.

mod client;
mod error;
mod host;
mod public;
mod redirect;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use reqwest::header::HeaderMap;

use self::client::Clients;
pub(super) use self::error::HttpError;
pub(super) use self::host::AllowedHost;
use self::host::Origin;
use self::redirect::PluginRequest;

/// The bytes of a request without its body: 64 KiB.
pub(super) const REQUEST_MAX: u64 = 64 * 1024;
/// The bytes of a response's headers, each with a colon, a space and a line break: 64 KiB.
const HEADERS_MAX: usize = 64 * 1024;
/// The redirects that are followed.
const REDIRECTS_MAX: usize = 5;

/// What an instance knows of the last response, and which hosts it may contact.
#[derive(Debug)]
pub(super) struct HttpState {
    exchange: Exchange,
    status: u16,
    headers: BTreeMap<String, String>,
}

/// A response that was received completely.
#[derive(Debug)]
pub(super) struct Response {
    status: u16,
    headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl HttpState {
    pub(super) fn new(hosts: Vec<AllowedHost>, body_max: u64) -> Self {
        Self {
            exchange: Exchange {
                clients: Clients::of_the_process(),
                hosts: hosts.into(),
                body_max,
            },
            status: 0,
            headers: BTreeMap::new(),
        }
    }

    /// Returns the status of the last response; 0 if there was none.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Returns the headers of the last response as a JSON object.
    pub(super) fn headers(&self) -> String {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
        headers.collect::<serde_json::Value>().to_string()
    }

    /// Starts a request, given as JSON of Extism's `HttpRequest`, and forgets the last response.
    ///
    /// The future needs no executor of a particular kind. Nothing is sent before it is polled for
    /// the first time, and dropping it closes the connection.
    ///
    /// # Errors
    /// What breaks a rule before anything is sent: the request itself, or a host that is not
    /// granted.
    pub(super) fn request(
        &mut self,
        request: &[u8],
        body: Vec<u8>,
        deadline: Instant,
    ) -> Result<impl Future<Output = Result<Response, HttpError>> + Send + 'static + use<>, HttpError>
    {
        self.status = 0;
        self.headers.clear();
        let request = PluginRequest::parse(request, body)?;
        let exchange = self.exchange.clone();
        granted(&exchange.hosts, request.origin())?;
        Ok(client::run(exchange.until(deadline, request)))
    }

    /// Remembers the status and the headers of `response`.
    pub(super) fn finish(&mut self, response: &Response) {
        self.status = response.status;
        self.headers.clone_from(&response.headers);
    }
}

/// Returns the entry of `hosts` that grants `origin`.
fn granted<'a>(hosts: &'a [AllowedHost], origin: &Origin) -> Result<&'a AllowedHost, HttpError> {
    hosts
        .iter()
        .find(|host| host.is(origin))
        .ok_or_else(|| origin.not_granted())
}

/// What a request needs on its way through redirects.
#[derive(Clone, Debug)]
struct Exchange {
    clients: Arc<Clients>,
    hosts: Arc<[AllowedHost]>,
    /// The bytes of a response's body.
    body_max: u64,
}

impl Exchange {
    async fn until(self, deadline: Instant, request: PluginRequest) -> Result<Response, HttpError> {
        // `timeout_at` polls once before it looks at the clock; that could send a request.
        if deadline <= Instant::now() {
            return Err(HttpError::TimedOut);
        }
        tokio::time::timeout_at(deadline.into(), self.follow(request))
            .await
            .unwrap_or(Err(HttpError::TimedOut))
    }

    async fn follow(&self, mut request: PluginRequest) -> Result<Response, HttpError> {
        for _ in 0..=REDIRECTS_MAX {
            let host = granted(&self.hosts, request.origin())?;
            let is_https = request.origin().is_https();
            let client = self.clients.get(host.names_an_address(), is_https)?;
            let response = request.send(&client).await?;
            if size_of_headers(response.headers()) > HEADERS_MAX {
                return Err(HttpError::HeadersTooLarge);
            }
            match request.redirected(response.status(), response.headers())? {
                Some(next) => request = next,
                None => return self.receive(response).await,
            }
        }
        Err(HttpError::TooManyRedirects {
            limit: REDIRECTS_MAX,
        })
    }

    async fn receive(&self, mut response: reqwest::Response) -> Result<Response, HttpError> {
        let limit = self.body_max;
        let status = response.status().as_u16();
        let mut headers = BTreeMap::new();
        for (name, value) in response.headers() {
            if let Ok(value) = value.to_str() {
                headers.insert(name.to_string(), value.to_owned());
            }
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(HttpError::exchange)? {
            let size = body.len().saturating_add(chunk.len());
            if u64::try_from(size).unwrap_or(u64::MAX) > limit {
                return Err(HttpError::BodyTooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status,
            headers,
            body,
        })
    }
}

/// Counts the bytes of `headers` in the form that HTTP/1 sends them.
fn size_of_headers(headers: &HeaderMap) -> usize {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    sizes.sum()
}

#[cfg(test)]
mod tests;

//! The HTTP clients of the process.

use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::task::AbortHandle;

use super::super::io;
use super::error::HttpError;
use super::public::{Addresses, Lookup, system_lookup};

/// The headers of a response over HTTP/1.
const HTTP1_HEADERS_MAX: usize = 128;
/// The bytes of a response's headers over HTTP/2, which counts 32 more for each header. Twice the
/// limit of what is accepted, so that the limit is the same over both.
const HTTP2_HEADERS_MAX: u32 = 128 * 1024;

/// One client for each kind of request, made at its first request.
pub(super) struct Clients {
    lookup: Lookup,
    /// Whether private addresses are reached, then whether TLS is used.
    clients: [[OnceLock<Client>; 2]; 2],
}

impl Clients {
    /// Returns the clients that all plugins share. They keep no state of a request.
    pub(super) fn of_the_process() -> Arc<Self> {
        static CLIENTS: LazyLock<Arc<Clients>> =
            LazyLock::new(|| Arc::new(Clients::new(system_lookup())));
        Arc::clone(&CLIENTS)
    }

    pub(super) fn new(lookup: Lookup) -> Self {
        Self {
            lookup,
            clients: Default::default(),
        }
    }

    /// Returns the client that reaches private addresses, or the one that does not.
    pub(super) fn get(&self, private: bool, https: bool) -> Result<Client, HttpError> {
        let slot = &self.clients[usize::from(private)][usize::from(https)];
        if let Some(client) = slot.get() {
            return Ok(client.clone());
        }
        let addresses = Addresses {
            private,
            lookup: Arc::clone(&self.lookup),
        };
        let client = build(addresses, https)?;
        Ok(slot.get_or_init(|| client).clone())
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

fn build(addresses: Addresses, https: bool) -> Result<Client, HttpError> {
    let mut builder = Client::builder()
        .dns_resolver(addresses)
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        // The environment of the host has no say in where a plugin's requests go.
        .no_proxy()
        .user_agent("qmt-plugins")
        // Another crate of the host may enable these for all users of the HTTP client.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        // A connection that is kept could have been opened with another plugin's rights.
        .pool_max_idle_per_host(0)
        .http1_max_headers(HTTP1_HEADERS_MAX)
        .http2_max_header_list_size(HTTP2_HEADERS_MAX);
    if !https {
        // Requests without TLS work also where the system has no certificates.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(HttpError::setup)
}

/// Runs `exchange` on the runtime for requests, from the first poll until the future is dropped.
pub(super) async fn run<T: Send + 'static>(
    exchange: impl Future<Output = Result<T, HttpError>> + Send + 'static,
) -> Result<T, HttpError> {
    let task = io::runtime().map_err(HttpError::setup)?.spawn(exchange);
    let _abort = AbortOnDrop(task.abort_handle());
    task.await.map_err(HttpError::setup)?
}

/// Ends a task when the future that waits for it is dropped.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

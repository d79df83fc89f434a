//! The options of a client, its registries, and what their operations share.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use qmt_oci_ref::{RegistryError, RegistryHost};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::HttpRegistry;
use super::operation::Operation;
use super::retry::Attempts;
use crate::credentials::CredentialStore;
use crate::error::ClientError;
use crate::events::{EventSink, Events, RegistryEvent};
use crate::http::auth::Auth;
use crate::http::transport::{
    Authorities, Context, Endpoint, HostOptions, LookupFn, Proxies, origin_key, system_lookup,
};
use crate::limits::Limits;

/// Collects the options of an [`HttpRegistry`].
#[derive(Default)]
pub struct HttpRegistryBuilder {
    hosts: Vec<(RegistryHost, HostOptions)>,
    credentials: Option<Arc<dyn CredentialStore>>,
    limits: Limits,
    events: Option<EventSink>,
    timeout: Option<Duration>,
    lookup: Option<LookupFn>,
    proxies: Option<Proxies>,
    is_deferred: bool,
}

impl HttpRegistryBuilder {
    /// Sets the options of one registry. Registries without options are reached by HTTPS.
    #[must_use]
    pub fn host(mut self, host: RegistryHost, options: HostOptions) -> Self {
        self.hosts.push((host, options));
        self
    }

    /// Sets where credentials come from; without a store every request is anonymous.
    #[must_use]
    pub fn credentials(mut self, store: Arc<dyn CredentialStore>) -> Self {
        self.credentials = Some(store);
        self
    }

    /// Lowers the time for one whole operation, retries and a blob's stream included.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets lower limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the receiver of events: retries, mirrors, rate limits. It is called on the task that
    /// works, so it must not block.
    #[must_use]
    pub fn events(mut self, sink: Arc<dyn Fn(RegistryEvent) + Send + Sync>) -> Self {
        self.events = Some(sink);
        self
    }

    /// Reads the files that the options of a registry name when it is first connected to, so that those
    /// of one registry do not concern the others. [`HttpRegistry::check_options`] reads all of them.
    #[must_use]
    pub fn deferred(mut self) -> Self {
        self.is_deferred = true;
        self
    }

    /// Replaces the system's name resolution.
    #[cfg(test)]
    pub(crate) fn lookup(mut self, lookup: LookupFn) -> Self {
        self.lookup = Some(lookup);
        self
    }

    /// Replaces the proxies of the environment.
    #[cfg(test)]
    pub(crate) fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Makes the client. It connects to nothing, but reads the files that the options name, unless it is
    /// [`Self::deferred`].
    ///
    /// # Errors
    ///
    /// [`ClientError::Options`] where an option can't be used.
    pub fn build(self) -> Result<HttpRegistry, RegistryError> {
        let limits = match self.timeout {
            Some(timeout) => self.limits.total_timeout(timeout),
            None => self.limits,
        };
        let streams = Arc::new(Semaphore::new(limits.streams));
        let auth = Arc::new(Auth::new(self.credentials, true));
        let context = Context {
            limits,
            events: Events(self.events),
            lookup: self.lookup.unwrap_or_else(system_lookup),
            proxies: Arc::new(self.proxies.unwrap_or_else(Proxies::of_process)),
            authorities: Arc::new(Authorities::of(&self.hosts)),
        };
        let inner = Inner::new(context, auth, streams, self.hosts, self.is_deferred)?;
        let inner = Arc::new(inner);
        Ok(HttpRegistry { inner })
    }
}

impl std::fmt::Debug for HttpRegistryBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRegistryBuilder")
            .field("hosts", &self.hosts)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

type HostAndPort = (String, u16);

/// What the clones of one client share.
pub(crate) struct Inner {
    pub(super) context: Context,
    pub(super) auth: Arc<Auth>,
    /// Bounds the concurrent downloads.
    pub(super) streams: Arc<Semaphore>,
    /// The options of registries, by host and port.
    options: HashMap<HostAndPort, (RegistryHost, HostOptions)>,
    /// The endpoints that were made, by host and port, and whether they are without TLS.
    endpoints: Mutex<HashMap<(HostAndPort, bool), Arc<Endpoint>>>,
    pub(super) is_deferred: bool,
}

impl Inner {
    pub(super) fn new(
        context: Context,
        auth: Arc<Auth>,
        streams: Arc<Semaphore>,
        hosts: Vec<(RegistryHost, HostOptions)>,
        is_deferred: bool,
    ) -> Result<Self, ClientError> {
        let hosts = hosts.into_iter();
        let options = hosts.map(|host| (origin_key(&host.0, host.1.plain_http), host));
        let inner = Self {
            context,
            auth,
            streams,
            options: options.collect(),
            endpoints: Mutex::default(),
            is_deferred,
        };
        if !is_deferred {
            inner.check_options()?;
        }
        Ok(inner)
    }

    /// Reads the files that the options of all registries name.
    pub(super) fn check_options(&self) -> Result<(), ClientError> {
        let mut hosts: Vec<&RegistryHost> = self.options.values().map(|(host, _)| host).collect();
        hosts.sort();
        hosts
            .into_iter()
            .try_for_each(|host| self.endpoint(host).map(drop))
    }

    /// The options of `host` that were set, and its name there.
    fn configured(&self, host: &RegistryHost) -> Option<&(RegistryHost, HostOptions)> {
        // An endpoint for plain HTTP is under port 80 where the host has no port.
        [true, false].into_iter().find_map(|plain| {
            let found = self.options.get(&origin_key(host, plain))?;
            (found.1.plain_http == plain).then_some(found)
        })
    }

    /// Whether `host` is reached without TLS.
    pub(super) fn is_plain_http(&self, host: &RegistryHost) -> bool {
        let configured = self.configured(host);
        configured.is_some_and(|(_, options)| options.plain_http)
    }

    /// The endpoint of `host`; without options it is reached by HTTPS.
    pub(super) fn endpoint(&self, host: &RegistryHost) -> Result<Arc<Endpoint>, ClientError> {
        let configured = self.configured(host).cloned();
        let (host, options) = configured.unwrap_or_else(|| (host.clone(), HostOptions::new()));
        let plain_http = options.plain_http;
        let key = (origin_key(&host, plain_http), plain_http);
        let endpoints = &self.endpoints;
        let mut endpoints = endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = endpoints.get(&key) {
            return Ok(Arc::clone(endpoint));
        }
        let endpoint = Arc::new(Endpoint::new(host, options, self.context.clone())?);
        endpoints.insert(key, Arc::clone(&endpoint));
        Ok(endpoint)
    }

    /// What is wrong with the certificates of the options at `now`, in a fixed order.
    pub(super) fn warnings(&self, now: SystemTime) -> Vec<String> {
        let endpoints = self.endpoints.lock();
        let endpoints = endpoints.unwrap_or_else(PoisonError::into_inner);
        let warnings = endpoints.values();
        let warnings = warnings.filter_map(|endpoint| endpoint.certificate_warning(now));
        let mut warnings: Vec<String> = warnings.collect();
        warnings.sort();
        warnings
    }

    /// Runs one operation at `host` within its time, with the sessions of this client.
    pub(super) async fn run<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        host: &RegistryHost,
        operation: impl FnOnce(Operation) -> F,
    ) -> Result<T, ClientError> {
        self.run_with(Arc::clone(&self.auth), host, operation).await
    }

    /// Runs one operation at `host` within its time, with the sessions of `auth`.
    pub(super) async fn run_with<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        auth: Arc<Auth>,
        host: &RegistryHost,
        operation: impl FnOnce(Operation) -> F,
    ) -> Result<T, ClientError> {
        let (endpoint, limits) = (self.endpoint(host)?, &self.context.limits);
        let deadline = Instant::now() + limits.total_timeout;
        let operation = operation(Operation {
            auth,
            endpoint: Arc::clone(&endpoint),
            attempts: Attempts::new(limits, deadline),
        });
        let outcome = timeout_at(deadline, operation).await;
        outcome.unwrap_or_else(|_| Err(endpoint.timed_out(None, limits.total_timeout)))
    }
}

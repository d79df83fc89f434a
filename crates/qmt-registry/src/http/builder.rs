//! Setting up the client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qmt_oci_ref::RegistryHost;
use tokio::sync::Semaphore;

use super::HttpRegistry;
use super::options::{HostOptions, origin_key};
use super::request::Context;
use super::resolver::{LookupFn, system_lookup};
use super::sources::{Inner, Sources};
use super::token::Auth;
use crate::credential::CredentialStore;
use crate::error::RegistryError;
use crate::events::{EventSink, Events, RegistryEvent};
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

    /// Sets who hears of retries, mirrors, rate limits. It is called on the task that works, so it
    /// must not block.
    #[must_use]
    pub fn events(mut self, sink: Arc<dyn Fn(RegistryEvent) + Send + Sync>) -> Self {
        self.events = Some(sink);
        self
    }

    /// Puts a test's own names in place of the system's.
    #[cfg(test)]
    pub(crate) fn lookup(mut self, lookup: LookupFn) -> Self {
        self.lookup = Some(lookup);
        self
    }

    /// Makes the client. It connects to nothing, but reads the files that the options name.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Options`] where an option can't be used.
    pub fn build(self) -> Result<HttpRegistry, RegistryError> {
        let limits = match self.timeout {
            Some(timeout) => self.limits.total_timeout(timeout),
            None => self.limits,
        };
        let lookup = self.lookup.unwrap_or_else(system_lookup);
        let mut hosts = HashMap::new();
        for (host, options) in self.hosts {
            let key = origin_key(&host, options.plain_http);
            let sources = Sources::new(host, options, &lookup, &limits)?;
            hosts.insert(key, Arc::new(sources));
        }
        let streams = Arc::new(Semaphore::new(limits.streams));
        Ok(HttpRegistry {
            inner: Arc::new(Inner {
                context: Context {
                    limits,
                    events: Events::new(self.events),
                },
                auth: Auth::new(self.credentials, true),
                hosts: Mutex::new(hosts),
                streams,
                lookup,
            }),
        })
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

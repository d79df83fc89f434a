//! Who is asked, and for how long: a registry and its mirrors, in order, until one answers.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use qmt_oci_ref::RegistryHost;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::endpoint::Endpoint;
use super::options::{HostOptions, origin_key};
use super::request::Context;
use super::resolver::LookupFn;
use super::resume;
use super::retry::Attempts;
use super::token::Auth;
use crate::error::{Phase, RegistryError};
use crate::limits::Limits;
use crate::mirror::{Subject, order};
use crate::redact::RedactedUrl;

pub(crate) struct Inner {
    pub(super) context: Context,
    pub(super) auth: Auth,
    pub(super) hosts: Mutex<HashMap<(String, u16), Arc<Sources>>>,
    pub(super) streams: Arc<Semaphore>,
    pub(super) lookup: LookupFn,
}

/// A registry and its mirrors.
pub(crate) struct Sources {
    pub(super) origin: Arc<Endpoint>,
    pub(super) mirrors: Vec<Arc<Endpoint>>,
}

impl Sources {
    pub(super) fn new(
        host: RegistryHost,
        mut options: HostOptions,
        lookup: &LookupFn,
        limits: &Limits,
    ) -> Result<Self, RegistryError> {
        let mirrors = std::mem::take(&mut options.mirrors)
            .into_iter()
            .map(|mirror| Endpoint::mirror(mirror, lookup.clone(), limits).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let origin = Arc::new(Endpoint::registry(host, options, lookup.clone(), limits)?);
        Ok(Self { origin, mirrors })
    }
}

impl Inner {
    /// The registry `host` with its mirrors.
    pub(super) fn sources(&self, host: &RegistryHost) -> Result<Arc<Sources>, RegistryError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        // An entry for plain HTTP is under port 80 where the name has no port.
        let keys = [origin_key(host, false), origin_key(host, true)];
        let configured = keys.iter().find_map(|key| {
            hosts
                .get(key)
                .filter(|found| origin_key(host, found.origin.options.plain_http) == *key)
        });
        if let Some(found) = configured {
            return Ok(Arc::clone(found));
        }
        let sources = Sources::new(
            host.clone(),
            HostOptions::new(),
            &self.lookup,
            &self.context.limits,
        )?;
        let sources = Arc::new(sources);
        hosts.insert(origin_key(host, false), Arc::clone(&sources));
        Ok(sources)
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.context.limits.total_timeout
    }

    /// Runs one operation within its time.
    pub(super) async fn within<T, F>(
        &self,
        endpoint: &Endpoint,
        operation: impl FnOnce(Attempts) -> F,
    ) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        let deadline = self.deadline();
        let attempts = Attempts::new(&self.context.limits, deadline);
        timeout_at(deadline, operation(attempts))
            .await
            .unwrap_or_else(|_| {
                Err(RegistryError::Timeout {
                    url: RedactedUrl::from(&endpoint.base),
                    phase: Phase::Finish,
                    limit: self.context.limits.total_timeout,
                })
            })
    }

    /// Asks the sources of `host` in order until one answers. Where `says_little` holds for what a
    /// mirror says, the next ones are asked too, and its word counts where they can't be reached.
    pub(super) async fn first_of<'a, T>(
        &self,
        host: &RegistryHost,
        subject: Subject,
        ask: impl Fn(Arc<Endpoint>, Attempts) -> BoxFuture<'a, Result<T, RegistryError>> + Send,
        says_little: impl Fn(&T) -> bool + Send,
    ) -> Result<T, RegistryError> {
        let sources = self.sources(host)?;
        let order = order(subject, &sources.mirrors, &sources.origin);
        let deadline = self.deadline();
        let (mut origins_error, mut known_absent) = (None, None);
        let mut little = None;
        let asking = async {
            for endpoint in order {
                let attempts = Attempts::new(&self.context.limits, deadline);
                match ask(Arc::clone(&endpoint), attempts).await {
                    Ok(found) if endpoint.is_mirror() && says_little(&found) => {
                        little.get_or_insert(found);
                    }
                    Ok(found) => return Some(Ok(found)),
                    Err(error) if endpoint.is_mirror() => {
                        resume::skip_mirror(self, &endpoint, &error);
                        // Its word counts for a tag that it lacks, too, where nobody knows better.
                        if error.is_not_found() && subject == Subject::Tag {
                            known_absent = Some(error);
                        }
                    }
                    // What the registry says is final; where it says nothing, others may know.
                    Err(error) if error.is_network() => {
                        if let Some(absent) = known_absent.take() {
                            return Some(Err(absent));
                        }
                        origins_error = Some(error);
                    }
                    Err(error) => return Some(Err(error)),
                }
            }
            None
        };
        let timed_out = RegistryError::Timeout {
            url: RedactedUrl::from(&sources.origin.base),
            phase: Phase::Finish,
            limit: self.context.limits.total_timeout,
        };
        match timeout_at(deadline, asking).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => match little {
                Some(found) => Ok(found),
                None => Err(origins_error.unwrap_or(timed_out)),
            },
        }
    }
}

//! How long each source is waited for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use qmt_oci_ref::{RegistryError, RegistryHost, Repository};
use tokio::time::{Instant, timeout_at};

use super::Source;
use crate::error::{ClientError, Phase};
use crate::http::until;
use crate::redact::RedactedUrl;

/// The time of one operation, which its sources share.
#[derive(Clone)]
pub(super) struct Deadline {
    end: Instant,
    /// The registry itself.
    origin: RedactedUrl,
}

/// One source, and how long it is waited for.
pub(super) struct Turn {
    pub(super) source: Arc<Source>,
    end: Instant,
    limit: Duration,
    url: RedactedUrl,
}

impl Deadline {
    pub(super) fn new(origin: &RegistryHost, plain_http: bool, limit: Duration) -> Self {
        let (end, origin) = (Instant::now() + limit, url(origin, plain_http));
        Self { end, origin }
    }

    /// The turn of `source`, which `others` follow. A mirror gets an equal share of what is
    /// left, so that those that follow get one, too.
    pub(super) fn turn(&self, source: Arc<Source>, others: usize) -> Turn {
        let left = self.end.saturating_duration_since(Instant::now());
        let (limit, url) = match &source.mirror {
            None => (left, self.origin.clone()),
            Some(mirror) => {
                let sources = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
                (left / sources, url(&mirror.host, mirror.options.plain_http))
            }
        };
        let end = Instant::now() + limit;
        Turn {
            source,
            end,
            limit,
            url,
        }
    }
}

impl Turn {
    /// Waits for what `read` returns for the place of `repository` at this source.
    pub(super) async fn read<T>(
        &self,
        repository: &Repository,
        read: impl AsyncFnOnce(Repository) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let repository = self.source.locate(repository)?;
        self.wait(read(repository)).await
    }

    /// Waits for `reading`.
    pub(super) async fn wait<T>(
        &self,
        reading: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let reading = until(self.end, reading);
        let outcome = timeout_at(self.end, reading).await;
        outcome.unwrap_or_else(|_| {
            let millis = self.limit.as_micros().saturating_add(500) / 1000;
            let limit = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
            Err(ClientError::timed_out(self.url.clone(), Phase::Finish, limit).into())
        })
    }
}

fn url(host: &RegistryHost, plain_http: bool) -> RedactedUrl {
    let scheme = if plain_http { "http" } else { "https" };
    RedactedUrl::from_text(&format!("{scheme}://{host}/"))
}

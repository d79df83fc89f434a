//! How long each source is waited for.

use std::future::Future;
use std::time::Duration;

use qmt_oci_ref::{RegistryError, RegistryHost};
use tokio::time::{Instant, timeout_at};

use super::{Location, Source};
use crate::error::{ClientError, Phase};
use crate::redact::RedactedUrl;

/// The time of one operation, which its sources share.
#[derive(Clone)]
pub(super) struct Deadline {
    end: Instant,
    /// The registry itself.
    origin: RedactedUrl,
}

/// How long one source is waited for.
pub(super) struct SourceDeadline {
    end: Instant,
    limit: Duration,
    url: RedactedUrl,
}

impl Deadline {
    pub(super) fn new(origin: &RegistryHost, plain_http: bool, limit: Duration) -> Self {
        let (end, origin) = (Instant::now() + limit, url(origin, plain_http));
        Self { end, origin }
    }

    /// The deadline of `source`, which `others` follow. A mirror gets an equal share of what is
    /// left, so that those that follow get one, too.
    pub(super) fn of(&self, source: &Source, others: usize) -> SourceDeadline {
        let left = self.end.saturating_duration_since(Instant::now());
        let (limit, url) = match &source.mirror {
            None => (left, self.origin.clone()),
            Some(Location {
                host, plain_http, ..
            }) => {
                let sources = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
                (left / sources, url(host, *plain_http))
            }
        };
        let end = Instant::now() + limit;
        SourceDeadline { end, limit, url }
    }
}

impl SourceDeadline {
    /// Waits for `reading`.
    pub(super) async fn wait<T>(
        &self,
        reading: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        match timeout_at(self.end, reading).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.passed().into()),
        }
    }

    fn passed(&self) -> ClientError {
        let millis = self.limit.as_micros().saturating_add(500) / 1000;
        let limit = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        ClientError::timed_out(self.url.clone(), Phase::Finish, limit)
    }
}

fn url(host: &RegistryHost, plain_http: bool) -> RedactedUrl {
    let scheme = if plain_http { "http" } else { "https" };
    RedactedUrl::from_text(&format!("{scheme}://{host}/"))
}

//! What happens between a call and its result that an operator wants to see.

#[cfg(feature = "http")]
use std::sync::Arc;
use std::time::Duration;

use qmt_oci_ref::{Digest, RegistryHost};

use crate::redact::RedactedUrl;

/// Takes events as they happen. It is called on the task that works, so it must not block.
#[cfg(feature = "http")]
pub(crate) type EventSink = Arc<dyn Fn(RegistryEvent) + Send + Sync>;

/// Something worth a line in a log or a progress display. Holds no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RegistryEvent {
    /// A try failed and another one follows after a pause.
    Retry {
        /// What was asked for.
        url: RedactedUrl,
        /// The number of the try that failed, from 1.
        attempt: usize,
        /// How long the pause is.
        wait: Duration,
        /// Whether the registry asked for this pause (`Retry-After`).
        asked_for: bool,
        /// Why it failed.
        reason: String,
    },
    /// A broken transfer goes on from where it stopped.
    Resumed {
        /// The blob.
        digest: Digest,
        /// The first byte of the new request.
        offset: u64,
        /// Who is asked now.
        host: RegistryHost,
    },
    /// The registry told how many pulls are left.
    RateLimit {
        /// The registry.
        host: RegistryHost,
        /// Pulls allowed in the window, if told.
        limit: Option<u64>,
        /// Pulls that are left in the window.
        remaining: u64,
        /// The window, if told.
        window: Option<Duration>,
    },
    /// A mirror could not serve, or served something else; the next source is asked.
    MirrorSkipped {
        /// The mirror.
        mirror: RegistryHost,
        /// Why.
        reason: String,
        /// Whether its content did not match the digest: it isn't asked again by this client.
        lied: bool,
    },
    /// The credential for this registry was refused; the request was tried without one.
    CredentialRefused {
        /// The registry.
        host: RegistryHost,
        /// The repository's path.
        repository: String,
    },
    /// The registry has no referrers API; the tag schema was used.
    ReferrersFallback {
        /// The registry.
        host: RegistryHost,
    },
}

/// Sends events to the sink, if there is one, and to `tracing`.
#[cfg(feature = "http")]
#[derive(Clone, Default)]
pub(crate) struct Events(Option<EventSink>);

#[cfg(feature = "http")]
impl Events {
    pub(crate) fn new(sink: Option<EventSink>) -> Self {
        Self(sink)
    }

    pub(crate) fn send(&self, event: RegistryEvent) {
        tracing::debug!(?event, "registry");
        if let Some(sink) = &self.0 {
            sink(event);
        }
    }
}

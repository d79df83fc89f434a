//! Events: what happens during an operation that an operator wants to see.

use std::time::Duration;

use qmt_oci_ref::{Digest, RegistryHost};

use crate::credentials::CredentialOrigin;
use crate::redact::RedactedUrl;

/// Receives events. It is called on the task that works, so it must not block.
#[cfg(feature = "http")]
pub(crate) type EventSink = std::sync::Arc<dyn Fn(RegistryEvent) + Send + Sync>;

/// Something for a log or a progress display. Contains no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RegistryEvent {
    /// An attempt failed, and another one follows after a pause.
    Retry {
        /// What was asked for.
        url: RedactedUrl,
        /// The number of the attempt that failed, from 1.
        attempt: usize,
        /// How long the pause is.
        wait: Duration,
        /// Whether the registry asked for this pause (`Retry-After`).
        asked_for: bool,
        /// Why it failed.
        reason: String,
    },
    /// A broken transfer resumes where it stopped.
    Resumed {
        /// The blob.
        digest: Digest,
        /// The first byte of the new request.
        offset: u64,
        /// The source of the rest.
        host: RegistryHost,
    },
    /// The registry reported how many pulls are left.
    RateLimit {
        /// The registry.
        host: RegistryHost,
        /// Pulls allowed in the window, if reported.
        limit: Option<u64>,
        /// Pulls that are left in the window.
        remaining: u64,
        /// The window, if reported.
        window: Option<Duration>,
    },
    /// A mirror failed, or sent wrong content; the next source is asked.
    MirrorSkipped {
        /// The mirror.
        mirror: RegistryHost,
        /// Why.
        reason: String,
        /// Whether its content was wrong: then this client does not ask it again.
        wrong_content: bool,
    },
    /// The credential for this registry was refused, or gave no token; the request is sent without it.
    CredentialRefused {
        /// The registry.
        host: RegistryHost,
        /// The repository's path.
        repository: String,
        /// Where the credential comes from.
        origin: CredentialOrigin,
        /// What the token server answered, if it gave no token and refused nothing.
        answer: Option<String>,
    },
    /// The credential for this registry can't be used; the request is sent without it.
    CredentialSkipped {
        /// The registry.
        host: RegistryHost,
        /// Why.
        reason: String,
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
pub(crate) struct Events(pub(crate) Option<EventSink>);

#[cfg(feature = "http")]
impl Events {
    pub(crate) fn send(&self, event: RegistryEvent) {
        tracing::debug!(?event, "registry");
        if let Some(sink) = &self.0 {
            sink(event);
        }
    }
}

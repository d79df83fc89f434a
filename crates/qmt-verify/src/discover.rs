//! Discovery: the union of all places where cosign stores signatures, searched at the same time.
//!
//! cosign 3 uses only bundles once there is any, so that a bundle by a stranger hides a valid
//! `.sig`. Here the check decides. Only `RegistryErrorKind::NotFound` means "unsigned".

mod layer;
mod search;

use std::time::Duration;

use futures_util::{FutureExt as _, try_join};
use qmt_oci_ref::{DigestAlgorithm, PinnedReference, Registry, Repository, text};

use self::layer::Kind;
use self::search::Search;
use crate::error::VerifyError;
use crate::evidence::{Evidence, Item};
use crate::limits::{
    DISCOVERY_TIME_MAX, ENVELOPES_MAX, ITEM_BYTES_MAX, SIGNATURES_MAX, TOTAL_BYTES_MAX, lower,
};

/// Where to look, in addition to the places that always apply.
#[derive(Clone, Debug)]
pub struct DiscoveryOptions {
    repository: Option<Repository>,
    tag_prefix: String,
    deadline: Duration,
    caps: Caps,
}

impl Default for DiscoveryOptions {
    fn default() -> Self {
        Self {
            repository: None,
            tag_prefix: String::new(),
            deadline: DISCOVERY_TIME_MAX,
            caps: Caps {
                signatures: SIGNATURES_MAX,
                envelopes: ENVELOPES_MAX,
                item_bytes: ITEM_BYTES_MAX,
            },
        }
    }
}

impl DiscoveryOptions {
    /// Looks in `repository` instead of the image's own: cosign's `COSIGN_REPOSITORY`.
    #[must_use]
    pub fn with_repository(mut self, repository: Repository) -> Self {
        self.repository = Some(repository);
        self
    }

    /// Prefixes the names of the `.sig` and `.att` tags.
    #[must_use]
    pub fn with_tag_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.tag_prefix = prefix.into();
        self
    }

    /// Stores at most `most` signatures and as many envelopes; never more than 100 and 32.
    #[must_use]
    pub fn with_most_signatures(mut self, most: usize) -> Self {
        self.caps.signatures = self.caps.signatures.min(most);
        self.caps.envelopes = self.caps.envelopes.min(most);
        self
    }

    lower! {
        /// Lowers the size of a bundle, payload or envelope in bytes (default 1 MiB).
        with_most_bytes_each: u64 => caps.item_bytes;
    }

    /// Gives up after `deadline` (default: 10 s, which is also the maximum).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(DISCOVERY_TIME_MAX);
        self
    }
}

/// Discovers everything that may be a signature of `subject`, or an attestation about it.
///
/// Searches the referrers (bundles, and what cosign 2 writes in its OCI 1.1 mode), the `.sig` tag
/// and the `.att` tag, all at the same time and for at most 10 s in total. Takes at most 1,000
/// listed referrers, 64 fetched ones, 64 layers of each tag, 100 signatures and 1 MiB each. What is
/// over a limit is noted in the evidence and reported if the digest is refused.
///
/// # Errors
///
/// [`VerifyError::Source`] and [`VerifyError::WrongContent`] if a place cannot be read,
/// [`VerifyError::Timeout`], and [`VerifyError::UnsupportedDigest`] for anything but SHA-256.
///
/// # Cancel safety
///
/// Dropping the future abandons the requests and nothing else.
pub async fn discover(
    registry: &dyn Registry,
    subject: &PinnedReference,
    options: &DiscoveryOptions,
) -> Result<Evidence, VerifyError> {
    if subject.digest().algorithm() != DigestAlgorithm::Sha256 {
        return Err(VerifyError::unsupported(subject));
    }
    let repository = options.repository.as_ref().unwrap_or(subject.repository());
    let search = Search {
        registry,
        subject: PinnedReference::new(repository.clone(), subject.digest().clone()),
        caps: options.caps,
    };
    let searching = async {
        let prefix = options.tag_prefix.as_str();
        // The check sees the results in this order.
        try_join!(
            search.referrers(),
            search.tag(prefix, ".sig", Kind::SimpleSigning).boxed(),
            search.tag(prefix, ".att", Kind::Envelope).boxed(),
        )
    };
    let searched = tokio::time::timeout(options.deadline, searching).await;
    let (referrers, signatures, envelopes) =
        searched.map_err(|_elapsed| VerifyError::Timeout {
            subject: Box::new(subject.clone()),
            limit: options.deadline,
        })??;
    let mut evidence = Evidence::empty(subject);
    let mut budget = Budget::new(options.caps);
    for found in [referrers, signatures, envelopes] {
        found.store(&mut evidence, &mut budget);
    }
    Ok(evidence)
}

/// The limits that can be lowered.
#[derive(Clone, Copy, Debug)]
struct Caps {
    signatures: usize,
    envelopes: usize,
    item_bytes: u64,
}

/// How many more items are taken, and how many bytes.
struct Budget {
    caps: Caps,
    bytes: u64,
}

impl Budget {
    fn new(caps: Caps) -> Self {
        let bytes = TOTAL_BYTES_MAX as u64;
        Self { caps, bytes }
    }

    /// Takes an item of `bytes`, or says why it is not taken.
    fn take(&mut self, is_envelope: bool, bytes: u64) -> Result<(), &'static str> {
        let left = if is_envelope {
            &mut self.caps.envelopes
        } else {
            &mut self.caps.signatures
        };
        let Some(fewer) = left.checked_sub(1) else {
            return Err("there are too many of its kind");
        };
        let Some(rest) = self.bytes.checked_sub(bytes) else {
            return Err("all signatures together are too large");
        };
        (*left, self.bytes) = (fewer, rest);
        Ok(())
    }
}

/// What one place holds.
#[derive(Default)]
struct Found {
    items: Vec<Item>,
    notes: Vec<(String, String)>,
}

impl Found {
    fn note(&mut self, place: impl Into<String>, reason: impl AsRef<str>) {
        let reason = text::escape(reason.as_ref());
        self.notes.push((place.into(), reason));
    }

    /// Notes that only the first `most` of `listed` are `used`, and removes the others.
    fn truncate<T>(&mut self, listed: &mut Vec<T>, most: usize, place: &str, used: &str) {
        let count = listed.len();
        if count > most {
            self.note(place, format!("only {most} of {count} are {used}"));
            listed.truncate(most);
        }
    }

    fn extend(&mut self, other: Self) {
        self.items.extend(other.items);
        self.notes.extend(other.notes);
    }

    /// Stores the items as far as `budget` permits, and the notes.
    fn store(self, evidence: &mut Evidence, budget: &mut Budget) {
        for item in self.items {
            match budget.take(item.is_envelope(), item.weight() as u64) {
                Ok(()) => evidence.items.push(item),
                Err(reason) => evidence.note(item.place, reason.to_owned()),
            }
        }
        for (place, reason) in self.notes {
            evidence.note(place, reason);
        }
    }
}

#[cfg(test)]
mod tests;

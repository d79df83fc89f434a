//! Discovery: the union of all places where cosign stores signatures, searched at the same time.
//!
//! cosign 3 uses only bundles once there is any, so that a bundle by a stranger hides a valid
//! `.sig`. Here the check decides, with all that could be read: what one place refuses is recorded,
//! and reported where the rest is not enough.

mod children;
mod found;
mod layer;
mod search;

use std::time::Duration;

use futures_util::future::join;
use qmt_oci_ref::{Digest, DigestAlgorithm, PinnedReference, Registry, Repository, Tag};
use tokio::time::Instant;

use self::layer::Kind;
use self::search::{Deadline, Search};
use crate::error::VerifyError;
use crate::evidence::Evidence;
use crate::limits::{DISCOVERY_TIME_MAX, ENVELOPES_MAX, ITEM_BYTES_MAX, SIGNATURES_MAX, lower};

/// Where to look, in addition to the places that always apply.
#[derive(Clone, Debug)]
pub struct DiscoveryOptions {
    repository: Option<Repository>,
    tag_prefix: String,
    deadline: Duration,
    caps: Caps,
    attestations_required: bool,
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
            attestations_required: true,
        }
    }
}

impl DiscoveryOptions {
    /// The repository to look in for signatures of the image in `own`: a layout has them itself.
    pub(crate) fn searched<'a>(&'a self, own: &'a Repository) -> &'a Repository {
        let other = self.repository.as_ref();
        other.filter(|_| own.layout().is_none()).unwrap_or(own)
    }

    /// Does not wait for attestations much longer than for signatures.
    #[cfg(feature = "sigstore")]
    pub(crate) fn without_required_attestations(mut self) -> Self {
        self.attestations_required = false;
        self
    }

    /// Looks in `repository` instead of the image's own: cosign's `COSIGN_REPOSITORY`. Signatures of
    /// an image in a layout are in that layout.
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

    /// Stores at most `most` signatures and as many envelopes; never more than 256 and 32.
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

    /// The tag under which cosign 2 stores signatures of `digest`.
    fn tag(&self, digest: &Digest, suffix: &str) -> Result<Tag, VerifyError> {
        let prefix = &self.tag_prefix;
        let tag = format!("{prefix}sha256-{}{suffix}", digest.hex()).parse();
        tag.map_err(|error| {
            VerifyError::policy(format!("the tag prefix `{prefix}` is not valid: {error}"))
        })
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
/// and the `.att` tag, all at the same time and for at most 10 s in total. Fetches at most 256
/// referrers of 64 KiB and 64 of 1 MiB each, the most likely signatures first, then at most 256
/// signatures and 32 attestations of 1 MiB each and 16 MiB in total, by turns from tags and
/// referrers. What is over a limit or cannot be read is noted in the evidence, and reported if the
/// digest is refused.
///
/// Where nothing is found for an index, it and the indexes in it are searched for a child that is
/// signed.
///
/// # Errors
///
/// [`VerifyError::Source`] if no place at all can be read, and [`VerifyError::UnsupportedDigest`]
/// for anything but SHA-256.
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
    let started = Instant::now();
    let after = |limit: Duration| Deadline {
        at: started + limit,
        limit,
    };
    // The rest of the time is for fetching layers, however slow the places are.
    let listing = after(options.deadline.mul_f64(LISTING_SHARE));
    let deadline = after(options.deadline);
    let repository = options.searched(subject.repository());
    let searched = PinnedReference::new(repository.clone(), subject.digest().clone());
    let search = Search::new(registry, searched, options.caps, listing);
    let signature_tag = options.tag(subject.digest(), ".sig")?;
    let attestation_tag = options.tag(subject.digest(), ".att")?;
    let signatures = join(
        search.referrers(),
        search.tag(signature_tag, Kind::SimpleSigning),
    );
    let required = options.attestations_required;
    let all = search.attestations(attestation_tag, required, signatures);
    let ((mut found, signatures), attestations) = all.await;
    // The check sees the results in this order.
    found.extend(signatures);
    found.extend(attestations);
    if found.places == 0
        && let Some(failure) = found.failures.first()
    {
        return Err(VerifyError::Source {
            place: failure.place.clone(),
            source: failure.source.clone(),
            refusal: None,
        });
    }
    let mut evidence = Evidence::empty(subject);
    evidence.items = search.fetch(&mut found, required, deadline).await;
    found.drop_notes();
    (evidence.notes, evidence.failures) = (found.notes, found.failures);
    if evidence.is_empty() {
        let signed = children::first_signed(registry, subject, options, deadline);
        evidence.signed_child = signed.await;
    }
    Ok(evidence)
}

/// The share of the time in which the places must list what they hold.
const LISTING_SHARE: f64 = 0.8;

/// The limits that can be lowered.
#[derive(Clone, Copy, Debug)]
struct Caps {
    signatures: usize,
    envelopes: usize,
    item_bytes: u64,
}

#[cfg(test)]
mod tests;

//! Discovery: the union of all places where cosign leaves signatures, looked at side by side.
//!
//! cosign 3 takes only bundles as soon as there is one of anybody; so a stranger's bundle hides a
//! good `.sig`. We look everywhere and let the judge decide. An error while looking is an error,
//! never "unsigned"; only 404 means that there is nothing.

mod search;

use std::time::Duration;

use futures_util::{FutureExt as _, try_join};
use qmt_oci_ref::{DigestAlgorithm, PinnedReference, Repository};

use self::search::{Kind, Search};
use super::kept::{Caps, Kept};
use super::{Evidence, EvidenceSource};
use crate::error::VerifyError;
use crate::limits::{COLLECT_TIME_MAX, lower};

/// Where to look, apart from the places that always apply.
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
            deadline: COLLECT_TIME_MAX,
            caps: Caps::default(),
        }
    }
}

impl DiscoveryOptions {
    /// Looks in `repository` instead of the image's own, which is what cosign calls
    /// `COSIGN_REPOSITORY`.
    #[must_use]
    pub fn with_repository(mut self, repository: Repository) -> Self {
        self.repository = Some(repository);
        self
    }

    /// Puts `prefix` before the names of the `.sig` and `.att` tags.
    #[must_use]
    pub fn with_tag_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.tag_prefix = prefix.into();
        self
    }

    /// Takes at most `most` signatures and as many envelopes; never more than 100 and 32.
    #[must_use]
    pub fn with_most_signatures(mut self, most: usize) -> Self {
        self.caps.signatures = self.caps.signatures.min(most);
        self.caps.envelopes = self.caps.envelopes.min(most);
        self
    }

    lower! {
        /// Lowers the size of a bundle, payload or envelope in bytes (default 1 MiB).
        with_most_bytes_each: u64 => caps.piece_bytes;
    }

    /// Gives up after `deadline`, which is 10 s unless set, and never more.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(COLLECT_TIME_MAX);
        self
    }
}

/// Collects everything that may be a signature of `subject`, or an attestation about it.
///
/// Looks at the referrers (bundles, and what cosign 2 writes in its OCI 1.1 mode), at the `.sig`
/// tag and at the `.att` tag, all at once and for at most 10 s in total. Takes at most
/// 1,000 listed referrers, 64 fetched ones, 64 layers of each tag, 100 signatures and 1 MiB each; what is
/// left aside is noted in the evidence and comes up again if the digest is refused.
///
/// # Errors
///
/// [`VerifyError::Source`] and [`VerifyError::WrongContent`] if a place could not be read,
/// [`VerifyError::Timeout`], and [`VerifyError::UnsupportedDigest`] for anything but sha256.
///
/// # Cancel safety
///
/// Dropping the future abandons the requests and nothing else.
pub async fn collect(
    source: &dyn EvidenceSource,
    subject: &PinnedReference,
    options: &DiscoveryOptions,
) -> Result<Evidence, VerifyError> {
    if subject.digest().algorithm() != DigestAlgorithm::Sha256 {
        return Err(VerifyError::UnsupportedDigest {
            subject: Box::new(subject.clone()),
        });
    }
    let repository = options.repository.as_ref().unwrap_or(subject.repository());
    let search = Search {
        source,
        subject: PinnedReference::new(repository.clone(), subject.digest().clone()),
        caps: options.caps,
    };
    let looking = async {
        let prefix = options.tag_prefix.as_str();
        // The order here is the order in which the judge sees them.
        try_join!(
            search.referrers(),
            search.tag(prefix, ".sig", Kind::SimpleSigning).boxed(),
            search.tag(prefix, ".att", Kind::Envelope).boxed(),
        )
    };
    let (referrers, signatures, envelopes) = tokio::time::timeout(options.deadline, looking)
        .await
        .map_err(|_elapsed| VerifyError::Timeout {
            subject: Box::new(subject.clone()),
            limit: options.deadline,
        })??;
    let mut kept = Kept::new(Evidence::empty(subject), options.caps);
    for found in [referrers, signatures, envelopes] {
        kept.take(found);
    }
    Ok(kept.evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_never_over_ten_seconds() {
        let options = DiscoveryOptions::default();
        assert_eq!(options.deadline, Duration::from_secs(10));
        assert_eq!(
            options.clone().with_deadline(Duration::MAX).deadline,
            Duration::from_secs(10)
        );
        assert_eq!(
            options.with_deadline(Duration::ZERO).deadline,
            Duration::ZERO
        );
    }

    /// LIM-07: caps are lowered and never raised.
    #[test]
    fn lim_07_caps_go_downwards_only() {
        let caps = |options: DiscoveryOptions| {
            let Caps {
                signatures,
                envelopes,
                piece_bytes,
            } = options.caps;
            (signatures, envelopes, piece_bytes)
        };
        let raised = DiscoveryOptions::default()
            .with_most_signatures(usize::MAX)
            .with_most_bytes_each(u64::MAX);
        assert_eq!(caps(raised.clone()), (100, 32, 1_048_576));
        let lowered = raised.with_most_signatures(40).with_most_bytes_each(7);
        assert_eq!(caps(lowered), (40, 32, 7));
    }
}

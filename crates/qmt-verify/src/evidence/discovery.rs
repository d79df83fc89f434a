//! Discovery: the union of all places where cosign leaves signatures, looked at side by side.
//!
//! cosign 3 takes only bundles as soon as there is one of anybody; so a stranger's bundle hides a
//! good `.sig`. We look everywhere and let the judge decide. An error while looking is an error,
//! never "unsigned"; only 404 means that there is nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use futures_util::{FutureExt as _, try_join};
use qmt_oci_ref::{
    Descriptor, Digest, DigestAlgorithm, PinnedReference, Reference, Repository, Tag,
};

use super::kept::{Caps, Found, Kept};
use super::manifest::{BUNDLE_PREFIX, Manifest, likelihood};
use super::piece::weight;
use super::{Evidence, EvidenceSource, Piece};
use crate::error::VerifyError;
use crate::limits::{
    ANNOTATION_BYTES_MAX, COLLECT_TIME_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX, MANIFESTS_MAX,
    REFERRERS_MAX, REQUESTS_AT_ONCE, TOTAL_BYTES_MAX,
};

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

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

    /// Takes bundles, payloads and envelopes of at most `most` bytes, and never over 1 MiB.
    #[must_use]
    pub fn with_most_bytes_each(mut self, most: u64) -> Self {
        self.caps.piece_bytes = self.caps.piece_bytes.min(most);
        self
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

/// What a layer can be.
#[derive(Clone, Copy)]
enum Kind {
    Bundle,
    SimpleSigning,
    Envelope,
}

impl Kind {
    fn is(self, layer: &Descriptor) -> bool {
        let media_type = layer.media_type().as_str();
        match self {
            Self::Bundle => media_type.starts_with(BUNDLE_PREFIX),
            Self::SimpleSigning => media_type == SIMPLE_SIGNING,
            Self::Envelope => media_type == ENVELOPE,
        }
    }

    /// How many of its kind one place may give.
    fn limit(self, caps: Caps) -> usize {
        match self {
            Self::Bundle | Self::SimpleSigning => caps.signatures,
            Self::Envelope => caps.envelopes,
        }
    }
}

/// A layer that is to be fetched.
struct Layer {
    place: String,
    descriptor: Descriptor,
    kind: Kind,
}

struct Search<'a> {
    source: &'a dyn EvidenceSource,
    subject: PinnedReference,
    caps: Caps,
}

impl Search<'_> {
    /// Everything that refers to the subject: bundles, and signatures in cosign 2's OCI 1.1 mode.
    async fn referrers(&self) -> Result<Found, VerifyError> {
        let place = format!("the referrers of {}", self.subject);
        let mut listed = self
            .source
            .referrers(&self.subject)
            .await
            .map_err(in_place(&place))?;
        let mut found = Found::default();
        if listed.len() > REFERRERS_MAX {
            found.note(
                &place,
                format!("{} of {} are looked at", REFERRERS_MAX, listed.len()),
            );
            listed.truncate(REFERRERS_MAX);
        }
        let mut unique = BTreeSet::new();
        listed.retain(|referrer| unique.insert(referrer.digest().clone()));
        // Not filtered by type: a fallback index names the type of the config, or none. Only what
        // says that it is a signature comes first, so that a flood of others cannot push it out.
        listed.sort_by_key(likelihood);
        if listed.len() > MANIFESTS_MAX {
            found.note(
                &place,
                format!("{} of {} are fetched", MANIFESTS_MAX, listed.len()),
            );
            listed.truncate(MANIFESTS_MAX);
        }
        let read: Vec<_> = stream::iter(listed)
            .map(|referrer| self.referrer(referrer).boxed())
            .buffered(REQUESTS_AT_ONCE)
            .try_collect()
            .await?;
        let mut layers = Vec::new();
        for (notes, more) in read {
            found.extend(notes);
            layers.extend(more);
        }
        self.fetch(layers, &mut found).await?;
        Ok(found)
    }

    /// The layers of one referrer, if it is one of ours.
    async fn referrer(&self, referrer: Descriptor) -> Result<(Found, Vec<Layer>), VerifyError> {
        let place = format!("referrer {}", referrer.digest());
        let mut found = Found::default();
        if referrer.size() > MANIFEST_BYTES_MAX {
            found.note(
                place,
                format!("its manifest is over {MANIFEST_BYTES_MAX} bytes"),
            );
            return Ok((found, Vec::new()));
        }
        let digest = referrer.digest().clone();
        let reference = Reference::new(
            self.subject.repository().clone(),
            None,
            Some(digest.clone()),
        );
        let Some(bytes) = self.read(&place, &reference).await? else {
            found.note(place, "is listed, and is not there");
            return Ok((found, Vec::new()));
        };
        prove(&place, &digest, &bytes)?;
        let manifest = match Manifest::parse(&bytes) {
            Ok(manifest) => manifest,
            Err(problem) => {
                found.note(place, format!("its manifest cannot be read: {problem}"));
                return Ok((found, Vec::new()));
            }
        };
        // A registry may list anything; CVE-2023-33959 was to believe it.
        let subject = manifest.subject.as_ref().map(Descriptor::digest);
        if subject != Some(self.subject.digest()) {
            found.note(place, "its subject is another digest");
            return Ok((found, Vec::new()));
        }
        let layers = if manifest.is_cosign_signature() {
            self.choose(&place, manifest.layers, Kind::SimpleSigning, &mut found)
        } else if let [layer] = manifest.layers.as_slice()
            && Kind::Bundle.is(layer)
        {
            self.choose(&place, vec![layer.clone()], Kind::Bundle, &mut found)
        } else {
            // Anything else that refers to an image is none of our business: no note.
            Vec::new()
        };
        Ok((found, layers))
    }

    /// The layers under a tag that is made of the subject's digest.
    async fn tag(&self, prefix: &str, suffix: &str, kind: Kind) -> Result<Found, VerifyError> {
        let mut found = Found::default();
        let text = format!("{prefix}sha256-{}{suffix}", self.subject.digest().hex());
        let place = format!("tag {text}");
        let tag: Tag = text.parse().map_err(|error| {
            VerifyError::policy(format!(
                "the tag prefix `{prefix}` cannot stand in a tag: {error}"
            ))
        })?;
        let reference = Reference::new(self.subject.repository().clone(), Some(tag), None);
        let Some(bytes) = self.read(&place, &reference).await? else {
            return Ok(found);
        };
        match Manifest::parse(&bytes) {
            Ok(manifest) => {
                let layers = self.choose(&place, manifest.layers, kind, &mut found);
                self.fetch(layers, &mut found).await?;
            }
            Err(problem) => found.note(place, format!("its manifest cannot be read: {problem}")),
        }
        Ok(found)
    }

    async fn read(&self, place: &str, reference: &Reference) -> Result<Option<Bytes>, VerifyError> {
        let bytes = self
            .source
            .manifest(reference, MANIFEST_BYTES_MAX)
            .await
            .map_err(in_place(place))?;
        match bytes {
            Some(bytes) if bytes.len() as u64 > MANIFEST_BYTES_MAX => Err(in_place(place)(
                format!("over {MANIFEST_BYTES_MAX} bytes").into(),
            )),
            bytes => Ok(bytes),
        }
    }

    /// Fetches `layers` at once and keeps their order; never more than will be kept.
    async fn fetch(&self, layers: Vec<Layer>, found: &mut Found) -> Result<(), VerifyError> {
        let mut bytes = 0_u64;
        let mut taken = Vec::new();
        for layer in layers {
            let limit = layer.kind.limit(self.caps);
            bytes = bytes.saturating_add(layer.descriptor.size());
            if taken.len() >= limit {
                found.note(layer.place, format!("there are over {limit} of its kind"));
            } else if bytes > TOTAL_BYTES_MAX as u64 {
                let reason = format!("all signatures together are over {TOTAL_BYTES_MAX} bytes");
                found.note(layer.place, reason);
            } else {
                taken.push(layer);
            }
        }
        found.pieces = stream::iter(taken)
            .map(|layer| self.layer(layer).boxed())
            .buffered(REQUESTS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(())
    }

    /// The layers of a manifest that can be what they should be; notes say what became of the others.
    fn choose(
        &self,
        place: &str,
        mut layers: Vec<Descriptor>,
        kind: Kind,
        found: &mut Found,
    ) -> Vec<Layer> {
        if layers.len() > LAYERS_MAX {
            let count = layers.len();
            found.note(
                place,
                format!("{LAYERS_MAX} of {count} layers are looked at"),
            );
            layers.truncate(LAYERS_MAX);
        }
        let most = self.caps.piece_bytes;
        let mut chosen = Vec::new();
        for (index, descriptor) in layers.into_iter().enumerate() {
            let place = format!("{place}, layer {}", index + 1);
            if !kind.is(&descriptor) {
                found.note(place, format!("is of type `{}`", descriptor.media_type()));
            } else if descriptor.size() > most {
                found.note(place, format!("is over {most} bytes"));
            } else if weight(descriptor.annotations()) > ANNOTATION_BYTES_MAX {
                let reason = format!("its annotations are over {ANNOTATION_BYTES_MAX} bytes");
                found.note(place, reason);
            } else {
                chosen.push(Layer {
                    place,
                    descriptor,
                    kind,
                });
            }
        }
        chosen
    }

    async fn layer(&self, layer: Layer) -> Result<Piece, VerifyError> {
        let Layer {
            place,
            descriptor,
            kind,
        } = layer;
        let bytes = self
            .source
            .blob(
                self.subject.repository(),
                &descriptor,
                self.caps.piece_bytes,
            )
            .await
            .map_err(in_place(&place))?;
        if bytes.len() as u64 != descriptor.size() {
            let announced = descriptor.size();
            let problem = format!("{} bytes where {announced} were announced", bytes.len());
            return Err(in_place(&place)(problem.into()));
        }
        prove(&place, descriptor.digest(), &bytes)?;
        let annotations = descriptor.annotations().clone();
        Ok(match kind {
            Kind::SimpleSigning => Piece::simple_signing(place, bytes.to_vec(), annotations),
            Kind::Envelope => Piece::envelope(place, bytes.to_vec(), annotations),
            Kind::Bundle => Piece::bundle(place, bytes.to_vec()),
        })
    }
}

fn in_place(place: &str) -> impl Fn(crate::error::BoxError) -> VerifyError + '_ {
    move |source| VerifyError::Source {
        place: place.to_owned(),
        source,
    }
}

fn prove(place: &str, expected: &Digest, bytes: &[u8]) -> Result<(), VerifyError> {
    let actual = Digest::of(expected.algorithm(), bytes);
    if actual == *expected {
        return Ok(());
    }
    Err(VerifyError::WrongContent {
        place: place.to_owned(),
        expected: expected.clone(),
        actual,
    })
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

//! The search: what the places hold, and which of it can be a signature.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use qmt_oci_ref::{Descriptor, Digest, PinnedReference, Reference, Tag};

use super::super::kept::{Caps, Found};
use super::super::manifest::{BUNDLE_PREFIX, Manifest, likelihood};
use super::super::piece::weight;
use super::super::{EvidenceSource, Piece};
use crate::error::VerifyError;
use crate::limits::{
    ANNOTATION_BYTES_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX, MANIFESTS_MAX, REFERRERS_MAX,
    REQUESTS_AT_ONCE, TOTAL_BYTES_MAX,
};

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// What a layer can be.
#[derive(Clone, Copy)]
pub(super) enum Kind {
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

pub(super) struct Search<'a> {
    pub(super) source: &'a dyn EvidenceSource,
    pub(super) subject: PinnedReference,
    pub(super) caps: Caps,
}

impl Search<'_> {
    /// Everything that refers to the subject: bundles, and signatures in cosign 2's OCI 1.1 mode.
    pub(super) async fn referrers(&self) -> Result<Found, VerifyError> {
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
    pub(super) async fn tag(
        &self,
        prefix: &str,
        suffix: &str,
        kind: Kind,
    ) -> Result<Found, VerifyError> {
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

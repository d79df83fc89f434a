//! The kinds of layer that hold signatures, and the referrers that may have such layers.

use std::collections::BTreeMap;

use qmt_oci_ref::manifest::{Claims, OCI_EMPTY};
use qmt_oci_ref::{Descriptor, MediaType};

use super::found::Found;
use crate::evidence::{Content, weight};
use crate::limits::{ANNOTATION_BYTES_MAX, LAYERS_MAX, LIKELY_EACH_MAX, SMALL_BYTES_MAX};

/// The media types of bundles begin like this; the version follows.
const BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The artifact type of cosign 2's referrers.
const COSIGN_SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The annotation in which cosign 3 names the predicate type of a bundle.
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
/// The predicate type of a signature by cosign 3.
const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// A kind of layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bundle,
    SimpleSigning,
    Envelope,
}

impl Kind {
    fn of(media_type: &MediaType) -> Option<Self> {
        match media_type.as_ref() {
            SIMPLE_SIGNING => Some(Self::SimpleSigning),
            ENVELOPE => Some(Self::Envelope),
            other if other.starts_with(BUNDLE_PREFIX) => Some(Self::Bundle),
            _ => None,
        }
    }

    /// The content of an evidence item of this kind.
    pub(super) fn content(self, bytes: &[u8], layer: &Descriptor) -> Content {
        let json = bytes.to_vec();
        let annotations = || -> BTreeMap<String, String> {
            let annotations = layer.annotations().iter();
            annotations
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        match self {
            Self::SimpleSigning => Content::SimpleSigning {
                payload: json,
                annotations: annotations(),
            },
            Self::Envelope => Content::Envelope {
                json,
                annotations: annotations(),
            },
            Self::Bundle => {
                let from_file = false;
                Content::Bundle { json, from_file }
            }
        }
    }
}

/// A layer that may be fetched.
pub(super) struct Layer {
    pub(super) place: String,
    pub(super) descriptor: Descriptor,
    pub(super) kind: Kind,
    /// How many layers of the same manifest come before it.
    pub(super) rank: usize,
}

impl Layer {
    /// Bytes of content and annotations.
    pub(super) fn weight(&self) -> u64 {
        let annotations = weight(self.descriptor.annotations()) as u64;
        self.descriptor.size().saturating_add(annotations)
    }
}

/// How likely a referrer is a signature, the most likely first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likelihood {
    Signature,
    Bundle,
    Attestation,
    Untyped,
    Other,
}

impl Likelihood {
    fn of(referrer: &Descriptor) -> Self {
        match referrer.artifact_type().map_or("", AsRef::as_ref) {
            COSIGN_SIGNATURE => Self::Signature,
            "" | OCI_EMPTY => Self::Untyped,
            other if other.starts_with(BUNDLE_PREFIX) => match referrer.annotation(PREDICATE) {
                Some(SIGN_PREDICATE) => Self::Signature,
                None => Self::Bundle,
                Some(_) => Self::Attestation,
            },
            _ => Self::Other,
        }
    }
}

/// Sorts referrers so that the first ones are the most likely signatures. Types and annotations are
/// claims, so a few of each kind come before the rest of any kind: a flood of one kind does not
/// push the others out. Large manifests come last, because signatures are small.
pub(super) fn by_likelihood(referrers: Vec<Descriptor>) -> Vec<Descriptor> {
    let mut counts: BTreeMap<(bool, Likelihood), usize> = BTreeMap::new();
    let keyed = referrers.into_iter().map(|referrer| {
        let is_large = referrer.size() > SMALL_BYTES_MAX;
        let likelihood = Likelihood::of(&referrer);
        let count = counts.entry((is_large, likelihood)).or_default();
        let round = *count / LIKELY_EACH_MAX;
        *count = count.saturating_add(1);
        ((is_large, round, likelihood), referrer)
    });
    let mut keyed: Vec<_> = keyed.collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, referrer)| referrer).collect()
}

/// The kind of signature that a referrer holds, if any.
pub(super) fn kind_of_referrer(manifest: &Claims) -> Option<Kind> {
    let types = [&manifest.artifact_type, &manifest.config_type];
    if types
        .into_iter()
        .flatten()
        .any(|one| one.as_ref() == COSIGN_SIGNATURE)
    {
        return Some(Kind::SimpleSigning);
    }
    match manifest.layers.as_ref()?.read.as_slice() {
        [Ok(layer)] => {
            let kind = Kind::of(layer.descriptor.media_type());
            kind.filter(|kind| *kind == Kind::Bundle)
        }
        _ => None,
    }
}

/// Adds the layers that are of `kind` and within the limits. The others are noted.
pub(super) fn select(
    place: &str,
    manifest: Claims,
    kind: Kind,
    most_bytes: u64,
    found: &mut Found,
) {
    let layers = manifest.layers.unwrap_or_default();
    if layers.count > LAYERS_MAX {
        let reason = format!("only {LAYERS_MAX} of {} layers are read", layers.count);
        found.note(place, reason);
    }
    let mut rank = 0;
    for (index, entry) in layers.read.into_iter().enumerate() {
        let place = format!("{place}, layer {}", index.saturating_add(1));
        let entry = match entry {
            Ok(entry) => entry,
            Err(rule) => {
                found.note(place, rule);
                continue;
            }
        };
        let descriptor = entry.descriptor;
        if Kind::of(descriptor.media_type()) != Some(kind) {
            found.note(place, format!("is of type `{}`", descriptor.media_type()));
        } else if descriptor.size() > most_bytes {
            found.note(place, format!("is over {most_bytes} bytes"));
        } else if entry.lacks_annotations {
            let reason = format!("its annotations are over {ANNOTATION_BYTES_MAX} bytes");
            found.note(place, reason);
        } else {
            found.layers.push(Layer {
                place,
                descriptor,
                kind,
                rank,
            });
            rank += 1;
        }
    }
}

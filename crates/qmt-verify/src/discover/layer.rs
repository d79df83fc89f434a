//! The kinds of layer that hold signatures, and the referrers that may have such layers.

use std::collections::BTreeMap;

use qmt_oci_ref::manifest::{Claims, OCI_EMPTY};
use qmt_oci_ref::{Descriptor, MediaType};

use super::found::Found;
use crate::evidence::{COSIGN_SIGN, Content, SIGNATURE, weight};
use crate::limits::{LIKELY_EACH_MAX, SMALL_BYTES_MAX};

/// The media types of bundles begin like this; the version follows.
const BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The artifact type of cosign 2's referrers.
const COSIGN_SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The annotation in which cosign 3 names the predicate type of a bundle.
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";

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

    /// Whether `layer`, in a place for layers of this kind, is one. Other tools give layers generic
    /// types, so what is no signature of another kind is known by its content, or its annotation.
    fn includes(self, layer: &Descriptor) -> bool {
        match (Self::of(layer.media_type()), self) {
            (Some(kind), _) => kind == self,
            (None, Self::Bundle) => true,
            (None, Self::SimpleSigning) => layer.annotation(SIGNATURE).is_some(),
            (None, Self::Envelope) => false,
        }
    }

    /// The content of an evidence item of this kind.
    pub(super) fn content(self, bytes: &[u8], layer: &Descriptor) -> Content {
        let json = bytes.to_vec();
        let annotations = layer.annotations().clone().into_iter().collect();
        match self {
            Self::SimpleSigning => Content::SimpleSigning {
                payload: json,
                annotations,
            },
            Self::Envelope => Content::Envelope { json, annotations },
            Self::Bundle => Content::Bundle {
                json,
                from_file: false,
            },
        }
    }
}

/// A layer that may be fetched.
pub(super) struct Layer {
    pub(super) place: String,
    pub(super) descriptor: Descriptor,
    pub(super) kind: Kind,
    pub(super) origin: Origin,
    /// How many layers of the same manifest come after it: the last ones are the newest.
    pub(super) rank: usize,
}

/// The places that take turns, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    Tag,
    Referrers,
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
                Some(COSIGN_SIGN) => Self::Signature,
                None => Self::Bundle,
                Some(_) => Self::Attestation,
            },
            _ => Self::Other,
        }
    }
}

/// Sorts referrers so that the first ones are the most likely signatures. Types and annotations are
/// claims, so a few of each kind come before the rest of any kind: a flood of one kind does not
/// push the others out, and they are taken from both ends of the list: a flood is added at one of
/// them. Large manifests come last, because signatures are small.
pub(super) fn by_likelihood(referrers: Vec<Descriptor>) -> Vec<Descriptor> {
    let mut counts: BTreeMap<(bool, Likelihood), usize> = BTreeMap::new();
    let count = referrers.len();
    let mut ends = referrers.into_iter();
    let alternating = (0..count).map_while(|index| match index % 2 {
        0 => ends.next(),
        _ => ends.next_back(),
    });
    let keyed = alternating.map(|referrer| {
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
    if let Some(named) = &manifest.artifact_type
        && named.as_ref().starts_with(BUNDLE_PREFIX)
    {
        return Some(Kind::Bundle);
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
    (kind, origin): (Kind, Origin),
    most_bytes: u64,
    found: &mut Found,
) {
    let layers = manifest.layers.unwrap_or_default();
    let (skipped, read) = (layers.skipped, layers.read.len());
    let reason = format!("only the last {read} of {} layers are read", layers.count);
    found.skip(place, skipped, reason);
    let first = found.layers.len();
    for (index, entry) in (1..).zip(layers.read) {
        let place = format!("{place}, layer {}", skipped.saturating_add(index));
        let entry = match entry {
            Ok(entry) => entry,
            Err(rule) => {
                found.note(place, rule);
                continue;
            }
        };
        let descriptor = entry.descriptor;
        if !kind.includes(&descriptor) {
            let media_type = descriptor.media_type();
            found.note(place, format!("its type is `{media_type}`"));
        } else if descriptor.size() > most_bytes {
            found.skip(place, 1, format!("it is over {most_bytes} bytes"));
        } else if entry.lacks_annotations {
            found.skip(place, 1, "its annotations are over the limit");
        } else {
            found.layers.push(Layer {
                place,
                descriptor,
                kind,
                origin,
                rank: 0,
            });
        }
    }
    let added = found.layers.iter_mut().skip(first).rev();
    for (rank, layer) in added.enumerate() {
        layer.rank = rank;
    }
}

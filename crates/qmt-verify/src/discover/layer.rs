//! The kinds of layer that hold signatures, and the referrers that may have such layers.

use qmt_oci_ref::manifest::{Manifest, OCI_EMPTY};
use qmt_oci_ref::{Descriptor, MediaType};

use crate::evidence::{Content, weight};
use crate::limits::{ANNOTATION_BYTES_MAX, LAYERS_MAX};

use super::{Caps, Found};

/// The media types of bundles begin like this; the version follows.
const BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The artifact type of cosign 2's referrers.
const COSIGN_SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

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
        let annotations = layer.annotations().clone().into_iter().collect();
        match self {
            Self::SimpleSigning => Content::SimpleSigning {
                payload: json,
                annotations,
            },
            Self::Envelope => Content::Envelope { json, annotations },
            Self::Bundle => {
                let from_file = false;
                Content::Bundle { json, from_file }
            }
        }
    }
}

/// A layer to fetch.
pub(super) struct Layer {
    pub(super) place: String,
    pub(super) descriptor: Descriptor,
    pub(super) kind: Kind,
}

/// How likely a referrer is a signature, the most likely first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likelihood {
    Signature,
    Untyped,
    Other,
}

impl Likelihood {
    pub(super) fn of(referrer: &Descriptor) -> Self {
        match referrer.artifact_type().map_or("", AsRef::as_ref) {
            COSIGN_SIGNATURE => Self::Signature,
            "" | OCI_EMPTY => Self::Untyped,
            other if other.starts_with(BUNDLE_PREFIX) => Self::Signature,
            _ => Self::Other,
        }
    }
}

/// The kind of signature that a referrer holds, if any.
pub(super) fn kind_of_referrer(manifest: &Manifest) -> Option<Kind> {
    let types = [manifest.artifact_type(), manifest.config().media_type()];
    if types.iter().any(|one| one.as_ref() == COSIGN_SIGNATURE) {
        return Some(Kind::SimpleSigning);
    }
    match manifest.layers() {
        [layer] => Kind::of(layer.media_type()).filter(|kind| *kind == Kind::Bundle),
        _ => None,
    }
}

/// The layers of `manifest` that are of `kind` and within the limits. The others are noted.
pub(super) fn select(
    place: &str,
    manifest: &Manifest,
    kind: Kind,
    caps: Caps,
    found: &mut Found,
) -> Vec<Layer> {
    let layers = manifest.layers();
    if layers.len() > LAYERS_MAX {
        let count = layers.len();
        let reason = format!("only {LAYERS_MAX} of {count} layers are read");
        found.note(place, reason);
    }
    let mut selected = Vec::new();
    for (index, descriptor) in layers.iter().take(LAYERS_MAX).enumerate() {
        let place = format!("{place}, layer {}", index + 1);
        if Kind::of(descriptor.media_type()) != Some(kind) {
            found.note(place, format!("is of type `{}`", descriptor.media_type()));
        } else if descriptor.size() > caps.item_bytes {
            found.note(place, format!("is over {} bytes", caps.item_bytes));
        } else if weight(descriptor.annotations()) > ANNOTATION_BYTES_MAX {
            let reason = format!("its annotations are over {ANNOTATION_BYTES_MAX} bytes");
            found.note(place, reason);
        } else {
            selected.push(Layer {
                place,
                descriptor: descriptor.clone(),
                kind,
            });
        }
    }
    selected
}

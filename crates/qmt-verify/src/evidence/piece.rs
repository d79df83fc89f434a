//! One thing that was found: a bundle, a simple-signing layer or an attestation envelope.

use std::collections::BTreeMap;

use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One piece of evidence and where it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// Where, in words for people.
    found: String,
    /// What, byte for byte.
    content: Content,
}

/// What was found, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Content {
    /// A Sigstore bundle.
    Bundle {
        /// Its JSON.
        #[serde(with = "base64_bytes")]
        json: Vec<u8>,
        /// Whether the operator named it as a file. Registries give v0.3 only, because whoever
        /// relabels a bundle as v0.1 may leave out the proof of inclusion.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        from_file: bool,
    },
    /// A layer that cosign 2 wrote for `sign`.
    SimpleSigning {
        /// The signed payload.
        #[serde(with = "base64_bytes")]
        payload: Vec<u8>,
        /// The annotations of the layer: signature, certificate, log entry, timestamp.
        annotations: BTreeMap<String, String>,
    },
    /// A layer that cosign 2 wrote for `attest`.
    Envelope {
        /// The DSSE envelope in JSON.
        #[serde(with = "base64_bytes")]
        json: Vec<u8>,
        /// The annotations of the layer: certificate, log entry.
        annotations: BTreeMap<String, String>,
    },
}

impl Piece {
    pub(crate) fn bundle(found: String, json: Vec<u8>) -> Self {
        Self {
            found,
            content: Content::Bundle {
                json,
                from_file: false,
            },
        }
    }

    pub(crate) fn bundle_file(found: String, json: Vec<u8>) -> Self {
        Self {
            found,
            content: Content::Bundle {
                json,
                from_file: true,
            },
        }
    }

    pub(crate) fn simple_signing(
        found: String,
        payload: Vec<u8>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        Self {
            found,
            content: Content::SimpleSigning {
                payload,
                annotations,
            },
        }
    }

    pub(crate) fn envelope(
        found: String,
        json: Vec<u8>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        Self {
            found,
            content: Content::Envelope { json, annotations },
        }
    }

    pub(crate) fn found(&self) -> &str {
        &self.found
    }

    #[cfg(feature = "sigstore")]
    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    pub(crate) fn is_envelope(&self) -> bool {
        matches!(self.content, Content::Envelope { .. })
    }

    /// Bytes of the content without annotations.
    pub(crate) fn content_len(&self) -> u64 {
        let length = match &self.content {
            Content::Bundle { json, .. } | Content::Envelope { json, .. } => json.len(),
            Content::SimpleSigning { payload, .. } => payload.len(),
        };
        length as u64
    }

    /// Bytes of everything.
    pub(crate) fn weight(&self) -> usize {
        match &self.content {
            Content::Bundle { json, .. } => json.len(),
            Content::Envelope { json, annotations } => json.len() + weight(annotations),
            Content::SimpleSigning {
                payload,
                annotations,
            } => payload.len() + weight(annotations),
        }
    }
}

/// Bytes of all names and values.
pub(crate) fn weight(annotations: &BTreeMap<String, String>) -> usize {
    annotations
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// Bytes as standard base64, so that they come back exactly as they were found.
mod base64_bytes {
    use base64::Engine as _;

    use super::{Deserialize, Deserializer, STANDARD, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD
            .decode(text.as_bytes())
            .map_err(serde::de::Error::custom)
    }
}

//! Evidence: everything found about one digest that may be a signature, exactly as it was found.
//!
//! It says nothing about validity. It is stored next to the artifact in the cache and checked again
//! at each load, offline, so that a stricter policy or a new trust root applies at once.

use std::collections::BTreeMap;

use qmt_oci_ref::{Digest, PinnedReference, RegistryError};
use serde::{Deserialize, Serialize};

use crate::error::VerifyError;
use crate::limits::{
    ENVELOPES_MAX, EVIDENCE_BYTES_MAX, ITEM_BYTES_MAX, NOTES_MAX, SIGNATURES_MAX, TOTAL_BYTES_MAX,
};

/// cosign's annotations of a layer: the signature.
pub(crate) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The certificate in PEM.
pub(crate) const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// The certificates above it in PEM.
pub(crate) const CHAIN: &str = "dev.sigstore.cosign/chain";
/// The log entry.
pub(crate) const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
/// The timestamp.
pub(crate) const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
/// All annotations of a layer that are read.
pub(crate) const ANNOTATIONS: [&str; 5] = [SIGNATURE, CERTIFICATE, CHAIN, LOG_ENTRY, TIMESTAMP];

/// The predicate type of a signature by cosign 3, which is not an attestation.
pub(crate) const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// The version of the stored form; other versions are not read.
const SCHEMA: u32 = 1;

/// What was found about one digest. Serialisable, bounded when read back, and not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    schema: u32,
    subject: Digest,
    #[serde(rename = "pieces")]
    pub(crate) items: Vec<Item>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<Note>,
    /// The look-ups that failed. They may succeed the next time, so they are not stored.
    #[serde(skip)]
    pub(crate) failures: Vec<Failure>,
    /// A signed manifest that the subject lists, where the subject itself is not signed.
    #[serde(skip)]
    pub(crate) signed_child: Option<Digest>,
}

/// A look-up that failed, so that it is not known what the place holds.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) place: String,
    pub(crate) source: RegistryError,
    /// Whether the place can hold attestations only, which most policies do not require.
    pub(crate) of_attestations: bool,
}

impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
            && self.source.kind() == other.source.kind()
            && self.of_attestations == other.of_attestations
    }
}

impl Eq for Failure {}

/// Something that was listed and not stored, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    #[serde(rename = "found")]
    pub(crate) place: String,
    pub(crate) reason: String,
    /// How many items were not looked at because of a limit; 0 for one that cannot be used.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) unread: usize,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) about: About,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum About {
    /// A signature that was listed.
    #[default]
    Item,
    /// A list of which only a part was read.
    List,
    /// A place whose answer is no signature.
    Place,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Evidence {
    /// Starts with nothing found about `subject`.
    pub fn empty(subject: &PinnedReference) -> Self {
        Self {
            schema: SCHEMA,
            subject: subject.digest().clone(),
            items: Vec::new(),
            notes: Vec::new(),
            failures: Vec::new(),
            signed_child: None,
        }
    }

    /// The digest that this evidence was discovered for.
    pub fn subject(&self) -> &Digest {
        &self.subject
    }

    /// How many signatures and attestations were found, valid or not.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds a bundle file (v0.1 to v0.3) that is not from a registry. An old one is accepted until
    /// the evidence is stored: see [`Evidence::to_json`].
    ///
    /// # Errors
    ///
    /// [`VerifyError::Evidence`] if the bundle is over 1 MiB or there are 256 signatures already.
    pub fn with_bundle(mut self, found: &str, json: &[u8]) -> Result<Self, VerifyError> {
        self.items.push(Item {
            place: found.to_owned(),
            content: Content::Bundle {
                json: json.to_vec(),
                from_file: true,
            },
        });
        self.check_limits()?;
        Ok(self)
    }

    /// Reads stored evidence.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Evidence`] if it is over 32 MiB, of another version, or over a limit.
    pub fn from_json(json: &[u8]) -> Result<Self, VerifyError> {
        /// The stored form, before its limits are checked.
        #[derive(Deserialize)]
        struct Stored {
            schema: u32,
            subject: Digest,
            pieces: Vec<Item>,
            #[serde(default)]
            notes: Vec<Note>,
        }
        if json.len() > EVIDENCE_BYTES_MAX {
            return Err(unusable(format!("over {EVIDENCE_BYTES_MAX} bytes")));
        }
        let stored: Stored =
            serde_json::from_slice(json).map_err(|error| unusable(error.to_string()))?;
        let evidence = Self {
            schema: stored.schema,
            subject: stored.subject,
            items: stored.pieces,
            notes: stored.notes,
            failures: Vec::new(),
            signed_child: None,
        };
        evidence.check_limits()?;
        Ok(evidence)
    }

    /// Writes the evidence so that [`Evidence::from_json`] reads it back. What is read back are
    /// bundles of a registry, which must be v0.3.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Evidence`] if it cannot be serialised.
    pub fn to_json(&self) -> Result<Vec<u8>, VerifyError> {
        serde_json::to_vec(self).map_err(|error| unusable(error.to_string()))
    }

    /// Adds what `other` has and this evidence lacks, as far as the limits allow. What this evidence
    /// has in the first half of the limits is never removed, and the rest of it gives way, so that many
    /// signatures that were stored before do not hide those of `other`.
    #[must_use]
    pub fn merged_with(mut self, other: Self) -> Self {
        if self.subject != other.subject {
            return self;
        }
        let (mut signatures, mut envelopes, mut bytes) = (0_usize, 0_usize, 0_usize);
        let (first, rest): (Vec<_>, Vec<_>) = self.items.into_iter().partition(|item| {
            let (count, most) = if item.is_envelope() {
                (&mut envelopes, ENVELOPES_MAX)
            } else {
                (&mut signatures, SIGNATURES_MAX)
            };
            *count += 1;
            bytes = bytes.saturating_add(item.weight());
            *count <= most / 2 && bytes <= TOTAL_BYTES_MAX / 2
        });
        self.items = first;
        for item in other.items.into_iter().chain(rest) {
            if !self.items.contains(&item) {
                self.items.push(item);
                if self.check_limits().is_err() {
                    self.items.pop();
                }
            }
        }
        self
    }

    /// Checks the limits that discovery keeps.
    fn check_limits(&self) -> Result<(), VerifyError> {
        let items = &self.items;
        let envelopes = items.iter().filter(|item| item.is_envelope()).count();
        let total: usize = items.iter().map(Item::weight).sum();
        let is_large = |item: &Item| item.content_len() as u64 > ITEM_BYTES_MAX;
        let problem = if self.schema != SCHEMA {
            format!("schema {} is not {SCHEMA}", self.schema)
        } else if items.len() - envelopes > SIGNATURES_MAX {
            format!("over {SIGNATURES_MAX} signatures")
        } else if envelopes > ENVELOPES_MAX {
            format!("over {ENVELOPES_MAX} attestations")
        } else if items.iter().any(is_large) {
            format!("an item over {ITEM_BYTES_MAX} bytes")
        } else if total > TOTAL_BYTES_MAX {
            format!("over {TOTAL_BYTES_MAX} bytes in all")
        } else if self.notes.len() > NOTES_MAX {
            format!("over {NOTES_MAX} notes")
        } else {
            return Ok(());
        };
        Err(unusable(problem))
    }
}

fn unusable(problem: String) -> VerifyError {
    VerifyError::Evidence { problem }
}

/// One signature or attestation as it was stored, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// The referrer, tag or file, in words.
    #[serde(rename = "found")]
    pub(crate) place: String,
    pub(crate) content: Content,
}

/// The content, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Content {
    /// A Sigstore bundle.
    Bundle {
        /// Its JSON.
        #[serde(with = "base64_bytes")]
        json: Vec<u8>,
        /// Whether the operator named it as a file. Bundles from registries must be v0.3, because a
        /// bundle relabelled as v0.1 may omit the proof of inclusion. Stored evidence may have been
        /// imported, so it cannot say this.
        #[serde(skip)]
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

impl Item {
    fn is_envelope(&self) -> bool {
        matches!(self.content, Content::Envelope { .. })
    }

    /// Bytes of the content without annotations.
    pub(crate) fn content_len(&self) -> usize {
        match &self.content {
            Content::Bundle { json, .. } | Content::Envelope { json, .. } => json.len(),
            Content::SimpleSigning { payload, .. } => payload.len(),
        }
    }

    /// Bytes of content and annotations.
    pub(crate) fn weight(&self) -> usize {
        let annotations = match &self.content {
            Content::Bundle { .. } => 0,
            Content::Envelope { annotations, .. } | Content::SimpleSigning { annotations, .. } => {
                weight(annotations)
            }
        };
        self.content_len().saturating_add(annotations)
    }
}

/// Bytes of all names and values.
pub(crate) fn weight<'a>(annotations: impl IntoIterator<Item = (&'a String, &'a String)>) -> usize {
    let pairs = annotations.into_iter();
    pairs.map(|(name, value)| name.len() + value.len()).sum()
}

/// Bytes as standard base64, so that they come back exactly as they were stored.
mod base64_bytes {
    use std::borrow::Cow;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;

//! Evidence: everything found about one digest that may be a signature, exactly as it was found.
//!
//! It says nothing about validity. It is kept beside the artifact in the cache and judged again at
//! each load, so that a stricter policy or a new trust root takes effect at once, offline.

mod discovery;
mod kept;
mod manifest;
mod piece;
mod source;

use qmt_oci_ref::{Digest, PinnedReference};
use serde::{Deserialize, Serialize};

pub use self::discovery::{DiscoveryOptions, collect};
#[cfg(feature = "sigstore")]
pub(crate) use self::piece::Content;
pub(crate) use self::piece::Piece;
pub use self::source::EvidenceSource;
#[cfg(feature = "test-util")]
pub use self::source::MockEvidenceSource;

use crate::error::VerifyError;
use crate::limits::{
    ENVELOPES_MAX, EVIDENCE_BYTES_MAX, NOTES_MAX, PIECE_BYTES_MAX, SIGNATURES_MAX, TOTAL_BYTES_MAX,
};

/// The form in which evidence is stored; another number is not read.
const SCHEMA: u32 = 1;

/// What was found about one digest. Serialisable, bounded when read back, and not yet judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Evidence {
    schema: u32,
    subject: Digest,
    pieces: Vec<Piece>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Note>,
}

/// Something that was listed and not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Where it was found.
    pub(crate) found: String,
    /// Why it was left aside.
    pub(crate) reason: String,
}

impl Evidence {
    /// Starts with nothing found about `subject`.
    pub fn empty(subject: &PinnedReference) -> Self {
        Self {
            schema: SCHEMA,
            subject: subject.digest().clone(),
            pieces: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The digest that this evidence was collected for.
    pub fn subject(&self) -> &Digest {
        &self.subject
    }

    /// How many signatures and attestations were found, whatever they are worth.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether nothing was found at all.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Adds a bundle file (v0.1 to v0.3) that did not come from a registry.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Evidence`] if the bundle is over 1 MiB or there are 100 signatures already.
    pub fn with_bundle(mut self, found: &str, json: &[u8]) -> Result<Self, VerifyError> {
        self.pieces
            .push(Piece::bundle_file(found.to_owned(), json.to_vec()));
        check(&self.pieces, &self.notes)?;
        Ok(self)
    }

    /// Reads stored evidence.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Evidence`] if it is over 32 MiB, not in our form, or over a limit.
    pub fn from_json(json: &[u8]) -> Result<Self, VerifyError> {
        if json.len() > EVIDENCE_BYTES_MAX {
            return Err(unusable(format!("over {EVIDENCE_BYTES_MAX} bytes")));
        }
        serde_json::from_slice(json).map_err(|error| unusable(error.to_string()))
    }

    /// Writes the evidence so that [`Evidence::from_json`] reads it back.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Evidence`] if it cannot be serialised.
    pub fn to_json(&self) -> Result<Vec<u8>, VerifyError> {
        serde_json::to_vec(self).map_err(|error| unusable(error.to_string()))
    }

    #[cfg(feature = "sigstore")]
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    #[cfg(feature = "sigstore")]
    pub(crate) fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// Evidence as it stands on disk, before its limits are checked.
#[derive(Deserialize)]
struct Stored {
    schema: u32,
    subject: Digest,
    pieces: Vec<Piece>,
    #[serde(default)]
    notes: Vec<Note>,
}

impl TryFrom<Stored> for Evidence {
    type Error = VerifyError;

    fn try_from(stored: Stored) -> Result<Self, VerifyError> {
        if stored.schema != SCHEMA {
            return Err(unusable(format!(
                "schema {} is not {SCHEMA}",
                stored.schema
            )));
        }
        check(&stored.pieces, &stored.notes)?;
        let Stored {
            schema,
            subject,
            pieces,
            notes,
        } = stored;
        Ok(Self {
            schema,
            subject,
            pieces,
            notes,
        })
    }
}

/// Checks the same limits that collecting keeps.
fn check(pieces: &[Piece], notes: &[Note]) -> Result<(), VerifyError> {
    let envelopes = pieces.iter().filter(|piece| piece.is_envelope()).count();
    let total: usize = pieces.iter().map(Piece::weight).sum();
    if pieces.len() - envelopes > SIGNATURES_MAX {
        return Err(unusable(format!("over {SIGNATURES_MAX} signatures")));
    }
    if envelopes > ENVELOPES_MAX {
        return Err(unusable(format!("over {ENVELOPES_MAX} attestations")));
    }
    if pieces
        .iter()
        .any(|piece| piece.content_len() > PIECE_BYTES_MAX)
    {
        return Err(unusable(format!("a piece over {PIECE_BYTES_MAX} bytes")));
    }
    if total > TOTAL_BYTES_MAX {
        return Err(unusable(format!("over {TOTAL_BYTES_MAX} bytes in all")));
    }
    if notes.len() > NOTES_MAX {
        return Err(unusable(format!("over {NOTES_MAX} notes")));
    }
    Ok(())
}

fn unusable(problem: String) -> VerifyError {
    VerifyError::Evidence { problem }
}

#[cfg(test)]
mod tests;

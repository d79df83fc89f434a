//! What one place gave, and what is kept of all of it: the caps on evidence while it is collected.

use super::{Evidence, Note, Piece};
use crate::error::printable;
use crate::limits::{ENVELOPES_MAX, NOTES_MAX, PIECE_BYTES_MAX, SIGNATURES_MAX, TOTAL_BYTES_MAX};

/// The caps that can be lowered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) signatures: usize,
    pub(super) envelopes: usize,
    pub(super) piece_bytes: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            signatures: SIGNATURES_MAX,
            envelopes: ENVELOPES_MAX,
            piece_bytes: PIECE_BYTES_MAX,
        }
    }
}

/// What one place gave.
#[derive(Default)]
pub(super) struct Found {
    pub(super) pieces: Vec<Piece>,
    notes: Vec<Note>,
}

impl Found {
    pub(super) fn note(&mut self, found: impl Into<String>, reason: impl Into<String>) {
        self.notes.push(Note {
            found: found.into(),
            reason: printable(&reason.into()),
        });
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
        self.notes.extend(other.notes);
    }
}

/// The evidence under its caps.
pub(super) struct Kept {
    pub(super) evidence: Evidence,
    caps: Caps,
    bytes: usize,
    signatures: usize,
    envelopes: usize,
}

impl Kept {
    pub(super) fn new(evidence: Evidence, caps: Caps) -> Self {
        Self {
            evidence,
            caps,
            bytes: 0,
            signatures: 0,
            envelopes: 0,
        }
    }

    pub(super) fn take(&mut self, found: Found) {
        for piece in found.pieces {
            let (count, limit) = if piece.is_envelope() {
                (&mut self.envelopes, self.caps.envelopes)
            } else {
                (&mut self.signatures, self.caps.signatures)
            };
            let bytes = self.bytes.saturating_add(piece.weight());
            if *count >= limit {
                self.note(
                    piece.found().to_owned(),
                    format!("there are over {limit} of its kind"),
                );
            } else if bytes > TOTAL_BYTES_MAX {
                let reason = format!("all signatures together are over {TOTAL_BYTES_MAX} bytes");
                self.note(piece.found().to_owned(), reason);
            } else {
                *count += 1;
                self.bytes = bytes;
                self.evidence.pieces.push(piece);
            }
        }
        for note in found.notes {
            self.note(note.found, note.reason);
        }
    }

    fn note(&mut self, found: String, reason: String) {
        if self.evidence.notes.len() < NOTES_MAX {
            self.evidence.notes.push(Note { found, reason });
        }
    }
}

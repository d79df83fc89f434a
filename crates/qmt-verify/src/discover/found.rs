//! What was found, which layers of it are fetched, and why the others are not.

use std::collections::BTreeMap;

use qmt_oci_ref::{RegistryError, RegistryErrorKind, text};

use super::Caps;
use super::layer::{Kind, Layer};
use crate::evidence::{About, Failure, Note};
use crate::limits::{FAILURES_MAX, LAYERS_HELD_MAX, NOTES_MAX, SMALL_BYTES_MAX, TOTAL_BYTES_MAX};

/// What was found in some places.
#[derive(Default)]
pub(super) struct Found {
    /// The layers of all manifests, in the order in which the check sees them.
    pub(super) layers: Vec<Layer>,
    pub(super) notes: Vec<Note>,
    pub(super) failures: Vec<Failure>,
    /// How many places were read.
    pub(super) places: usize,
    /// Whether the place can hold attestations only.
    of_attestations: bool,
}

impl Found {
    /// Starts with nothing found in a place for layers of `kind`.
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            of_attestations: kind == Kind::Envelope,
            ..Self::default()
        }
    }

    pub(super) fn note(&mut self, place: impl Into<String>, reason: impl AsRef<str>) {
        self.push(place.into(), reason.as_ref(), 0, About::Item);
    }

    /// Notes an answer of a place that is no signature.
    pub(super) fn note_answer(&mut self, place: impl Into<String>, reason: impl AsRef<str>) {
        self.push(place.into(), reason.as_ref(), 0, About::Place);
    }

    /// Notes that `unread` items are over the limit in `reason`, so that they were not looked at.
    pub(super) fn skip(
        &mut self,
        place: impl Into<String>,
        unread: usize,
        reason: impl AsRef<str>,
    ) {
        if unread > 0 {
            self.push(place.into(), reason.as_ref(), unread, About::Item);
        }
    }

    fn push(&mut self, place: String, reason: &str, unread: usize, about: About) {
        let reason = text::escape(reason);
        self.notes.push(Note {
            place,
            reason,
            unread,
            about,
        });
    }

    /// Records that a place could not be read.
    pub(super) fn fail(&mut self, place: impl Into<String>, source: RegistryError) {
        let mut place = place.into();
        if let Some(mirror) = source.mirror() {
            place = format!("{place} at the mirror `{mirror}`");
        }
        self.failures.push(Failure {
            place,
            source,
            of_attestations: self.of_attestations,
        });
    }

    /// Records that a listed item could not be read. A failure that a publisher can cause is only
    /// noted, because it does not hide other signatures.
    pub(super) fn miss(&mut self, place: impl Into<String>, source: RegistryError) {
        match source.kind() {
            RegistryErrorKind::NotFound => {
                self.note(place, "its content is missing in the registry");
            }
            RegistryErrorKind::Content if !source.is_other_content() => {
                self.note(place, text::error_line(&source, None));
            }
            _ => self.fail(place, source),
        }
    }

    /// Records that only a part of a list could be read.
    pub(super) fn miss_rest(&mut self, place: impl Into<String>, source: RegistryError) {
        if source.kind() == RegistryErrorKind::Content && !source.is_other_content() {
            let reason = text::error_line(&source, None);
            self.push(place.into(), &reason, 0, About::List);
        } else {
            self.miss(place, source);
        }
    }

    /// Adds what one of many referrers holds.
    pub(super) fn add_referrer(&mut self, mut other: Self) {
        if self.layers.len() >= LAYERS_HELD_MAX
            && let Some(last) = other.layers.pop()
        {
            let reason = format!("the referrers before it have {LAYERS_HELD_MAX} layers");
            self.skip(last.place.clone(), other.layers.len(), reason);
            other.layers = vec![last];
        }
        self.extend(other);
        self.drop_notes();
    }

    /// Keeps the most notes and failures that are reported. Those about a limit count items, so
    /// they come first, and so do those that say more than one item does.
    pub(super) fn drop_notes(&mut self) {
        if self.notes.len() > NOTES_MAX {
            self.notes
                .sort_by_key(|note| note.unread == 0 && note.about == About::Item);
        }
        self.notes.truncate(NOTES_MAX);
        self.failures.truncate(FAILURES_MAX);
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.layers.extend(other.layers);
        self.notes.extend(other.notes);
        self.failures.extend(other.failures);
        self.places = self.places.saturating_add(other.places);
    }

    /// Takes the layers that fit into the limits, each with its position, and notes the others.
    /// Small ones are preferred, and of these the last of each manifest, so that the layers of one
    /// manifest do not use up the limits. Tags and referrers take turns, so that the layers of one
    /// place do not use up those of the other either.
    pub(super) fn take_layers(&mut self, caps: Caps) -> Vec<(usize, Layer)> {
        let mut budget = Budget {
            caps,
            bytes: TOTAL_BYTES_MAX as u64,
        };
        let layers = std::mem::take(&mut self.layers).into_iter();
        let mut layers: Vec<(usize, Layer)> = layers.enumerate().collect();
        layers.sort_by_key(|(_, layer)| layer.rank);
        let mut turns: BTreeMap<_, usize> = BTreeMap::new();
        let keyed = layers.into_iter().map(|(index, layer)| {
            let is_large = layer.weight() > SMALL_BYTES_MAX;
            let turn = turns
                .entry((is_large, layer.origin, layer.kind == Kind::Envelope))
                .or_default();
            *turn += 1;
            ((is_large, *turn, layer.origin), index, layer)
        });
        let mut keyed: Vec<_> = keyed.collect();
        keyed.sort_by_key(|(key, ..)| *key);
        let mut taken = Vec::new();
        let mut unread: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, index, layer) in keyed {
            match budget.take(&layer) {
                Ok(()) => taken.push((index, layer)),
                Err(reason) => *unread.entry(reason).or_default() += 1,
            }
        }
        for (reason, count) in unread {
            self.skip("other signatures", count, reason);
        }
        taken
    }
}

/// How many more items are taken, and how many bytes.
struct Budget {
    caps: Caps,
    bytes: u64,
}

impl Budget {
    /// Takes a layer, or says why it is not taken.
    fn take(&mut self, layer: &Layer) -> Result<(), &'static str> {
        let left = if layer.kind == Kind::Envelope {
            &mut self.caps.envelopes
        } else {
            &mut self.caps.signatures
        };
        let Some(fewer) = left.checked_sub(1) else {
            return Err("there are too many of their kind");
        };
        let Some(remaining) = self.bytes.checked_sub(layer.weight()) else {
            return Err("all signatures together are too large");
        };
        (*left, self.bytes) = (fewer, remaining);
        Ok(())
    }
}

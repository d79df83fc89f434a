//! What was found, which layers of it are fetched, and why the others are not.

use qmt_oci_ref::{RegistryError, RegistryErrorKind, text};

use super::Caps;
use super::layer::{Kind, Layer};
use crate::evidence::{Failure, Note};
use crate::limits::{SMALL_BYTES_MAX, TOTAL_BYTES_MAX};

/// What was found in some places.
#[derive(Default)]
pub(super) struct Found {
    /// The layers of all manifests, in the order in which the check sees them.
    pub(super) layers: Vec<Layer>,
    pub(super) notes: Vec<Note>,
    pub(super) failures: Vec<Failure>,
    /// How many places were read.
    pub(super) places: usize,
}

impl Found {
    pub(super) fn note(&mut self, place: impl Into<String>, reason: impl AsRef<str>) {
        let (place, reason) = (place.into(), text::escape(reason.as_ref()));
        self.notes.push(Note { place, reason });
    }

    /// Records that a place could not be read.
    pub(super) fn fail(&mut self, place: impl Into<String>, source: RegistryError) {
        let place = place.into();
        self.failures.push(Failure { place, source });
    }

    /// Records that a listed item could not be read. A failure that a publisher can cause is only
    /// noted, because it does not hide other signatures.
    pub(super) fn miss(&mut self, place: impl Into<String>, source: RegistryError) {
        match source.kind() {
            RegistryErrorKind::NotFound => self.note(place, "is listed, but does not exist"),
            RegistryErrorKind::Content => self.note(place, text::error_line(&source, None)),
            _ => self.fail(place, source),
        }
    }

    /// Notes that only the first `most` of `listed` are `used`, and removes the others.
    pub(super) fn truncate<T>(
        &mut self,
        listed: &mut Vec<T>,
        most: usize,
        place: &str,
        used: &str,
    ) {
        let count = listed.len();
        if count > most {
            self.note(place, format!("only {most} of {count} are {used}"));
            listed.truncate(most);
        }
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.layers.extend(other.layers);
        self.notes.extend(other.notes);
        self.failures.extend(other.failures);
        self.places = self.places.saturating_add(other.places);
    }

    /// Takes the layers that fit into the limits, in their order, and notes the others. Small ones
    /// are preferred, and of these the first of each manifest, so that the layers of one manifest
    /// do not use up the limits.
    pub(super) fn take_layers(&mut self, caps: Caps) -> Vec<Layer> {
        let mut budget = Budget {
            caps,
            bytes: TOTAL_BYTES_MAX as u64,
        };
        let layers = std::mem::take(&mut self.layers).into_iter();
        let mut layers: Vec<(usize, Layer)> = layers.enumerate().collect();
        layers.sort_by_key(|(_, layer)| (layer.weight() > SMALL_BYTES_MAX, layer.rank));
        let decided = layers.into_iter().map(|(index, layer)| {
            let outcome = budget.take(&layer);
            (index, layer, outcome)
        });
        let mut decided: Vec<_> = decided.collect();
        decided.sort_by_key(|(index, ..)| *index);
        let mut taken = Vec::new();
        for (_, layer, outcome) in decided {
            match outcome {
                Ok(()) => taken.push(layer),
                Err(reason) => self.note(layer.place, reason),
            }
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
            return Err("there are too many of its kind");
        };
        let Some(rest) = self.bytes.checked_sub(layer.weight()) else {
            return Err("all signatures together are too large");
        };
        (*left, self.bytes) = (fewer, rest);
        Ok(())
    }
}

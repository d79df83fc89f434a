//! What the places hold, what of it is taken, and why the rest is not.

use qmt_oci_ref::{RegistryError, RegistryErrorKind, text};

use super::Caps;
use super::layer::{Kind, Layer};
use crate::evidence::Failure;
use crate::limits::{SMALL_BYTES_MAX, TOTAL_BYTES_MAX};

/// What was found in some places.
#[derive(Default)]
pub(super) struct Found {
    /// The layers of all manifests, in the order in which the check sees them.
    pub(super) layers: Vec<Layer>,
    pub(super) notes: Vec<(String, String)>,
    pub(super) failures: Vec<Failure>,
    /// How many places were read.
    pub(super) places: usize,
}

impl Found {
    pub(super) fn note(&mut self, place: impl Into<String>, reason: impl AsRef<str>) {
        let reason = text::escape(reason.as_ref());
        self.notes.push((place.into(), reason));
    }

    /// Records that a place could not be read.
    pub(super) fn fail(&mut self, place: impl Into<String>, source: RegistryError) {
        let place = place.into();
        self.failures.push(Failure { place, source });
    }

    /// Records that something that was listed could not be read. What a publisher can cause is only
    /// noted: it says nothing about what else there is.
    pub(super) fn miss(&mut self, place: impl Into<String>, source: RegistryError) {
        match source.kind() {
            RegistryErrorKind::NotFound => self.note(place, "is listed, but does not exist"),
            RegistryErrorKind::Content => self.note(place, chain(&source)),
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

    /// Takes the layers that fit into the limits, and notes the others. Small ones come first, and
    /// of these the first of each manifest, so that no manifest pushes out what others hold.
    pub(super) fn take_layers(&mut self, caps: Caps) -> Vec<Layer> {
        let layers = std::mem::take(&mut self.layers);
        let mut order: Vec<usize> = (0..layers.len()).collect();
        order.sort_by_key(|index| {
            let layer = layers.get(*index);
            layer.map(|layer| (layer.weight() > SMALL_BYTES_MAX, layer.rank))
        });
        let mut budget = Budget {
            caps,
            bytes: TOTAL_BYTES_MAX as u64,
        };
        let mut refusals: Vec<Option<&'static str>> = vec![None; layers.len()];
        for index in order {
            if let (Some(layer), Some(refusal)) = (layers.get(index), refusals.get_mut(index)) {
                *refusal = budget.take(layer).err();
            }
        }
        let mut taken = Vec::new();
        for (layer, refusal) in layers.into_iter().zip(refusals) {
            match refusal {
                None => taken.push(layer),
                Some(reason) => self.note(layer.place, reason),
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

/// An error with its causes, in one line.
pub(crate) fn chain(error: &RegistryError) -> String {
    let mut line = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

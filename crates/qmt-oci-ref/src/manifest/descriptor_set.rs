//! A list that is put together from several lists.

use std::collections::HashMap;

use crate::descriptor::Descriptor;
use crate::digest::Digest;

/// Descriptors in the order in which they were listed, each digest once, up to a limit.
///
/// All of them are claims. Of two claims about one digest, the one with the smaller size counts, so
/// that a size over the limit in one of them does not hide the content.
#[derive(Debug)]
pub struct DescriptorSet {
    limit: usize,
    entries: Vec<Descriptor>,
    /// Where in `entries` a digest is.
    places: HashMap<Digest, usize>,
}

impl DescriptorSet {
    /// Makes an empty set for at most `limit` descriptors.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            entries: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Adds a descriptor; `false` if there are too many.
    pub fn add(&mut self, descriptor: Descriptor) -> bool {
        let place = self.places.get(descriptor.digest());
        if let Some(first) = place.and_then(|place| self.entries.get_mut(*place)) {
            if descriptor.size() < first.size() {
                *first = descriptor;
            }
            return true;
        }
        let place = self.entries.len();
        if place < self.limit {
            self.places.insert(descriptor.digest().clone(), place);
            self.entries.push(descriptor);
        }
        place < self.limit
    }

    /// Removes the descriptors that `keep` does not name.
    pub fn retain(&mut self, keep: impl Fn(&Descriptor) -> bool) {
        self.places.clear();
        for descriptor in std::mem::take(&mut self.entries) {
            if keep(&descriptor) {
                self.add(descriptor);
            }
        }
    }

    /// Reports whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the descriptors.
    pub fn into_vec(self) -> Vec<Descriptor> {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_size_counts_and_the_order_is_kept() {
        let descriptor = |text: &str, size| {
            let digest = Digest::sha256(text);
            Descriptor::new(crate::MediaType::ImageManifest, digest, size)
        };
        let mut set = DescriptorSet::new(2);
        for (text, size, fits) in [
            ("a", 9, true),
            ("b", 5, true),
            ("c", 1, false),
            ("a", 7, true),
            ("a", 8, true),
            ("b", 6, true),
        ] {
            assert_eq!(set.add(descriptor(text, size)), fits, "{text}");
        }
        assert_eq!(set.into_vec(), [descriptor("a", 7), descriptor("b", 5)]);
    }
}

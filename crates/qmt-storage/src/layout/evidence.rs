//! Signatures and attestations in a layout: under the tags that cosign makes of a digest, and where
//! `cosign save` puts them, which is next to the image, under the name of the image.

use qmt_oci_ref::{Descriptor, RawManifest, Tag};

use super::{Layout, LayoutError, LayoutIndex, MANIFEST_MAX};

/// The annotation in which `cosign save` says what an entry of `index.json` is.
const KIND: &str = "kind";
/// How the names of these kinds begin.
const COSIGN: &str = "dev.cosignproject.cosign/";
/// The kinds that are not images, and how the tags end under which registries have them.
const SUFFIXES: [(&str, &str); 3] = [("sigs", ".sig"), ("atts", ".att"), ("sboms", ".sbom")];

/// Most manifests that are read for one tag.
const MANIFESTS_MAX: usize = 64;
/// Most bytes of all of them: 8 MiB.
const BYTES_MAX: u64 = 2 * MANIFEST_MAX;

impl Layout {
    /// Reads each manifest with the tag, as [`Layout::resolve_tag`] does where there is only one.
    /// The tag of signatures or attestations also means those that `cosign save` wrote. None: the
    /// tag is absent. One that can't be read hides no other.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if `index.json` can't be read.
    pub fn resolve_all(
        &self,
        tag: &Tag,
    ) -> Result<Vec<Result<RawManifest, LayoutError>>, LayoutError> {
        let index = self.index()?;
        let mut entries = index.all_by_any_name(tag);
        entries.extend(saved_by_cosign(&index, tag));
        // A small one is the more likely to be what is looked for.
        entries.sort_by_key(|entry| entry.size());
        let mut read = Vec::new();
        let mut bytes_left = BYTES_MAX;
        for (place, entry) in entries.iter().enumerate() {
            let left = bytes_left.checked_sub(entry.size());
            let (Some(left), true) = (left, place < MANIFESTS_MAX) else {
                let rule = "it lists more under one name than is read: 64 manifests, 8 MiB";
                read.push(Err(self.invalid(rule)));
                break;
            };
            bytes_left = left;
            let limit = entry.size().min(MANIFEST_MAX);
            let manifest = self.read_manifest(entry.digest(), Some(entry), limit);
            read.push(manifest.and_then(|manifest| {
                let rule = "its `index.json` lists an image whose manifest is missing";
                manifest.ok_or_else(|| self.invalid(rule))
            }));
        }
        Ok(read)
    }
}

/// Reports whether `cosign save` marked the entry as signatures, attestations or SBOMs.
pub(super) fn is_evidence(entry: &Descriptor) -> bool {
    SUFFIXES.iter().any(|(kind, _)| is_kind(entry, kind))
}

fn is_kind(entry: &Descriptor, kind: &str) -> bool {
    let named = entry.annotation(KIND);
    named.and_then(|named| named.strip_prefix(COSIGN)) == Some(kind)
}

/// The entries that `cosign save` wrote for the digest that `tag` is made of: they have the name of
/// the image.
fn saved_by_cosign<'a>(index: &'a LayoutIndex, tag: &Tag) -> Vec<&'a Descriptor> {
    let of_kind =
        |(kind, suffix): &(&'static str, &str)| Some((*kind, tag.as_str().strip_suffix(suffix)?));
    let Some((kind, subject)) = SUFFIXES.iter().find_map(of_kind) else {
        return Vec::new();
    };
    let images = index.images().iter();
    // A prefix of the tag is the choice of the reader.
    let subjects = images.filter(|image| {
        let digest = image.digest();
        subject.ends_with(&format!("{}-{}", digest.algorithm(), digest.hex()))
    });
    let names: Vec<_> = subjects.map(LayoutIndex::name_of).collect();
    let entries = index.images().iter();
    entries
        .filter(|entry| is_kind(entry, kind) && names.contains(&LayoutIndex::name_of(entry)))
        .collect()
}

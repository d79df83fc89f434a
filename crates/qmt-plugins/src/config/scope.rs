//! The policy scope of an image, for config lines that messages propose.

use qmt_oci_ref::Reference;

/// How names of images in layouts begin; `.invalid` is never a registry.
pub(crate) const LAYOUT_NAMES: &str = "oci-layout.invalid/";

/// Returns the scope of a policy for the repository of `reference` alone, or `**` for an image in a
/// layout, which has no repository name.
pub fn scope_of(reference: &str) -> String {
    if reference.starts_with(LAYOUT_NAMES) {
        return "**".to_owned();
    }
    let repository = reference.parse::<Reference>();
    repository.map_or_else(
        |_| "**".to_owned(),
        |reference| reference.repository().to_string(),
    )
}

//! Which scope of a policy an image belongs to, for the lines that messages propose.

use qmt_oci_ref::Reference;

/// What the names of images in layouts begin with: no registry is called like that.
pub(crate) const LAYOUT_NAMES: &str = "oci-layout.invalid/";

/// The scope of a policy for the repository of `reference` alone. Images in layouts have no name
/// that a narrower scope could mean.
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

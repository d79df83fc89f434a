//! Pulls the first layer of an image: `pull_blob ghcr.io/my-org/my-plugin:1 > layer`.

use std::io::Write as _;
use std::sync::Arc;

use qmt_oci_ref::manifest::{Document, ManifestLimits};
use qmt_oci_ref::{Reference, Registry as _};
use qmt_registry::HttpRegistry;
use qmt_registry::credentials::CredentialChain;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1);
    let reference: Reference = argument.ok_or("usage: pull_blob <reference>")?.parse()?;
    let credentials = Arc::new(CredentialChain::from_environment());
    let registry = HttpRegistry::builder().credentials(credentials).build()?;

    let raw = registry.resolve(&reference).await?;
    let document = Document::read(raw.media_type(), raw.bytes(), &ManifestLimits::default())?;
    let manifest = document.into_manifest().ok_or("an index: name one image")?;
    let layer = manifest.layers().first().ok_or("the image has no layer")?;
    let content = registry.pull_blob(reference.repository(), layer).await?;
    std::io::stdout().write_all(&content)?;
    Ok(())
}

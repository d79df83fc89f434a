//! The platforms that an image offers, whether or not one of them is that of this host.

use qmt_artifact::PLUGIN_TYPE_ANNOTATION;
use qmt_oci_ref::manifest::{Document, ManifestLimits, is_index, is_manifest, platform_json};
use qmt_oci_ref::{Descriptor, Digest, PinnedReference, Platform, RawManifest, text};
use serde::Serialize;

use super::Inspection;
use crate::error::Error;
use crate::host::PluginHost;
use crate::pipeline;
use crate::target::Target;

/// What an index calls the platform of an entry that is no image, such as an attestation.
const NO_PLATFORM: &str = "unknown";

/// One manifest that an image offers.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Offer {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The platform that the index names for it.
    #[serde(serialize_with = "platform_json::serialize")]
    pub platform: Option<Platform>,
    /// The kind of plugin that the index declares for it, as it is written there.
    pub kind: Option<String>,
}

/// What an image offers, and what is in it for this host.
#[derive(Debug)]
#[non_exhaustive]
pub struct Offers {
    /// The image.
    pub reference: PinnedReference,
    /// The entries of its index, or its only manifest.
    pub offers: Vec<Offer>,
    /// What [`PluginHost::inspect`] returns of it, or its error.
    pub inspection: Result<Inspection, Error>,
}

impl PluginHost {
    /// Lists what the image of `target` offers, and inspects what is for this host.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`] if the image can't be resolved, [`Error::Unsigned`] if `target` is a
    /// file.
    pub async fn offers(&self, target: &Target) -> Result<Offers, Error> {
        let context = self.prepare(target)?;
        let (reference, root, preview) = pipeline::preview(&context).await?;
        let inspection = match preview {
            Ok(preview) => {
                let pin = reference.clone();
                self.inspect_selection(target, pin, preview).await
            }
            Err(error) => Err(error),
        };
        Ok(Offers {
            offers: offers(&root),
            reference,
            inspection,
        })
    }
}

fn offers(root: &RawManifest) -> Vec<Offer> {
    let read = Document::read(root.media_type(), root.bytes(), &ManifestLimits::default());
    match read {
        Ok(Document::Index(index)) => {
            let images = index.manifests().iter().filter(|entry| is_image(entry));
            images.map(offer).collect()
        }
        // What is wrong with a malformed manifest is reported by selection.
        Ok(Document::Manifest(_)) | Err(_) => vec![offer(&root.descriptor())],
    }
}

fn is_image(entry: &Descriptor) -> bool {
    let has_platform = |platform: &Platform| platform.os().to_string() != NO_PLATFORM;
    (is_index(entry.media_type()) || is_manifest(entry.media_type()))
        && entry.platform().is_none_or(has_platform)
}

fn offer(entry: &Descriptor) -> Offer {
    let kind = entry.annotation(PLUGIN_TYPE_ANNOTATION);
    Offer {
        digest: entry.digest().clone(),
        platform: entry.platform().cloned(),
        kind: kind.map(text::escape_ascii),
    }
}

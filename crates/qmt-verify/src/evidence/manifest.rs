//! What we need of the manifests of signatures, and of the list of referrers.

use qmt_oci_ref::Descriptor;
use serde::Deserialize;

/// The media types of bundles begin like this; the version follows.
pub(super) const BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
/// What cosign 2 calls its referrers.
const COSIGN_SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The type of an artifact that has none.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Which referrers are fetched first: 0 says it is a signature, 1 says nothing, 2 says otherwise.
pub(super) fn likelihood(referrer: &Descriptor) -> u8 {
    match referrer.artifact_type().map_or("", |kind| kind.as_str()) {
        COSIGN_SIGNATURE => 0,
        kind if kind.starts_with(BUNDLE_PREFIX) => 0,
        "" | EMPTY => 1,
        _ => 2,
    }
}

/// What we need of a manifest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Config>,
    pub(super) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(super) subject: Option<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: String,
}

impl Manifest {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    pub(super) fn is_cosign_signature(&self) -> bool {
        self.artifact_type.as_deref() == Some(COSIGN_SIGNATURE)
            || self
                .config
                .as_ref()
                .is_some_and(|config| config.media_type == COSIGN_SIGNATURE)
    }
}

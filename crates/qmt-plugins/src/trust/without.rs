//! `trust` without the feature `sigstore`: the host program brings a verifier, or its config
//! switches verification off. It is never silently absent.

use crate::error::Error;
use crate::host::PluginHost;
use crate::stage::Trust;

/// Accepts configs that require no verifier.
#[expect(clippy::unused_async, reason = "the same signature as with Sigstore")]
pub(crate) async fn build(host: &PluginHost) -> Result<Trust, Error> {
    if host.config().oci.insecure_skip_signature {
        return Ok(Trust::Skip);
    }
    let what = "verifying signatures (feature `sigstore`) unless the host brings a verifier";
    Err(Error::unsupported("all", what))
}

/// There is nothing on disk to read.
pub(crate) async fn check(host: &PluginHost) -> Result<Vec<String>, Error> {
    build(host).await.map(|_| Vec::new())
}

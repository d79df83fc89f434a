//! What `trust` is in a build without the Sigstore libraries: verification is the host's own, or
//! switched off by its config, and never silently absent.

use crate::error::Error;
use crate::host::PluginHost;
use crate::stage::Trust;

/// As with Sigstore, as far as a config needs no verifier.
#[expect(clippy::unused_async, reason = "the same signature as with Sigstore")]
pub(crate) async fn build(host: &PluginHost, _offline: bool) -> Result<Trust, Error> {
    if host.config().oci.insecure_skip_signature {
        return Ok(Trust::Skip);
    }
    Err(Error::Unsupported {
        plugin: "all".to_owned(),
        what: "verifying signatures without a verifier of the host's own (feature `sigstore`)",
    })
}

/// There is nothing on disk to read.
pub(crate) async fn check(host: &PluginHost) -> Result<Vec<String>, Error> {
    build(host, true).await.map(|_| Vec::new())
}

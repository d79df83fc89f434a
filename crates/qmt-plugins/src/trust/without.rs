//! `trust` without the feature `sigstore`: the host program brings a verifier, or its config
//! switches verification off. It is never silently absent.

use std::sync::Arc;
use std::time::SystemTime;

use qmt_oci_ref::Repository;

use crate::error::Error;
use crate::host::PluginHost;
use crate::stage::Trust;

/// Returns the host's own verifier, or accepts configs that require none.
#[expect(clippy::unused_async, reason = "the same signature as with Sigstore")]
pub(crate) async fn of(host: &PluginHost, _: &Repository, _: SystemTime) -> Result<Trust, Error> {
    if let Some(verifier) = &host.verifier {
        return Ok(Trust::Verify(Arc::clone(verifier)));
    }
    build(host)
}

fn build(host: &PluginHost) -> Result<Trust, Error> {
    if host.config().oci.insecure_skip_signature {
        return Ok(Trust::Skip);
    }
    let what = "verifying signatures (feature `sigstore`) unless the host brings a verifier";
    Err(Error::unsupported("all", what))
}

/// There is nothing on disk to read.
#[expect(clippy::unused_async, reason = "the same signature as with Sigstore")]
pub(crate) async fn check(host: &PluginHost) -> Result<Vec<String>, Error> {
    build(host).map(|_| Vec::new())
}

/// Without policies, nothing is pinned.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same signature as with Sigstore"
)]
pub(crate) fn pinned_later(_: &PluginHost) -> Result<Option<String>, Error> {
    Ok(None)
}

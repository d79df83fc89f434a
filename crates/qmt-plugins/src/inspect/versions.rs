//! The version of an image that is used, the one that its tag names now, and their signers.

use qmt_oci_ref::PinnedReference;
use qmt_verify::report::Report;
use serde::Serialize;

use crate::error::Error;
use crate::host::PluginHost;
use crate::pipeline;
use crate::stage::allow::check_allowed;
use crate::target::Target;

/// Where the digest of an image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DigestOrigin {
    /// The reference names it.
    Reference,
    /// The lockfile records it.
    Lockfile,
    /// The cache recorded it when the registry resolved the tag earlier.
    Cache,
    /// The registry or the layout resolved the tag in this run.
    Registry,
}

/// One version of an image, and what was verified about it.
#[derive(Debug)]
#[non_exhaustive]
pub struct VersionReport {
    /// The image, with its digest.
    pub reference: PinnedReference,
    /// Where the digest comes from.
    pub origin: DigestOrigin,
    /// What was verified, or why it is refused.
    pub result: Result<Report, Error>,
    /// Why [`PluginHost::load`] refuses it although its signature is accepted, as far as its manifests
    /// tell: the config does not allow its kind, or nothing in it is for this host.
    pub refused: Option<Error>,
}

/// The version of an image that is used, and the one that its tag names now.
#[derive(Debug)]
#[non_exhaustive]
pub struct Versions {
    /// The version that [`PluginHost::load`] loads.
    pub used: VersionReport,
    /// What the tag names now, or why it can't be resolved. `None` if it is the version that is
    /// used, or if the reference names a digest.
    pub current: Option<Result<VersionReport, Error>>,
}

impl PluginHost {
    /// Verifies the version of `target` that is used, as [`PluginHost::verify`] does. If the
    /// lockfile or the cache determines it, the tag is resolved as well, and what it names now is
    /// verified if it is another digest.
    ///
    /// # Errors
    ///
    /// As [`PluginHost::verify`] if no digest can be determined. Why a version is refused is in
    /// [`VersionReport::result`].
    pub async fn verify_versions(&self, target: &Target) -> Result<Versions, Error> {
        let context = self.prepare_verified(target).await?;
        let before = self.recorded_kind(target);
        let allows = |kind, trust| {
            let default = self.config().oci.native;
            check_allowed(target.provider(), default, kind, before.as_ref(), trust)
        };
        pipeline::verify_versions(&context, &allows).await
    }
}

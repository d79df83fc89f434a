//! What the test kit's Sigstore signs keyless, verified by cosign: its certificates, logs and
//! timestamps must be like the real ones.

use anyhow::Context as _;

use super::real::{IDENTITY, ISSUER};
use super::tier::Tier;
use qmt_e2e_tests::case::{Format, Image, Signature};
use qmt_e2e_tests::embedded::{Embedded, Published};
use qmt_e2e_tests::image::GREETING;

/// An image per format, signed in the embedded registry.
pub(super) fn publish(embedded: &Embedded) -> anyhow::Result<Vec<Published>> {
    [("sig", Format::Sig), ("bundle", Format::Bundle)]
        .into_iter()
        .map(|(name, format)| {
            let repository = format!("e2e/keyless-{name}");
            let image = embedded.publish(&repository, "1", Image::Wasm, GREETING)?;
            let signature = Signature::keyless(format, IDENTITY, ISSUER);
            embedded.sign(&image, &signature);
            Ok(image)
        })
        .collect()
}

impl Tier<'_> {
    /// Both versions of cosign accept both formats for the signer, and for no other identity.
    pub(super) fn accepted_by_cosign(
        &self,
        host: &str,
        images: &[Published],
    ) -> anyhow::Result<usize> {
        let mut checks = 0;
        for image in images {
            let (repository, tag) = image.reference.rsplit_once(':').context("no tag")?;
            let (_, path) = repository.split_once('/').context("no path")?;
            self.copy(&image.reference, &format!("{host}/{path}:{tag}"), true)?;
            let signature = image.digest.replace(':', "-") + ".sig";
            let from = format!("{repository}:{signature}");
            if path.ends_with("-sig") {
                self.copy(&from, &format!("{host}/{path}:{signature}"), false)?;
            }
            let pinned = format!("{host}/{path}@{}", image.digest);
            for cosign in ["cosign2", "cosign3"] {
                let [right, wrong] = [IDENTITY, "other@example.com"].map(|identity| {
                    let identity = format!("--certificate-identity={identity}");
                    [identity, format!("--certificate-oidc-issuer={ISSUER}")]
                });
                checks += self.accepts_only(cosign, &pinned, &right, &wrong)?;
            }
        }
        Ok(checks)
    }
}

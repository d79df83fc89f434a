//! What the test kit's Sigstore signs keyless, in the hands of cosign: whoever tests with the kit
//! must be able to trust that its certificates, logs and timestamps are like the real ones.

use anyhow::Context as _;

use super::case::{Format, Image, Signature};
use super::real::{IDENTITY, ISSUER};
use super::tier::Tier;
use crate::embedded::{Embedded, Published};
use crate::image::GREETING;

/// An image per format, signed in the embedded registry.
pub(super) fn publish(embedded: &Embedded) -> anyhow::Result<Vec<Published>> {
    [("sig", Format::Sig), ("bundle", Format::Bundle)]
        .into_iter()
        .map(|(name, format)| {
            let repository = format!("e2e/keyless-{name}");
            let image = embedded.publish(&repository, "1", Image::Wasm, GREETING)?;
            let signature = Signature {
                format,
                identity: Some(IDENTITY.to_owned()),
                issuer: Some(ISSUER.to_owned()),
                key: None,
                copied: false,
            };
            embedded.sign(&image, &signature);
            Ok(image)
        })
        .collect()
}

impl Tier<'_> {
    /// Both versions of cosign accept both formats for the signer, and for nobody else.
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
                for (identity, holds) in [(IDENTITY, true), ("nobody@example.com", false)] {
                    let signer = [
                        "--certificate-identity",
                        identity,
                        "--certificate-oidc-issuer",
                        ISSUER,
                    ];
                    self.ask_cosign(cosign, &signer, &pinned, holds)?;
                    checks += 1;
                }
            }
        }
        Ok(checks)
    }
}

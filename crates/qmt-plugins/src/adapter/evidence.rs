//! Lets `qmt-verify` look for signatures in a registry.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use qmt_oci_ref::{Descriptor, Digester, PinnedReference, Reference, Repository};
use qmt_registry::Registry;
use qmt_verify::EvidenceSource;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The signatures in a registry.
pub(crate) struct RegistryEvidence<'a>(pub(crate) &'a dyn Registry);

#[async_trait]
impl EvidenceSource for RegistryEvidence<'_> {
    async fn referrers(&self, subject: &PinnedReference) -> Result<Vec<Descriptor>, BoxError> {
        Ok(self.0.referrers(subject).await?)
    }

    async fn manifest(&self, reference: &Reference, limit: u64) -> Result<Option<Bytes>, BoxError> {
        let found = match reference.digest() {
            Some(digest) => {
                let pin = reference.with_digest(digest.clone());
                self.0
                    .manifest(&pin, limit)
                    .await
                    .map(|manifest| manifest.bytes().clone())
            }
            None => self
                .0
                .resolve(reference)
                .await
                .map(|found| found.manifest().bytes().clone()),
        };
        match found {
            Ok(bytes) if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) => {
                Ok(Some(bytes))
            }
            Ok(bytes) => Err(format!(
                "`{reference}` has {} bytes, at most {limit} are read",
                bytes.len()
            )
            .into()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, BoxError> {
        read_blob(self.0, from, blob, limit).await
    }
}

/// Reads a small blob whole. Its size is compared with `limit` before anything is fetched.
pub(super) async fn read_blob(
    registry: &dyn Registry,
    from: &Repository,
    blob: &Descriptor,
    limit: u64,
) -> Result<Bytes, BoxError> {
    if blob.size() > limit {
        let (digest, size) = (blob.digest(), blob.size());
        return Err(format!("the blob {digest} has {size} bytes, at most {limit} are read").into());
    }
    let start = Digester::new(blob.digest().algorithm());
    let mut stream = registry.blob(from, blob, start).await?;
    let mut whole = BytesMut::new();
    while let Some(chunk) = stream.try_next().await? {
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

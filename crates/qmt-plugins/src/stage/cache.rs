//! **cache**: the staged file gets its name, after its digest and its signer were verified.

use std::io;

use qmt_cache::{CacheError, CachedArtifact};
use qmt_oci_ref::{Digest, PinnedReference};
use qmt_verify::{Evidence, Verification};

use super::extract::Extracted;
use super::select::Selected;
use super::verify::{Outcome, Verified};
use super::{Context, StageError};
use crate::events::Stage;
use crate::inspect::DigestOrigin;

/// An artifact under its final name that was verified in this run.
#[derive(Clone, Debug)]
pub(crate) struct Cached {
    artifact: CachedArtifact,
    pin: PinnedReference,
    manifest: Digest,
    verification: Verification,
    is_skipped: bool,
    is_hit: bool,
}

impl Cached {
    fn new(artifact: CachedArtifact, manifest: Digest, verified: &Verified, is_hit: bool) -> Self {
        Self {
            artifact,
            pin: verified.resolved().pin().clone(),
            manifest,
            verification: verified.verification().clone(),
            is_skipped: verified.is_skipped(),
            is_hit,
        }
    }

    pub(crate) fn artifact(&self) -> &CachedArtifact {
        &self.artifact
    }

    pub(crate) fn verification(&self) -> &Verification {
        &self.verification
    }

    pub(crate) fn is_skipped(&self) -> bool {
        self.is_skipped
    }

    pub(crate) fn pin(&self) -> &PinnedReference {
        &self.pin
    }

    /// Returns the digest of the manifest that was selected.
    pub(crate) fn manifest(&self) -> &Digest {
        &self.manifest
    }

    /// Reports whether the artifact was in the cache before this run.
    pub(crate) fn is_hit(&self) -> bool {
        self.is_hit
    }
}

/// Takes an artifact that the cache has. It was verified in this run; its bytes are hashed when
/// they are read.
pub(crate) async fn reuse(
    context: &Context,
    selected: Selected,
    artifact: CachedArtifact,
) -> Result<Cached, StageError> {
    match persist(context, selected.verified()).await {
        // The next start does the same requests again.
        Err(StageError::Cache(CacheError::Unwritable { source, .. })) if is_read_only(&source) => {
            tracing::debug!(error = %source, "what was resolved and discovered is not stored");
        }
        persisted => persisted?,
    }
    let detail = format!("found {}", artifact.record().file_digest());
    context.reporter.finished(Stage::Cache, detail);
    let manifest = selected.selection().manifest().digest().clone();
    Ok(Cached::new(artifact, manifest, selected.verified(), true))
}

/// Reports whether a cache can be read only, and is not just full.
fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Gives the staged file its name.
pub(crate) async fn commit(context: &Context, extracted: Extracted) -> Result<Cached, StageError> {
    context.reporter.started(Stage::Cache);
    let selected = extracted.selected();
    persist(context, selected.verified()).await?;
    let manifest = selected.selection().manifest().digest().clone();
    let (staging, record, verified) = extracted.into_parts();
    let record = record
        .with_verified(!verified.is_skipped())
        .with_reference(&*context.request.source);
    let commit = tokio::task::spawn_blocking(move || staging.commit(record));
    let artifact = commit.await.map_err(|error| StageError::Stopped {
        doing: "writing to the cache",
        source: io::Error::from(error),
    })??;
    let path = artifact.path().display().to_string();
    context.reporter.finished(Stage::Cache, path);
    Ok(Cached::new(artifact, manifest, &verified, false))
}

/// Stores what the next start requires without the network: root manifest, signature material, tag.
async fn persist(context: &Context, verified: &Verified) -> Result<(), StageError> {
    let resolved = verified.resolved();
    let (root, digest) = (resolved.manifest(), resolved.pin().digest());
    let descriptor = root.descriptor();
    context
        .cache
        .put_bytes(&descriptor, root.bytes().clone())
        .await?;
    if let Outcome::Accepted {
        discovered: Some(evidence),
        ..
    } = verified.outcome()
    {
        persist_evidence(context, digest, evidence).await?;
    }
    let (cache, reference) = (&context.cache, &context.request.reference);
    // The digest of a lockfile from elsewhere counts as resolved when it is first used.
    let is_resolved = resolved.is_fresh()
        || (resolved.origin() == DigestOrigin::Lockfile
            && context.request.refresh_after.is_some()
            && cache.ref_(reference).await?.is_none());
    if is_resolved && !context.is_local {
        cache.set_ref(reference, digest, context.now).await?;
    }
    Ok(())
}

/// Stores signature material. If there is too much of it, it is discovered again at the next start.
async fn persist_evidence(
    context: &Context,
    digest: &Digest,
    evidence: &Evidence,
) -> Result<(), StageError> {
    let bytes = evidence.to_json()?;
    match context.cache.put_evidence(digest, &bytes).await {
        Err(CacheError::TooLarge { .. }) => {
            let warning = "there is more signature material than the cache stores";
            context.reporter.warning(warning);
            Ok(())
        }
        other => Ok(other?),
    }
}

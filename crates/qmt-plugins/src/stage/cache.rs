//! **cache**: a staged file gets its name, after its digest was proven *and* its signer accepted.

use qmt_cache::{CacheError, CachedArtifact, Record};
use qmt_oci_ref::{Digest, PinnedReference};
use qmt_verify::{Evidence, Verification};

use super::extract::Extracted;
use super::resolve::Pinned;
use super::select::Selected;
use super::verify::Verified;
use super::{Context, Request};
use crate::error::Error;
use crate::events::Stage;

/// An artifact under its final name, and the proof that it may be used. Made here only, so that
/// what reaches **load** was verified in this very run.
#[derive(Debug)]
pub(crate) struct Cached {
    artifact: CachedArtifact,
    verified: Verified,
    pin: PinnedReference,
    manifest: Digest,
    is_hit: bool,
}

impl Cached {
    pub(crate) fn artifact(&self) -> &CachedArtifact {
        &self.artifact
    }

    pub(crate) fn record(&self) -> &Record {
        self.artifact.record()
    }

    pub(crate) fn verification(&self) -> &Verification {
        self.verified.verification()
    }

    pub(crate) fn is_skipped(&self) -> bool {
        self.verified.is_skipped()
    }

    pub(crate) fn pin(&self) -> &PinnedReference {
        &self.pin
    }

    /// Returns the digest of the manifest that was selected.
    pub(crate) fn manifest(&self) -> &Digest {
        &self.manifest
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.is_hit
    }
}

/// Takes what the cache holds already. The verdict was made just now; the bytes are hashed when
/// they are read.
pub(crate) async fn reuse(
    context: &Context,
    request: &Request,
    pinned: &Pinned,
    selected: &Selected,
    verified: Verified,
    artifact: CachedArtifact,
) -> Result<Cached, Error> {
    settle(context, request, pinned, selected, &verified).await?;
    let detail = format!("found {}", artifact.record().file_digest());
    context.reporter.finished(Stage::Cache, detail);
    Ok(Cached {
        artifact,
        verified,
        pin: pinned.pin().clone(),
        manifest: selected.selection().manifest().digest().clone(),
        is_hit: true,
    })
}

/// Gives the staged file its name.
pub(crate) async fn commit(
    context: &Context,
    request: &Request,
    pinned: &Pinned,
    selected: &Selected,
    verified: Verified,
    extracted: Extracted,
) -> Result<Cached, Error> {
    context.reporter.started(Stage::Cache);
    settle(context, request, pinned, selected, &verified).await?;
    let (staging, record) = extracted.into_parts(pinned, selected);
    let record = record
        .with_verified(!verified.is_skipped())
        .with_reference(&*request.shown);
    let commit = tokio::task::spawn_blocking(move || staging.commit(record));
    let artifact = commit
        .await
        .map_err(std::io::Error::from)
        .map_err(|source| Error::File {
            plugin: context.plugin(),
            path: std::path::PathBuf::from("the cache"),
            source,
        })?;
    let artifact = artifact.map_err(context.cache_error())?;
    context
        .reporter
        .finished(Stage::Cache, artifact.path().display().to_string());
    Ok(Cached {
        artifact,
        verified,
        pin: pinned.pin().clone(),
        manifest: selected.selection().manifest().digest().clone(),
        is_hit: false,
    })
}

/// Keeps what the next start needs without network: manifests, signature material, the tag.
async fn settle(
    context: &Context,
    request: &Request,
    pinned: &Pinned,
    selected: &Selected,
    verified: &Verified,
) -> Result<(), Error> {
    let root = [(pinned.descriptor(), pinned.bytes().clone())];
    for (descriptor, bytes) in root.iter().chain(selected.fetched()) {
        let put = context.cache.put_bytes(descriptor, bytes.clone()).await;
        put.map_err(context.cache_error())?;
    }
    if let Some(evidence) = verified.collected() {
        keep_evidence(context, pinned, evidence).await?;
    }
    if pinned.is_fresh() && !context.is_local {
        let set = context
            .cache
            .set_ref(&request.reference, pinned.digest(), context.now)
            .await;
        set.map_err(context.cache_error())?;
    }
    Ok(())
}

/// Keeps signature material. Too much of it is no reason not to load: it is looked for again then.
async fn keep_evidence(
    context: &Context,
    pinned: &Pinned,
    evidence: &Evidence,
) -> Result<(), Error> {
    let bytes = evidence
        .to_json()
        .map_err(context.not_verified(pinned.pin().to_string()))?;
    match context.cache.put_evidence(pinned.digest(), &bytes).await {
        Ok(()) => Ok(()),
        Err(CacheError::TooLarge { .. }) => {
            context
                .reporter
                .warning("there is more signature material than the cache keeps");
            Ok(())
        }
        Err(error) => Err(context.cache_error()(error)),
    }
}

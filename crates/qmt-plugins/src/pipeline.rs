//! The pipeline, top to bottom. Read this file first.
//!
//! reference → resolve → verify → select → fetch + extract → cache → load
//!
//! A tag is resolved once; later stages use digests only. Nothing below the root manifest is
//! requested before the policy accepts its signature.

use futures_util::future::join;
use qmt_artifact::Selection;
use qmt_cache::Begin;
use qmt_oci_ref::{Digest, PinnedReference, RawManifest};
use qmt_verify::Verification;

use crate::error::Error;
use crate::inspect::{DigestOrigin, VersionReport, Versions};
use crate::stage::cache::{self, Cached};
use crate::stage::resolve::{self, Resolved};
use crate::stage::verify::{self, Freshness};
use crate::stage::{Context, Request, StageError, extract, select};

/// Runs every stage up to the cache. Errors get the plugin's name and its reference here.
pub(crate) async fn run(context: &Context, request: &Request) -> Result<Cached, Error> {
    let resolved = resolve(context, request).await?;
    let pin = resolved.pin().clone();
    // Boxed, so that the futures of hosts stay small.
    let cached = Box::pin(resolved_to_cached(context, request, resolved)).await;
    cached.map_err(|error| error.attach(context, request, Some(&pin)))
}

/// Resolves the reference and verifies its signature as of now; fetches no plugin.
pub(crate) async fn verify(context: &Context, request: &Request) -> Result<Verification, Error> {
    let resolved = resolve(context, request).await?;
    let outcome = verify::check(context, request, &resolved, Freshness::RegistryFirst).await;
    match outcome {
        Ok(outcome) => Ok(outcome.verification().clone()),
        Err(error) => Err(error.attach(context, request, Some(resolved.pin()))),
    }
}

/// Verifies the version that is used, and what the tag names now if that is another one.
pub(crate) async fn verify_versions(
    context: &Context,
    request: &Request,
) -> Result<Versions, Error> {
    let used = resolve(context, request).await?;
    let is_recorded = matches!(used.origin(), DigestOrigin::Lockfile | DigestOrigin::Cache);
    let current = async {
        if !is_recorded {
            return None;
        }
        match resolve::current(context, request).await {
            Ok(current) if current.pin().digest() == used.pin().digest() => None,
            Ok(current) => Some(Ok(report(context, request, &current).await)),
            Err(error) => Some(Err(
                StageError::Resolve(error).attach(context, request, None)
            )),
        }
    };
    let (used, current) = join(report(context, request, &used), current).await;
    Ok(Versions { used, current })
}

async fn report(context: &Context, request: &Request, resolved: &Resolved) -> VersionReport {
    let outcome = verify::check(context, request, resolved, Freshness::RegistryFirst).await;
    VersionReport {
        reference: resolved.pin().clone(),
        origin: resolved.origin(),
        result: match outcome {
            Ok(outcome) => Ok(outcome.verification().report().clone()),
            Err(error) => Err(error.attach(context, request, Some(resolved.pin()))),
        },
    }
}

/// Resolves the reference and returns the manifest or index that it names. Nothing is verified.
pub(crate) async fn resolve_root(
    context: &Context,
    request: &Request,
) -> Result<(PinnedReference, RawManifest), Error> {
    let resolved = resolve(context, request).await?;
    Ok((resolved.pin().clone(), resolved.manifest().clone()))
}

/// Resolves the reference and shows what would be selected, and under which key the cache would
/// store it. Nothing is verified, fetched or stored.
pub(crate) async fn preview(
    context: &Context,
    request: &Request,
) -> Result<(PinnedReference, Selection, Digest), Error> {
    let resolved = resolve(context, request).await?;
    match select::preview(context, request, &resolved).await {
        Ok(selection) => {
            let key = select::key(request, &selection);
            Ok((resolved.pin().clone(), selection, key))
        }
        Err(error) => Err(error.attach(context, request, Some(resolved.pin()))),
    }
}

async fn resolve(context: &Context, request: &Request) -> Result<Resolved, Error> {
    let resolved = resolve::resolve(context, request).await;
    resolved.map_err(|error| error.attach(context, request, None))
}

async fn resolved_to_cached(
    context: &Context,
    request: &Request,
    resolved: Resolved,
) -> Result<Cached, StageError> {
    let verified = verify::verify(context, request, resolved).await?;
    let selected = select::select(context, request, verified).await?;
    if let Some(artifact) = context.cache.lookup(selected.key()).await? {
        return cache::reuse(context, request, selected, artifact).await;
    }
    if let Some(rule) = context.offline {
        // Before `begin`, which writes: the cache of an offline machine may be read-only.
        let missing = "the plugin";
        return Err(StageError::Offline { missing, rule });
    }
    // One process downloads; the others wait here and find the artifact.
    match context.cache.begin(selected.key()).await? {
        Begin::Hit(artifact) => cache::reuse(context, request, selected, artifact).await,
        Begin::Fill(staging) => {
            let extracted = extract::extract(context, selected, staging).await?;
            cache::commit(context, request, extracted).await
        }
    }
}

#[cfg(test)]
mod tests;

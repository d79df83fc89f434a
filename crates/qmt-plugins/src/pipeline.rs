//! The pipeline, top to bottom. Read this file first.
//!
//! reference → resolve → verify → select → fetch + extract → cache → load
//!
//! A tag is resolved once; later stages use digests only. Nothing below the root manifest is
//! requested before the policy accepts its signature.

use futures_util::future::join;
use qmt_artifact::Selection;
use qmt_cache::{Begin, CacheError};
use qmt_oci_ref::{Digest, PinnedReference, PluginKind, RawManifest};
use qmt_verify::Verification;

use crate::error::{Error, registry_cause};
use crate::events::Stage;
use crate::inspect::{DigestOrigin, VersionReport, Versions};
use crate::stage::allow::NativeTrust;
use crate::stage::cache::{self, Cached};
use crate::stage::resolve::{self, Resolved};
use crate::stage::verify::{self, Freshness, Outcome};
use crate::stage::{Context, StageError, extract, rollback, select};

/// Runs every stage up to the cache. Errors get the plugin's name and its reference here.
pub(crate) async fn run(context: &Context) -> Result<Cached, Error> {
    let resolved = resolve(context).await?;
    let pin = resolved.pin().clone();
    // Boxed, so that the futures of hosts stay small.
    let cached = Box::pin(resolved_to_cached(context, resolved)).await;
    cached.map_err(|error| error.attach(context, Some(&pin)))
}

/// Resolves the reference and verifies its signature as of now; fetches no plugin.
pub(crate) async fn verify(context: &Context) -> Result<Verification, Error> {
    let resolved = resolve(context).await?;
    match check_used(context, &resolved).await {
        Ok(outcome) => Ok(outcome.verification().clone()),
        Err(error) => Err(error.attach(context, Some(resolved.pin()))),
    }
}

/// Reports whether the config allows a plugin of this kind.
pub(crate) type Allows<'a> = &'a (dyn Fn(PluginKind, NativeTrust) -> Result<(), Error> + Sync);

/// Verifies the version that is used, and what the tag names now if that is another one.
pub(crate) async fn verify_versions(
    context: &Context,
    allows: Allows<'_>,
) -> Result<Versions, Error> {
    let used = resolve(context).await?;
    let is_recorded = matches!(used.origin(), DigestOrigin::Lockfile | DigestOrigin::Cache);
    let current = async {
        if !is_recorded {
            return None;
        }
        match resolve::current(context).await {
            Ok(current) if current.pin().digest() == used.pin().digest() => None,
            Ok(current) => {
                let outcome = check(context, &current).await;
                Some(Ok(report(context, &current, outcome, allows).await))
            }
            Err(error) => {
                let mut error = StageError::Resolve(error).attach(context, None);
                // Lockfile or cache have a digest of the tag, but not that of now.
                if let Error::Offline { missing, .. } = &mut error {
                    *missing = "the current digest";
                }
                Some(Err(error))
            }
        }
    };
    let (outcome, current) = join(check_used(context, &used), current).await;
    let used = report(context, &used, outcome, allows).await;
    Ok(Versions { used, current })
}

async fn report(
    context: &Context,
    resolved: &Resolved,
    outcome: Result<Outcome, StageError>,
    allows: Allows<'_>,
) -> VersionReport {
    let mut version = VersionReport {
        reference: resolved.pin().clone(),
        origin: resolved.origin(),
        result: match outcome {
            Ok(outcome) => Ok(outcome.verification().report().clone()),
            Err(error) => Err(error.attach(context, Some(resolved.pin()))),
        },
        refused: None,
    };
    if let Ok(report) = &version.result {
        let trust = NativeTrust::of_image(report.skipped);
        version.refused = match kind_of(context, resolved).await {
            Ok(kind) => kind.and_then(|kind| allows(kind, trust).err()),
            Err(error) => {
                let error = error.attach(context, Some(resolved.pin()));
                // A registry that does not answer says nothing about the image; that a manifest
                // of it does not exist is an answer.
                let says_nothing =
                    registry_cause(&error).is_some_and(|cause| !cause.is_not_found());
                (!says_nothing).then_some(error)
            }
        };
    }
    version
}

/// Returns the kind of plugin that would be selected: that of its content if the cache has it, else the
/// one that the image declares, if it does. Nothing is stored.
async fn kind_of(context: &Context, resolved: &Resolved) -> Result<Option<PluginKind>, StageError> {
    let selection = select::choose(context, resolved, &context.registry).await?;
    let key = select::key(&context.request, &selection);
    let cached = context.cache.lookup(&key).await?;
    let kind = cached.map(|artifact| artifact.record().kind());
    Ok(kind.or(selection.kind_hint()))
}

/// Checks what is used, as [`verify::verify`] does: it must not be older than the locked version.
async fn check_used(context: &Context, resolved: &Resolved) -> Result<Outcome, StageError> {
    let outcome = check(context, resolved).await?;
    rollback::check(context, resolved, outcome.verification()).await?;
    Ok(outcome)
}

/// Checks the signatures that the registry has now.
async fn check(context: &Context, resolved: &Resolved) -> Result<Outcome, StageError> {
    let check = verify::check(context, resolved, Freshness::RegistryFirst);
    context.reporter.ended(Stage::Verify, check.await)
}

/// What would be selected, and the key under which the cache would store it.
pub(crate) type Preview = (Selection, Digest);

/// Resolves the reference, and returns the manifest or index that it names with what would be selected
/// of it. Nothing is verified, fetched or stored.
pub(crate) async fn preview(
    context: &Context,
) -> Result<(PinnedReference, RawManifest, Result<Preview, Error>), Error> {
    let resolved = resolve(context).await?;
    let preview = select::choose(context, &resolved, &context.registry);
    let preview = context.reporter.ended(Stage::Select, preview.await);
    let preview = preview.map_err(|error| error.attach(context, Some(resolved.pin())));
    let preview = preview.map(|selection| {
        let key = select::key(&context.request, &selection);
        (selection, key)
    });
    Ok((resolved.pin().clone(), resolved.manifest().clone(), preview))
}

/// Pins the reference, and reads the manifest or index that it names.
pub(crate) async fn resolve(context: &Context) -> Result<Resolved, Error> {
    let resolve = resolve::resolve(context);
    let resolved = context.reporter.ended(Stage::Resolve, resolve.await);
    resolved.map_err(|error| error.attach(context, None))
}

async fn resolved_to_cached(context: &Context, resolved: Resolved) -> Result<Cached, StageError> {
    let reporter = &context.reporter;
    let verify = verify::verify(context, resolved);
    let verified = reporter.ended(Stage::Verify, verify.await)?;
    let select = select::select(context, verified);
    let selected = reporter.ended(Stage::Select, select.await)?;
    let begin = begin(context, selected.key());
    match reporter.ended(Stage::Cache, begin.await)? {
        Begin::Hit(artifact) => {
            let reuse = cache::reuse(context, selected, artifact);
            reporter.ended(Stage::Cache, reuse.await)
        }
        Begin::Fill(staging) => {
            let extract = extract::extract(context, selected, staging);
            let extracted = reporter.ended(Stage::Fetch, extract.await)?;
            let commit = cache::commit(context, extracted);
            reporter.ended(Stage::Cache, commit.await)
        }
    }
}

/// Looks the artifact up, and takes the right to fetch it if it is not in the cache.
async fn begin(context: &Context, key: &Digest) -> Result<Begin, StageError> {
    if let Some(artifact) = context.cache.lookup(key).await? {
        return Ok(Begin::Hit(artifact));
    }
    // One process downloads; the others wait here and find the artifact.
    match (context.cache.begin(key).await, context.offline) {
        // `begin` writes, and the cache of an offline machine may be read-only.
        (Err(CacheError::Io { .. } | CacheError::Unwritable { .. }), Some(rule)) => {
            let (missing, platform) = ("the plugin", None);
            Err(StageError::Offline {
                missing,
                platform,
                rule,
            })
        }
        (begin, _) => Ok(begin?),
    }
}

#[cfg(test)]
mod tests;

//! A tag that moved: never silently, and not back behind what the lockfile holds.
//!
//! Whoever controls a registry can serve an old version again, signed and all (CVE-2024-23332).

use std::time::{Duration, SystemTime};

use qmt_oci_ref::Digest;
use qmt_verify::Evidence;

use super::resolve::Pinned;
use super::verify::Verified;
use super::{Context, Request, Trust};
use crate::error::Error;

/// Compares what the tag stands for now with what it stood for.
///
/// # Errors
///
/// [`Error::StepBack`] where the lockfile's digest was signed later and nobody asked for an update.
pub(crate) async fn check(
    context: &Context,
    request: &Request,
    pinned: &Pinned,
    verified: &Verified,
) -> Result<(), Error> {
    let Some(before) = before(context, request, pinned).await? else {
        return Ok(());
    };
    let now = verified.verification().signed_at().map(whole_seconds);
    let then = match request.locked {
        Some(_) => request.locked_at,
        None => kept_time(context, request, &before).await?,
    };
    let then = then.map(whole_seconds);
    let is_older = match (then, now) {
        (Some(then), Some(now)) if then <= now => return Ok(()),
        (Some(_), Some(_)) => true,
        _ => false,
    };
    if is_older && request.locked.is_some() && !request.is_update {
        return Err(Error::StepBack {
            plugin: context.plugin(),
            reference: request.shown.clone(),
            digest: pinned.digest().clone(),
            signed: shown(now),
            locked: before,
            locked_signed: shown(then),
        });
    }
    context.reporter.warning(format!(
        "`{}` moved{}: {} ({}) instead of {before} ({})",
        request.shown,
        if is_older { " back" } else { "" },
        pinned.digest(),
        shown(now),
        shown(then),
    ));
    Ok(())
}

/// What the tag stood for, if it was asked for just now and stands for something else.
async fn before(
    context: &Context,
    request: &Request,
    pinned: &Pinned,
) -> Result<Option<Digest>, Error> {
    if !pinned.is_fresh() {
        return Ok(None);
    }
    let before = if request.locked.is_some() {
        request.locked.clone()
    } else {
        let remembered = context.cache.ref_(&request.reference).await;
        let remembered = remembered.map_err(context.cache_error())?;
        remembered.map(|(digest, _)| digest)
    };
    Ok(before.filter(|before| before != pinned.digest()))
}

/// When `digest` was signed, as far as signature material in the cache still proves it.
async fn kept_time(
    context: &Context,
    request: &Request,
    digest: &Digest,
) -> Result<Option<SystemTime>, Error> {
    let Some(Trust::Verify(verifier)) = &context.trust else {
        return Ok(None);
    };
    let kept = context.cache.evidence(digest).await;
    let kept = kept.map_err(context.cache_error())?;
    let evidence = kept.and_then(|bytes| Evidence::from_json(&bytes).ok());
    let pin = request.reference.with_digest(digest.clone());
    Ok(evidence.and_then(|evidence| {
        let verdict = verifier.judge(&pin, &evidence, None, context.now);
        verdict.ok()?.signed_at()
    }))
}

/// The lockfile knows whole seconds.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.map_or(0, |since| since.as_secs()))
}

fn shown(time: Option<SystemTime>) -> String {
    time.map_or_else(
        || "signed at no proven time".to_owned(),
        |time| format!("signed {}", humantime::format_rfc3339_seconds(time)),
    )
}

//! Rollback: a tag that names an older version than the lockfile is not followed, and neither is
//! one whose signatures do not prove which version is older.
//!
//! An attacker in control of a registry can serve an old version again, signature included
//! (CVE-2024-23332).

use std::time::SystemTime;

use qmt_oci_ref::{Digest, time};
use qmt_verify::{Evidence, Verification, VerifyError};

use super::resolve::Resolved;
use super::{Context, StageError, Trust, VersionPolicy, verify};
use crate::error::Error;

/// Compares the version that the tag names now with the one that it named before.
///
/// # Errors
///
/// [`StageError::Rollback`] if the lockfile's version was signed later, or one of the two
/// signatures has no proven time. An update from a registry may go back to an older version; one
/// from the cache may not. Neither requires signing times.
pub(crate) async fn check(
    context: &Context,
    resolved: &Resolved,
    verification: &Verification,
) -> Result<(), StageError> {
    let Some(before) = before(context, resolved).await? else {
        return Ok(());
    };
    let digest = resolved.pin().digest();
    let now = verification.signed_at();
    let then = match &context.request.locked {
        Some(locked) => locked.signed_at,
        None => stored_time(context, &before).await?,
    };
    if is_proven_newer(then, now) {
        return Ok(());
    }
    let is_older = then.is_some() && now.is_some();
    // Without verification there is no signature whose age could be proven.
    let is_forbidden = !verification.is_skipped()
        && match context.request.version {
            // The operator asked for what the registry answers.
            VersionPolicy::Newest => false,
            VersionPolicy::Imported => is_older,
            VersionPolicy::Configured | VersionPolicy::Recorded => context.request.locked.is_some(),
        };
    if is_forbidden {
        return Err(StageError::Rollback(Box::new(Error::Rollback {
            plugin: context.reporter.plugin().to_owned(),
            reference: context.request.source.clone(),
            digest: digest.clone(),
            signed: describe(now),
            locked: before,
            locked_signed: describe(then),
            is_proven: is_older,
        })));
    }
    let what = if is_older {
        "was rolled back"
    } else {
        "has changed"
    };
    let (source, now, then) = (&context.request.source, describe(now), describe(then));
    context.reporter.warning(format!(
        "`{source}` {what}: {digest} ({now}) instead of {before} ({then})"
    ));
    Ok(())
}

/// Checks, with what the cache has, that the policy accepts `digest` in place of what the tag of the
/// request names in the cache.
///
/// # Errors
///
/// [`StageError::Rollback`] with [`Error::NotNewer`] if that is not proven to be signed earlier.
pub(crate) async fn check_move(context: &Context, digest: &Digest) -> Result<(), StageError> {
    let pin = context.request.reference.with_digest(digest.clone());
    let verifier = match &context.trust {
        Some(Trust::Verify(verifier)) => verifier,
        Some(Trust::Skip) => return Ok(()),
        None => return Err(VerifyError::no_signature(&pin).into()),
    };
    let stored = context.cache.evidence(digest).await?;
    let evidence = stored.and_then(|bytes| Evidence::from_json(&bytes).ok());
    let evidence = evidence.unwrap_or_else(|| Evidence::empty(&pin));
    let checked = verify::check_apart(context, &pin, verifier, evidence).await;
    let now = checked?.0.signed_at();
    let Some((stored, _)) = context.cache.ref_(&context.request.reference).await? else {
        return Ok(());
    };
    let then = stored_time(context, &stored).await?;
    // What was never verified has no time that could be kept.
    if then.is_none() || is_proven_newer(then, now) {
        return Ok(());
    }
    Err(StageError::Rollback(Box::new(Error::NotNewer {
        reference: context.request.reference.to_string(),
        digest: digest.clone(),
        signed: describe(now),
        stored,
        stored_signed: describe(then),
    })))
}

/// Compares whole seconds, because the lockfile records no fraction of them.
fn is_proven_newer(then: Option<SystemTime>, now: Option<SystemTime>) -> bool {
    let (then, now) = (then.map(time::seconds), now.map(time::seconds));
    matches!((then, now), (Some(then), Some(now)) if then <= now)
}

/// Returns the digest that the tag named before, if the registry resolved it to another one now, or
/// another one was imported.
async fn before(context: &Context, resolved: &Resolved) -> Result<Option<Digest>, StageError> {
    if !resolved.is_fresh() && context.request.version != VersionPolicy::Imported {
        return Ok(None);
    }
    let before = if let Some(locked) = &context.request.locked {
        Some(locked.digest.clone())
    } else {
        let recorded = context.cache.ref_(&context.request.reference).await?;
        recorded.map(|(digest, _)| digest)
    };
    Ok(before.filter(|before| before != resolved.pin().digest()))
}

/// Returns when `digest` was signed, if signature material in the cache still proves it.
async fn stored_time(context: &Context, digest: &Digest) -> Result<Option<SystemTime>, StageError> {
    let Some(Trust::Verify(verifier)) = &context.trust else {
        return Ok(None);
    };
    let stored = context.cache.evidence(digest).await?;
    let evidence = stored.and_then(|bytes| Evidence::from_json(&bytes).ok());
    let pin = context.request.reference.with_digest(digest.clone());
    Ok(evidence.and_then(|evidence| {
        let verification = verifier.check(&pin, &evidence, None, context.now);
        verification.ok()?.signed_at()
    }))
}

fn describe(when: Option<SystemTime>) -> String {
    when.map_or_else(
        || "no proven signing time".to_owned(),
        |when| format!("signed {}", time::rfc3339(when)),
    )
}

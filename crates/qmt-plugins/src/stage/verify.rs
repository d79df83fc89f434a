//! **verify**: checks the signatures of the pinned digest against the policy.
//!
//! Stored signature material is checked at every run, against the current policy and trust root. If
//! it is missing or not enough, the registry is queried.

use std::sync::Arc;

use qmt_oci_ref::{PinnedReference, RegistryErrorKind};
use qmt_verify::{Evidence, Verification, Verifier, VerifyError, danger};

use super::resolve::Resolved;
use super::{Context, StageError, Trust, rollback};
use crate::error::registry_cause;
use crate::events::Stage;

/// A resolved image that may be fetched: the policy accepts its signature, or the operator switched
/// verification off.
#[derive(Debug)]
pub(crate) struct Verified {
    resolved: Resolved,
    outcome: Outcome,
}

/// Why an image may be fetched.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The policy accepts its signature, and no rollback was detected.
    Accepted {
        /// What was verified about it.
        verification: Verification,
        /// Signature material that came from the registry, and is not yet in the cache.
        discovered: Option<Evidence>,
    },
    /// The config switched verification off.
    Skipped(Verification),
}

impl Verified {
    pub(crate) fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    pub(crate) fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    pub(crate) fn is_skipped(&self) -> bool {
        matches!(self.outcome, Outcome::Skipped(_))
    }

    pub(crate) fn verification(&self) -> &Verification {
        self.outcome.verification()
    }
}

impl Outcome {
    pub(crate) fn verification(&self) -> &Verification {
        match self {
            Self::Accepted { verification, .. } | Self::Skipped(verification) => verification,
        }
    }
}

/// Which signature material is checked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// That of the cache; the registry is queried only if it is not enough.
    CacheFirst,
    /// That of the registry; the cache is read only if the network may not be used.
    RegistryFirst,
}

/// Verifies the pinned digest, and that its tag was not rolled back.
pub(crate) async fn verify(context: &Context, resolved: Resolved) -> Result<Verified, StageError> {
    let outcome = check(context, &resolved, Freshness::CacheFirst).await?;
    rollback::check(context, &resolved, outcome.verification()).await?;
    if let Outcome::Accepted {
        verification,
        discovered: Some(_),
    } = &outcome
    {
        // Once: when the signature is seen for the first time.
        for warning in &verification.report().warnings {
            context.reporter.warning(warning);
        }
    }
    Ok(Verified { resolved, outcome })
}

/// Checks the signatures of the pinned digest.
pub(crate) async fn check(
    context: &Context,
    resolved: &Resolved,
    freshness: Freshness,
) -> Result<Outcome, StageError> {
    let pin = resolved.pin();
    let verifier = match &context.trust {
        Some(Trust::Verify(verifier)) => verifier,
        Some(Trust::Skip) => {
            context
                .reporter
                .warning("signatures are not verified: `insecure_skip_signature` is set");
            return Ok(Outcome::Skipped(danger::dangerous_skip_verification(pin)));
        }
        // Without a policy nothing is accepted.
        None => return Err(VerifyError::no_signature(pin).into()),
    };
    context.reporter.started(Stage::Verify);
    let (verification, discovered) = discover_and_check(context, pin, verifier, freshness).await?;
    if verification.digest() != pin.digest() {
        return Err(StageError::Verify(VerifyError::OtherEvidence {
            subject: Box::new(pin.clone()),
            evidence: verification.digest().clone(),
        }));
    }
    let signer = verification.signer().map(ToString::to_string);
    let detail = format!("signed by {}", signer.unwrap_or_default());
    context.reporter.finished(Stage::Verify, detail);
    Ok(Outcome::Accepted {
        verification,
        discovered,
    })
}

async fn discover_and_check(
    context: &Context,
    pin: &PinnedReference,
    verifier: &Arc<dyn Verifier>,
    freshness: Freshness,
) -> Result<(Verification, Option<Evidence>), StageError> {
    let check = |evidence| check_apart(context, pin, verifier, evidence);
    // Stored material that can't be read counts as missing: what is discovered replaces it.
    let stored = context.cache.evidence(pin.digest()).await?;
    let mut stored = stored.and_then(|bytes| Evidence::from_json(&bytes).ok());
    let mut refusal = None;
    if freshness == Freshness::CacheFirst
        && let Some(evidence) = stored.take()
    {
        match check(evidence).await {
            Ok((verification, _)) => return Ok((verification, None)),
            Err(error) => refusal = Some(error),
        }
    }
    let discovered = verifier.discover(&context.registry, pin).await;
    match (discovered, refusal, stored) {
        (Ok(evidence), ..) => {
            let (verification, evidence) = check(evidence).await?;
            Ok((verification, Some(evidence)))
        }
        // Why the stored material was refused says more than that no other may be requested.
        (Err(error), Some(refusal), _) if is_refused_offline(&error) => Err(refusal.into()),
        (Err(VerifyError::Source { place, source, .. }), Some(refusal), _) => {
            let refusal = Some(Box::new(refusal));
            let error = VerifyError::Source {
                place,
                source,
                refusal,
            };
            Err(error.into())
        }
        (Err(error), None, Some(evidence)) if is_refused_offline(&error) => {
            Ok((check(evidence).await?.0, None))
        }
        (Err(error), ..) => Err(error.into()),
    }
}

/// Checks `evidence` on a thread that may block, and returns it: plugins that are loaded at the
/// same time are verified at the same time.
pub(super) async fn check_apart(
    context: &Context,
    pin: &PinnedReference,
    verifier: &Arc<dyn Verifier>,
    evidence: Evidence,
) -> Result<(Verification, Evidence), VerifyError> {
    let (verifier, pin, now) = (Arc::clone(verifier), pin.clone(), context.now);
    let expected = context.request.pinned_signer.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let verification = verifier.check(&pin, &evidence, expected.as_ref(), now)?;
        Ok((verification, evidence))
    });
    match checked.await {
        Ok(checked) => checked,
        // The runtime only stops such a thread before it begins, when the whole program ends.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}

fn is_refused_offline(error: &VerifyError) -> bool {
    registry_cause(error).is_some_and(|error| error.kind() == RegistryErrorKind::Offline)
}

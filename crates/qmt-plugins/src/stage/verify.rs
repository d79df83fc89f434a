//! **verify**: who signed the pinned digest, and is that enough.
//!
//! Kept signature material is judged at every run, by today's policy and trust root. Where it is
//! missing or not enough, the registry is asked for more.

use std::sync::Arc;

use qmt_oci_ref::PinnedReference;
use qmt_verify::{Evidence, Verification, Verifier, VerifyError, danger};

use super::resolve::Pinned;
use super::{Context, Request, Trust};
use crate::adapter::RegistryEvidence;
use crate::error::Error;
use crate::events::Stage;

/// Proof that the pinned digest passed the policy, or that the operator asked for none.
#[derive(Debug)]
pub(crate) struct Verified {
    verification: Verification,
    /// Signature material that came from the registry.
    collected: Option<Evidence>,
}

impl Verified {
    pub(crate) fn verification(&self) -> &Verification {
        &self.verification
    }

    pub(crate) fn collected(&self) -> Option<&Evidence> {
        self.collected.as_ref()
    }

    /// Tells what deserves a second look, once: when the signature is seen for the first time.
    pub(crate) fn warn(&self, context: &Context) {
        if self.collected.is_some() {
            for warning in &self.verification.report().warnings {
                context.reporter.warning(warning);
            }
        }
    }

    pub(crate) fn is_skipped(&self) -> bool {
        self.verification.is_skipped()
    }
}

/// Where signature material may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// From the cache, where what is kept there is enough.
    CacheFirst,
    /// From the registry, where it may be asked.
    RegistryFirst,
}

/// Judges the pinned digest.
pub(crate) async fn verify(
    context: &Context,
    request: &Request,
    pinned: &Pinned,
    freshness: Freshness,
) -> Result<Verified, Error> {
    let verifier = match &context.trust {
        Some(Trust::Verify(verifier)) => verifier,
        Some(Trust::Skip) => {
            context
                .reporter
                .warning("signatures are not verified: `insecure_skip_signature` is set");
            let verification = danger::dangerous_skip_verification(pinned.pin());
            return Ok(Verified {
                verification,
                collected: None,
            });
        }
        // Nobody said whom to trust: that is never "anyone".
        None => {
            let source = no_signature(pinned.pin());
            return Err(context.not_verified(pinned.pin().to_string())(source));
        }
    };
    context.reporter.started(Stage::Verify);
    let judged = judge(context, request, pinned, verifier, freshness).await;
    let verified = judged.map_err(|failure| match failure {
        Failure::Refused(source) => context.not_verified(pinned.pin().to_string())(source),
        Failure::Other(error) => error,
    })?;
    if verified.verification.digest() != pinned.digest() {
        // The verdict is about something else: that must not happen, and must not pass.
        let (subject, evidence) = (pinned.pin().clone(), verified.verification.digest().clone());
        let source = VerifyError::OtherEvidence {
            subject: Box::new(subject),
            evidence,
        };
        return Err(context.not_verified(pinned.pin().to_string())(source));
    }
    let signer = verified
        .verification
        .signer()
        .map(ToString::to_string)
        .unwrap_or_default();
    context
        .reporter
        .finished(Stage::Verify, format!("signed by {signer}"));
    Ok(verified)
}

fn no_signature(pin: &PinnedReference) -> VerifyError {
    VerifyError::NoSignature {
        subject: Box::new(pin.clone()),
        rejected: Vec::new(),
    }
}

enum Failure {
    Refused(VerifyError),
    Other(Error),
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        Self::Refused(error)
    }
}

async fn judge(
    context: &Context,
    request: &Request,
    pinned: &Pinned,
    verifier: &Arc<dyn Verifier>,
    freshness: Freshness,
) -> Result<Verified, Failure> {
    let (pin, expected) = (pinned.pin(), request.expected.as_ref());
    let verdict = |evidence: &Evidence| verifier.judge(pin, evidence, expected, context.now);
    let kept = context.cache.evidence(pin.digest()).await;
    let kept = kept
        .map_err(context.cache_error())
        .map_err(Failure::Other)?;
    // Kept material that can't be read is as good as none; whatever is collected replaces it.
    let kept: Option<Evidence> = kept.and_then(|bytes| Evidence::from_json(&bytes).ok());
    let may_ask = context.may_ask();
    let mut refusal = None;
    if let Some(evidence) = kept.filter(|_| freshness == Freshness::CacheFirst || !may_ask) {
        match verdict(&evidence) {
            Ok(verification) => {
                return Ok(Verified {
                    verification,
                    collected: None,
                });
            }
            Err(error) => refusal = Some(error),
        }
    }
    if !may_ask {
        if refusal.is_none() {
            context
                .need_network(request, "the signature")
                .map_err(Failure::Other)?;
        }
        return Err(refusal.unwrap_or_else(|| no_signature(pin)).into());
    }
    let collected = verifier
        .collect(&RegistryEvidence(&*context.registry), pin)
        .await;
    match (collected, refusal) {
        (Ok(evidence), _) => {
            let verification = verdict(&evidence)?;
            Ok(Verified {
                verification,
                collected: Some(evidence),
            })
        }
        // What the kept material was refused for says more than that nobody could be asked.
        (Err(error), Some(refusal)) if error.is_retryable() => Err(refusal.into()),
        (Err(error), _) => Err(error.into()),
    }
}

//! Tests of trust roots made of no source, or of two.

use super::*;
use crate::SigstoreVerifier;
use crate::policy::{Policy, PolicySet, Scope};

/// Empty trust material never means "anyone": only keys without a log can do without it.
#[test]
fn no_root_trusts_nothing() {
    let anyone = vec![(Scope::everything(), Policy::pin_on_first_use())];
    let policies = PolicySet::new(anyone).unwrap();
    let refused = SigstoreVerifier::new(TrustRoot::none().unwrap(), policies.clone());
    assert!(matches!(refused, Err(VerifyError::TrustRoot { .. })));
    let joined = TrustRoot::none()
        .unwrap()
        .joined_with(TrustRoot::embedded().unwrap());
    assert_eq!(
        joined.describe().logs,
        TrustRoot::embedded().unwrap().describe().logs
    );
    assert!(SigstoreVerifier::new(joined, policies.clone()).is_ok());

    // What both know counts once.
    let embedded = || TrustRoot::embedded().unwrap();
    let joined = embedded().joined_with(embedded());
    assert_eq!(joined.describe().logs, embedded().describe().logs);
    assert!(SigstoreVerifier::new(joined, policies).is_ok());
}

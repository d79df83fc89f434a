//! Trust roots made of none or two.

use sigstore_trust_root::TrustedRoot;

use super::{TrustRoot, TrustRootInfo};
use crate::error::VerifyError;

/// A trusted root in JSON that names nobody.
const NOBODY: &str = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;

impl TrustRoot {
    /// No Sigstore at all, said on purpose: for policies whose keys do without a transparency log.
    /// Every other policy is refused with it by [`SigstoreVerifier::new`](crate::SigstoreVerifier::new).
    ///
    /// # Errors
    ///
    /// [`VerifyError::TrustRoot`] if the library can't take an empty root.
    pub fn none() -> Result<Self, VerifyError> {
        let source = "none (keys alone)";
        let root = TrustedRoot::from_json(NOBODY)
            .map_err(|error| VerifyError::trust(source, error.to_string()))?;
        let info = TrustRootInfo {
            source: source.to_owned(),
            version: None,
            refreshed: None,
            logs: 0,
            certificate_authorities: 0,
            ct_logs: 0,
            timestamp_authorities: 0,
            left_aside: Vec::new(),
        };
        Ok(Self { root, info })
    }

    /// Trusts what either of two trusts: the operator asked for both.
    #[must_use]
    pub fn joined_with(mut self, other: Self) -> Self {
        let TrustedRoot {
            tlogs,
            certificate_authorities,
            ctlogs,
            timestamp_authorities,
            ..
        } = other.root;
        join(&mut self.root.tlogs, tlogs, |log| log.log_id.clone());
        join(&mut self.root.ctlogs, ctlogs, |log| log.log_id.clone());
        let of_certificates = &mut self.root.certificate_authorities;
        of_certificates.extend(certificate_authorities);
        let of_timestamps = &mut self.root.timestamp_authorities;
        of_timestamps.extend(timestamp_authorities);
        let (one, two) = (self.info, other.info);
        self.info = TrustRootInfo {
            source: format!("{} and {}", one.source, two.source),
            version: one.version.or(two.version),
            // The older of the two says how old the knowledge is.
            refreshed: one.refreshed.into_iter().chain(two.refreshed).min(),
            logs: self.root.tlogs.len(),
            certificate_authorities: self.root.certificate_authorities.len(),
            ct_logs: self.root.ctlogs.len(),
            timestamp_authorities: self.root.timestamp_authorities.len(),
            left_aside: one.left_aside.into_iter().chain(two.left_aside).collect(),
        };
        self
    }
}

/// Adds what is not known yet. What both name stays as the first has it, with its dates.
fn join<T, K: PartialEq>(known: &mut Vec<T>, others: Vec<T>, name: impl Fn(&T) -> K) {
    for other in others {
        if !known.iter().any(|one| name(one) == name(&other)) {
            known.push(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigstoreVerifier;
    use crate::policy::{Policy, PolicySet, Scope};

    /// Empty trust material never means "anyone": only keys without a log can do without it.
    #[test]
    fn nobody_is_trusted_by_none() {
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
}

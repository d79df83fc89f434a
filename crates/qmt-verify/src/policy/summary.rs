//! Descriptions of policies.

use qmt_oci_ref::text;
use qmt_oci_ref::time::rfc3339;

use super::{Authority, Policy, PolicySet, Scope};
use crate::report::PolicyReport;

impl PolicySet {
    /// Describes the policies, the most specific scope first.
    pub fn reports(&self) -> Vec<PolicyReport> {
        let policies = self.policies();
        policies
            .map(|(scope, policy)| policy.report(scope))
            .collect()
    }
}

impl Policy {
    fn report(&self, scope: &Scope) -> PolicyReport {
        let mut signers: Vec<String> = self.authorities().iter().map(Authority::describe).collect();
        if self.is_pin_on_first_use() {
            signers.push(if self.requires_log() {
                PINNED_ON_FIRST_USE.to_owned()
            } else {
                format!("{PINNED_ON_FIRST_USE}, {WITHOUT_LOG}")
            });
        }
        let mut conditions = Vec::new();
        if self.match_name {
            conditions.push("the signed name is that of the image".to_owned());
        }
        let attestations = self.attestations.iter();
        conditions.extend(
            attestations.map(|one| format!("an attestation of type `{}`", one.predicate_type)),
        );
        PolicyReport {
            scope: scope.to_string(),
            require: self.require(),
            signers,
            conditions: conditions.iter().map(|one| text::escape(one)).collect(),
        }
    }
}

pub(super) const PINNED_ON_FIRST_USE: &str = "any signer, pinned on first use";
const WITHOUT_LOG: &str = "transparency log optional";

impl Authority {
    /// Everything that it requires of a signature, safe to print.
    fn describe(&self) -> String {
        let mut words = vec![self.to_string()];
        let annotations = self.annotations.iter();
        words.extend(annotations.map(|(name, value)| format!("annotation `{name}` = `{value}`")));
        if let Some(time) = self.signed_after {
            words.push(format!("signed after {}", rfc3339(time)));
        }
        if !self.log_required {
            words.push(WITHOUT_LOG.to_owned());
        }
        text::escape(&words.join(", "))
    }
}

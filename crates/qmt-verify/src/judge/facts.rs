//! What is proven about one signature, before any policy is asked.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::candidate::Candidate;
use super::certificate::Claims;
use crate::error::printable;
use crate::report::{LogEntry, Report, rfc3339};

/// The check that not every signature has.
const LOG: &str = "transparency log";

/// What is proven about one signature.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) found: String,
    pub(crate) format: &'static str,
    /// What the certificate says; nothing for a key.
    pub(crate) claims: Claims,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) name: Option<String>,
    pub(crate) times: Vec<SystemTime>,
    pub(crate) log_entries: Vec<LogEntry>,
    pub(crate) checks: Vec<&'static str>,
    pub(crate) warnings: Vec<&'static str>,
}

impl Facts {
    pub(crate) fn of(
        candidate: &Candidate<'_>,
        claims: Claims,
        log_entries: Vec<LogEntry>,
    ) -> Self {
        Self {
            found: candidate.found.to_owned(),
            format: candidate.format,
            claims,
            annotations: candidate.annotations.clone(),
            name: candidate.name.clone(),
            times: Vec::new(),
            log_entries,
            checks: vec!["digest", "signature"],
            warnings: Vec::new(),
        }
    }

    /// Whether a transparency log recorded the signature.
    pub(crate) fn is_logged(&self) -> bool {
        self.checks.contains(&LOG)
    }

    pub(crate) fn note_log(&mut self, logged: bool) {
        if logged {
            self.checks.push(LOG);
        } else {
            let warning = "no transparency log recorded this signature";
            self.warnings.push(warning);
        }
    }

    /// Writes the facts into a report, safe to print.
    pub(crate) fn describe(&self, report: &mut Report) {
        let safe = |map: &BTreeMap<String, String>| {
            map.iter()
                .map(|(name, value)| (printable(name), printable(value)))
                .collect()
        };
        report.found = printable(&self.found);
        self.format.clone_into(&mut report.format);
        report.identities = self
            .claims
            .identities
            .iter()
            .map(|text| printable(text))
            .collect();
        report.claims = safe(&self.claims.named());
        report.annotations = safe(&self.annotations);
        report.signed_name = self.name.as_deref().map(printable);
        report.log_entries.clone_from(&self.log_entries);
        report.signed_at = self.times.iter().copied().map(rfc3339).collect();
        report.checks = self.checks.iter().map(|&check| check.to_owned()).collect();
        report
            .warnings
            .extend(self.warnings.iter().map(|&warning| warning.to_owned()));
    }
}

//! `trust`: the trust root in use and its age, and the policies.

use std::time::Duration;

use qmt_plugins::verify::trust::TrustRootInfo;
use serde_json::json;

use super::CommandResult;
use crate::args::{Global, Trust};
use crate::output::{self, Output};
use crate::session;

/// Runs the subcommand.
pub(crate) async fn trust(global: &Global, output: &Output, command: Trust) -> CommandResult {
    if command == Trust::Update {
        session::require_network(global, "trust update")?;
    }
    let host = session::host(global, output, session::config_or_default(global, output)?)?;
    let summary = host.trust_summary(command == Trust::Update).await?;
    let root = summary.root.as_ref();
    let skips = host.config().oci.insecure_skip_signature;
    let mut rows = match root {
        Some(root) => described(root),
        None => vec![("trust root", unused(skips).to_owned())],
    };
    let is_from_tuf = root.is_some_and(|root| root.refreshed.is_some());
    if command == Trust::Update && !is_from_tuf {
        let root = root.map(|root| format!("not from a TUF repository, but from {}", root.source));
        let root = root.unwrap_or_else(|| unused(skips).to_owned());
        output.note(format!("nothing to refresh: the trust root is {root}"));
    }
    for policy in &summary.policies {
        let count = match policy.require {
            1 => String::new(),
            more => format!("{more} of: "),
        };
        let signers = policy.signers.join("; ");
        rows.push(("policy", format!("{}: {count}{signers}", policy.scope)));
        for condition in &policy.conditions {
            rows.push(("policy", format!("{}: requires {condition}", policy.scope)));
        }
    }
    let warnings = output.warnings(&summary.warnings);
    for warning in &warnings {
        rows.push(("warning", warning.clone()));
    }
    let data = json!({
        "source": root.map(|root| &root.source),
        "version": root.map(|root| &root.version),
        "age_seconds": root.and_then(age).map(|age| age.as_secs()),
        "logs": root.map_or(0, |root| root.logs),
        "certificate_authorities": root.map_or(0, |root| root.certificate_authorities),
        "ct_logs": root.map_or(0, |root| root.ct_logs),
        "timestamp_authorities": root.map_or(0, |root| root.timestamp_authorities),
        "left_aside": root.map_or(&[][..], |root| &root.unusable),
        "policies": summary.policies,
        "warnings": warnings,
    });
    output.result(&data, &output::table(&rows))
}

/// Says why no trust root was read.
fn unused(skips: bool) -> &'static str {
    if skips {
        "not used, because `insecure_skip_signature` is set"
    } else {
        "not required: the plugins of the config are verified with keys alone"
    }
}

/// Describes the trust root, one fact per row.
fn described(root: &TrustRootInfo) -> Vec<(&'static str, String)> {
    let mut rows = vec![("source", root.source.clone())];
    if let Some(version) = &root.version {
        rows.push(("version", version.clone()));
    }
    if let Some(age) = age(root) {
        rows.push(("age", format!("{} h", age.as_secs() / 3600)));
    }
    for (what, count) in [
        ("transparency logs", root.logs),
        ("certificate authorities", root.certificate_authorities),
        ("certificate logs", root.ct_logs),
        ("timestamp authorities", root.timestamp_authorities),
    ] {
        rows.push((what, count.to_string()));
    }
    let unusable = root.unusable.iter();
    rows.extend(unusable.map(|left| ("left aside", left.clone())));
    rows
}

fn age(root: &TrustRootInfo) -> Option<Duration> {
    root.refreshed.and_then(|time| time.elapsed().ok())
}

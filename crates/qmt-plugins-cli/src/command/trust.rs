//! `trust`: the trust root in use and its age, and the policies.

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
    let info = &summary.root;
    let mut rows = vec![("source".to_owned(), info.source.clone())];
    if let Some(version) = &info.version {
        rows.push(("version".to_owned(), version.clone()));
    }
    if command == Trust::Update && info.refreshed.is_none() {
        output.note(format!(
            "nothing to refresh: the trust root is not from a TUF repository, but from {}",
            info.source
        ));
    }
    let age = info.refreshed.and_then(|time| time.elapsed().ok());
    if let Some(age) = age {
        rows.push(("age".to_owned(), format!("{} h", age.as_secs() / 3600)));
    }
    rows.push(("transparency logs".to_owned(), info.logs.to_string()));
    rows.push((
        "certificate authorities".to_owned(),
        info.certificate_authorities.to_string(),
    ));
    rows.push(("certificate logs".to_owned(), info.ct_logs.to_string()));
    rows.push((
        "timestamp authorities".to_owned(),
        info.timestamp_authorities.to_string(),
    ));
    for left in &info.unusable {
        rows.push(("left aside".to_owned(), left.clone()));
    }
    for policy in &summary.policies {
        let count = match policy.require {
            1 => String::new(),
            more => format!("{more} of: "),
        };
        let signers = policy.signers.join("; ");
        rows.push((
            "policy".to_owned(),
            format!("{}: {count}{signers}", policy.scope),
        ));
        for condition in &policy.conditions {
            rows.push((
                "policy".to_owned(),
                format!("{}: requires {condition}", policy.scope),
            ));
        }
    }
    for warning in &summary.warnings {
        rows.push(("warning".to_owned(), warning.clone()));
    }
    let data = json!({
        "source": info.source,
        "version": info.version,
        "age_seconds": age.map(|age| age.as_secs()),
        "logs": info.logs,
        "certificate_authorities": info.certificate_authorities,
        "ct_logs": info.ct_logs,
        "timestamp_authorities": info.timestamp_authorities,
        "left_aside": info.unusable,
        "policies": summary.policies,
        "warnings": summary.warnings,
    });
    output.result(&data, &output::table(&rows))
}

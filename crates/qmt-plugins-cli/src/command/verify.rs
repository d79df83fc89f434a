//! `verify` and `why`: who signed an image, and why other signatures are rejected.

use std::fmt::Write as _;

use qmt_plugins::config::scope_of;
use qmt_plugins::verify::report::{Rejection, Report, TrustReport};
use qmt_plugins::{Error, Target};
use serde_json::json;

use super::CommandResult;
use crate::args::{Global, Verify};
use crate::exit::{Code, Failure};
use crate::output::{self, Output};
use crate::session;

/// Verifies an image, and prints what was verified.
pub(crate) async fn verify(global: &Global, output: &Output, verify: &Verify) -> CommandResult {
    let report = run(global, output, verify).await?;
    output.result(
        &json!({ "verified": !report.skipped, "report": report }),
        &proven(&report),
    );
    if report.skipped {
        // The question is whether it is signed, and that was not checked.
        return Err(Failure::Reported(Code::NotVerified));
    }
    Ok(())
}

/// Explains why an image is accepted or refused, with each evidence item.
pub(crate) async fn why(global: &Global, output: &Output, verify: &Verify) -> CommandResult {
    match run(global, output, verify).await {
        Ok(report) => {
            let mut text = format!("accepted: {}\n{}", report.subject, proven(&report));
            text.push_str(&rejected(
                &report.rejected,
                "also discovered, and rejected:",
            ));
            if let Some(line) = &report.config_line {
                text.push_str("\nthese config lines accept only this signer:\n");
                text.push_str(&accepting(&report.subject, line));
            }
            output.result(
                &json!({ "verified": !report.skipped, "report": report }),
                &text,
            );
            Ok(())
        }
        Err(Failure::Library(error)) => {
            let Error::NotVerified {
                reference, source, ..
            } = &*error
            else {
                return Err(Failure::Library(error));
            };
            let mut text = format!("refused: {reference}\n{source}\n");
            text.push_str(&rejected(source.rejections(), "discovered, and rejected:"));
            let mut shown = Vec::new();
            for rejection in source.rejections() {
                let Some(line) = rejection.config_line.as_ref() else {
                    continue;
                };
                if shown.contains(&line) {
                    continue;
                }
                shown.push(line);
                let signer = rejection.signer.as_deref().unwrap_or("this signer");
                let _ = writeln!(text, "\nthese config lines accept {signer}:");
                text.push_str(&accepting(reference, line));
            }
            if let Some(trust) = source.trust_root() {
                let rows = [("trust root".to_owned(), trust_root(trust))];
                let _ = write!(text, "\n{}", output::table(&rows));
            }
            let failure = Failure::Library(error);
            if output.is_json() {
                return Err(failure);
            }
            output.result(&json!(null), &text);
            Err(Failure::Reported(failure.code()))
        }
        Err(other) => Err(other),
    }
}

async fn run(global: &Global, output: &Output, verify: &Verify) -> Result<Report, Failure> {
    let file = session::with_signer(&session::config_or_default(global)?, &verify.signer)?;
    let host = session::host(global, output, file)?;
    let target = Target::parse(host.config(), &verify.target)?;
    Ok(host.verify(&target).await?)
}

/// Formats what was verified, one fact per line.
fn proven(report: &Report) -> String {
    let mut rows = Vec::new();
    let mut row = |key: &str, value: String| {
        if !value.is_empty() {
            rows.push((key.to_owned(), value));
        }
    };
    row("image", report.subject.clone());
    if report.skipped {
        row(
            "signature",
            "not verified: `insecure_skip_signature` is set".to_owned(),
        );
        return output::table(&rows);
    }
    row(
        "signer",
        report
            .signer
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
    );
    row(
        "accepted by",
        format!("{} in `{}`", report.authority, report.scope),
    );
    row("found", format!("{}, {}", report.found, report.format));
    for cosigner in &report.cosigners {
        row("signed by too", cosigner.to_string());
    }
    row("signed at", report.signed_at.join(", "));
    for (claim, value) in &report.claims {
        row(claim, value.clone());
    }
    for (name, value) in &report.annotations {
        row(name, value.clone());
    }
    row(
        "signed name",
        report.signed_name.clone().unwrap_or_default(),
    );
    for entry in &report.log_entries {
        row(
            "log entry",
            format!("{} in log {} ({})", entry.index, entry.log, entry.kind),
        );
    }
    row("attestations", report.attestations.join(", "));
    row("checks", report.checks.join(", "));
    if let Some(trust) = &report.trust_root {
        row("trust root", trust_root(trust));
    }
    if report.first_use {
        let note = "no signer is configured: the first load pins this one in the lockfile";
        row("note", note.to_owned());
    }
    for warning in &report.warnings {
        row("warning", warning.clone());
    }
    output::table(&rows)
}

/// Returns config lines that accept a signer for the image's repository.
fn accepting(image: &str, line: &str) -> String {
    let scope = scope_of(image);
    format!("\n  [[oci.policy]]\n  scope = \"{scope}\"\n  {line}\n")
}

/// Describes the trust root: source, version and age.
fn trust_root(trust: &TrustReport) -> String {
    let version = trust
        .version
        .as_ref()
        .map(|version| format!(", {version}"))
        .unwrap_or_default();
    let age = trust
        .age_seconds
        .map(|age| format!(", {} h old", age / 3600))
        .unwrap_or_default();
    format!("{}{version}{age}", trust.source)
}

/// Formats the rejected evidence items, each with its reason and hint.
fn rejected(rejections: &[Rejection], title: &str) -> String {
    if rejections.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{title}\n");
    for rejection in rejections {
        let signer = rejection
            .signer
            .as_ref()
            .map(|signer| format!(" by {signer}"))
            .unwrap_or_default();
        let _ = writeln!(text, "- {}{signer}: {}", rejection.found, rejection.reason);
        if !rejection.hint.is_empty() {
            let _ = writeln!(text, "  {}", rejection.hint);
        }
    }
    text
}

//! `verify` and `why`: the signer of an image, and why other signatures are rejected.

use std::fmt::Write as _;

use qmt_plugins::inspect::{DigestOrigin, VersionReport, Versions};
use qmt_plugins::oci_ref::text::messages;
use qmt_plugins::verify::VerifyError;
use qmt_plugins::verify::report::{Rejection, RejectionCode, Report, TrustReport};
use qmt_plugins::{Error, ErrorKind};
use serde_json::{Value, json};

use super::CommandResult;
use super::accepting::accepting;
use super::verdict::{refusal, verdict};
use crate::args::{Global, Verify};
use crate::exit::{Code, Failure};
use crate::output::{self, Output};
use crate::session;

/// Verifies the version of an image that is used, and prints what was verified.
pub(crate) async fn verify(global: &Global, output: &Output, verify: &Verify) -> CommandResult {
    let versions = run(global, output, verify).await?;
    let data = data(output, &versions);
    let other = other(&versions);
    let refusal = refusal(&versions.used);
    let report = match versions.used.result {
        Ok(report) => report,
        Err(error) => {
            if let Some(line) = other {
                output.note(line);
            }
            let failure = session::failure(error, &verify.signer);
            return Err(unexplained(output, data, failure));
        }
    };
    let mut rows = proven(output, &report);
    let used = Some(verified_digest(versions.used.origin).to_owned());
    let lines = [used, other.map(|text| output.commands(&text))];
    rows.extend(lines.into_iter().flatten().map(|line| ("version", line)));
    rows.extend(refusal.map(|line| ("warning", output.commands(&line))));
    let text = output::table(&rows);
    if report.skipped {
        return Err(output.refusal(data, &text, &skipped()));
    }
    output.result(&data, &text)
}

/// Explains why an image is accepted or refused, with each evidence item: the version that is used,
/// and the one that its tag names now.
pub(crate) async fn why(global: &Global, output: &Output, verify: &Verify) -> CommandResult {
    let versions = run(global, output, verify).await?;
    let data = data(output, &versions);
    let mut text = format!("version: {}\n", verified_digest(versions.used.origin));
    text.push_str(&explained(output, &versions.used));
    match &versions.current {
        None => {}
        Some(Ok(current)) => {
            text.push_str("\nthe tag names another digest now:\n");
            text.push_str(&explained(output, current));
        }
        Some(Err(_)) => {
            let line = other(&versions)
                .map(|text| output.commands(&text))
                .unwrap_or_default();
            let _ = writeln!(text, "\n{}", output::paragraph(&line, ""));
        }
    }
    let failure = match versions.used.result {
        Ok(report) if !report.skipped => return output.result(&data, &text),
        Ok(_) => skipped(),
        Err(error) => {
            let is_explained = is_explained(&error);
            let failure = session::failure(error, &verify.signer);
            // Nothing is known about its signatures.
            if !is_explained {
                return Err(unexplained(output, data, failure));
            }
            failure
        }
    };
    if let Some(option) = failure.option() {
        let _ = writeln!(text, "\n{}", output::paragraph(option, ""));
    }
    Err(output.refusal(data, &text, &failure))
}

async fn run(global: &Global, output: &Output, verify: &Verify) -> Result<Versions, Failure> {
    let file = session::with_signer(&session::config_or_default(global, output)?, &verify.signer)?;
    let host = session::host(global, output, file)?;
    let target = session::target(global, &host, &verify.target)?;
    let versions = host.verify_versions(&target).await;
    versions.map_err(|error| session::failure(error, &verify.signer))
}

/// Returns why `verify` fails if verification is switched off: the question is whether the image is
/// signed by an accepted signer, and that was not checked.
fn skipped() -> Failure {
    Failure::Negative {
        code: Code::NotVerified,
        message: "signatures are not verified: `insecure_skip_signature` is set".to_owned(),
    }
}

/// Returns a failure of which the text says nothing, and the data all.
fn unexplained(output: &Output, data: Value, failure: Failure) -> Failure {
    if output.is_json() {
        output.refusal(data, "", &failure)
    } else {
        failure
    }
}

/// Returns both versions as data.
fn data(output: &Output, versions: &Versions) -> Value {
    let of = |version: &VersionReport| {
        let report = version.result.as_ref().ok();
        json!({
            "verified": report.is_some_and(|report| !report.skipped),
            "report": report.map(|report| output.with_commands(json!(report))),
            "digest": version.reference.digest(),
            "origin": version.origin,
        })
    };
    let current = versions.current.as_ref().map(|current| {
        let (mut data, error) = match current {
            Ok(version) => {
                let error = version.result.as_ref().err();
                (of(version), error.or(version.refused.as_ref()))
            }
            Err(error) => {
                let unknown =
                    json!({ "verified": false, "report": null, "digest": null, "origin": null });
                (unknown, Some(error))
            }
        };
        if let Some(error) = error {
            data["error"] = output.error_data(error);
        }
        data
    });
    let mut data = of(&versions.used);
    data["current"] = current.unwrap_or_default();
    data
}

/// Reports whether something is known about the signatures: they are refused, or some of them could
/// not be looked up.
fn is_explained(error: &Error) -> bool {
    match error {
        Error::NotVerified { source, .. } => {
            error.kind() == ErrorKind::NotVerified || !source.rejections().is_empty()
        }
        _ => false,
    }
}

/// Says which digest was verified.
fn verified_digest(origin: DigestOrigin) -> &'static str {
    match origin {
        DigestOrigin::Reference => "the digest of the reference",
        DigestOrigin::Lockfile => "the digest in the lockfile",
        DigestOrigin::Cache => "the digest that the cache recorded for the tag",
        _ => "what the tag names now",
    }
}

/// Says that the tag names another digest now, or that this is not known.
fn other(versions: &Versions) -> Option<String> {
    let Versions { used, current, .. } = versions;
    Some(match current.as_ref()? {
        Ok(version) => {
            let verdict = verdict(used, version);
            // A refusal of the locked version alone has another remedy than another policy.
            let next = match (&used.result, &version.result) {
                (Err(_), Ok(report)) if !report.skipped && version.refused.is_none() => {
                    "; `qmt-plugins update` moves to it"
                }
                _ => "",
            };
            let digest = version.reference.digest();
            format!("the tag names another digest now: {digest}, {verdict}{next}")
        }
        Err(Error::Offline { rule, .. }) => {
            format!("what the tag names now is not known: {rule} forbids the network")
        }
        Err(error) => {
            let causes = messages(error).join(": ");
            format!("what the tag names now is not known: {causes}")
        }
    })
}

/// Explains the decision about one version.
fn explained(output: &Output, version: &VersionReport) -> String {
    match &version.result {
        Ok(report) if report.skipped => {
            let table = output::table(&proven(output, report));
            format!("not verified: {}\n{table}", report.subject)
        }
        Ok(report) => {
            let table = output::table(&proven(output, report));
            let mut text = format!("accepted: {}\n{table}", report.subject);
            if let Some(line) = refusal(version).map(|line| output.commands(&line)) {
                let _ = writeln!(text, "{}", output::paragraph(&line, "  "));
            }
            let title = "also discovered, and rejected:";
            text.push_str(&explained_places(output, &report.rejected, title));
            if let Some(line) = &report.config_line {
                let what = "accept only this signer";
                let policy = Some((&*report.scope, &*report.conditions));
                text.push_str(&accepting(output, &report.subject, line, what, policy));
            }
            text
        }
        Err(
            error @ Error::NotVerified {
                reference, source, ..
            },
        ) => refused(output, error, reference, source),
        Err(error) => {
            let text = match error.hint() {
                Some(hint) => format!("{error}; {}", output.commands(&hint)),
                None => error.to_string(),
            };
            format!("{}\n", output::paragraph(&text, "  "))
        }
    }
}

/// Explains why an image is refused.
fn refused(output: &Output, error: &Error, reference: &str, source: &VerifyError) -> String {
    let mut text = format!("refused: {reference}\n");
    let _ = writeln!(text, "{}", output::paragraph(&source.to_string(), "  "));
    let title = "discovered, and rejected:";
    text.push_str(&explained_places(output, source.rejections(), title));
    // No item has this hint.
    if let (VerifyError::NoSignature { .. }, Some(hint)) = (source, error.hint()) {
        let hint = output.commands(&hint);
        let _ = writeln!(text, "\n{}", output::paragraph(&hint, "  "));
    }
    let mut shown = Vec::new();
    for rejection in source.rejections() {
        let Some(line) = rejection.config_line.as_ref() else {
            continue;
        };
        if shown.contains(&line) {
            continue;
        }
        shown.push(line);
        let signer = rejection.signer.as_ref().map(ToString::to_string);
        let signer = signer.unwrap_or_else(|| "this signer".to_owned());
        let policy = match source {
            VerifyError::Refused {
                scope, conditions, ..
            } => Some((&**scope, &**conditions)),
            _ => None,
        };
        let what = format!("accept {signer}");
        text.push_str(&accepting(output, reference, line, &what, policy));
    }
    if let Some(trust) = source.trust_root() {
        let rows = [("trust root", trust_root(trust))];
        let _ = write!(text, "\n{}", output::table(&rows));
    }
    text
}

/// Lists what was verified, one fact per row.
fn proven<'a>(output: &Output, report: &'a Report) -> Vec<(&'a str, String)> {
    let mut rows = Vec::new();
    let mut row = |key, value: String| {
        if !value.is_empty() {
            rows.push((key, value));
        }
    };
    row("image", report.subject.clone());
    if report.skipped {
        let rule = "not verified: `insecure_skip_signature` is set";
        row("signature", rule.to_owned());
        return rows;
    }
    let signer = report.signer.as_ref().map(ToString::to_string);
    row("signer", signer.unwrap_or_default());
    let authority = format!("{} in `{}`", report.authority, report.scope);
    row("accepted by", authority);
    row("found", format!("{}, {}", report.found, report.format));
    for cosigner in &report.cosigners {
        row("also signed by", cosigner.to_string());
    }
    row("signed at", report.signed_at.join(", "));
    for (claim, value) in &report.claims {
        row(claim, value.clone());
    }
    // The signer chose the names.
    for (name, value) in &report.annotations {
        row("annotation", format!("{name} = {value}"));
    }
    let signed_name = report.signed_name.clone();
    row("signed name", signed_name.unwrap_or_default());
    for entry in &report.log_entries {
        let entry = format!("{} in log {} ({})", entry.index, entry.log, entry.kind);
        row("log entry", entry);
    }
    row("attestations", report.attestations.join(", "));
    row("checks", report.checks.join(", "));
    if let Some(trust) = &report.trust_root {
        row("trust root", trust_root(trust));
    }
    if report.first_use {
        let note =
            "no signer is configured: the first load of a plugin of the config pins its signer";
        row("note", note.to_owned());
    }
    for warning in &report.warnings {
        row("warning", output.commands(warning));
    }
    rows
}

/// Describes the trust root: source, version and age.
fn trust_root(trust: &TrustReport) -> String {
    let mut text = trust.source.clone();
    if let Some(version) = &trust.version {
        let _ = write!(text, ", {version}");
    }
    if let Some(age) = trust.age_seconds {
        let _ = write!(text, ", {} h old", age / 3600);
    }
    text
}

/// Formats the rejected evidence items under `title`, then the places whose content is not known,
/// each with its reason and hint.
fn explained_places(output: &Output, rejections: &[Rejection], title: &str) -> String {
    let is_unknown = |one: &&Rejection| one.code == RejectionCode::LookupFailed;
    let (unknown, rejected): (Vec<_>, Vec<_>) = rejections.iter().partition(is_unknown);
    let mut text = String::new();
    for (title, rejections) in [(title, rejected), ("could not be read:", unknown)] {
        if !rejections.is_empty() {
            let _ = writeln!(text, "\n{title}");
        }
        for (rejection, more) in grouped(rejections) {
            let signer = rejection.signer.as_ref();
            let signer = signer.map(|signer| format!(" by {signer}"));
            let (found, signer) = (&rejection.found, signer.unwrap_or_default());
            let more = match more {
                0 => String::new(),
                more => format!(" (and {more} more with the same reason)"),
            };
            let line = format!("- {found}{signer}: {}{more}", rejection.reason);
            let _ = writeln!(text, "{}", output::paragraph(&line, "  "));
            if !rejection.hint.is_empty() {
                let hint = format!("  {}", output.commands(&rejection.hint));
                let _ = writeln!(text, "{}", output::paragraph(&hint, "  "));
            }
        }
    }
    text
}

/// The first item of each reason, and how many more have the same.
fn grouped<'a>(rejections: impl IntoIterator<Item = &'a Rejection>) -> Vec<(&'a Rejection, usize)> {
    let mut groups: Vec<(&Rejection, usize)> = Vec::new();
    for one in rejections {
        let is_like = |other: &Rejection| {
            (one.code, &one.reason, &one.hint, &one.signer)
                == (other.code, &other.reason, &other.hint, &other.signer)
        };
        match groups.iter_mut().find(|(first, _)| is_like(first)) {
            Some((_, more)) => *more = more.saturating_add(1),
            None => groups.push((one, 0)),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_reasons_are_one_line() {
        let rejection = |found: &str, reason: &str| -> Rejection {
            let json = serde_json::json!({
                "found": found, "signer": null, "code": "left-aside", "reason": reason, "hint": "",
                "config_line": null,
            });
            serde_json::from_value(json).unwrap()
        };
        let all = [("a", "x"), ("b", "y"), ("c", "x"), ("d", "x")];
        let all = all.map(|(found, reason)| rejection(found, reason));
        let groups = grouped(&all);
        let groups: Vec<_> = groups
            .iter()
            .map(|(one, more)| (&*one.found, *more))
            .collect();
        assert_eq!(groups, [("a", 2), ("b", 0)]);
    }
}

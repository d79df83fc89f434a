//! `outdated`: the plugins whose tags name another image now than the lockfile records.

use qmt_plugins::inspect::{DigestOrigin, Versions};
use qmt_plugins::oci_ref::Digest;
use qmt_plugins::{Error, ErrorKind, PluginHost, PluginSource, Target};
use serde_json::{Value, json};

use super::CommandResult;
use super::pull;
use super::verdict::{verdict, verdict_of};
use crate::args::Global;
use crate::output::{self, Output};
use crate::session;

/// Compares plugins with what their tags name now, and verifies that. Nothing is changed.
pub(crate) async fn outdated(global: &Global, output: &Output, names: &[String]) -> CommandResult {
    let host = session::host(global, output, session::config(global, output)?)?;
    let targets = pull::named(&host, names)?;
    let asks = |target: &Target| matches!(target.source(), PluginSource::Registry(_));
    if targets.iter().any(asks) {
        session::require_network(global, "outdated")?;
    }
    let (mut rows, mut data, mut failed) = (Vec::new(), Vec::new(), None);
    for target in &targets {
        let comparison = if target.source().is_image() {
            let versions = host.verify_versions(target).await;
            versions.and_then(|versions| Comparison::of(versions, locked(&host, target).as_ref()))
        } else {
            Ok(Comparison::without("no image"))
        };
        let name = target.name();
        match comparison {
            Ok(Comparison {
                text,
                mut fields,
                problem,
            }) => {
                rows.push((name.to_owned(), text));
                fields["name"] = name.into();
                if let Some(error) = problem {
                    fields["error"] = output.error_data(&error);
                }
                data.push(fields);
            }
            Err(error) => {
                let error = output.partial_failure(error, &mut failed);
                rows.push((name.to_owned(), "not known".to_owned()));
                data.push(json!({ "name": name, "error": error }));
            }
        }
    }
    let text = if rows.is_empty() {
        pull::NO_PLUGINS.to_owned()
    } else {
        output::table(&rows)
    };
    output.results(json!({ "plugins": data }), &text, failed)
}

/// Returns what the lockfile records for the target, unless it is for another reference.
fn locked(host: &PluginHost, target: &Target) -> Option<Digest> {
    let reference = target.source().to_string();
    let entry = host.lock_entry(target.name());
    let entry = entry.filter(|entry| target.is_configured() && entry.reference == reference);
    entry.map(|entry| entry.digest)
}

/// A plugin compared with what its tag names now.
struct Comparison {
    text: String,
    fields: Value,
    /// Why what the tag names is refused or could not be verified, unless its signatures are the reason.
    problem: Option<Error>,
}

impl Comparison {
    fn without(what: &str) -> Self {
        Self {
            text: format!("its path names {what}"),
            fields: json!({ "outdated": false }),
            problem: None,
        }
    }

    /// # Errors
    ///
    /// If it is not known what the tag names now.
    fn of(versions: Versions, locked: Option<&Digest>) -> Result<Self, Error> {
        let used = versions.used;
        if used.origin == DigestOrigin::Reference {
            return Ok(Self::without("a digest"));
        }
        let current = versions.current.transpose()?;
        let verdict = current.as_ref().map(|current| verdict(&used, current));
        let now = current.unwrap_or(used);
        let digest = now.reference.digest();
        let verified = now.result.as_ref().is_ok_and(|report| !report.skipped);
        let verdict = verdict.unwrap_or_else(|| verdict_of(&now));
        let text = match locked {
            None => format!("not locked for this reference; the tag names {digest}, {verdict}"),
            Some(locked) if locked != digest => format!("{locked} → {digest}, {verdict}"),
            Some(_) if verified && now.refused.is_none() => format!("up to date, {digest}"),
            Some(_) => format!("up to date, {digest}, {verdict}"),
        };
        let outdated = locked != Some(digest);
        let problem = now.result.err().or(now.refused);
        let fields = json!({
            "outdated": outdated,
            "locked": locked,
            "current": digest,
            "verified": verified,
        });
        Ok(Self {
            text,
            fields,
            problem: problem.filter(|error| error.kind() != ErrorKind::NotVerified),
        })
    }
}

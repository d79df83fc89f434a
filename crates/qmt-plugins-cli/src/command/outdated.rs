//! `outdated`: the plugins whose tags name another image now than the lockfile records.

use qmt_plugins::inspect::{DigestOrigin, Versions};
use qmt_plugins::{Error, PluginSource, Target};
use serde_json::{Value, json};

use super::CommandResult;
use super::pull;
use super::verify::verdict;
use crate::args::Global;
use crate::exit::Failure;
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
        let is_image = matches!(
            target.source(),
            PluginSource::Registry(_) | PluginSource::Layout { .. }
        );
        let comparison = if is_image {
            let versions = host.verify_versions(target).await;
            versions.and_then(Comparison::of)
        } else {
            Ok(Comparison::without("no image"))
        };
        let name = target.name();
        match comparison {
            Ok(Comparison { text, mut fields }) => {
                rows.push((name.to_owned(), text));
                fields["name"] = name.into();
                data.push(fields);
            }
            Err(error) => {
                let failure = Failure::from(error);
                output.partial_failure(&failure);
                rows.push((name.to_owned(), "not known".to_owned()));
                data.push(json!({ "name": name, "error": failure.data() }));
                failed = Some(failure);
            }
        }
    }
    let (data, text) = (json!({ "plugins": data }), output::table(&rows));
    match failed {
        None => output.result(&data, &text),
        Some(failure) => Err(output.refusal(data, &text, &failure)),
    }
}

/// A plugin compared with what its tag names now.
struct Comparison {
    text: String,
    fields: Value,
}

impl Comparison {
    fn without(what: &str) -> Self {
        Self {
            text: format!("its path names {what}"),
            fields: json!({ "outdated": false }),
        }
    }

    /// # Errors
    ///
    /// If it is not known what the tag names now.
    fn of(versions: Versions) -> Result<Self, Error> {
        let used = versions.used.reference.digest();
        match (versions.used.origin, versions.current) {
            (DigestOrigin::Reference, _) => Ok(Self::without("a digest")),
            (_, Some(Err(error))) => Err(error),
            (DigestOrigin::Lockfile, None) => Ok(Self {
                text: format!("up to date, {used}"),
                fields: json!({ "outdated": false, "locked": used, "current": used }),
            }),
            (DigestOrigin::Lockfile, Some(Ok(current))) => Ok(Self {
                text: format!(
                    "{used} → {}, {}",
                    current.reference.digest(),
                    verdict(&current)
                ),
                fields: json!({
                    "outdated": true,
                    "locked": used,
                    "current": current.reference.digest(),
                    "verified": current.result.is_ok_and(|report| !report.skipped),
                }),
            }),
            (_, current) => {
                let current = current.transpose()?;
                let now = current
                    .as_ref()
                    .map_or(used, |current| current.reference.digest());
                Ok(Self {
                    text: format!("not in the lockfile; the tag names {now}"),
                    fields: json!({ "outdated": true, "locked": null, "current": now }),
                })
            }
        }
    }
}

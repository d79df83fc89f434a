//! `pull`, `lock` and `update`: plugins into the cache and the lockfile.

use qmt_plugins::inspect::ArtifactSummary;
use qmt_plugins::oci_ref::PinnedReference;
use qmt_plugins::oci_ref::text::escape;
use qmt_plugins::verify::SignerId;
use qmt_plugins::{Error, PluginArtifact, PluginHost, Target};
use serde_json::{Value, json};

use super::CommandResult;
use crate::args::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::session;
use crate::text::counted;

/// What commands about all plugins of the config print if there are none.
pub(super) const NO_PLUGINS: &str = "the config names no plugins\n";

/// Fetches and verifies.
pub(crate) async fn pull(global: &Global, output: &Output, targets: &[String]) -> CommandResult {
    let file = if targets.is_empty() {
        session::config(global, output)?
    } else {
        session::config_or_default(global, output)?
    };
    let host = session::host(global, output, file)?;
    let targets = if targets.is_empty() {
        all(&host)?
    } else {
        let parse = |text: &String| session::target(global, &host, text);
        targets.iter().map(parse).collect::<Result<Vec<_>, _>>()?
    };
    let mut report = Report::default();
    for (target, result) in host.fetch_all(&targets).await {
        report.add(output, target.name(), result);
    }
    report.end(output)
}

/// Resolves all plugins of the config and writes the lockfile.
pub(crate) async fn lock(global: &Global, output: &Output) -> CommandResult {
    let host = session::host(global, output, session::config(global, output)?)?;
    let mut report = Report::default();
    for (target, result) in host.lock_all(&all(&host)?).await {
        report.add(output, target.name(), result);
    }
    if report.failed.is_none() {
        match host.tidy_lockfile().await {
            Ok(removed) => removed.iter().for_each(|name| {
                output.note(format!(
                    "{name}: removed from the lockfile, because the config does not have it"
                ));
            }),
            Err(error) => {
                output.partial_failure(error, &mut report.failed);
            }
        }
    }
    report.end(output)
}

/// Updates plugins to what their tags name now.
pub(crate) async fn update(global: &Global, output: &Output, names: &[String]) -> CommandResult {
    session::require_lockfile(global, "update")?;
    let host = session::host(global, output, session::config(global, output)?)?;
    let mut report = Report::default();
    for target in &named(&host, names)? {
        let name = target.name();
        let before = host.lock_entry(name).filter(|_| target.is_configured());
        let result = host.update_target(target).await;
        if let (Some(before), Ok(artifact)) = (&before, &result)
            && let Some(now) = artifact.reference().map(PinnedReference::digest)
        {
            let line = if *now == before.digest {
                format!("{name}: unchanged, {now}")
            } else {
                format!("{name}: {} → {now}", before.digest)
            };
            output.note(line);
        }
        report.add(output, name, result);
    }
    report.end(output)
}

/// Parses the plugins that are named; all of the config if none are.
pub(super) fn named(host: &PluginHost, names: &[String]) -> Result<Vec<Target>, Failure> {
    if names.is_empty() {
        return all(host);
    }
    let mut targets = Vec::new();
    for name in names {
        targets.extend(Target::parse_all(host.config(), name)?);
    }
    Ok(targets)
}

fn all(host: &PluginHost) -> Result<Vec<Target>, Failure> {
    let providers = host.config().providers.iter();
    let targets = providers.map(|provider| Target::named(host.config(), &provider.name));
    Ok(targets.collect::<Result<_, _>>()?)
}

/// Collects the results of several plugins: if one fails, the others are still fetched.
#[derive(Default)]
pub(super) struct Report {
    pub(super) data: Vec<Value>,
    pub(super) text: String,
    pub(super) failed: Option<Failure>,
}

impl Report {
    pub(super) fn add(
        &mut self,
        output: &Output,
        name: &str,
        result: Result<PluginArtifact, Error>,
    ) {
        match result {
            Ok(artifact) => {
                let summary = artifact.summary();
                self.text.push_str(&describe(name, &summary));
                self.data
                    .push(serde_json::to_value(&summary).unwrap_or(Value::Null));
            }
            Err(error) => {
                let error = output.partial_failure(error, &mut self.failed);
                self.data.push(json!({ "name": name, "error": error }));
            }
        }
    }

    /// Prints the successes. Failures were printed, or are part of the data.
    fn end(mut self, output: &Output) -> CommandResult {
        if self.data.is_empty() && self.failed.is_none() {
            self.text.push_str(NO_PLUGINS);
        }
        output.results(json!({ "plugins": self.data }), &self.text, self.failed)
    }
}

/// Names a signer.
pub(super) fn shown(signer: Option<&SignerId>) -> String {
    // The signer in a lockfile can be any text.
    signer.map_or_else(
        || "not verified".to_owned(),
        |signer| escape(&signer.to_string()),
    )
}

pub(super) fn describe(name: &str, summary: &ArtifactSummary) -> String {
    let image = summary.reference.as_ref().map(ToString::to_string);
    let file = format!("{}, {}", summary.file_digest, counted(summary.size, "byte"));
    output::table(&[
        (name, summary.kind.to_string()),
        ("  image", image.unwrap_or_else(|| "a file".to_owned())),
        ("  signer", shown(summary.signer.as_ref())),
        ("  file", file),
        ("  path", summary.path.display().to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_of_a_lockfile_is_escaped_and_short() {
        let odd = "\u{1b}[2J".to_owned() + &"k".repeat(400_000);
        let signer = SignerId::certificate("https://i", odd);
        let shown = shown(Some(&signer));
        assert!(!shown.contains('\u{1b}') && shown.len() < 1100, "{shown}");
    }
}

//! `inspect`: what an image contains, and what would be extracted.

use qmt_plugins::artifact_stage::ArtifactError;
use qmt_plugins::inspect::{Inspection, Offer, Offers};
use qmt_plugins::oci_ref::{PinnedReference, text};
use qmt_plugins::{Error, PluginHost, Target};
use serde_json::json;

use super::CommandResult;
use crate::args::{Global, Inspect};
use crate::output::{self, Output};
use crate::session;
use crate::text::counted;

/// Rows of a table.
type Rows = Vec<(&'static str, String)>;

/// Reads manifests, and runs the loader's preflight if the cache has the file.
pub(crate) async fn inspect(global: &Global, output: &Output, inspect: &Inspect) -> CommandResult {
    let file = session::config_or_default(global, output)?;
    let builder = session::builder(global, output, file);
    let host = builder.or_temporary_cache().build()?;
    let target = session::target(global, &host, &inspect.target)?;
    if inspect.all {
        return all(&host, output, &target).await;
    }
    let inspection = host.inspect(&target).await?;
    let table = output::table(&rows(&inspection));
    output.result(&json!({ "inspection": inspection }), &table)
}

/// Shows every platform, and what would be extracted on this machine, or why that is not known.
async fn all(host: &PluginHost, output: &Output, target: &Target) -> CommandResult {
    let Offers {
        reference,
        offers,
        inspection,
        ..
    } = host.offers(target).await?;
    let (inspection, error) = match inspection {
        Ok(inspection) => (Some(inspection), None),
        Err(error) if is_for_others(&error) => (None, None),
        Err(error) => (None, Some(error)),
    };
    let manifest = inspection.as_ref().and_then(|one| one.manifest.as_ref());
    let mut rows: Rows = vec![("image", reference_of(Some(&reference)))];
    for offer in &offers {
        let selected = if manifest == Some(&offer.digest) {
            ", for this machine"
        } else {
            ""
        };
        rows.push(("offers", format!("{}{selected}", offered(offer))));
    }
    match (&inspection, &error) {
        (Some(inspection), _) => rows.extend(self::rows(inspection).into_iter().skip(1)),
        (None, None) => rows.push(("manifest", "none is for this machine".to_owned())),
        (None, Some(_)) => {}
    }
    let data = json!({ "inspection": inspection, "image": reference, "offers": offers });
    let mut failed = None;
    if let Some(error) = error {
        output.partial_failure(error, &mut failed);
    }
    output.results(data, &output::table(&rows), failed)
}

/// Reports whether an image has nothing for this machine, whatever the config allows.
fn is_for_others(error: &Error) -> bool {
    let Error::Artifact { source, .. } = error else {
        return false;
    };
    matches!(
        source,
        // An entry that can't be read could be for this machine.
        ArtifactError::NoMatch {
            kind: None,
            unreadable: 0,
            ..
        }
    )
}

fn offered(offer: &Offer) -> String {
    let platform = offer.platform.as_ref().map(text::platform);
    let platform = platform.unwrap_or_else(|| "no platform".to_owned());
    let kind = offer.kind.as_ref().map(|kind| format!(", {kind}"));
    format!("{platform}{}, {}", kind.unwrap_or_default(), offer.digest)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

fn reference_of(reference: Option<&PinnedReference>) -> String {
    reference.map_or_else(String::new, ToString::to_string)
}

fn rows(inspection: &Inspection) -> Rows {
    let mut rows = Vec::new();
    let mut row = |key: &'static str, value: String| rows.push((key, value));
    if inspection.reference.is_some() {
        row("image", reference_of(inspection.reference.as_ref()));
    }
    if let Some(manifest) = &inspection.manifest {
        row("manifest", manifest.to_string());
    }
    if let Some(platform) = &inspection.platform {
        row("platform", text::platform(platform));
    }
    match (inspection.kind_hint, &inspection.manifest) {
        (Some(kind), Some(_)) => row("kind", format!("{kind}, expected; the content decides")),
        (Some(kind), None) => row("kind", kind.to_string()),
        (None, _) => {}
    }
    row("file", inspection.file.clone());
    if let Some(reason) = inspection.unsigned {
        row("signature", format!("none: {reason}"));
    }
    for layer in &inspection.layers {
        let (digest, media_type) = (layer.digest(), layer.media_type());
        let size = counted(layer.size(), "byte");
        row("layer", format!("{digest}, {media_type}, {size}"));
    }
    for (name, value) in &inspection.annotations {
        row("annotation", format!("{name} = {value}"));
    }
    for step in &inspection.trace {
        row("why", step.clone());
    }
    let Some(content) = &inspection.content else {
        row("content", "not in the cache; `pull` fetches it".to_owned());
        return rows;
    };
    row(
        "content",
        format!("{}, {}", content.digest, counted(content.size, "byte")),
    );
    match &content.preflight {
        Ok(found) => {
            row("exports", listed(&found.exports));
            row("imports", listed(&found.imports));
        }
        Err(problem) => row("preflight", format!("refused: {problem}")),
    }
    rows
}

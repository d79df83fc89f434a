//! `inspect`: what an image contains, and what would be extracted.

use qmt_plugins::Target;
use qmt_plugins::oci_ref::text;
use serde_json::json;

use super::CommandResult;
use crate::args::Global;
use crate::output::{self, Output};
use crate::session;

/// Reads manifests, and runs the loader's preflight if the cache has the file.
pub(crate) async fn inspect(global: &Global, output: &Output, target: &str) -> CommandResult {
    let host = session::host(global, output, session::config_or_default(global)?)?;
    let target = Target::parse(host.config(), target)?;
    let inspection = host.inspect(&target).await?;
    let mut rows = vec![
        ("image".to_owned(), inspection.reference.to_string()),
        ("manifest".to_owned(), inspection.manifest.to_string()),
    ];
    if let Some(platform) = &inspection.platform {
        rows.push(("platform".to_owned(), text::platform(platform)));
    }
    if let Some(kind) = inspection.kind_hint {
        rows.push(("kind".to_owned(), format!("{kind}, declared by the image")));
    }
    rows.push(("file".to_owned(), inspection.file.clone()));
    for layer in &inspection.layers {
        rows.push((
            "layer".to_owned(),
            format!(
                "{}, {}, {} bytes",
                layer.digest(),
                layer.media_type(),
                layer.size()
            ),
        ));
    }
    for (name, value) in &inspection.annotations {
        rows.push(("annotation".to_owned(), format!("{name} = {value}")));
    }
    for step in &inspection.trace {
        rows.push(("why".to_owned(), step.clone()));
    }
    match &inspection.content {
        None => rows.push((
            "content".to_owned(),
            "not in the cache; `pull` fetches it".to_owned(),
        )),
        Some(content) => {
            rows.push((
                "content".to_owned(),
                format!("{}, {} bytes", content.digest, content.size),
            ));
            match &content.preflight {
                Ok(found) => {
                    rows.push(("exports".to_owned(), found.exports.join(", ")));
                    rows.push(("imports".to_owned(), found.imports.join(", ")));
                }
                Err(problem) => rows.push(("preflight".to_owned(), format!("refused: {problem}"))),
            }
        }
    }
    output.result(&json!({ "inspection": inspection }), &output::table(&rows));
    Ok(())
}

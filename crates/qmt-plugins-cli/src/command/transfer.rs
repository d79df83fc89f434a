//! `cache export` and `cache import`: plugins carried to another machine.

use std::path::Path;

use qmt_plugins::artifact_stage::HostPlatform;
use qmt_plugins::cache::maintenance::{IncompleteImage, TransferReport};
use qmt_plugins::inspect::MissingPlatform;
use qmt_plugins::oci_ref::text;
use qmt_plugins::{PluginHost, PluginSource, Target};
use serde_json::{Value, json};

use super::{CommandResult, pull};
use crate::args::Export;
use crate::exit::{Code, Failure};
use crate::output::{self, Output};
use crate::text::counted;

/// Writes plugins with their signatures into a layout.
pub(super) async fn export(host: &PluginHost, output: &Output, options: &Export) -> CommandResult {
    let mut targets = pull::named(host, &options.names)?;
    let is_exported = |target: &Target| matches!(target.source(), PluginSource::Registry(_));
    if options.names.is_empty() {
        targets.retain(is_exported);
    }
    if let Some(target) = targets.iter().find(|target| !is_exported(target)) {
        let (name, source) = (target.name(), target.source());
        return Err(Failure::usage(format!(
            "`{name}` is not an image in a registry, so it can't be exported: {source}"
        )));
    }
    if targets.is_empty() {
        return Err(Failure::usage(
            "the config has no image in a registry to export",
        ));
    }
    let platforms = options.platform.iter().map(HostPlatform::new);
    let platforms: Vec<HostPlatform> = platforms.collect();
    let exported = host.export(&targets, &platforms, &options.layout).await?;
    let (data, text) = transferred("exported", &exported);
    output.result(&data, &text)
}

/// Adds the images of a layout, and says what of it was left out. With `update`, locks the plugins of
/// the config to them.
pub(super) async fn import(
    host: &PluginHost,
    output: &Output,
    layout: &Path,
    update: bool,
) -> CommandResult {
    let imported = host.import(layout).await?;
    let mut report = pull::Report::default();
    let shown = layout.display();
    for one in &imported.not_locked {
        let (plugin, imported) = (&one.plugin, &one.imported);
        if update {
            let result = host.update_from_cache(plugin).await;
            if let (Some(locked), Ok(_)) = (&one.locked, &result) {
                output.note(format!("{plugin}: {locked} → {imported}"));
            }
            report.add(output, plugin, result);
        } else if let Some(locked) = &one.locked {
            let warning = format!(
                "warning: `{plugin}` stays at {locked}, which the lockfile names; `qmt-plugins cache \
                 import --update {}` locks it to {imported}",
                text::shell_word(&shown.to_string())
            );
            output.note(warning);
        }
    }
    let transfer = &imported.transfer;
    for image in &transfer.unreadable {
        output.note(format!(
            "warning: the layout has signatures of {image} that can't be read, or are too large"
        ));
    }
    let is_unnamed = !transfer.images.is_empty() && transfer.unnamed == transfer.images;
    if is_unnamed && imported.kept.is_empty() {
        output.note(format!(
            "warning: the images of `{shown}` have no names in a registry, so only references with their \
             digest lead to them; `oci-layout://{shown}:TAG` uses a layout directly"
        ));
    }
    for IncompleteImage { image, lacking, .. } in &transfer.incomplete {
        let part = if image == lacking {
            "it".to_owned()
        } else {
            lacking.to_string()
        };
        output.note(format!(
            "warning: {image} is not imported, because the layout lacks {part}"
        ));
    }
    for MissingPlatform {
        plugin, platform, ..
    } in &imported.lacking
    {
        output.note(format!(
            "warning: `{shown}` lacks the manifest of `{plugin}` for {platform}, which this machine uses; \
             `cache export --platform {}` on another machine writes it",
            text::shell_word(platform)
        ));
    }
    let (mut data, text) = transferred("imported", transfer);
    let kept = imported.kept.iter().map(|tag| {
        json!({
            "reference": tag.reference.to_string(),
            "digest": tag.digest,
            "error": output.error_data(&tag.reason),
        })
    });
    data["kept_tags"] = kept.collect();
    let locked = imported.not_locked.iter();
    let locked = locked.filter(|one| !update && one.locked.is_some());
    let locked = locked
        .map(|one| json!({ "plugin": one.plugin, "locked": one.locked, "imported": one.imported }));
    data["locked"] = locked.collect();
    data["updated"] = json!(report.data);
    data["lacking"] = json!(imported.lacking);
    let incomplete = transfer.incomplete.iter();
    data["incomplete"] = incomplete.map(|one| json!(one.image)).collect();
    data["unreadable"] = json!(transfer.unreadable);
    data["unnamed"] = json!(transfer.unnamed);
    let mut failed = report.failed;
    if transfer.images.is_empty() {
        let message = format!("{shown} has no complete image, so nothing is imported");
        let code = Code::Failure;
        output.partial_failure(Failure::Negative { code, message }, &mut failed);
    }
    for tag in imported.kept {
        let (reference, digest) = (&tag.reference, &tag.digest);
        output.note(format!(
            "warning: the tag `{reference}` is not set to {digest}"
        ));
        output.partial_failure(tag.reason, &mut failed);
    }
    output.results(data, &(text + &report.text), failed)
}

/// Describes what was copied, as data and as text.
fn transferred(done: &str, report: &TransferReport) -> (Value, String) {
    let blobs = format!("{}, {}", report.blobs, counted(report.bytes, "byte"));
    let rows = [
        (&*format!("{done} images"), report.images.len().to_string()),
        ("with signatures", report.signatures.to_string()),
        ("blobs", blobs),
    ];
    let data = json!({
        "images": report.images,
        "signatures": report.signatures,
        "blobs": report.blobs,
        "bytes": report.bytes,
    });
    (data, output::table(&rows))
}

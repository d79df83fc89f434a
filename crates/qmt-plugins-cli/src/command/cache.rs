//! `cache`: what is stored on this disk.

use std::fmt::Write as _;
use std::time::SystemTime;

use qmt_plugins::cache::maintenance::PruneOptions;
use qmt_plugins::{Error, PluginHost};
use serde_json::json;

use super::CommandResult;
use crate::args::{CacheCommand, Global};
use crate::exit::{Code, Failure};
use crate::output::{self, Output};
use crate::session;

/// Runs the subcommand.
pub(crate) async fn cache(
    global: &Global,
    output: &Output,
    command: &CacheCommand,
) -> CommandResult {
    let host = session::host(global, output, session::config_or_default(global)?)?;
    match command {
        CacheCommand::Path => {
            let path = host.cache().path().display().to_string();
            output.result(&json!({ "path": path }), &path);
            Ok(())
        }
        CacheCommand::List => list(&host, output).await,
        CacheCommand::Verify => verify(&host, output).await,
        CacheCommand::Prune => prune(&host, output).await,
    }
}

async fn list(host: &PluginHost, output: &Output) -> CommandResult {
    let entries = host.cache().list().await.map_err(cache_error)?;
    let mut data = Vec::new();
    let mut rows = Vec::new();
    for entry in &entries {
        let record = &entry.record;
        data.push(json!({
            "manifest": record.manifest(),
            "kind": record.kind(),
            "reference": record.reference(),
            "file_digest": record.file_digest(),
            "size": record.size(),
            "path": entry.path,
        }));
        let name = record.reference().unwrap_or("?").to_owned();
        rows.push((
            name,
            format!(
                "{}, {} bytes, {}",
                record.kind(),
                record.size(),
                record.manifest()
            ),
        ));
    }
    if rows.is_empty() {
        rows.push(("the cache is empty".to_owned(), String::new()));
    }
    output.result(&json!({ "entries": data }), &output::table(&rows));
    Ok(())
}

async fn verify(host: &PluginHost, output: &Output) -> CommandResult {
    let report = host.cache().verify_all().await.map_err(cache_error)?;
    let mut text = format!("{} files are intact\n", report.good);
    for path in &report.damaged {
        let _ = writeln!(text, "damaged and removed: {}", path.display());
    }
    output.result(
        &json!({ "good": report.good, "damaged": report.damaged }),
        &text,
    );
    if report.damaged.is_empty() {
        Ok(())
    } else {
        Err(Failure::Reported(Code::Failure))
    }
}

async fn prune(host: &PluginHost, output: &Output) -> CommandResult {
    let kept = host
        .locked()
        .into_iter()
        .flat_map(|entry| [entry.digest, entry.manifest]);
    let options = PruneOptions::default().with_keep(kept);
    let report = host
        .cache()
        .prune(options, SystemTime::now())
        .await
        .map_err(cache_error)?;
    let text = format!(
        "removed {} plugins, {} blobs and {} leftovers: {} bytes",
        report.evicted.len(),
        report.blobs,
        report.litter,
        report.freed
    );
    let data = json!({
        "evicted": report.evicted,
        "in_use": report.in_use,
        "blobs": report.blobs,
        "litter": report.litter,
        "freed": report.freed,
    });
    output.result(&data, &text);
    Ok(())
}

fn cache_error(source: qmt_plugins::cache::CacheError) -> Failure {
    Error::Cache {
        plugin: "all".to_owned(),
        source,
    }
    .into()
}

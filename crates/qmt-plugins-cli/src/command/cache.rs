//! `cache`: what is stored on this disk.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::SystemTime;

use qmt_plugins::cache::maintenance::{CacheEntry, PruneOptions, PruneReport};
use qmt_plugins::oci_ref::Digest;
use qmt_plugins::{Error, PluginHost};
use serde_json::json;

use super::{CommandResult, transfer};
use crate::args::{CacheCommand, Global, Prune};
use crate::exit::{Code, Failure};
use crate::output::{self, Output};
use crate::session;
use crate::text::counted;

/// Runs the subcommand.
pub(crate) async fn cache(
    global: &Global,
    output: &Output,
    command: &CacheCommand,
) -> CommandResult {
    if let CacheCommand::Import { update: true, .. } = command {
        session::require_lockfile(global, "cache import --update")?;
    }
    let file = if let CacheCommand::Export(_) = command {
        session::config(global, output)?
    } else {
        session::config_or_default(global, output)?
    };
    let has_config = file.path().is_file();
    let host = session::host(global, output, file)?;
    let consequence = match command {
        CacheCommand::Import { .. } => Some("the defaults decide what is accepted"),
        CacheCommand::Prune(_) if host.locked().is_empty() => Some("no lockfile keeps a plugin"),
        _ => None,
    };
    if let Some(consequence) = consequence.filter(|_| !has_config) {
        output.note(format!(
            "warning: there is no config file, so {consequence}"
        ));
    }
    match command {
        CacheCommand::Path => {
            let path = host.cache().path().display().to_string();
            output.result(&json!({ "path": path }), &path)
        }
        CacheCommand::List => list(&host, output).await,
        CacheCommand::Verify => verify(&host, output).await,
        CacheCommand::Prune(options) => prune(&host, output, *options).await,
        CacheCommand::Export(options) => transfer::export(&host, output, options).await,
        CacheCommand::Import { layout, update } => {
            transfer::import(&host, output, layout, *update).await
        }
    }
}

async fn list(host: &PluginHost, output: &Output) -> CommandResult {
    let entries = host.cache().list().await.map_err(Error::from)?;
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
            "path": entry.path.to_string_lossy(),
        }));
        let (kind, manifest) = (record.kind(), record.manifest());
        let size = counted(record.size(), "byte");
        rows.push((name(entry), format!("{kind}, {size}, {manifest}")));
    }
    let imported = host.cache().imported().await.map_err(Error::from)?;
    for image in &imported {
        rows.push((image.to_string(), "imported, and not used yet".to_owned()));
    }
    if rows.is_empty() {
        rows.push(("the cache is empty".to_owned(), String::new()));
    }
    let data = json!({ "entries": data, "imported": imported });
    output.result(&data, &output::table(&rows))
}

async fn verify(host: &PluginHost, output: &Output) -> CommandResult {
    let report = host.cache().verify_all().await.map_err(Error::from)?;
    let mut text = format!("intact: {}\n", counted(report.good, "file"));
    let [damaged, not_removed] = [
        ("damaged and removed", &report.damaged),
        ("damaged and could not be removed", &report.not_removed),
    ]
    .map(|(what, paths)| {
        let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
        for path in &paths {
            let _ = writeln!(text, "{what}: {path}");
        }
        paths
    });
    let data = json!({
        "good": report.good,
        "damaged": damaged,
        "not_removed": not_removed,
    });
    let message = match (damaged.len(), not_removed.len()) {
        (0, 0) => return output.result(&data, &text),
        (removed, 0) => format!("removed {}", counted(removed, "damaged file")),
        (0, left) => format!("{} could not be removed", counted(left, "damaged file")),
        (removed, left) => format!(
            "removed {}; {} could not be removed",
            counted(removed, "damaged file"),
            counted(left, "damaged file")
        ),
    };
    let code = Code::Failure;
    let failure = Failure::Negative { code, message };
    Err(output.refusal(data, &text, &failure))
}

async fn prune(host: &PluginHost, output: &Output, prune: Prune) -> CommandResult {
    let locked = host.locked().into_iter();
    let locked: BTreeSet<Digest> = locked
        .flat_map(|entry| [entry.digest, entry.manifest])
        .collect();
    let mut options = PruneOptions::default().with_keep(locked.iter().cloned());
    if let Some(age) = prune.older_than {
        options = options.with_max_age(age);
    }
    if prune.all {
        options = options.with_max_size(0);
    }
    let report = host.cache().prune(options, SystemTime::now()).await;
    let report = report.map_err(Error::from)?;
    let kept = host.cache().list().await.map_err(Error::from)?;
    let reason = |entry: &CacheEntry| reason(host, prune, &locked, &report, entry);
    let (evicted, blobs, litter) = (report.evicted.len(), report.blobs, report.litter);
    let images = match report.imported.len() {
        0 => String::new(),
        count => format!("{}, ", counted(count, "imported image")),
    };
    let removed = format!(
        "{}, {images}{} and {}: {}",
        counted(evicted, "plugin"),
        counted(blobs, "blob"),
        counted(litter, "leftover"),
        counted(report.freed, "byte")
    );
    let mut rows = vec![("removed", removed)];
    let shown = kept.iter();
    rows.extend(shown.map(|entry| ("kept", format!("{}: {}", name(entry), reason(entry)))));
    let imported = host.cache().imported().await.map_err(Error::from)?;
    let reason_of_image = |image| reason_of_image(prune, &locked, image);
    let images = imported.iter();
    rows.extend(images.map(|image| ("kept", format!("{image}: {}", reason_of_image(image)))));
    let kept: Vec<_> = kept
        .iter()
        .map(|entry| (entry.record.manifest(), reason(entry)))
        .chain(imported.iter().map(|image| (image, reason_of_image(image))))
        .map(|(manifest, reason)| json!({ "manifest": manifest, "reason": reason }))
        .collect();
    let data = json!({
        "evicted": report.evicted,
        "imported": report.imported,
        "in_use": report.in_use,
        "blobs": report.blobs,
        "litter": report.litter,
        "freed": report.freed,
        "kept": kept,
    });
    output.result(&data, &output::table(&rows))
}

/// Returns why a plugin was not evicted.
fn reason(
    host: &PluginHost,
    prune: Prune,
    locked: &BTreeSet<Digest>,
    report: &PruneReport,
    entry: &CacheEntry,
) -> &'static str {
    let record = &entry.record;
    let mut names = [record.manifest(), record.root()].into_iter();
    if names.any(|digest| locked.contains(digest)) {
        "the lockfile names it"
    } else if report.in_use.contains(record.manifest()) || prune.all {
        "a process uses it"
    } else if prune.older_than.is_some() {
        "it was used within `--older-than`"
    } else if host.config().oci.cache_max_size.is_some() {
        "the cache is not larger than `cache_max_size`"
    } else {
        "the config has no `cache_max_size`; `--older-than` or `--all` evicts it"
    }
}

/// Returns why an imported image was not evicted.
fn reason_of_image(prune: Prune, locked: &BTreeSet<Digest>, image: &Digest) -> &'static str {
    if locked.contains(image) {
        "the lockfile names it"
    } else if prune.older_than.is_some() {
        "it was imported within `--older-than`"
    } else {
        "it was imported, and not used yet; `--older-than` or `--all` evicts it"
    }
}

fn name(entry: &CacheEntry) -> String {
    entry.record.reference().unwrap_or("?").to_owned()
}

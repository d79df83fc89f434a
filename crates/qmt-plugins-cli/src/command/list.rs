//! `list`: the plugins of the config, and what the lockfile records about them.

use qmt_plugins::oci_ref::text::{escape, without_credentials};
use qmt_plugins::{Event, PluginSource, Target};
use serde_json::json;

use super::CommandResult;
use super::pull::{NO_PLUGINS, shown};
use crate::args::Global;
use crate::output::{self, Output};
use crate::session;

/// Reads only config and lockfile: nothing is fetched or verified.
pub(crate) fn list(global: &Global, output: &Output) -> CommandResult {
    let builder = session::builder(global, output, session::config(global, output)?);
    let host = builder.or_temporary_cache().build()?;
    let warn = output.events();
    for message in host.file_warnings() {
        let plugin = "config".to_owned();
        warn(Event::Warning { plugin, message });
    }
    let mut data = Vec::new();
    let mut text = String::new();
    for provider in &host.config().providers {
        let entry = host.lock_entry(&provider.name);
        let target = Target::named(host.config(), &provider.name)?;
        let source = target.source();
        let is_current = entry
            .as_ref()
            .map(|entry| entry.reference == source.to_string());
        // A signed URL is a secret.
        let path = without_credentials(&provider.path);
        data.push(json!({
            "name": provider.name,
            "path": path,
            "locked": entry,
            "locked_is_current": is_current,
        }));
        let mut rows = vec![(&*provider.name, path.into_owned())];
        if let Some(entry) = &entry {
            rows.push(("  locked", format!("{}, {}", entry.kind, entry.digest)));
            if is_current == Some(false) {
                let note = format!(
                    "another reference, {}; `pull` or `lock` replaces it, if what `path` names is \
                     accepted",
                    escape(&entry.reference)
                );
                rows.push(("  locked for", note));
            }
            rows.push(("  signer", shown(entry.signer.as_ref())));
        } else {
            let locked = match source {
                PluginSource::File(_) => "never, because it is a local file",
                PluginSource::Url { .. } => "never, because the config has its digest",
                _ => "not yet",
            };
            rows.push(("  locked", locked.to_owned()));
        }
        text.push_str(&output::table(&rows));
    }
    if data.is_empty() {
        text.push_str(NO_PLUGINS);
    }
    output.result(&json!({ "plugins": data }), &text)
}

//! `list`: the plugins of the config, and what the lockfile records about them.

use serde_json::json;

use super::CommandResult;
use crate::args::Global;
use crate::output::{self, Output};
use crate::session;

/// Reads only config and lockfile: nothing is fetched or verified.
pub(crate) fn list(global: &Global, output: &Output) -> CommandResult {
    let host = session::host(global, output, session::config(global)?)?;
    let locked = host.locked();
    let mut data = Vec::new();
    let mut text = String::new();
    for provider in &host.config().providers {
        let entry = locked.iter().find(|entry| entry.name == provider.name);
        data.push(json!({ "name": provider.name, "path": provider.path, "locked": entry }));
        let mut rows = vec![(provider.name.clone(), provider.path.clone())];
        if let Some(entry) = entry {
            let signer = entry
                .signer
                .as_ref()
                .map_or_else(|| "not verified".to_owned(), ToString::to_string);
            rows.push((
                "  locked".to_owned(),
                format!("{}, {}", entry.kind, entry.digest),
            ));
            rows.push(("  signer".to_owned(), signer));
        } else {
            rows.push(("  locked".to_owned(), "not yet".to_owned()));
        }
        text.push_str(&output::table(&rows));
    }
    if data.is_empty() {
        text.push_str("the config names no plugins\n");
    }
    output.result(&json!({ "plugins": data }), &text);
    Ok(())
}

//! `doctor`: whether this machine has what the plugins of the config require.

use std::env::consts::{ARCH, OS};

use qmt_plugins::config::ProviderConfig;
use qmt_plugins::login::RegistryAccess;
use qmt_plugins::oci_ref::RegistryHost;
use qmt_plugins::oci_ref::text::messages;
use qmt_plugins::{Error, PluginHost, Target};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::CommandResult;
use crate::args::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::session;
use crate::text::counted;

/// Checks everything that does not depend on a single image, without a config the defaults. If the
/// network is forbidden, no registry is queried.
pub(crate) async fn doctor(global: &Global, output: &Output) -> CommandResult {
    let file = session::config_or_default(global, output)?;
    let path = file
        .path()
        .is_file()
        .then(|| file.path().display().to_string());
    let path = path.unwrap_or_else(|| "no file, so the defaults apply".to_owned());
    let opened = session::host(global, output, file.clone());
    let mut report = Report::default();
    let (host, cache, _folder) = match opened {
        Ok(host) => {
            let found = cache(&host, &mut report.warnings).await;
            (host, found.map_err(Failure::from), None)
        }
        Err(failure) => {
            let host = session::host_without_cache(global, output, file.clone());
            if let Ok(host) = host {
                (host, Err(failure), None)
            } else {
                let Ok(folder) = TempDir::new() else {
                    return Err(failure);
                };
                let mut global = global.clone();
                global.cache_dir = Some(folder.path().to_owned());
                // What else fails, fails here again.
                let host = session::host(&global, output, file)?;
                (host, Err(failure), Some(folder))
            }
        }
    };
    report.add("platform", Ok::<_, Error>(format!("{OS}, {ARCH}")), output);
    let count = host.config().providers.len();
    let checked = host.check().await.map(|warnings| {
        report.warnings.extend(warnings);
        format!("{path}, {}", counted(count, "plugin"))
    });
    report.add("config", checked, output);
    report.add("lockfile", Ok::<_, Error>(lockfile(&host)), output);
    report.add("cache", cache, output);
    let trusted = trust(&host, &mut report.warnings).await;
    report.add("trust root", trusted, output);
    for registry in host.config().registries_in_use() {
        let found = if global.offline || global.frozen {
            Ok("not checked, because the network is forbidden".to_owned())
        } else {
            host.check_registry(&registry)
                .await
                .map(|access| shown(&registry, &access))
        };
        report.add(registry.as_str(), found, output);
    }
    report.end(output)
}

fn lockfile(host: &PluginHost) -> String {
    let providers = host.config().providers.iter();
    let entries = providers.filter_map(|provider| host.lock_entry(&provider.name));
    let plugins = counted(entries.count(), "plugin");
    format!("it has {plugins} of this config")
}

async fn cache(host: &PluginHost, warnings: &mut Vec<String>) -> Result<String, Error> {
    let path = host.cache().path().display().to_string();
    if let Err(error) = host.cache().check_writable() {
        warnings.push(format!(
            "plugins that the cache does not have can't be fetched: {}",
            messages(&error).join(": ")
        ));
    }
    let listed = host.cache().list().await.map_err(|source| Error::Cache {
        plugin: None,
        source,
    })?;
    Ok(format!("{path}, {}", counted(listed.len(), "plugin")))
}

/// Reads the trust root, and refreshes it if it is due.
async fn trust(host: &PluginHost, warnings: &mut Vec<String>) -> Result<String, Error> {
    if host.config().oci.insecure_skip_signature {
        return Ok("not used, because `insecure_skip_signature` is set".to_owned());
    }
    let mut providers = host.config().providers.iter();
    let is_image = |provider: &ProviderConfig| {
        let target = Target::parse(host.config(), &provider.name);
        target.is_ok_and(|target| target.source().is_image())
    };
    if !providers.any(is_image) {
        return Ok("not required, because no plugin of the config is an image".to_owned());
    }
    let summary = host.trust_summary(false).await?;
    warnings.extend(summary.warnings);
    let root = summary.root;
    let version = root.version.map(|version| format!(", version {version}"));
    Ok(format!("{}{}", root.source, version.unwrap_or_default()))
}

fn shown(registry: &RegistryHost, access: &RegistryAccess) -> String {
    match access {
        RegistryAccess::Anonymous => "answers without a login".to_owned(),
        RegistryAccess::LoggedIn(origin) => format!("accepts the credential in {origin}"),
        _ => format!("answers; for private images it requires `qmt-plugins login {registry}`"),
    }
}

/// Collects the checks.
#[derive(Default)]
struct Report {
    rows: Vec<(String, String)>,
    data: Vec<Value>,
    warnings: Vec<String>,
    failed: Option<Failure>,
}

impl Report {
    fn add(&mut self, name: &str, found: Result<String, impl Into<Failure>>, output: &Output) {
        match found {
            Ok(text) => {
                self.data
                    .push(json!({ "name": name, "ok": true, "detail": text }));
                self.rows.push((name.to_owned(), text));
            }
            Err(error) => {
                let failure = error.into();
                output.partial_failure(&failure);
                self.data
                    .push(json!({ "name": name, "ok": false, "error": failure.data() }));
                self.rows.push((name.to_owned(), "failed".to_owned()));
                self.failed = Some(failure);
            }
        }
    }

    fn end(self, output: &Output) -> CommandResult {
        for warning in &self.warnings {
            output.note(format!("warning: {warning}"));
        }
        let data = json!({ "checks": self.data, "warnings": self.warnings });
        let text = output::table(&self.rows);
        match self.failed {
            None => output.result(&data, &text),
            Some(failure) => Err(output.refusal(data, &text, &failure)),
        }
    }
}

//! `doctor`: whether this machine has what the plugins of the config require.

use std::env::consts::{ARCH, OS};

use qmt_plugins::config::ConfigFile;
use qmt_plugins::login::RegistryAccess;
use qmt_plugins::oci_ref::RegistryHost;
use qmt_plugins::oci_ref::text::{messages, shell_word};
use qmt_plugins::{Error, PluginHost};
use serde_json::{Value, json};

use super::CommandResult;
use crate::args::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::session;
use crate::text::counted;

/// Checks everything that does not depend on a single image, without a config the defaults. If the
/// network is forbidden, no registry is queried.
pub(crate) async fn doctor(global: &Global, output: &Output) -> CommandResult {
    let mut report = Report::default();
    report.add("platform", Ok::<_, Error>(format!("{OS}, {ARCH}")), output);
    let file = match session::config_or_default(global, output) {
        Ok(file) => file,
        Err(failure) => {
            // All others depend on it.
            report.add("config", Err(failure), output);
            return report.end(output);
        }
    };
    let opened = open(global, output, &file)?;
    let host = opened.host;
    let mut warnings = Vec::new();
    let checked = config(&host, &file, &mut warnings).await;
    report.add("config", checked, output);
    // Some are about pins in the lockfile, which was not read.
    if opened.lockfile.is_ok() {
        report.warnings.extend(warnings);
    }
    let locked = opened.lockfile.map(|()| lockfile(&host));
    report.add("lockfile", locked, output);
    let cached = match opened.cache {
        Ok(()) => cache(&host, &mut report.warnings).await,
        Err(error) => Err(error),
    };
    report.add("cache", cached, output);
    let trusted = trust(&host, &mut report.warnings).await;
    report.add("trust root", trusted, output);
    for registry in host.config().registries_in_use() {
        let found = if global.offline || global.frozen {
            Ok("not checked, because the network is forbidden".to_owned())
        } else {
            host.check_registry(&registry)
                .await
                .map(|access| output.commands(&shown(&registry, &access)))
        };
        report.add(registry.as_str(), found, output);
    }
    report.end(output)
}

/// A host, and why it does not use the cache or the lockfile of the config.
struct Opened {
    host: PluginHost,
    cache: Result<(), Error>,
    lockfile: Result<(), Error>,
}

/// Opens the host, without a lockfile and with a temporary cache where they can't be used.
fn open(global: &Global, output: &Output, file: &ConfigFile) -> Result<Opened, Failure> {
    let (mut cache, mut lockfile) = (Ok(()), Ok(()));
    loop {
        let mut builder = session::builder(global, output, file.clone());
        if cache.is_err() {
            builder = builder.or_temporary_cache();
        }
        if lockfile.is_err() {
            builder = builder.without_lockfile();
        }
        match builder.build() {
            Ok(host) => {
                return Ok(Opened {
                    host,
                    cache,
                    lockfile,
                });
            }
            Err(error @ Error::Cache { .. }) if cache.is_ok() => cache = Err(error),
            Err(error @ Error::Lockfile(_)) if lockfile.is_ok() => lockfile = Err(error),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn config(
    host: &PluginHost,
    file: &ConfigFile,
    warnings: &mut Vec<String>,
) -> Result<String, Error> {
    let path = file.path();
    let shown = if path.is_file() {
        path.display().to_string()
    } else {
        "no file, so the defaults apply".to_owned()
    };
    warnings.extend(host.check().await?);
    let count = host.config().providers.len();
    Ok(format!("{shown}, {}", counted(count, "plugin")))
}

fn lockfile(host: &PluginHost) -> String {
    let providers = host.config().providers.iter();
    let entries = providers.filter_map(|provider| host.lock_entry(&provider.name));
    match entries.count() {
        0 => "it has no plugin of this config yet".to_owned(),
        count => format!("it has {} of this config", counted(count, "plugin")),
    }
}

async fn cache(host: &PluginHost, warnings: &mut Vec<String>) -> Result<String, Error> {
    let path = host.cache().path().display().to_string();
    if let Err(error) = host.cache().check_writable() {
        warnings.push(format!(
            "plugins that the cache does not have can't be fetched: {}",
            messages(&error).join(": ")
        ));
    }
    let listed = host.cache().list().await?;
    Ok(format!("{path}, {}", counted(listed.len(), "plugin")))
}

/// Reads the trust root, and refreshes it if it is due.
async fn trust(host: &PluginHost, warnings: &mut Vec<String>) -> Result<String, Error> {
    if host.config().oci.insecure_skip_signature {
        return Ok("not used, because `insecure_skip_signature` is set".to_owned());
    }
    if !host.requires_trust_root()? {
        return Ok("not required by the plugins of the config".to_owned());
    }
    let summary = host.trust_summary(false).await?;
    warnings.extend(summary.warnings);
    let Some(root) = summary.root else {
        return Ok("not required by the plugins of the config".to_owned());
    };
    let version = root.version.map(|version| format!(", version {version}"));
    Ok(format!("{}{}", root.source, version.unwrap_or_default()))
}

fn shown(registry: &RegistryHost, access: &RegistryAccess) -> String {
    match access {
        RegistryAccess::Anonymous => "answers without a login".to_owned(),
        RegistryAccess::LoggedIn(origin) => format!("accepts the credential in {origin}"),
        _ => format!(
            "answers; for private images it requires `qmt-plugins login {}`",
            shell_word(registry.as_str())
        ),
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
            Err(failure) => {
                let error = output.partial_failure(failure, &mut self.failed);
                self.data
                    .push(json!({ "name": name, "ok": false, "error": error }));
                self.rows.push((name.to_owned(), "failed".to_owned()));
            }
        }
    }

    fn end(self, output: &Output) -> CommandResult {
        // The checks of config and trust root have some in common.
        let mut warnings = Vec::new();
        for warning in self.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        for warning in &warnings {
            output.note(format!("warning: {warning}"));
        }
        let warnings = output.warnings(&warnings);
        let data = json!({ "checks": self.data, "warnings": warnings });
        output.results(data, &output::table(&self.rows), self.failed)
    }
}

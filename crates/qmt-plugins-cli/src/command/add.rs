//! `add`: a plugin into the config, once its image is fetched and verified.

use qmt_plugins::config::ConfigError;
use qmt_plugins::{Error, PluginSource, Target};

use super::CommandResult;
use super::pull::describe;
use crate::args::{Add, Global};
use crate::exit::Failure;
use crate::output::Output;
use crate::session;

/// Fetches and verifies the image under the policies of the config, then adds it to the config.
pub(crate) async fn add(global: &Global, output: &Output, add: &Add) -> CommandResult {
    session::require_lockfile(global, "add")?;
    let file = session::config(global, output)?;
    let text = &add.reference;
    let named = match Target::parse(file.config(), text) {
        // A plain word.
        Err(Error::UnknownPlugin { .. }) => None,
        named => Some(named?).filter(|target| !target.is_configured()),
    };
    let source = named.map(|target| target.source().clone());
    let Some(PluginSource::Registry(reference)) = &source else {
        return Err(Failure::Usage {
            message: format!("`{text}` is not an image in a registry"),
            hint: Some(format!(
                "an image is named as `ghcr.io/my-org/my-plugin:1`; write other plugins into {} by hand",
                file.path().display()
            )),
        });
    };
    let repository = reference.repository().path();
    let last = repository.rsplit('/').next().unwrap_or(repository);
    let name = add.name.as_deref().unwrap_or(last);
    let path = PluginSource::Registry(reference.clone()).to_string();
    if file.config().provider(name).is_some() {
        return Err(Failure::Usage {
            message: format!("the config has a plugin `{name}` already"),
            hint: Some("choose another name with `--name`".to_owned()),
        });
    }
    let added = file
        .with_provider(name, &path)
        .map_err(|error| match error {
            ConfigError::ProviderName { .. } => Failure::Usage {
                message: error.to_string(),
                hint: Some("choose another name with `--name`".to_owned()),
            },
            error => Error::from(error).into(),
        })?;
    let host = session::host(global, output, added)?;
    let target = Target::named(host.config(), name)?;
    let artifact = host.fetch_target(&target).await.map_err(unnamed)?;
    file.append(name, &path).map_err(Error::from)?;
    output.note(format!("added `{name}` to {}", file.path().display()));
    let summary = artifact.summary();
    let data = serde_json::to_value(&summary).unwrap_or_default();
    output.result(&data, &describe(name, &summary))
}

/// Names the image by its reference: the config does not have its name yet.
fn unnamed(error: Error) -> Error {
    match error {
        Error::Offline {
            reference,
            missing,
            platform,
            rule,
            ..
        } => Error::Offline {
            plugin: reference.clone(),
            reference,
            missing,
            platform,
            rule,
        },
        Error::Unverifiable {
            plugin,
            reference,
            missing,
            source,
        } => Error::Unverifiable {
            plugin,
            reference,
            missing: missing.map(|error| Box::new(unnamed(*error))),
            source,
        },
        error => error,
    }
}

//! **load**: verified bytes → code that can be called.

use std::sync::Arc;

use qmt_loader::native::Isolation;
use qmt_loader::{LoadError, LoadOptions, Plugin};
use qmt_oci_ref::PluginKind;

use crate::artifact::PluginArtifact;
use crate::config::ProviderConfig;
use crate::error::Error;
use crate::events::{Reporter, Stage};
use crate::loaders::Loaders;

/// Loads the bytes with the loader of their kind.
pub(crate) async fn load(
    loaders: &Loaders,
    artifact: PluginArtifact,
    mut options: LoadOptions,
    reporter: &Reporter,
) -> Result<Arc<dyn Plugin>, Error> {
    reporter.started(Stage::Load);
    let PluginArtifact {
        name,
        kind,
        content,
        prepared: _prepared,
        ..
    } = artifact;
    let artifact = content.artifact(kind, &name)?;
    let loader = loaders.for_kind(&name, kind)?;
    let failed = |source| Error::load(&name, "loading it", source);
    let is_isolated = kind == PluginKind::Native && options.isolation == Isolation::Process;
    if kind == PluginKind::Native && !is_isolated {
        // It can only come from the host's defaults, and applies to plugins with several instances.
        options.at_start = None;
    }
    let plugin = loader.load(artifact, options).await.map_err(failed)?;
    if is_isolated {
        let missing = missing_confinement(&*plugin).ok_or_else(|| {
            failed(LoadError::Isolation {
                plugin: name.clone(),
                rule: "the loader that the host uses for native plugins must isolate them",
                source: None,
            })
        })?;
        if !missing.is_empty() {
            let missing = missing.join(", ");
            // The host's own loader does not know the config.
            if loaders.require_confinement {
                let plugin = name.clone();
                return Err(failed(LoadError::Unconfined { plugin, missing }));
            }
            reporter.warning(format!(
                "it is not fully isolated: the kernel lacks parts of the confinement: {missing}"
            ));
        }
    }
    let exports = plugin.exports().join(", ");
    reporter.finished(Stage::Load, format!("{kind}: {exports}"));
    Ok(plugin)
}

/// Returns the parts of the confinement that the kernel lacks, or `None` if the plugin runs in this
/// process: the host may use another loader, which does not know this option.
#[cfg(feature = "native")]
fn missing_confinement(plugin: &dyn Plugin) -> Option<&[&'static str]> {
    let plugin: &dyn std::any::Any = plugin;
    let native = plugin.downcast_ref::<qmt_loader::native::NativePlugin>()?;
    (native.isolation() == Isolation::Process).then(|| native.missing_confinement())
}

#[cfg(not(feature = "native"))]
fn missing_confinement(_: &dyn Plugin) -> Option<&[&'static str]> {
    None
}

/// Returns the options that the config sets, and `defaults` where it sets none. The plugin gets the
/// rights of both.
pub(crate) fn options(provider: &ProviderConfig, defaults: &LoadOptions) -> LoadOptions {
    let mut options = defaults.clone();
    for (key, value) in &provider.config {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        options.config.insert(key.clone(), text);
    }
    let limits = &provider.limits;
    if let Some(size) = limits.memory_max {
        options.limits.memory_max = size.bytes();
    }
    if let Some(span) = limits.timeout {
        options.limits.timeout = span.duration();
    }
    if let Some(span) = limits.compile_timeout {
        options.limits.compile_timeout = span.duration();
    }
    options.limits.fuel = limits.fuel.or(options.limits.fuel);
    if let Some(size) = limits.http_body_max {
        options.limits.http_body_max = size.bytes();
    }
    if let Some(size) = limits.library_max {
        options.limits.library_max = size.bytes();
    }
    let allow = &provider.allow;
    options.allow.hosts.extend_from_slice(&allow.hosts);
    options.allow.env.extend_from_slice(&allow.env);
    let libraries = &mut options.allow.libraries;
    libraries.extend_from_slice(&allow.libraries);
    let paths = allow.paths.iter();
    let paths = paths.map(|(host, guest)| (host.into(), guest.clone()));
    options.allow.paths.extend(paths);
    options
}

//! What `config check` finds: settings that are well formed, and fail when they are used.

use std::fs::Metadata;
use std::path::Path;
#[cfg(feature = "http")]
use std::time::SystemTime;

#[cfg(feature = "http")]
use qmt_oci_ref::RegistryError;
use qmt_oci_ref::{PluginKind, text};

use crate::config::NativeDenial;
#[cfg(feature = "native")]
use crate::config::NativeRule;
use crate::config::path::{join, trust_files};
use crate::config::writers::{self, Writers};
use crate::config::{ConfigError, OciConfig, ProviderConfig, names_of_options, scopes_with_tags};
use crate::error::Error;
use crate::host::PluginHost;
use crate::source::{PluginSource, is_like_image};
use crate::stage::allow::{NativeTrust, check_allowed};
use crate::stage::content::Content;
use crate::stage::load::options;
use crate::target::Target;
use crate::{local, trust};

/// A key of the config, dotted, and the rule that it breaks.
type Problem = (String, String);

impl PluginHost {
    /// Checks what can be checked without the network and without loading anything: the config's
    /// policies, keys and trust material, local files and layouts, rights and registries. Returns
    /// warnings, one line each, and what will be pinned at the first load.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`], with the file that is missing, empty or malformed; [`Error::Config`] with
    /// every setting that would fail when it is used.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        let mut warnings = writers(self)?;
        let mut problems = Vec::new();
        for (index, provider) in self.config().providers.iter().enumerate() {
            let key = format!("providers[{index}]");
            problems.extend(check_provider(self, &key, provider, &mut warnings).await);
        }
        #[cfg(feature = "http")]
        problems.extend(check_registries(self, &mut warnings));
        if !problems.is_empty() {
            let path = self.file.path().to_owned();
            return Err(ConfigError::Unusable { path, problems }.into());
        }
        warnings.extend(trust::check(self).await?);
        warnings.extend(trust::pinned_later(self)?);
        warnings.extend(names_of_options(self.config()));
        warnings.extend(keys_with_a_log(&self.config().oci));
        warnings.extend(scopes_with_tags(&self.config().oci, self.file.folder()));
        #[cfg(feature = "http")]
        warnings.extend(self.config().misspelled_registries());
        let shortened = warnings.iter().map(|one| text::shorten(one).into_owned());
        Ok(shortened.collect())
    }
}

/// Returns a warning if signatures with keys must be in a log: those that `publish` makes are not.
fn keys_with_a_log(oci: &OciConfig) -> Option<String> {
    if oci.insecure_skip_signature {
        return None;
    }
    let keys = oci.keys_with_required_log().into_iter();
    let keys: Vec<String> = keys
        .map(|(_, key)| format!("`{}`", key.display()))
        .collect();
    // Its time is that of the log.
    let next = if oci
        .policy
        .iter()
        .any(|policy| policy.signed_after.is_some())
    {
        "`signed_after` requires the log, so sign with `cosign sign`"
    } else {
        "`transparency_log = \"optional\"` accepts them"
    };
    (!keys.is_empty()).then(|| {
        format!(
            "signatures with {} must be in a transparency log, and those of `qmt-plugins publish \
             --sign-key` are in none; {next}",
            keys.join(", ")
        )
    })
}

/// Refuses files that every user may change, and warns of those that other users may change: the
/// config, the lockfile, keys and trust material.
pub(crate) fn writers(host: &PluginHost) -> Result<Vec<String>, Error> {
    let mut warnings = host.file.warnings().to_vec();
    warnings.extend(host.lock().warning().map(str::to_owned));
    for path in trust_files(host.config()) {
        let path = join(host.file.folder(), &path);
        // A file that is absent or unreadable is an error where it is read, and so is a device.
        let Some(metadata) = std::fs::metadata(&path).ok().filter(Metadata::is_file) else {
            continue;
        };
        let writers = writers::writers(&path, &metadata);
        if writers == Writers::Everyone {
            return Err(ConfigError::WritableByAll { path }.into());
        }
        warnings.extend(writers.warning(&path));
    }
    Ok(warnings)
}

async fn check_provider(
    host: &PluginHost,
    key: &str,
    provider: &ProviderConfig,
    warnings: &mut Vec<String>,
) -> Vec<Problem> {
    // The path was parsed when the config was read.
    let Ok(target) = Target::named(host.config(), &provider.name) else {
        return Vec::new();
    };
    let source = target.located(host.file.folder());
    let mut problems = check_rights(host, key, provider, &source);
    let found = match &source {
        PluginSource::File(path) => check_file(host, key, &target, path, warnings).await,
        PluginSource::Layout { .. } => check_layout(host, &target, &source)
            .await
            .map(|problem| (format!("{key}.path"), problem)),
        PluginSource::Registry(_) | PluginSource::Url { .. } => None,
    };
    // Wrong rights of a library are found by `check_rights` and by the loader.
    let is_known = |rule: &String| problems.iter().any(|(_, known)| known == rule);
    problems.extend(found.filter(|(_, rule)| !is_known(rule)));
    problems
}

/// Checks the rights that the config gives, as far as they do not depend on the content.
fn check_rights(
    host: &PluginHost,
    key: &str,
    provider: &ProviderConfig,
    source: &PluginSource,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let trust = match source {
        PluginSource::File(_) | PluginSource::Url { .. } => NativeTrust::Unsigned,
        _ if host.config().oci.insecure_skip_signature => NativeTrust::Unverified,
        _ => NativeTrust::Verified,
    };
    let is_native = provider.kind == Some(PluginKind::Native);
    let default = host.config().oci.native;
    if is_native
        && let Err(error) = check_allowed(provider, default, PluginKind::Native, None, trust)
    {
        problems.push((native_key(host, key, provider), error.to_string()));
    }
    #[cfg(feature = "native")]
    if is_native
        && provider.native_rule(default) == NativeRule::Isolated
        && let Err(error) = options(provider, &host.defaults).check_isolated(&provider.name)
    {
        problems.push((format!("{key}.allow"), messages(&error)));
    }
    #[cfg(feature = "wasm")]
    if !is_native && let Err(error) = options(provider, &host.defaults).check(&provider.name) {
        problems.push((format!("{key}.allow"), messages(&error)));
    }
    #[cfg(not(any(feature = "native", feature = "wasm")))]
    let _ = options;
    problems
}

/// Returns the key that decides whether native code of a plugin is allowed.
fn native_key(host: &PluginHost, key: &str, provider: &ProviderConfig) -> String {
    let denial = provider.native_denial(host.config().oci.native);
    denial.unwrap_or(NativeDenial::AllowNative).key(key)
}

async fn check_file(
    host: &PluginHost,
    key: &str,
    target: &Target,
    path: &Path,
    warnings: &mut Vec<String>,
) -> Option<Problem> {
    let provider = target.provider();
    let written = &provider.path;
    let shown = path.display();
    let at = |field: &str, rule: String| Some((format!("{key}.{field}"), rule));
    match std::fs::metadata(path) {
        Err(_) if !path.exists() && is_like_image(written) => {
            let rule =
                format!("there is no file `{shown}`; did you mean the image `oci://{written}`?");
            return at("path", rule);
        }
        Err(error) => return at("path", format!("the file `{shown}` can't be read: {error}")),
        Ok(_) => {}
    }
    let read = match local::read(host, provider, path).await {
        Ok(read) => read,
        Err(error) => return at("path", messages(&error)),
    };
    warnings.extend(read.warning);
    let default = host.config().oci.native;
    match check_allowed(provider, default, read.kind, None, NativeTrust::Unsigned) {
        // It may import functions that only the host program offers.
        Ok(()) if read.kind == PluginKind::Wasm => None,
        Ok(()) => {
            let problem = check_library(host, target, &read.content);
            problem.map(|problem| (key.to_owned(), problem))
        }
        Err(error @ Error::WrongKind { .. }) => at("kind", error.to_string()),
        // `check_rights` has checked a plugin that the config calls native.
        Err(_) if provider.kind == Some(PluginKind::Native) => None,
        Err(error) => Some((native_key(host, key, provider), error.to_string())),
    }
}

/// Runs the loader's checks of a native library, and returns what is wrong with it.
fn check_library(host: &PluginHost, target: &Target, content: &Content) -> Option<String> {
    let artifact = content.artifact(PluginKind::Native, target.name());
    let checked =
        artifact.and_then(|artifact| host.preflight(&artifact, &host.load_options(target)));
    match &checked {
        Ok(_) => None,
        Err(Error::Load { source, .. }) => Some(messages(source)),
        Err(error) => Some(messages(error)),
    }
}

async fn check_layout(host: &PluginHost, target: &Target, source: &PluginSource) -> Option<String> {
    match host.connect(target, source) {
        Err(error) => Some(messages(&error)),
        Ok((layout, reference)) => {
            let resolved = layout.resolve(&reference).await;
            resolved.err().map(|error| messages(&error))
        }
    }
}

#[cfg(feature = "http")]
fn check_registries(host: &PluginHost, warnings: &mut Vec<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, registry) in &host.config().registries {
        let key = format!("registries.{name:?}");
        for realm in &registry.allow_realms {
            if !is_origin(realm) {
                let realm = text::without_credentials(realm);
                let rule = format!(
                    "`{realm}` must be `host`, `host:port` or an origin such as \
                     `https://auth.example.com`, without a path"
                );
                problems.push((format!("{key}.allow_realms"), rule));
            }
        }
    }
    if host.registry.is_none() {
        match check_client(host) {
            Ok(found) => warnings.extend(found),
            Err(error) => problems.push(("registries".to_owned(), messages(&error))),
        }
    }
    problems
}

/// Makes the client, which reads the files of certificates and the option `proxy`, and reads the
/// variables with proxies for the registries of the plugins. Returns warnings.
#[cfg(feature = "http")]
fn check_client(host: &PluginHost) -> Result<Vec<String>, RegistryError> {
    let client = host.http_client()?;
    client.check_options()?;
    for provider in &host.config().providers {
        let target = Target::named(host.config(), &provider.name);
        let source = target.map(|target| target.located(host.file.folder()));
        if let Ok(PluginSource::Registry(reference)) = source {
            client.check_proxy(reference.host())?;
        }
    }
    Ok(client.warnings(SystemTime::now()))
}

fn messages(error: &dyn std::error::Error) -> String {
    text::messages(error).join(": ")
}

#[cfg(feature = "http")]
fn is_origin(text: &str) -> bool {
    let host = match text.split_once("://") {
        Some(("http" | "https", host)) => host.strip_suffix('/').unwrap_or(host),
        Some(_) => return false,
        None => text,
    };
    host.parse::<qmt_oci_ref::RegistryHost>().is_ok()
}

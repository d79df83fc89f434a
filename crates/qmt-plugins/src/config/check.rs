//! Rules about values and combinations of keys.

pub(super) mod identity;
mod trust;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use qmt_artifact::FileRule;
use qmt_oci_ref::{PluginKind, ReferenceError, text};

use super::{ByteSize, Config, ConfigError, NativeRule, ProviderConfig, Span};
use crate::source::PluginSource;

/// What is checked, or the key that breaks a rule, dotted, and the rule.
type Check = Result<(), (String, String)>;

/// The longest time for one operation with a registry, which is also the default.
const TIMEOUT_MAX: Duration = Duration::from_mins(15);

/// Refuses contradictions and values that would weaken the policy unnoticed.
pub(super) fn check(path: &Path, config: &Config) -> Result<(), ConfigError> {
    check_all(config).map_err(|(key, rule)| ConfigError::contradiction(path, key, rule))
}

fn check_all(config: &Config) -> Check {
    let oci = &config.oci;
    trust::check(oci)?;
    identity::check(oci)?;
    if oci
        .timeout
        .is_some_and(|time| time.duration() > TIMEOUT_MAX)
    {
        return fail("oci.timeout", "the maximum is 15 minutes");
    }
    check_positive("oci.timeout", oci.timeout.map(Span::duration))?;
    let max_size = oci.max_artifact_size.map(ByteSize::bytes);
    check_positive("oci.max_artifact_size", max_size)?;
    let mut names = BTreeSet::new();
    for (index, provider) in config.providers.iter().enumerate() {
        let key = format!("providers[{index}]");
        check_provider(&key, provider)?;
        check_native(&key, provider, oci.native)?;
        if !names.insert(provider.name.as_str()) {
            let rule = format!("the name `{}` is given to two providers", provider.name);
            return fail(format!("{key}.name"), rule);
        }
    }
    check_registries(config)
}

fn check_registries(config: &Config) -> Check {
    let mut hosts = BTreeSet::new();
    for (name, registry) in &config.registries {
        let key = format!("registries.{:?}", text::without_credentials(name));
        let host = match name.parse::<qmt_oci_ref::RegistryHost>() {
            Ok(host) => host,
            Err(error) => return fail(key, host_rule(name, &error)),
        };
        if let Some(host) = hosts.replace(host) {
            let rule = format!("the registry `{host}` has two tables; merge them");
            return fail(key, rule);
        }
        #[cfg(feature = "http")]
        for mirror in &registry.mirrors {
            if let Err(error) = mirror.parse::<qmt_registry::MirrorOptions>() {
                return fail(format!("{key}.mirrors"), error.to_string());
            }
        }
        if registry.client_cert.is_some() != registry.client_key.is_some() {
            return fail(key, "`client_cert` and `client_key` go together");
        }
        if registry.plain_http && registry.ca_file.is_some() {
            let rule = "`plain_http` uses no TLS, so `ca_file` has no effect; remove one of them";
            return fail(key, rule);
        }
    }
    Ok(())
}

/// Returns the rule that the name of a registry's table breaks, with the host that was meant.
fn host_rule(name: &str, error: &ReferenceError) -> String {
    let rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if host.is_empty() || host == name {
        return error.to_string();
    }
    format!(
        "a registry is named by `host` or `host:port`, without scheme and path; did you mean `{host}`?"
    )
}

fn fail(key: impl Into<String>, rule: impl Into<String>) -> Check {
    Err((key.into(), rule.into()))
}

/// Refuses a limit of zero, which nothing could keep.
fn check_positive<T: Copy + Default + PartialEq>(
    key: impl Into<String>,
    limit: Option<T>,
) -> Check {
    if limit == Some(T::default()) {
        return fail(key, "it must be more than 0");
    }
    Ok(())
}

/// Returns the rule that the name of a provider breaks, if it breaks one.
pub(super) fn name_rule(name: &str) -> Option<&'static str> {
    let is_forbidden = |c: char| c.is_control() || matches!(c, '/' | '\\');
    if name.trim().is_empty() {
        Some("a provider must have a name")
    } else if name.contains(is_forbidden) {
        Some("a name must not contain control characters or slashes")
    } else {
        None
    }
}

/// Returns the rule that the name of a new provider breaks, if it is read as an option. Configs may have
/// such a name.
pub(super) fn option_rule(name: &str) -> Option<&'static str> {
    let rule = "a name that begins with `-` would be read as an option of a command";
    name.starts_with('-').then_some(rule)
}

/// Returns a warning for each name that is read as an option.
pub(crate) fn names_of_options(config: &Config) -> Vec<String> {
    let providers = config.providers.iter().enumerate();
    let names = providers.filter(|(_, provider)| option_rule(&provider.name).is_some());
    let warnings = names.map(|(index, provider)| {
        let name = text::escape(&provider.name);
        format!(
            "`providers[{index}].name = \"{name}\"`: commands read a name that begins with `-` as an \
             option, unless `--` precedes it, as in `qmt-plugins pull -- {}`; choose another name",
            text::shell_word(&provider.name)
        )
    });
    warnings.collect()
}

fn check_provider(key: &str, provider: &ProviderConfig) -> Check {
    let fail = |field: &str, rule: String| fail(format!("{key}.{field}"), rule);
    if let Some(rule) = name_rule(&provider.name) {
        return fail("name", rule.to_owned());
    }
    if provider.path.trim().is_empty() {
        let rule = format!("the provider `{}` has no path", provider.name);
        return fail("path", rule);
    }
    let limits = &provider.limits;
    let limit = |field: &str| format!("{key}.limits.{field}");
    check_positive(limit("memory_max"), limits.memory_max.map(ByteSize::bytes))?;
    check_positive(limit("timeout"), limits.timeout.map(Span::duration))?;
    check_positive(
        limit("compile_timeout"),
        limits.compile_timeout.map(Span::duration),
    )?;
    check_positive(limit("fuel"), limits.fuel)?;
    check_positive(
        limit("library_max"),
        limits.library_max.map(ByteSize::bytes),
    )?;
    if let Err(error) = PluginSource::parse(&provider.path, provider.sha256.as_deref()) {
        return fail("path", text::messages(&error).join(": "));
    }
    let is_name = |library: &String| !library.trim().is_empty() && !library.contains('*');
    if let Some(library) = provider.allow.libraries.iter().find(|name| !is_name(name)) {
        let rule = format!("`{library}` must be the exact name of a library: `libcuda.so.1`");
        return fail("allow.libraries", rule);
    }
    if let Some(Err(error)) = provider.file.as_deref().map(FileRule::named) {
        return fail("file", error.to_string());
    }
    Ok(())
}

/// Refuses keys that allow and forbid native code at the same time.
fn check_native(key: &str, provider: &ProviderConfig, default: Option<NativeRule>) -> Check {
    let rule = match (provider.native, provider.allow.native) {
        (Some(NativeRule::Deny), Some(true)) => {
            "`native = \"deny\"` forbids what `allow.native = true` allows; remove one of them"
        }
        (Some(NativeRule::Deny), _) if provider.kind == Some(PluginKind::Native) => {
            "`native = \"deny\"` forbids what `kind = \"native\"` requires; remove one of them"
        }
        (Some(NativeRule::Isolated | NativeRule::InProcess), Some(false)) => {
            "`native` allows what `allow.native = false` forbids; remove one of them"
        }
        (None, Some(true)) if default == Some(NativeRule::Deny) => {
            "`native = \"deny\"` of `[oci]` forbids what `allow.native = true` allows; use `native = \
             \"isolated\"` or `native = \"in-process\"` here, which win over `[oci]`"
        }
        (None | Some(_), None | Some(_)) => return Ok(()),
    };
    fail(format!("{key}.native"), rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CFG-04: what is allowed and forbidden at once is an error that names both keys.
    #[test]
    fn native_code_is_allowed_or_forbidden() {
        use NativeRule::{Deny, InProcess, Isolated};
        for (native, allow, kind, default, is_good) in [
            (None, None, None, None, true),
            (Some(Deny), None, None, Some(InProcess), true),
            (Some(Deny), Some(false), None, None, true),
            (Some(Deny), Some(true), None, None, false),
            (Some(Deny), None, Some(PluginKind::Native), None, false),
            (Some(Deny), None, Some(PluginKind::Wasm), None, true),
            (Some(Isolated), Some(true), None, Some(Deny), true),
            (Some(Isolated), Some(false), None, None, false),
            (Some(InProcess), Some(false), None, None, false),
            (None, Some(true), None, Some(Deny), false),
            (None, Some(true), None, Some(Isolated), true),
            (None, Some(false), None, Some(InProcess), true),
        ] {
            let mut provider = ProviderConfig::default();
            (provider.native, provider.allow.native, provider.kind) = (native, allow, kind);
            let checked = check_native("providers[0]", &provider, default);
            let case = format!("{native:?} {allow:?} {kind:?} {default:?}: {checked:?}");
            assert_eq!(checked.is_ok(), is_good, "{case}");
            if let Err((key, rule)) = checked {
                assert_eq!(key, "providers[0].native", "{rule}");
            }
        }
    }
}

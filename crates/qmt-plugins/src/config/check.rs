//! Rules about values and combinations of keys.

pub(super) mod identity;
mod trust;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use qmt_artifact::FileRule;
use qmt_oci_ref::{PluginKind, text};

use super::{ByteSize, Config, ConfigError, NativeRule, ProviderConfig, Span};
use crate::source::PluginSource;

type Check = Result<(), ConfigError>;

/// The longest time for one operation with a registry, which is also the default.
const TIMEOUT_MAX: Duration = Duration::from_mins(15);

/// Refuses contradictions and values that would weaken the policy unnoticed.
pub(super) fn check(path: &Path, config: &Config) -> Check {
    trust::check(path, &config.oci)?;
    identity::check(path, &config.oci)?;
    if config
        .oci
        .timeout
        .is_some_and(|time| time.duration() > TIMEOUT_MAX)
    {
        let rule = "the maximum is 15 minutes";
        return fail(path, "oci.timeout", rule);
    }
    let oci = &config.oci;
    let max_size = oci.max_artifact_size.map(ByteSize::bytes);
    for (key, is_zero) in [
        ("timeout", is_zero(oci.timeout)),
        ("max_artifact_size", max_size == Some(0)),
    ] {
        check_positive(path, &format!("oci.{key}"), is_zero)?;
    }
    let mut names = BTreeSet::new();
    for (index, provider) in config.providers.iter().enumerate() {
        let key = format!("providers[{index}]");
        check_provider(path, &key, provider)?;
        check_native(path, &key, provider, config.oci.native)?;
        if !names.insert(provider.name.as_str()) {
            let rule = format!("the name `{}` is given to two providers", provider.name);
            return fail(path, format!("{key}.name"), rule);
        }
    }
    let mut hosts = BTreeSet::new();
    for (name, registry) in &config.registries {
        let key = format!("registries.{:?}", text::without_credentials(name));
        let host = name.parse::<qmt_oci_ref::RegistryHost>();
        if let Err(error) = &host {
            let rest = name.split_once("://").map_or(&**name, |(_, rest)| rest);
            let host = rest.split('/').next().unwrap_or_default();
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            let rule = if host.is_empty() || host == name {
                error.to_string()
            } else {
                format!(
                    "a registry is named by `host` or `host:port`, without scheme and path; did you \
                     mean `{host}`?"
                )
            };
            return fail(path, key, rule);
        }
        if let Some(host) = host.ok().and_then(|host| hosts.replace(host)) {
            let rule = format!("the registry `{host}` has two tables; merge them");
            return fail(path, key, rule);
        }
        #[cfg(feature = "http")]
        for mirror in &registry.mirrors {
            if let Err(error) = mirror.parse::<qmt_registry::MirrorOptions>() {
                return fail(path, format!("{key}.mirrors"), error.to_string());
            }
        }
        if registry.client_cert.is_some() != registry.client_key.is_some() {
            let rule = "`client_cert` and `client_key` go together";
            return fail(path, key, rule);
        }
        if registry.plain_http && registry.ca_file.is_some() {
            let rule = "`plain_http` uses no TLS, so `ca_file` has no effect; remove one of them";
            return fail(path, key, rule);
        }
    }
    Ok(())
}

fn fail(path: &Path, key: impl Into<String>, rule: impl Into<String>) -> Check {
    Err(ConfigError::contradiction(path, key, rule))
}

fn is_zero(time: Option<Span>) -> bool {
    time.is_some_and(|time| time.duration().is_zero())
}

/// Refuses a limit of zero, which nothing could keep.
fn check_positive(path: &Path, key: &str, is_zero: bool) -> Check {
    if is_zero {
        return fail(path, key, "it must be more than 0");
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

fn check_provider(path: &Path, key: &str, provider: &ProviderConfig) -> Check {
    let fail = |field: &str, rule: String| fail(path, format!("{key}.{field}"), rule);
    if let Some(rule) = name_rule(&provider.name) {
        return fail("name", rule.to_owned());
    }
    if provider.path.trim().is_empty() {
        return fail(
            "path",
            format!("the provider `{}` has no path", provider.name),
        );
    }
    let limits = &provider.limits;
    for (field, is_zero) in [
        (
            "memory_max",
            limits.memory_max.map(ByteSize::bytes) == Some(0),
        ),
        ("timeout", is_zero(limits.timeout)),
        ("fuel", limits.fuel == Some(0)),
        (
            "library_max",
            limits.library_max.map(ByteSize::bytes) == Some(0),
        ),
    ] {
        check_positive(path, &format!("{key}.limits.{field}"), is_zero)?;
    }
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
fn check_native(
    path: &Path,
    key: &str,
    provider: &ProviderConfig,
    default: Option<NativeRule>,
) -> Check {
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
    fail(path, format!("{key}.native"), rule)
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
            let checked = check_native(Path::new("c.toml"), "providers[0]", &provider, default);
            let case = format!("{native:?} {allow:?} {kind:?} {default:?}: {checked:?}");
            assert_eq!(checked.is_ok(), is_good, "{case}");
            if let Err(error) = checked {
                assert!(error.to_string().contains("providers[0].native"), "{error}");
            }
        }
    }
}

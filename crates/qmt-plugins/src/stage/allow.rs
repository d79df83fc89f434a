//! Whether the config allows a plugin of its kind to run.

use qmt_oci_ref::PluginKind;
use qmt_verify::Verification;

use crate::artifact::PluginArtifact;
use crate::config::{NativeRule, ProviderConfig};
use crate::error::Error;
use crate::target::Target;

/// What is verified about a native plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NativeTrust {
    /// A signature that the policy accepts.
    Verified,
    /// Nothing: verification is switched off.
    Unverified,
    /// Nothing: it is a local file or a URL in the config, which are not signed.
    Unsigned,
}

impl NativeTrust {
    pub(crate) fn of_image(is_skipped: bool) -> Self {
        if is_skipped {
            Self::Unverified
        } else {
            Self::Verified
        }
    }
}

/// What the lockfile records about the repository of a plugin.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The kind.
    pub(crate) kind: PluginKind,
    /// The plugin that has the entry, if it is another one.
    pub(crate) other: Option<String>,
}

impl Recorded {
    /// Says that the kind has changed to native code.
    fn changed(&self) -> String {
        let recorded = match &self.other {
            None => "it as a Wasm plugin, and it".to_owned(),
            Some(other) => {
                format!("`{other}`, of the same repository, as a Wasm plugin, and the image")
            }
        };
        format!(
            "the lockfile records {recorded} has become native since; `kind = \"native\"` accepts \
             the change"
        )
    }
}

/// Checks whether the config allows a plugin of `kind`. `default` is the key `native` of `[oci]`,
/// `before` what is in the lockfile.
pub(crate) fn check_allowed(
    provider: &ProviderConfig,
    default: Option<NativeRule>,
    kind: PluginKind,
    before: Option<&Recorded>,
    trust: NativeTrust,
) -> Result<(), Error> {
    let plugin = provider.name.clone();
    if let Some(expected) = provider.kind
        && expected != kind
    {
        return Err(Error::WrongKind {
            plugin,
            expected,
            found: kind,
        });
    }
    if kind != PluginKind::Native {
        return Ok(());
    }
    if let Some(denial) = provider.native_denial(default) {
        let rule = denial.rule().into();
        return Err(Error::NativeForbidden { plugin, rule });
    }
    if provider.allows_native() {
        return Ok(());
    }
    let rule = match trust {
        NativeTrust::Unverified => {
            "its signature is not verified, because `insecure_skip_signature` is set; \
             `native = \"isolated\"` or `allow.native = true` allows it"
        }
        NativeTrust::Unsigned => {
            "it comes from a file or URL, which is not signed; `native = \"isolated\"` or \
             `allow.native = true` allows it"
        }
        NativeTrust::Verified => match before {
            Some(before) if before.kind == PluginKind::Wasm && provider.kind.is_none() => {
                let rule = before.changed().into();
                return Err(Error::NativeForbidden { plugin, rule });
            }
            _ => return Ok(()),
        },
    };
    let rule = rule.into();
    Err(Error::NativeForbidden { plugin, rule })
}

/// Refuses native code outside the config whose signer is neither configured nor pinned.
pub(crate) fn check_unpinned(target: &Target, artifact: &PluginArtifact) -> Result<(), Error> {
    let is_allowed = target.is_configured() || target.provider().allows_native();
    let is_unpinned = artifact.verification().is_some_and(Verification::first_use);
    if is_allowed || !is_unpinned || artifact.kind() != PluginKind::Native {
        return Ok(());
    }
    Err(Error::NativeForbidden {
        plugin: target.name().to_owned(),
        rule: "no signer is configured for it, and the lockfile pins none for a plugin outside of \
               the config; `allow.native = true` allows it"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AllowConfig;

    fn provider(kind: Option<PluginKind>, native: Option<bool>) -> ProviderConfig {
        let allow = AllowConfig {
            native,
            ..AllowConfig::default()
        };
        ProviderConfig {
            name: "p".to_owned(),
            kind,
            allow,
            ..ProviderConfig::default()
        }
    }

    /// Invariant 6: native code never runs unnoticed.
    #[test]
    fn native_code_must_be_allowed() {
        use NativeTrust::{Unsigned, Unverified, Verified};
        let (wasm, native) = (Some(PluginKind::Wasm), Some(PluginKind::Native));
        for (kind, allow, before, trust, is_allowed) in [
            (None, None, None, Verified, true),
            (None, None, native, Verified, true),
            (None, None, wasm, Verified, false),
            (native, None, wasm, Verified, true),
            (None, Some(true), wasm, Verified, true),
            (None, Some(false), None, Verified, false),
            (wasm, Some(true), None, Verified, false),
            (None, None, None, Unverified, false),
            (native, None, None, Unverified, false),
            (None, Some(true), None, Unverified, true),
            (None, None, None, Unsigned, false),
            (None, Some(true), None, Unsigned, true),
        ] {
            let provider = provider(kind, allow);
            let recorded = before.map(|kind| Recorded { kind, other: None });
            let recorded = recorded.as_ref();
            let checked = check_allowed(&provider, None, PluginKind::Native, recorded, trust);
            let case = format!("{kind:?} {allow:?} {before:?} {trust:?}");
            assert_eq!(checked.is_ok(), is_allowed, "{case}: {checked:?}");
        }
    }

    /// The key of a provider is the operator's consent; the default of `[oci]` is not.
    #[test]
    fn the_key_native_says_where_native_code_runs() {
        use NativeRule::{Deny, InProcess, Isolated};
        use NativeTrust::{Unsigned, Verified};
        for (native, allow, default, rule, unsigned, signed) in [
            (None, None, None, InProcess, false, true),
            (None, None, Some(Deny), Deny, false, false),
            (None, None, Some(Isolated), Isolated, false, true),
            (None, Some(true), Some(Isolated), Isolated, true, true),
            (None, Some(true), Some(Deny), Deny, false, false),
            (None, Some(false), Some(Isolated), Deny, false, false),
            (Some(Isolated), None, Some(Deny), Isolated, true, true),
            (Some(InProcess), None, Some(Isolated), InProcess, true, true),
            (Some(Deny), None, Some(InProcess), Deny, false, false),
        ] {
            let mut provider = provider(None, allow);
            provider.native = native;
            let check =
                |trust| check_allowed(&provider, default, PluginKind::Native, None, trust).is_ok();
            let case = format!("{native:?} {allow:?} {default:?}");
            assert_eq!(provider.native_rule(default), rule, "{case}");
            assert_eq!(
                (check(Unsigned), check(Verified)),
                (unsigned, signed),
                "{case}"
            );
        }
    }

    #[test]
    fn wasm_is_allowed_and_must_be_of_the_configured_kind() {
        for trust in [
            NativeTrust::Verified,
            NativeTrust::Unverified,
            NativeTrust::Unsigned,
        ] {
            assert!(
                check_allowed(&provider(None, None), None, PluginKind::Wasm, None, trust).is_ok()
            );
        }
        let native = provider(Some(PluginKind::Native), None);
        let error = check_allowed(&native, None, PluginKind::Wasm, None, NativeTrust::Verified)
            .unwrap_err();
        assert!(matches!(error, Error::WrongKind { .. }), "{error}");
    }
}

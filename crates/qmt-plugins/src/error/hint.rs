//! What to do about an [`Error`].

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use qmt_artifact::ArtifactError;
use qmt_artifact::problem::Limit;
use qmt_cache::CacheError;
use qmt_oci_ref::RegistryError;
use qmt_oci_ref::text::{escape, shell_word};
use qmt_registry::ClientError;
use qmt_registry::error::TlsError;
use qmt_storage::LayoutError;
use qmt_verify::VerifyError;
use qmt_verify::report::{Rejection, RejectionCode};

use super::{Error, ErrorKind as Kind, layout, registry_cause};
use crate::config::spelling::nearest;
use crate::config::{ConfigError, scope_of, scope_problem, size_limit};
use crate::lockfile::LockfileError;
use crate::source::OCI;

/// The names of a folder that are compared with that of a missing file.
const NAMES_MAX: usize = 1000;

impl Error {
    /// Returns what to do about it, if that is not part of the message.
    pub fn hint(&self) -> Option<String> {
        let cause = registry_cause(self);
        let cause_hint = cause.and_then(RegistryError::hint);
        let client_error = cause.and_then(RegistryError::downcast_ref::<ClientError>);
        // Firewalls close connections during the handshake.
        let is_tls = matches!(client_error, Some(ClientError::Tls(error))
            if !matches!(error, TlsError::Closed { .. }));
        match self {
            Self::LockedVersionGone { plugin, .. } => {
                let (plugin, hint) = (argument(plugin), "locks the version that the tag names now");
                Some(format!("`qmt-plugins update {plugin}` {hint}"))
            }
            Self::Unverifiable {
                missing: Some(missing),
                ..
            } if let Some(hint) = missing.hint() => {
                Some(format!("{hint}; for the trust root, {STORED_TRUST}"))
            }
            _ if matches!(self.trust(), Some(VerifyError::NotStored { .. })) => {
                Some(STORED_TRUST.to_owned())
            }
            _ if self.trust().is_some() && self.kind() == Kind::Network && !is_tls => {
                // What a proxy does is known better than by this.
                let proxy = client_error.filter(|error| error.is_about_proxy());
                let hint = proxy.and_then(ClientError::hint);
                let question = hint.map(|hint| format!("{hint}."));
                let question = question.unwrap_or_else(|| IS_THERE_A_NETWORK.to_owned());
                Some(format!("{question} {UNREACHABLE_TRUST}"))
            }
            // The signature may also be where it could not be looked for.
            Self::NotVerified { source, .. }
                if let Some(index) = unsigned_index(source)
                    && let Some(hint) = cause_hint =>
            {
                Some(format!("{hint}; or {}", index.hint))
            }
            _ if let Some(hint) = cause_hint => Some(hint.to_owned()),
            // What is missing may be where it could not be looked for.
            Self::NotVerified {
                source: error @ VerifyError::Source { source, .. },
                reference,
                ..
            } if unsigned_index(error).is_none() => Some(failed_lookup_hint(source, reference)),
            Self::NotVerified {
                source, reference, ..
            } => not_verified_hint(source, reference),
            Self::Unsigned { .. } => Some(
                "images have signatures: `qmt-plugins publish` makes an image of a file".to_owned(),
            ),
            Self::Pack {
                source: ArtifactError::LimitExceeded { .. },
                ..
            } => Some(
                "hosts accept what their own `max_artifact_size` allows; set it in this config to \
                 publish more"
                    .to_owned(),
            ),
            Self::Rollback {
                plugin,
                is_proven: false,
                ..
            } => Some(format!(
                "only the time that a transparency log recorded, or a short-lived certificate, \
                 proves the age of a signature; `qmt-plugins update {}` accepts this version",
                argument(plugin)
            )),
            Self::Rollback { plugin, .. } => Some(format!(
                "if the publisher withdrew the newer version, `qmt-plugins update {}` \
                 accepts this one; without `refresh_after` and `pull_policy = \"always\"` the \
                 version in the lockfile stays in use",
                argument(plugin)
            )),
            Self::Load { source, .. } => source.hint().map(str::to_owned),
            Self::File { path, .. } if is_like_layout(path) => Some(format!(
                "did you mean the image layout `oci-layout://{}`?",
                path.display()
            )),
            Self::Registry { reference, .. }
                if let Some(missing) = missing_file(self)
                    && let Some(hint) = layout::meant(reference, missing) =>
            {
                Some(hint)
            }
            _ if let Some(missing) = missing_file(self)
                && let Some(name) = nearest_file(missing, layout_error(self).is_some()) =>
            {
                let name = name.to_string_lossy();
                Some(format!("did you mean `{}`?", escape(&name)))
            }
            Self::Config(error) => error.hint().map(str::to_owned),
            Self::UnknownPlugin { nearest: None, .. } => Some(
                "an image is named with its registry, such as `ghcr.io/my-org/my-plugin:1`, and a \
                 file by a path that begins with `./` or `/`"
                    .to_owned(),
            ),
            Self::File { path, source, .. }
                if source.kind() == ErrorKind::NotFound && !is_surely_file(path) =>
            {
                Some("the path of an image begins with `oci://` or `oci-layout://`".to_owned())
            }
            Self::WrongKind { .. } => Some("change `kind` or `path` of the provider".to_owned()),
            Self::Artifact {
                source:
                    ArtifactError::LimitExceeded {
                        what: Limit::WasmBytes | Limit::ArchiveBytes | Limit::UnpackedBytes,
                        limit,
                        ..
                    },
                ..
            } => Some(format!("{} sets this limit", size_limit(*limit))),
            Self::Lockfile(LockfileError::WouldChange { .. }) => {
                Some("write it with `qmt-plugins lock`".to_owned())
            }
            Self::DamagedSignatures { .. } => {
                Some("copy the layout again, or export it again".to_owned())
            }
            Self::SignaturesNotImported { layout, tag, .. } => Some(format!(
                "use the layout directly, with `oci-layout://{}:{tag}`, or import a file that \
                 `qmt-plugins cache export` wrote",
                layout.display()
            )),
            Self::NotImported { .. } => {
                Some("import it first, with `qmt-plugins cache import`".to_owned())
            }
            Self::Offline {
                plugin,
                platform,
                rule,
                ..
            } => {
                // An image that the config does not name is called by its reference.
                let reference = plugin.strip_prefix(OCI).map(shell_word);
                let reference = reference.map(|one| format!(" {one}")).unwrap_or_default();
                let export = match platform {
                    Some(platform) => {
                        let platform = shell_word(platform);
                        format!("`cache export --platform {platform}` wrote on another machine")
                    }
                    None => "another machine exported".to_owned(),
                };
                Some(format!(
                    "run `qmt-plugins pull{reference}` once without {rule} where the network can be \
                     used, or run `qmt-plugins cache import` with a file that {export}"
                ))
            }
            _ => None,
        }
    }
}

/// Reports whether the path is that of a folder or file, followed by a tag.
fn is_like_layout(path: &Path) -> bool {
    let path = path.to_str().and_then(|path| path.rsplit_once(':'));
    path.is_some_and(|(path, _)| Path::new(path).exists())
}

/// Returns the path that an option or the config names, if it does not exist.
fn missing_file(error: &Error) -> Option<&Path> {
    let (path, source): (_, &(dyn StdError + 'static)) = match error {
        Error::File { path, source, .. } | Error::Config(ConfigError::Read { path, source }) => {
            (path, source)
        }
        Error::Pack {
            source: ArtifactError::ReadFile { path, source },
            ..
        } => (path, source),
        Error::Trust(VerifyError::File {
            path,
            source: Some(source),
            ..
        }) => (path, &**source),
        _ => match layout_error(error)? {
            LayoutError::Invalid {
                path,
                source: Some(source),
                ..
            } => (path, &**source),
            _ => return None,
        },
    };
    let source: &io::Error = source.downcast_ref()?;
    (source.kind() == ErrorKind::NotFound).then_some(path)
}

/// Returns the error of a layout, if it is the reason.
fn layout_error(error: &Error) -> Option<&LayoutError> {
    match error {
        Error::Cache {
            source: CacheError::Layout(layout),
            ..
        } => Some(layout),
        #[cfg(feature = "layout")]
        Error::Registry { source, .. } => match source.downcast_ref()? {
            ClientError::Layout(layout) => Some(layout),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the path with the most similar name in the same folder.
fn nearest_file(missing: &Path, can_be_folder: bool) -> Option<PathBuf> {
    let name = missing.file_name()?.to_str()?;
    let folder = missing.parent()?;
    // The folder of a plain name is an empty path.
    let entries = Path::new(".").join(folder).read_dir().ok()?;
    let files = entries
        .take(NAMES_MAX)
        .flatten()
        .map(|entry| (entry.path(), entry.file_name()))
        .filter(|(path, _)| path.is_file() || (can_be_folder && path.is_dir()));
    let names = files.filter_map(|(_, name)| name.into_string().ok());
    let names: Vec<String> = names.collect();
    // A link that leads nowhere has the name itself.
    let others = names
        .iter()
        .map(String::as_str)
        .filter(|other| *other != name);
    let found = nearest(name, others)?;
    Some(missing.with_file_name(found))
}

/// Reports whether the path can't have been meant as the name of an image.
fn is_surely_file(path: &Path) -> bool {
    let first = path.components().next();
    !matches!(first, Some(Component::Normal(_)))
        || path.extension().is_some_and(|ending| ending == "wasm")
}

/// What to do if the network may not be used and no trust root is stored.
const STORED_TRUST: &str = "run `qmt-plugins trust update` once where the network may be used, or set \
    `trusted_root` in `[oci]` to a file, or to `embedded` for the trust root of the public Sigstore that is \
    built in";

const IS_THERE_A_NETWORK: &str = "is there a network, and does it require a proxy (`HTTPS_PROXY`)?";

/// What to do if the TUF repository of a Sigstore instance can't be reached.
const UNREACHABLE_TRUST: &str = "Without a network, set `trusted_root` in `[oci]` to a file, or to `embedded` for the trust root of the \
    public Sigstore that is built in; keys that need no transparency log (`transparency_log = \
    \"optional\"`) require no trust root";

/// Returns what to do where signatures or attestations could not be looked up.
fn failed_lookup_hint(failed: &RegistryError, reference: &str) -> String {
    let next = if failed.is_retryable() {
        "try again later"
    } else {
        "find out why this request fails: what is missing may be in this place"
    };
    format!(
        "{next}; `qmt-plugins why {}` shows what was discovered, and what could not be read",
        shell_word(reference)
    )
}

/// Returns how an image that is not verified can be signed, or its signer accepted.
pub(super) fn not_verified_hint(source: &VerifyError, reference: &str) -> Option<String> {
    if let VerifyError::NoSignature {
        subject,
        searched,
        keys_only,
        rejected,
        ..
    } = source
        && !rejected.iter().any(|one| one.code.is_found())
    {
        return Some(if let Some(exported) = layout::exported(subject) {
            layout::import(&exported)
        } else if subject.repository().layout().is_some() {
            "sign the image in a registry, and copy it into the layout together with its signatures"
                .to_owned()
        } else {
            let searched = searched.as_deref();
            let variable = searched.map_or_else(String::new, |searched| {
                format!("COSIGN_REPOSITORY={} ", shell_word(&searched.to_string()))
            });
            let key = if *keys_only { "--key KEY " } else { "" };
            let reference = shell_word(reference);
            format!("the publisher signs it with `{variable}cosign sign {key}{reference}`")
        });
    }
    let mut rejections = source.rejections().iter();
    let first = rejections.clone().find(|one| !one.hint.is_empty());
    let first = unsigned_index(source).or(first)?;
    // A new signer or key is often intended, so the hint shows how to accept it.
    let is_condition = rejections.clone().any(|one| one.code.is_condition());
    let accepting = rejections.find_map(|one| {
        // Another signer is not what is missing.
        if is_condition {
            return None;
        }
        let line = one.config_line.as_deref()?;
        let is_key = matches!(
            one.code,
            RejectionCode::OtherSigner
                | RejectionCode::NoLog
                | RejectionCode::OtherKey
                | RejectionCode::NoKey
        );
        is_key.then_some((one, line))
    });
    let Some((rejection, line)) = accepting else {
        return Some(format!(
            "{}; `qmt-plugins why {}` shows each signature that was discovered, and the \
             config lines that accept its signer",
            first.hint,
            shell_word(reference)
        ));
    };
    let (hint, scope) = (&rejection.hint, scope_of(reference));
    if let Some(problem) = scope_problem(reference) {
        return Some(format!("{hint}: {problem}"));
    }
    let is_of_scope =
        matches!(source, VerifyError::Refused { scope: applied, .. } if *applied == scope);
    // The rest of the policy stays as it is.
    if is_of_scope
        && rejection.code == RejectionCode::NoLog
        && let Some(entry) = entry(line)
    {
        return Some(format!(
            "{hint}; in the policy of `{scope}`, change its entry of `any_of` to:\n{entry}"
        ));
    }
    let place = if is_of_scope {
        format!(", in place of the policy of `{scope}`")
    } else {
        String::new()
    };
    let rest = match source {
        VerifyError::Refused {
            scope, conditions, ..
        } if !conditions.is_empty() => format!(
            "; add what else the policy of `{scope}` requires (`{}`)",
            conditions.join("`, `")
        ),
        _ => String::new(),
    };
    Some(format!(
        "{hint}{place}{rest}:\n[[oci.policy]]\nscope = {}\n{line}",
        toml::Value::from(scope)
    ))
}

/// Writes the name of a plugin as an argument of a command.
fn argument(plugin: &str) -> String {
    let end = if plugin.starts_with('-') { "-- " } else { "" };
    format!("{end}{}", shell_word(plugin))
}

/// Returns what was found of an index of which only a manifest is signed.
fn unsigned_index(source: &VerifyError) -> Option<&Rejection> {
    let mut rejections = source.rejections().iter();
    rejections.find(|one| one.code == RejectionCode::OnlyChild)
}

/// Returns the signer of a line for `[[oci.policy]]`.
fn entry(line: &str) -> Option<toml::Value> {
    let policy: toml::Table = line.parse().ok()?;
    policy.get("any_of")?.get(0).cloned()
}

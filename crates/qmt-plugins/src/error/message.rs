//! How an [`Error`] is shown, and its causes.

use std::fmt;

use qmt_artifact::ArtifactError;
use qmt_cache::CacheError;
use qmt_oci_ref::text;
use qmt_verify::VerifyError;

use super::{Error, ErrorKind, kind};
use crate::config::ConfigError;
use crate::lockfile::LockfileError;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(&text::error_line(self, self.hint().as_deref()));
        }
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Lockfile(error) => error.fmt(f),
            Self::UnknownPlugin {
                name,
                nearest,
                known,
            } => {
                write!(f, "the config names no plugin `{name}`")?;
                if let Some(name) = nearest {
                    write!(f, " (did you mean `{name}`?)")?;
                }
                match &**known {
                    [] => f.write_str("; it names none"),
                    known => write!(f, "; it names `{}`", known.join("`, `")),
                }
            }
            Self::Source { text, .. } => write!(
                f,
                "`{text}` is neither the name of a plugin in the config nor a reference"
            ),
            Self::Registry {
                plugin,
                doing,
                reference,
                ..
            } => write!(f, "{}{doing} `{reference}` failed", of(plugin, reference)),
            Self::LockedVersionGone {
                plugin,
                reference,
                digest,
                ..
            } => write!(
                f,
                "{}the registry of `{reference}` no longer has the version in the lockfile, {digest}",
                of(plugin, reference)
            ),
            Self::NotVerified {
                plugin,
                reference,
                source,
            } => f.write_str(&kind::not_verified(plugin, reference, source)),
            Self::Unsigned { plugin, what } => write!(f, "`{plugin}` has no signature: {what}"),
            Self::Trust(source) => f.write_str(self.untrusted(source)),
            Self::Unverifiable {
                missing: Some(missing),
                ..
            } => write!(f, "{missing}; the trust root can't be used either"),
            Self::Unverifiable {
                plugin,
                reference,
                missing: None,
                source,
            } => {
                let reason = self.untrusted(source);
                let of = of(plugin, reference);
                write!(f, "{of}`{reference}` can't be verified: {reason}")
            }
            Self::Rollback {
                plugin,
                reference,
                digest,
                signed,
                locked,
                locked_signed,
                is_proven,
            } => {
                let what = if *is_proven {
                    "was rolled back to"
                } else {
                    "has changed, and may have been rolled back, to"
                };
                write!(
                    f,
                    "`{plugin}` is not loaded: `{reference}` {what} {digest} ({signed}); the \
                     lockfile has {locked} ({locked_signed})"
                )
            }
            Self::NotNewer {
                reference,
                digest,
                signed,
                stored,
                stored_signed,
            } => write!(
                f,
                "`{reference}`: {digest} ({signed}) is not proven to be newer than {stored} \
                 ({stored_signed})"
            ),
            Self::AmbiguousTag { reference } => write!(
                f,
                "`{reference}`: the layout lists more than one image under this name; other tools \
                 might take another one"
            ),
            Self::Signing { plugin, .. } => write!(f, "`{plugin}`: signing the image failed"),
            Self::Artifact {
                plugin,
                reference,
                source,
            } => {
                use ArtifactError as Cause;
                write!(f, "`{plugin}`: ")?;
                match source {
                    Cause::Registry { what, .. } => {
                        write!(f, "fetching the {what} of `{reference}` failed")
                    }
                    Cause::Manifest { .. } | Cause::DigestMismatch { .. } => {
                        write!(f, "`{reference}` is not a valid image")
                    }
                    Cause::LimitExceeded { .. } => write!(f, "`{reference}` exceeds a limit"),
                    Cause::TimedOut { .. } => write!(f, "fetching `{reference}` took too long"),
                    Cause::Layer { .. }
                    | Cause::Sink { .. }
                    | Cause::TemporaryFile { .. }
                    | Cause::Aborted => write!(f, "extracting the plugin of `{reference}` failed"),
                    _ => write!(f, "`{reference}` does not contain a plugin for this host"),
                }
            }
            Self::Pack { destination, .. } => write!(
                f,
                "nothing was published as `{destination}`: the image can't be packed"
            ),
            Self::Stopped { plugin, doing, .. } => {
                write!(f, "`{plugin}`: {doing} did not complete")
            }
            Self::Cache {
                source: CacheError::Layout(_) | CacheError::Import { .. },
                ..
            }
            | Self::Cache {
                plugin: None,
                source:
                    CacheError::Mismatch { .. }
                    | CacheError::SizeMismatch { .. }
                    | CacheError::TooLarge { .. },
            } => f.write_str("the image layout can't be used"),
            Self::Cache {
                plugin: Some(plugin),
                source: CacheError::Unwritable { .. },
            } => write!(f, "`{plugin}`: it can't be stored in the cache"),
            Self::Cache { plugin, .. } => match plugin {
                Some(plugin) => write!(f, "`{plugin}`: the cache can't be used"),
                None => f.write_str("the cache can't be used"),
            },
            Self::Load { plugin, doing, .. } => write!(f, "`{plugin}`: {doing} failed"),
            Self::Offline {
                plugin,
                missing,
                reference,
                platform,
                rule,
            } => {
                let platform = platform.as_ref().map(|platform| format!(" for {platform}"));
                let platform = platform.unwrap_or_default();
                write!(
                    f,
                    "{}{missing} of `{reference}`{platform} is not in the cache, and {rule} forbids the \
                     network",
                    of(plugin, reference)
                )
            }
            Self::DamagedSignatures { reference, layout } => write!(
                f,
                "`{reference}` is not verified: its signatures in the layout `{}` are damaged or too large",
                layout.display()
            ),
            Self::SignaturesNotImported {
                reference, layout, ..
            } => write!(
                f,
                "`{reference}` is not verified: the layout `{}` is not an export of the cache, so its \
                 signatures are not imported",
                layout.display()
            ),
            Self::NotImported { plugin, reference } => {
                let of = of(plugin, reference);
                write!(f, "{of}the cache has no image of `{reference}`")
            }
            Self::NetworkForbidden {
                target,
                doing,
                rule,
            } => write!(
                f,
                "`{target}`: {doing} requires the network, and {rule} forbids it"
            ),
            Self::WrongKind {
                plugin,
                expected,
                found,
            } => write!(
                f,
                "`{plugin}`: the config requires a {expected} plugin, and this is a {found} plugin"
            ),
            Self::NativeForbidden { plugin, rule } => write!(
                f,
                "`{plugin}` is native code, which runs with all rights of this program unless it is \
                 isolated, and is not loaded: {rule}"
            ),
            Self::File { plugin, path, .. } => {
                write!(f, "`{plugin}`: the file {} can't be read", path.display())
            }
            Self::NotAPlugin {
                plugin,
                problem,
                path,
            } => write!(f, "`{plugin}`: the file {} {problem}", path.display()),
            Self::Unsupported { plugin, what } => write!(
                f,
                "`{plugin}`: this program was built without support for {what}"
            ),
        }
    }
}

/// Names the plugin at the start of a message about `reference`, unless that is its name.
pub(super) fn of(plugin: &str, reference: &str) -> String {
    if plugin == reference {
        return String::new();
    }
    format!("`{plugin}`: ")
}

impl Error {
    /// Says what of the trust settings can't be used.
    fn untrusted(&self, source: &VerifyError) -> &'static str {
        match source {
            _ if self.kind() == ErrorKind::Network => "the trust root can't be fetched",
            VerifyError::NotStored { .. } => "signatures can't be verified without the trust root",
            VerifyError::File { .. } => "a file of keys or trust material can't be used",
            _ => "the trust settings can't be used",
        }
    }
}

/// `main` shows the errors that it returns in this form.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::error_report(self, self.hint().as_deref()))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Their messages are those of the error inside.
            Self::Config(error) => error.source(),
            Self::Lockfile(error) => error.source(),
            Self::Source { source, .. } => Some(source),
            Self::Registry { source, .. } | Self::LockedVersionGone { source, .. } => Some(source),
            Self::Trust(source)
            | Self::Unverifiable { source, .. }
            | Self::NotVerified { source, .. }
            | Self::Signing { source, .. } => Some(source),
            Self::Artifact { source, .. } | Self::Pack { source, .. } => Some(source),
            Self::Cache { source, .. } => Some(source),
            Self::Load { source, .. } => Some(source),
            Self::Stopped { source, .. } | Self::File { source, .. } => Some(source),
            Self::UnknownPlugin { .. }
            | Self::Unsigned { .. }
            | Self::Rollback { .. }
            | Self::NotNewer { .. }
            | Self::AmbiguousTag { .. }
            | Self::Offline { .. }
            | Self::NotImported { .. }
            | Self::DamagedSignatures { .. }
            | Self::SignaturesNotImported { .. }
            | Self::NetworkForbidden { .. }
            | Self::WrongKind { .. }
            | Self::NativeForbidden { .. }
            | Self::NotAPlugin { .. }
            | Self::Unsupported { .. } => None,
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// An error about the cache as a whole, and not about a plugin in it.
impl From<CacheError> for Error {
    fn from(source: CacheError) -> Self {
        Self::Cache {
            plugin: None,
            source,
        }
    }
}

impl From<LockfileError> for Error {
    fn from(error: LockfileError) -> Self {
        Self::Lockfile(error)
    }
}

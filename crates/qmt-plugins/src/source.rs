//! Where a plugin comes from: the `path` of a provider.

use std::fmt;
use std::path::PathBuf;

use qmt_oci_ref::{Digest, DigestError, Reference, ReferenceError, Tag};

const OCI: &str = "oci://";
const LAYOUT: &str = "oci-layout://";
const HTTPS: &str = "https://";
const HTTP: &str = "http://";
const FILE: &str = "file://";

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginSource {
    /// An image in a registry: `oci://registry/repository:tag`.
    Registry(Reference),
    /// An image in an OCI layout on disk: `oci-layout://dir:tag` or `oci-layout://dir@sha256:…`.
    Layout {
        /// The folder or tar file of the layout.
        path: PathBuf,
        /// The tag, `latest` where neither tag nor digest is given.
        tag: Option<Tag>,
        /// The digest.
        digest: Option<Digest>,
    },
    /// A local file. It is not verified, because its owner can change the config as well.
    File(PathBuf),
    /// A plugin at a URL, verified by its digest.
    Url {
        /// The URL, `https://`.
        url: String,
        /// The digest of its content.
        sha256: Digest,
    },
}

/// Why a provider's path is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It is not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The digest of a layout or of `sha256` is malformed.
    #[error("the digest is malformed: {0}")]
    Digest(#[from] DigestError),
    /// The folder of a layout is missing.
    #[error("`oci-layout://` must be followed by a folder, then `:tag` or `@sha256:…`")]
    NoLayoutPath,
    /// The content of a URL can change, so its digest is required.
    #[error("a plugin at a URL requires `sha256 = \"<64 hexadecimal digits>\"` next to its `path`")]
    NoSha256,
    /// `sha256` is given for a path that is not a URL.
    #[error("`sha256` goes with an `https://` path only; write a digest as `@sha256:…` instead")]
    NeedlessSha256,
    /// Plain HTTP.
    #[error("plugins are fetched by `https://` only")]
    PlainHttp,
    /// The scheme is not supported.
    #[error(
        "`{scheme}://` is not supported; use `oci://`, `oci-layout://`, `https://` or a file path"
    )]
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
}

impl PluginSource {
    /// Parses the path of a provider. `sha256` is the provider's key of that name.
    ///
    /// # Errors
    ///
    /// [`SourceError`], with the rule that was broken.
    pub fn parse(path: &str, sha256: Option<&str>) -> Result<Self, SourceError> {
        if path.starts_with(HTTPS) {
            let sha256 = sha256.ok_or(SourceError::NoSha256)?;
            let sha256 = sha256.strip_prefix("sha256:").unwrap_or(sha256);
            let sha256 = format!("sha256:{sha256}").parse()?;
            return Ok(Self::Url {
                url: path.to_owned(),
                sha256,
            });
        }
        if sha256.is_some() {
            return Err(SourceError::NeedlessSha256);
        }
        if path.starts_with(OCI) {
            return Ok(Self::Registry(path.parse()?));
        }
        if let Some(rest) = path.strip_prefix(LAYOUT) {
            return layout(rest);
        }
        if path.starts_with(HTTP) {
            return Err(SourceError::PlainHttp);
        }
        if let Some(rest) = path.strip_prefix(FILE) {
            return Ok(Self::File(PathBuf::from(rest)));
        }
        if let Some((scheme, _)) = path.split_once("://") {
            return Err(SourceError::UnknownScheme {
                scheme: scheme.to_owned(),
            });
        }
        Ok(Self::File(PathBuf::from(path)))
    }

    /// Parses a command-line argument: as [`Self::parse`], but a name without a scheme is a reference.
    ///
    /// # Errors
    ///
    /// [`SourceError`], with the rule that was broken.
    pub fn parse_reference(text: &str) -> Result<Self, SourceError> {
        if text.starts_with(LAYOUT) {
            Self::parse(text, None)
        } else {
            Ok(Self::Registry(text.parse()?))
        }
    }

    /// Makes relative paths start from `folder`.
    #[must_use]
    pub fn relative_to(self, folder: &std::path::Path) -> Self {
        match self {
            Self::Layout { path, tag, digest } => Self::Layout {
                path: folder.join(path),
                tag,
                digest,
            },
            Self::File(path) => Self::File(folder.join(path)),
            other => other,
        }
    }

    /// Reports whether both name images of the same repository, or of the same layout on disk.
    pub(crate) fn is_same_repository(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Registry(one), Self::Registry(other)) => one.repository() == other.repository(),
            (Self::Layout { path: one, .. }, Self::Layout { path: other, .. }) => {
                let real = |path: &PathBuf| std::fs::canonicalize(path).ok();
                one == other || real(one).is_some_and(|one| Some(one) == real(other))
            }
            _ => false,
        }
    }

    /// Reports whether what it names can change over time.
    pub fn is_mutable(&self) -> bool {
        match self {
            Self::Registry(reference) => reference.digest().is_none(),
            Self::Layout { digest, .. } => digest.is_none(),
            Self::File(_) => true,
            Self::Url { .. } => false,
        }
    }
}

/// Splits `dir:tag`, `dir@digest` or `dir`. A colon before a slash belongs to the folder.
fn layout(rest: &str) -> Result<PluginSource, SourceError> {
    let (path, tag, digest) = match rest.rsplit_once('@') {
        Some((path, digest)) if digest.contains(':') => (path, None, Some(digest.parse()?)),
        _ => match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains(['/', '\\']) => (path, Some(tag.parse()?), None),
            _ => (rest, Some(Tag::latest()), None),
        },
    };
    if path.is_empty() {
        return Err(SourceError::NoLayoutPath);
    }
    Ok(PluginSource::Layout {
        path: PathBuf::from(path),
        tag,
        digest,
    })
}

impl fmt::Display for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{OCI}{reference}"),
            Self::Layout { path, tag, digest } => {
                write!(f, "{LAYOUT}{}", path.display())?;
                match (tag, digest) {
                    (_, Some(digest)) => write!(f, "@{digest}"),
                    (Some(tag), None) => write!(f, ":{tag}"),
                    (None, None) => Ok(()),
                }
            }
            Self::File(path) => write!(f, "{}", path.display()),
            // Userinfo and query can be secrets.
            Self::Url { url, .. } => match url::Url::parse(url) {
                Ok(url) => write!(
                    f,
                    "https://{}{}",
                    url.host_str().unwrap_or_default(),
                    url.path()
                ),
                Err(_) => f.write_str("https://…"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn every_form_of_a_path() {
        let digest = format!("sha256:{HEX}");
        for (path, shown) in [
            ("oci://ghcr.io/a/b", "oci://ghcr.io/a/b:latest"),
            ("oci-layout://x/y:1", "oci-layout://x/y:1"),
            ("oci-layout://x/y", "oci-layout://x/y:latest"),
            ("oci-layout://c:/x", "oci-layout://c:/x:latest"),
            ("plugins/echo.wasm", "plugins/echo.wasm"),
            ("file:///plugins/echo.wasm", "/plugins/echo.wasm"),
        ] {
            assert_eq!(
                PluginSource::parse(path, None).unwrap().to_string(),
                shown,
                "{path}"
            );
        }
        let pinned = PluginSource::parse(&format!("oci-layout://x@{digest}"), None).unwrap();
        assert!(!pinned.is_mutable());
        let url = PluginSource::parse("https://u:secret@h/p.wasm?token=secret", Some(HEX)).unwrap();
        assert_eq!(url.to_string(), "https://h/p.wasm");
    }

    #[test]
    fn what_is_refused() {
        for (path, sha256) in [
            ("oci://Ghcr.io/A", None),
            ("oci-layout://:1", None),
            ("oci-layout://x@sha256:00", None),
            ("https://h/p.wasm", None),
            ("https://h/p.wasm", Some("00")),
            ("oci://ghcr.io/a/b", Some(HEX)),
            ("http://h/p.wasm", None),
            ("s3://bucket/p.wasm", None),
        ] {
            assert!(
                PluginSource::parse(path, sha256).is_err(),
                "{path} was accepted"
            );
        }
    }
}

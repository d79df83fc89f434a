//! Where a plugin comes from: the `path` of a provider.

mod error;
mod scheme;

use std::fmt;
use std::path::{Component, Path, PathBuf};

use qmt_oci_ref::{Digest, DigestAlgorithm, Reference, Repository, Tag};
use qmt_registry::RedactedUrl;

pub use self::error::SourceError;
pub(crate) use self::scheme::{begins_with_host, is_like_image, registry_alone};
use self::scheme::{
    check_host, check_path, check_repository, check_scheme, check_web_address, plain_http,
    proposed, with_space, without_sha256,
};
use crate::config::path::{expand, is_file_url, join};

/// How the path of an image in a registry begins.
pub(crate) const OCI: &str = "oci://";
/// How the path of an image in a layout begins, and the scope of a policy for layouts.
pub(crate) const LAYOUT: &str = "oci-layout://";
const HTTPS: &str = "https://";
const HTTP: &str = "http://";
/// The endings of plugins that are files.
const FILE_ENDINGS: [&str; 4] = ["wasm", "so", "dylib", "dll"];

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginSource {
    /// An image in a registry: `oci://registry/repository:tag`.
    Registry(Reference),
    /// An image in an OCI layout on disk: `oci-layout://dir:tag`, `oci-layout://dir@sha256:…`, or
    /// both, where the digest decides.
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

impl PluginSource {
    /// Parses the path of a provider. `sha256` is the provider's key of that name.
    ///
    /// # Errors
    ///
    /// [`SourceError`], with the rule that was broken.
    pub fn parse(path: &str, sha256: Option<&str>) -> Result<Self, SourceError> {
        if path.trim() != path && (path.contains(':') || is_like_image(path.trim())) {
            return Err(with_space(path));
        }
        if let Some(rest) = path.strip_prefix(HTTPS) {
            let sha256 = sha256.ok_or_else(|| without_sha256(rest))?;
            // Some tools write it in upper case.
            let sha256 = sha256.trim().to_ascii_lowercase();
            let sha256 = sha256.strip_prefix("sha256:").unwrap_or(&sha256);
            let sha256 = format!("sha256:{sha256}").parse()?;
            check_host(path)?;
            return Ok(Self::Url {
                url: path.to_owned(),
                sha256,
            });
        }
        if let Some(rest) = path.strip_prefix(HTTP) {
            return Err(plain_http(rest));
        }
        if sha256.is_some() {
            let url = proposed(path).filter(|meant| meant.starts_with(HTTPS));
            return Err(url.map_or(SourceError::NeedlessSha256, |meant| {
                SourceError::Misspelled { meant }
            }));
        }
        if let Some(name) = path.strip_prefix(OCI) {
            check_repository(name)?;
            let reference = path.parse::<Reference>();
            let reference = reference.map_err(|error| match proposed(path) {
                Some(meant) => SourceError::MisspelledImage { error, meant },
                None => error.into(),
            });
            return reference.map(Self::Registry);
        }
        if let Some(rest) = path.strip_prefix(LAYOUT) {
            return layout(rest);
        }
        if is_file_url(path) {
            return expand(Path::new(path))
                .map(Self::File)
                .map_err(SourceError::Path);
        }
        check_scheme(path)?;
        if let Some((scheme, _)) = path.split_once("://") {
            return Err(SourceError::UnknownScheme {
                scheme: scheme.to_owned(),
            });
        }
        expand(Path::new(path)).map_err(SourceError::Path)?;
        Ok(Self::File(PathBuf::from(path)))
    }

    /// Parses a command-line argument: as [`Self::parse`], but a name without a scheme is a
    /// reference.
    ///
    /// # Errors
    ///
    /// [`SourceError`], with the rule that was broken.
    pub fn parse_reference(text: &str) -> Result<Self, SourceError> {
        if text.trim() != text {
            Err(with_space(text))
        } else if text.starts_with(LAYOUT) {
            Self::parse(text, None)
        } else {
            // A registry host may be named `oci`, but Docker Hub has no image of that name.
            if !text.contains('/') {
                check_scheme(text)?;
            }
            check_repository(text.strip_prefix(OCI).unwrap_or(text))?;
            let reference = text.parse::<Reference>();
            let reference = reference.or_else(|error| {
                check_web_address(text)?;
                check_scheme(text)?;
                check_path(text)?;
                Err(SourceError::from(error))
            });
            reference.map(Self::Registry)
        }
    }

    /// Parses a command-line argument that an image is published to, as [`Self::parse_reference`] does.
    ///
    /// # Errors
    ///
    /// [`SourceError`], with the rule that was broken.
    pub fn parse_destination(text: &str) -> Result<Self, SourceError> {
        Self::parse_reference(text).map_err(|error| match error {
            SourceError::OtherStore { path } => SourceError::OtherDestination { path },
            error => error,
        })
    }

    /// Parses a command-line argument that can be a local file: one with `file://`, an absolute
    /// path, one that starts with `./`, `../` or `~/`, or one with the ending of a plugin, unless its
    /// first part is the host of a registry. What exists on disk does not matter, so that no file
    /// can take the place of an image. All else is read by [`Self::parse_reference`].
    ///
    /// # Errors
    ///
    /// [`SourceError`], with the rule that was broken.
    pub fn parse_argument(text: &str) -> Result<Self, SourceError> {
        if is_file_url(text) {
            return Self::parse(text, None);
        }
        if is_home_path(text) {
            return expand(Path::new(text))
                .map(Self::File)
                .map_err(SourceError::Path);
        }
        if is_file_path(text) {
            return Ok(Self::File(PathBuf::from(text)));
        }
        Self::parse_reference(text)
    }

    /// Makes relative paths start from `folder`, and those with `~` from the home folder.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        // What can't be expanded was refused when the source was parsed.
        let absolute = |path: PathBuf| join(folder, &expand(&path).unwrap_or(path));
        match self {
            Self::Layout { path, tag, digest } => Self::Layout {
                path: absolute(path),
                tag,
                digest,
            },
            Self::File(path) => Self::File(absolute(path)),
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

    /// Reports whether it is an image, in a registry or in a layout.
    pub fn is_image(&self) -> bool {
        matches!(self, Self::Registry(_) | Self::Layout { .. })
    }

    /// Returns why it has no signature, unless it is an image.
    pub(crate) fn unsigned(&self) -> Option<&'static str> {
        match self {
            Self::Registry(_) | Self::Layout { .. } => None,
            Self::File(_) => Some("it is a local file, which is loaded as it is"),
            Self::Url { .. } => Some("it is a file at a URL, which is verified by its `sha256`"),
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

/// Reports whether a path is in a home folder, in quotes that the shell left.
fn is_home_path(text: &str) -> bool {
    let first = Path::new(text).components().next();
    let first = first.map(|part| part.as_os_str().to_string_lossy());
    first.is_some_and(|first| first.starts_with('~'))
}

/// Reports whether an argument without a scheme has the form of a path.
fn is_file_path(text: &str) -> bool {
    let path = Path::new(text);
    let is_relative = |part| matches!(part, Component::CurDir | Component::ParentDir);
    if path.is_absolute() || path.components().next().is_some_and(is_relative) {
        return true;
    }
    let ending = path.extension().and_then(|ending| ending.to_str());
    let has_ending = ending.is_some_and(|ending| FILE_ENDINGS.contains(&ending));
    // By the rule of references, a first part with a dot or a colon is a host.
    let host = text.split_once('/').map(|(first, _)| first);
    has_ending && !host.is_some_and(|first| first.contains(['.', ':']))
}

/// Splits `dir:tag`, `dir@digest`, `dir:tag@digest` or `dir`. A colon before a slash belongs to the
/// folder, and so does an `@` that no digest follows.
fn layout(rest: &str) -> Result<PluginSource, SourceError> {
    let (named, digest) = match rest.rsplit_once('@') {
        Some((named, digest)) if is_like_digest(digest) => (named, Some(digest.parse()?)),
        _ => (rest, None),
    };
    let (path, tag) = match named.rsplit_once(':') {
        Some((path, "")) if !path.is_empty() => {
            let path = path.to_owned();
            return Err(SourceError::NoLayoutTag { path });
        }
        Some((path, tag)) if !tag.contains(['/', '\\']) => (path, Some(tag.parse()?)),
        _ => (named, digest.is_none().then(Tag::latest)),
    };
    if path.is_empty() {
        return Err(SourceError::NoLayoutPath);
    }
    expand(Path::new(path)).map_err(SourceError::Path)?;
    // Without the slash, the end of such a name would be a tag. A file is not opened with it.
    let name = path
        .strip_suffix('/')
        .filter(|name| ends_like_tag(Path::new(name)));
    Ok(PluginSource::Layout {
        path: PathBuf::from(name.unwrap_or(path)),
        tag,
        digest,
    })
}

fn ends_like_tag(layout: &Path) -> bool {
    Repository::of_layout(layout).ends_like_tag()
}

/// Whether a text is a digest, perhaps a malformed one, and not the end of a folder's name with a
/// tag.
fn is_like_digest(text: &str) -> bool {
    const SHORTEST_HASH: usize = 32;
    text.split_once(':').is_some_and(|(algorithm, hash)| {
        !hash.contains(['/', '\\'])
            && (algorithm.parse::<DigestAlgorithm>().is_ok() || hash.len() >= SHORTEST_HASH)
    })
}

impl fmt::Display for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{OCI}{reference}"),
            Self::Layout { path, tag, digest } => {
                write!(f, "{LAYOUT}{}", path.display())?;
                match tag {
                    Some(tag) => write!(f, ":{tag}")?,
                    None if ends_like_tag(path) => f.write_str("/")?,
                    None => {}
                }
                digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
            }
            Self::File(path) => write!(f, "{}", path.display()),
            // Userinfo and query can be secrets.
            Self::Url { url, .. } => match url::Url::parse(url) {
                Ok(url) => f.write_str(RedactedUrl::from(&url).as_str()),
                Err(_) => f.write_str("https://…"),
            },
        }
    }
}

#[cfg(test)]
mod tests;

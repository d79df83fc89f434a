//! A repository: a registry host and a path below it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{ReferenceError, ReferenceErrorKind};
use crate::host::RegistryHost;
use crate::serde_text::serde_as_text;
use crate::text;

/// The namespace of Docker Hub's official images, which their short names leave out.
const DOCKER_HUB_NAMESPACE: &str = "library/";
const PART: &str = "repository";
/// The path in the name of every layout, which has no repositories.
const LAYOUT_PATH: &str = "layout";
/// The scheme with which a layout is shown.
const LAYOUT_SCHEME: &str = "oci-layout://";

/// A repository: the registry host and the path below it, both normalised.
///
/// The content of an OCI image layout counts as a repository of its own, which is shown as
/// `oci-layout://` and the path of the layout.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    host: RegistryHost,
    path: Box<str>,
    /// The path of the layout, if it is one.
    layout: Option<Box<Path>>,
}

impl Repository {
    /// Longest path of a repository, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Joins a host and a path; on Docker Hub a path of one component gets `library/` before it.
    ///
    /// # Errors
    ///
    /// Fails where `path` breaks the grammar; the position is counted in `path`.
    pub fn new(host: RegistryHost, path: &str) -> Result<Self, ReferenceError> {
        check_path(path)?;
        let short = host.is_docker_hub() && !path.contains('/');
        let path = if short {
            format!("{DOCKER_HUB_NAMESPACE}{path}")
        } else {
            path.to_owned()
        };
        if path.len() > Self::MAX_BYTES {
            return Err(ReferenceError::too_long(&path, PART, Self::MAX_BYTES));
        }
        Ok(Self {
            host,
            path: path.into_boxed_str(),
            layout: None,
        })
    }

    /// Names the content of the OCI image layout at `path`, a folder or an archive. No text parses
    /// to this repository, and no registry can have its host.
    pub fn of_layout(path: impl Into<Box<Path>>) -> Self {
        Self {
            host: RegistryHost::of_layouts(),
            path: LAYOUT_PATH.into(),
            layout: Some(path.into()),
        }
    }

    /// Returns the path of the OCI image layout, if this names the content of one.
    pub fn layout(&self) -> Option<&Path> {
        self.layout.as_deref()
    }

    /// Reports whether the name of the layout has a colon. In a reference, a slash has to follow such a
    /// name if no tag does, because its rest would be read as a tag.
    pub fn ends_like_tag(&self) -> bool {
        let name = self.layout().and_then(Path::file_name);
        name.is_some_and(|name| name.to_string_lossy().contains(':'))
    }

    /// Returns the registry host.
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }

    /// Returns the path below the host, without leading slash, at most 255 bytes.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Parses `name`, which is a reference without tag and digest.
    pub(crate) fn parse_name(name: &str) -> Result<Self, ReferenceError> {
        let (host, path, path_at) = split_host(name)?;
        Self::new(host, path).map_err(|error| error.within(name, path_at))
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let path_at = text.rfind('/').map_or(0, |slash| slash + 1);
        let last = text.get(path_at..).unwrap_or_default();
        if let Some(at) = last.find([':', '@']) {
            let kind = ReferenceErrorKind::NotARepository;
            return Err(ReferenceError::new(text, path_at + at, kind));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            let scheme = scheme.to_owned();
            let kind = ReferenceErrorKind::Scheme { scheme };
            return Err(ReferenceError::new(text, 0, kind));
        }
        Self::parse_name(text)
    }
}

/// Splits `name` into its host and path, by the rule that docker uses: the first component is a
/// host when it holds a dot, a colon or an upper-case letter, or is `localhost`.
fn split_host(name: &str) -> Result<(RegistryHost, &str, usize), ReferenceError> {
    let error = |position, kind| ReferenceError::new(name, position, kind);
    let Some((first, rest)) = name.split_once('/') else {
        if name.starts_with('[') {
            return Err(error(name.len(), ReferenceErrorKind::NoRepository));
        }
        if name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(error(0, ReferenceErrorKind::ImageId));
        }
        return Ok((RegistryHost::docker_hub(), name, 0));
    };
    let is_host = first == "localhost"
        || first.contains(['.', ':', '['])
        || first.bytes().any(|b| b.is_ascii_uppercase());
    if !is_host {
        return Ok((RegistryHost::docker_hub(), name, 0));
    }
    let host = first
        .parse()
        .map_err(|cause: ReferenceError| cause.within(name, 0))?;
    if rest.is_empty() {
        return Err(error(name.len(), ReferenceErrorKind::NoRepository));
    }
    Ok((host, rest, first.len() + 1))
}

/// Checks components of `[a-z0-9]+` joined by `.`, `_`, `__` or any number of hyphens.
fn check_path(path: &str) -> Result<(), ReferenceError> {
    if path.is_empty() {
        let kind = ReferenceErrorKind::MissingPart { part: PART };
        return Err(ReferenceError::new(path, 0, kind));
    }
    if path.len() > Repository::MAX_BYTES {
        return Err(ReferenceError::too_long(path, PART, Repository::MAX_BYTES));
    }
    let mut start = 0;
    for component in path.split('/') {
        check_component(component)
            .map_err(|(at, kind)| ReferenceError::new(path, start + at, kind))?;
        start += component.len() + 1;
    }
    Ok(())
}

fn check_component(component: &str) -> Result<(), (usize, ReferenceErrorKind)> {
    let character = |at: usize| {
        let character = component
            .get(at..)
            .and_then(|rest| rest.chars().next())
            .unwrap_or('/');
        (at, ReferenceErrorKind::character(character, PART))
    };
    if component.is_empty() {
        let part = "component of the repository";
        return Err((0, ReferenceErrorKind::MissingPart { part }));
    }
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separator = 0; // Where the separator that is being read began.
    let mut in_separator = true; // A component begins with a word, like after a separator.
    for (at, found) in component.char_indices() {
        if found.is_ascii_uppercase() {
            return Err((at, ReferenceErrorKind::UpperCase { character: found }));
        }
        if u8::try_from(found).is_ok_and(is_word) {
            if in_separator && at > 0 && !is_separator(component.get(separator..at).unwrap_or("")) {
                return Err(character(at.saturating_sub(1)));
            }
            in_separator = false;
        } else if matches!(found, '.' | '_' | '-') && at > 0 {
            if !in_separator {
                separator = at;
            }
            in_separator = true;
        } else {
            return Err(character(at));
        }
    }
    if in_separator {
        Err(character(component.len() - 1))
    } else {
        Ok(())
    }
}

fn is_separator(text: &str) -> bool {
    matches!(text, "." | "_" | "__") || text.bytes().all(|b| b == b'-')
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.layout {
            Some(path) => {
                let path = path.to_string_lossy();
                write!(f, "{LAYOUT_SCHEME}{}", text::escape_to(&path, usize::MAX))
            }
            None => write!(f, "{}/{}", self.host, self.path),
        }
    }
}

serde_as_text!(Repository);

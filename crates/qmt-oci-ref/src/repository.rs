//! A repository: a registry host and a path below it.

use std::fmt;
use std::str::FromStr;

use crate::error::{ReferenceError, ReferenceFault};
use crate::host::RegistryHost;
use crate::serde_text::serde_as_text;

/// Longest path of a repository, in bytes.
pub const REPOSITORY_MAX_BYTES: usize = 255;
/// The namespace of Docker Hub's official images, which their short names leave out.
const DOCKER_HUB_NAMESPACE: &str = "library/";
const PART: &str = "repository";

/// A repository: the registry host and the path below it, both normalised.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    host: RegistryHost,
    path: Box<str>,
}

impl Repository {
    /// Joins a host and a path; on Docker Hub a path of one component gets `library/` before it.
    ///
    /// # Errors
    ///
    /// Fails where `path` breaks the grammar; the position is counted in `path`.
    pub fn new(host: RegistryHost, path: &str) -> Result<Self, ReferenceError> {
        check_path(path).map_err(|(position, fault)| ReferenceError::new(path, position, fault))?;
        let short = host.is_docker_hub() && !path.contains('/');
        let path = if short {
            format!("{DOCKER_HUB_NAMESPACE}{path}")
        } else {
            path.to_owned()
        };
        if path.len() > REPOSITORY_MAX_BYTES {
            return Err(ReferenceError::new(
                &path,
                REPOSITORY_MAX_BYTES,
                too_long(path.len()),
            ));
        }
        Ok(Self {
            host,
            path: path.into_boxed_str(),
        })
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
            return Err(ReferenceError::new(
                text,
                path_at + at,
                ReferenceFault::NotARepository,
            ));
        }
        Self::parse_name(text)
    }
}

/// Splits `name` into its host and path, by the rule that docker uses: the first component is a
/// host when it holds a dot, a colon or an upper-case letter, or is `localhost`.
fn split_host(name: &str) -> Result<(RegistryHost, &str, usize), ReferenceError> {
    let error = |position, fault| ReferenceError::new(name, position, fault);
    let Some((first, rest)) = name.split_once('/') else {
        if name.starts_with('[') {
            return Err(error(name.len(), ReferenceFault::NoRepository));
        }
        if name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(error(0, ReferenceFault::ImageId));
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
        return Err(error(name.len(), ReferenceFault::NoRepository));
    }
    Ok((host, rest, first.len() + 1))
}

fn too_long(length: usize) -> ReferenceFault {
    ReferenceFault::TooLong {
        part: PART,
        length,
        limit: REPOSITORY_MAX_BYTES,
    }
}

/// Checks components of `[a-z0-9]+` joined by `.`, `_`, `__` or any number of hyphens.
fn check_path(path: &str) -> Result<(), (usize, ReferenceFault)> {
    if path.is_empty() {
        return Err((0, ReferenceFault::MissingPart { part: PART }));
    }
    if path.len() > REPOSITORY_MAX_BYTES {
        return Err((REPOSITORY_MAX_BYTES, too_long(path.len())));
    }
    let mut start = 0;
    for component in path.split('/') {
        check_component(component).map_err(|(at, fault)| (start + at, fault))?;
        start += component.len() + 1;
    }
    Ok(())
}

fn check_component(component: &str) -> Result<(), (usize, ReferenceFault)> {
    let character = |at: usize| {
        let character = component
            .get(at..)
            .and_then(|rest| rest.chars().next())
            .unwrap_or('/');
        (
            at,
            ReferenceFault::Character {
                character,
                part: PART,
            },
        )
    };
    if component.is_empty() {
        return Err((
            0,
            ReferenceFault::MissingPart {
                part: "component of the repository",
            },
        ));
    }
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separator = 0; // Where the separator that is being read began.
    let mut in_separator = true; // A component begins with a word, like after a separator.
    for (at, found) in component.char_indices() {
        if found.is_ascii_uppercase() {
            return Err((at, ReferenceFault::UpperCase { character: found }));
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
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({self})")
    }
}

serde_as_text!(Repository);

//! Scopes: which repositories a policy covers, by whole path segments.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use qmt_oci_ref::text::without_credentials;
use qmt_oci_ref::{Digest, RegistryHost, Repository};

use crate::error::VerifyError;

/// How a scope of layouts begins.
const LAYOUT: &str = "oci-layout://";

/// A pattern over `host/path`: `ghcr.io/acme/echo`, `ghcr.io/acme/*` for one segment,
/// `ghcr.io/acme/**` for everything below, `**` for everything.
///
/// Wildcards stand for whole segments, so that `ghcr.io/acme/**` never covers `ghcr.io/acme-evil`.
/// `oci-layout://` and an absolute path is a pattern over the paths of layouts in the same way;
/// `oci-layout://**` covers all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Whether the segments are those of a layout's path.
    of_layouts: bool,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    /// `**`: one or more segments, only at the end.
    Rest,
    /// `*`: exactly one segment.
    One,
    /// The segment itself.
    Literal(Box<str>),
}

impl Scope {
    /// Everything.
    pub fn everything() -> Self {
        Self {
            of_layouts: false,
            segments: vec![Segment::Rest],
        }
    }

    /// Whether images of `repository` belong to this scope.
    pub fn covers(&self, repository: &Repository) -> bool {
        if *self == Self::everything() {
            return true;
        }
        if let Some(path) = repository.layout() {
            return self.of_layouts && self.covers_layout(path);
        }
        let host = std::iter::once(origin(repository.host()));
        !self.of_layouts && self.matches(host.chain(repository.path().split('/')))
    }

    fn covers_layout(&self, path: &Path) -> bool {
        let parts = path.components().map(|part| match part {
            Component::ParentDir => None,
            part => part.as_os_str().to_str(),
        });
        // No pattern can name a path with `..`, which may lead elsewhere, or one that is not Unicode.
        let parts: Option<Vec<&str>> = parts.collect();
        parts.is_some_and(|parts| self.matches(parts.into_iter()))
    }

    fn matches<'a>(&self, mut rest: impl Iterator<Item = &'a str>) -> bool {
        for segment in &self.segments {
            let Some(part) = rest.next() else {
                return false;
            };
            match segment {
                Segment::Rest => return true,
                Segment::One => {}
                Segment::Literal(text) if **text == *part => {}
                Segment::Literal(_) => return false,
            }
        }
        rest.next().is_none()
    }

    /// Orders scopes: greater is more specific. A literal segment beats `*`, and `*` beats `**`,
    /// from left to right. A scope of layouts alone beats one of everything.
    pub(super) fn specificity(&self) -> Vec<u8> {
        let rank = |segment: &Segment| match segment {
            Segment::Rest => 0,
            Segment::One => 1,
            Segment::Literal(_) => 2,
        };
        let of_layouts = std::iter::once(u8::from(self.of_layouts));
        of_layouts.chain(self.segments.iter().map(rank)).collect()
    }
}

impl Segment {
    fn as_str(&self) -> &str {
        match self {
            Self::Rest => "**",
            Self::One => "*",
            Self::Literal(text) => text,
        }
    }
}

/// Whether the first part of a name is a registry, and not a part of a repository of Docker Hub.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

impl FromStr for Scope {
    type Err = VerifyError;

    fn from_str(text: &str) -> Result<Self, VerifyError> {
        parse(text).map_err(|problem| {
            let text = without_credentials(text);
            VerifyError::policy(format!("scope `{text}`: {problem}"))
        })
    }
}

fn parse(text: &str) -> Result<Scope, String> {
    if text == "**" {
        return Ok(Scope::everything());
    }
    if let Some(path) = text.strip_prefix(LAYOUT) {
        let segments = layout_segments(path)?;
        return Ok(Scope {
            of_layouts: true,
            segments,
        });
    }
    if text.starts_with("oci-layout:") {
        return Err(format!("a scope of layouts is `{LAYOUT}` and a path"));
    }
    if text.starts_with(['/', '.', '~']) {
        return Err(format!(
            "it is a path; the images of a layout are `{LAYOUT}{text}`"
        ));
    }
    // A scope that no name could ever match would silently leave its images to a wider one, so
    // it is read by the grammar of repositories, with a word for each wildcard.
    let parts: Vec<&str> = text.split('/').collect();
    let Some((host, path)) = parts.split_first().filter(|(_, path)| !path.is_empty()) else {
        return Err(match text {
            "" => "it is empty; `**` covers all images".to_owned(),
            "*" => "`**` covers all images".to_owned(),
            host if is_host(host) => {
                // What precedes it may be a credential.
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                format!("it names a registry alone; `{host}/**` covers all of it")
            }
            name => format!(
                "`{name}` is not a registry; an image of Docker Hub is \
                 `docker.io/library/{name}`, and all of an organisation `docker.io/{name}/**`"
            ),
        });
    };
    let is_partly_wild = |part: &&&str| part.contains('*') && !matches!(**part, "*" | "**");
    if let Some(part) = parts.iter().find(is_partly_wild) {
        return Err(format!("in `{part}`: {PARTLY_WILD}"));
    }
    if parts.iter().rev().skip(1).any(|part| *part == "**") {
        return Err(REST_INSIDE.to_owned());
    }
    if *host != "*" && !is_host(host) {
        return Err(format!(
            "`{host}` is not a registry; images of Docker Hub are `docker.io/{text}`"
        ));
    }
    let host_word = if *host == "*" { "any.example" } else { *host };
    let path_words = path.join("/").replace("**", WORD).replace('*', WORD);
    let sample = format!("{host_word}/{path_words}").parse::<Repository>();
    let sample = sample.map_err(|error| {
        format!("a scope is host and path of a repository, without tag and digest: {error}")
    })?;
    let host = if *host == "*" {
        "*"
    } else {
        origin(sample.host())
    };
    let mut segments = vec![segment(host)];
    match path {
        // Docker Hub's own images have a first part that is usually omitted.
        [name] if sample.host().is_docker_hub() && !name.contains('*') => {
            let parts = sample.path().split('/');
            segments.extend(parts.map(segment));
        }
        ["*"] if sample.host().is_docker_hub() => {
            return Err("Docker Hub's own images are `docker.io/library/*`".to_owned());
        }
        _ => segments.extend(path.iter().map(|part| segment(part))),
    }
    Ok(Scope {
        of_layouts: false,
        segments,
    })
}

const PARTLY_WILD: &str = "`*` stands for a whole segment, not for a part of one";
const REST_INSIDE: &str = "`**` can stand only at the end";

fn segment(part: &str) -> Segment {
    match part {
        "**" => Segment::Rest,
        "*" => Segment::One,
        part => Segment::Literal(part.into()),
    }
}

/// Reads a pattern over paths of layouts.
fn layout_segments(path: &str) -> Result<Vec<Segment>, &'static str> {
    if path == "**" {
        return Ok(vec![Segment::Rest]);
    }
    if !Path::new(path).is_absolute() {
        return Err("the path of a layout must be absolute here");
    }
    let mut segments = Vec::new();
    for part in Path::new(path).components() {
        let text = match part {
            Component::ParentDir => return Err("`..` can't be part of it"),
            part => part.as_os_str().to_str().unwrap_or_default(),
        };
        if text.contains('*') && !matches!(text, "*" | "**") {
            return Err(PARTLY_WILD);
        }
        segments.push(segment(text));
    }
    let is_last = |at: usize| at + 1 == segments.len();
    let rest = segments.iter().position(|one| *one == Segment::Rest);
    if rest.is_some_and(|at| !is_last(at)) {
        return Err(REST_INSIDE);
    }
    // The name of a layout may have a colon or an `@`, but a digest is never part of it.
    match segments.last() {
        Some(Segment::Literal(name)) if ends_with_digest(name) => {
            Err("a scope is the path of a layout, without tag and digest")
        }
        _ => Ok(segments),
    }
}

fn ends_with_digest(name: &str) -> bool {
    let digest = name.rsplit_once('@').map(|(_, digest)| digest);
    digest.is_some_and(|digest| digest.parse::<Digest>().is_ok())
}

/// Replaces a wildcard.
const WORD: &str = "any";

/// Host and port; the default port of HTTPS is omitted.
fn origin(host: &RegistryHost) -> &str {
    let text = host.as_str();
    text.strip_suffix(":443").unwrap_or(text)
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of_layouts {
            let parts = self.segments.iter().map(Segment::as_str);
            return write!(f, "{LAYOUT}{}", parts.collect::<PathBuf>().display());
        }
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            f.write_str(segment.as_str())?;
        }
        Ok(())
    }
}

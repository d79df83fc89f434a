//! Scopes: which repositories a policy covers, by whole path segments.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use qmt_oci_ref::{RegistryHost, Repository};

use crate::error::VerifyError;

/// A pattern over `host/path`: `ghcr.io/acme/echo`, `ghcr.io/acme/*` for one segment,
/// `ghcr.io/acme/**` for everything inside, `**` for everything.
///
/// Wildcards stand for whole segments, so that `ghcr.io/acme/**` never covers `ghcr.io/acme-evil`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    segments: Vec<Segment>,
}

/// The order of the variants is the order of specificity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
            segments: vec![Segment::Rest],
        }
    }

    /// Whether images of `repository` belong to this scope.
    pub fn covers(&self, repository: &Repository) -> bool {
        let host = origin(repository.host());
        let mut rest = std::iter::once(host).chain(repository.path().split('/'));
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
    /// from left to right.
    pub(crate) fn specificity(&self) -> Specificity<'_> {
        Specificity(&self.segments)
    }
}

/// See [`Scope::specificity`].
#[derive(PartialEq, Eq)]
pub(crate) struct Specificity<'a>(&'a [Segment]);

impl Ord for Specificity<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |segment: &Segment| match segment {
            Segment::Rest => 0_u8,
            Segment::One => 1,
            Segment::Literal(_) => 2,
        };
        self.0.iter().map(rank).cmp(other.0.iter().map(rank))
    }
}

impl PartialOrd for Specificity<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Scope {
    type Err = VerifyError;

    fn from_str(text: &str) -> Result<Self, VerifyError> {
        let refuse =
            |problem: String| Err(VerifyError::policy(format!("scope `{text}`: {problem}")));
        if text == "**" {
            return Ok(Self::everything());
        }
        // A scope that no name could ever match would silently leave its images to a wider one, so
        // it is read by the grammar of repositories, with a word in the place of each wildcard.
        let parts: Vec<&str> = text.split('/').collect();
        let Some((host, path)) = parts.split_first().filter(|(_, path)| !path.is_empty()) else {
            return refuse(format!("names a registry alone; `{text}/**` is all of it"));
        };
        if let Some(part) = parts
            .iter()
            .find(|part| part.contains('*') && !matches!(**part, "*" | "**"))
        {
            return refuse(format!(
                "in `{part}`: `*` stands for a whole segment, not for a part of one"
            ));
        }
        if parts.iter().rev().skip(1).any(|part| *part == "**") {
            return refuse("`**` can stand only at the end".to_owned());
        }
        let is_host = *host == "*" || host.contains(['.', ':']) || *host == "localhost";
        if !is_host {
            let hint = format!("`{host}` is no registry; Docker Hub's are `docker.io/{text}`");
            return refuse(hint);
        }
        let word = |part: &&str| if part.contains('*') { WORD } else { *part }.to_owned();
        let sample: Vec<String> = path.iter().map(word).collect();
        let any_host = if *host == "*" { "any.example" } else { *host };
        let sample: Repository = match format!("{any_host}/{}", sample.join("/")).parse() {
            Ok(sample) => sample,
            Err(error) => {
                let hint = "host and path of a repository belong here, without tag and digest";
                return refuse(format!("{hint}: {error}"));
            }
        };
        let mut segments = vec![match *host {
            "*" => Segment::One,
            _ => Segment::Literal(origin(sample.host()).into()),
        }];
        match path {
            // Docker Hub's own images have a first part that nobody writes.
            [name] if sample.host().is_docker_hub() && !name.contains('*') => {
                let parts = sample.path().split('/');
                segments.extend(parts.map(|part| Segment::Literal(part.into())));
            }
            ["*"] if sample.host().is_docker_hub() => {
                return refuse("Docker Hub's own images are `docker.io/library/*`".to_owned());
            }
            _ => segments.extend(path.iter().map(|part| match *part {
                "**" => Segment::Rest,
                "*" => Segment::One,
                part => Segment::Literal(part.into()),
            })),
        }
        Ok(Self { segments })
    }
}

/// Stands where a wildcard stands.
const WORD: &str = "any";

/// Host and port, the port that HTTPS has by itself left away.
fn origin(host: &RegistryHost) -> &str {
    let text = host.as_str();
    text.strip_suffix(":443").unwrap_or(text)
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            f.write_str(match segment {
                Segment::Rest => "**",
                Segment::One => "*",
                Segment::Literal(text) => text,
            })?;
        }
        Ok(())
    }
}

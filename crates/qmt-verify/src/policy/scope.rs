//! Scopes: which repositories a policy covers, by whole path segments.

use std::fmt;
use std::str::FromStr;

use qmt_oci_ref::{RegistryHost, Repository};

use crate::error::VerifyError;

/// A pattern over `host/path`: `ghcr.io/acme/echo`, `ghcr.io/acme/*` for one segment,
/// `ghcr.io/acme/**` for everything below, `**` for everything.
///
/// Wildcards stand for whole segments, so that `ghcr.io/acme/**` never covers `ghcr.io/acme-evil`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
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
    pub(super) fn specificity(&self) -> Vec<u8> {
        let rank = |segment: &Segment| match segment {
            Segment::Rest => 0,
            Segment::One => 1,
            Segment::Literal(_) => 2,
        };
        self.segments.iter().map(rank).collect()
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
        // it is read by the grammar of repositories, with a word for each wildcard.
        let parts: Vec<&str> = text.split('/').collect();
        let Some((host, path)) = parts.split_first().filter(|(_, path)| !path.is_empty()) else {
            let problem = format!("names a registry alone; `{text}/**` covers all of it");
            return refuse(problem);
        };
        let is_partly_wild = |part: &&&str| part.contains('*') && !matches!(**part, "*" | "**");
        if let Some(part) = parts.iter().find(is_partly_wild) {
            let problem =
                format!("in `{part}`: `*` stands for a whole segment, not for a part of one");
            return refuse(problem);
        }
        if parts.iter().rev().skip(1).any(|part| *part == "**") {
            return refuse("`**` can stand only at the end".to_owned());
        }
        let is_host = *host == "*" || host.contains(['.', ':']) || *host == "localhost";
        if !is_host {
            let hint =
                format!("`{host}` is not a registry; images of Docker Hub are `docker.io/{text}`");
            return refuse(hint);
        }
        let host_word = if *host == "*" { "any.example" } else { *host };
        let path_words = path.join("/").replace("**", WORD).replace('*', WORD);
        let sample: Repository = match format!("{host_word}/{path_words}").parse() {
            Ok(sample) => sample,
            Err(error) => {
                let hint = "a scope is host and path of a repository, without tag and digest";
                return refuse(format!("{hint}: {error}"));
            }
        };
        let wild = |part: &str| match part {
            "**" => Segment::Rest,
            "*" => Segment::One,
            part => Segment::Literal(part.into()),
        };
        let host = if *host == "*" {
            "*"
        } else {
            origin(sample.host())
        };
        let mut segments = vec![wild(host)];
        match path {
            // Docker Hub's own images have a first part that is usually omitted.
            [name] if sample.host().is_docker_hub() && !name.contains('*') => {
                let parts = sample.path().split('/');
                segments.extend(parts.map(wild));
            }
            ["*"] if sample.host().is_docker_hub() => {
                return refuse("Docker Hub's own images are `docker.io/library/*`".to_owned());
            }
            _ => segments.extend(path.iter().map(|part| wild(part))),
        }
        Ok(Self { segments })
    }
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

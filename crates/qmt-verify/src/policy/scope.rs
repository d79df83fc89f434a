//! Scopes: which repositories a policy covers, by whole path segments.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use qmt_oci_ref::Repository;

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
        let name = repository.to_string();
        let mut rest = name.split('/');
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
        let refuse = |problem: &str| Err(VerifyError::policy(format!("scope `{text}`: {problem}")));
        let mut segments = Vec::new();
        let parts: Vec<&str> = text.split('/').collect();
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            segments.push(match *part {
                "" => return refuse("has an empty segment"),
                "**" if last => Segment::Rest,
                "**" => return refuse("`**` can stand only at the end"),
                "*" => Segment::One,
                part if part.contains('*') => {
                    return refuse("`*` stands for a whole segment, not for a part of one");
                }
                part if part
                    .chars()
                    .any(|c| c.is_whitespace() || c.is_control() || c == '@') =>
                {
                    return refuse("is neither a host nor a path; leave tag and digest out");
                }
                // Hosts are compared in lower case, as `Repository` writes them.
                part if index == 0 => Segment::Literal(part.to_ascii_lowercase().into()),
                part => Segment::Literal(part.into()),
            });
        }
        Ok(Self { segments })
    }
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

//! Who may stand in a certificate: one exact text, or an expression that covers the whole of it.

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::error::VerifyError;
use crate::limits::REGEX_BYTES_MAX;

/// A rule about a certificate identity: an e-mail address, a URI, or the text of any other kind of
/// subject alternative name.
#[derive(Clone, Debug)]
pub struct IdentityRule {
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Exact(String),
    Matching { pattern: String, whole: Regex },
}

impl IdentityRule {
    /// Accepts exactly `identity`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if it is empty.
    pub fn exact(identity: impl Into<String>) -> Result<Self, VerifyError> {
        let identity = identity.into();
        if identity.trim().is_empty() {
            return Err(VerifyError::policy("an identity is empty"));
        }
        Ok(Self {
            rule: Rule::Exact(identity),
        })
    }

    /// Accepts identities that `pattern` matches from the first to the last character, whether or
    /// not it says `^` and `$`. cosign matches anywhere, so that `github.com/acme/x` accepts
    /// `https://evil/?github.com/acme/x`; here it does not.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if it is empty, not an expression, or larger than 1 MiB compiled.
    pub fn regex(pattern: &str) -> Result<Self, VerifyError> {
        let refuse = |problem: String| {
            VerifyError::policy(format!("identity expression `{pattern}`: {problem}"))
        };
        if pattern.is_empty() {
            return Err(refuse("is empty".to_owned()));
        }
        let compile = |pattern: &str| {
            RegexBuilder::new(pattern)
                .size_limit(REGEX_BYTES_MAX)
                .build()
                .map_err(|error| refuse(error.to_string()))
        };
        // Alone first: `a)|(b` would be an expression only inside our brackets.
        compile(pattern)?;
        let whole = compile(&format!(r"\A(?:{pattern})\z"))?;
        Ok(Self {
            rule: Rule::Matching {
                pattern: pattern.to_owned(),
                whole,
            },
        })
    }

    /// Whether it leaves it open who signs: nobody would name these on purpose.
    pub(crate) fn accepts_everybody(&self) -> bool {
        ["x", "https://evil.example/", "evil@example.com"]
            .iter()
            .all(|anybody| self.accepts(anybody))
    }

    pub(crate) fn accepts(&self, identity: &str) -> bool {
        match &self.rule {
            Rule::Exact(expected) => expected == identity,
            Rule::Matching { whole, .. } => whole.is_match(identity),
        }
    }
}

impl fmt::Display for IdentityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::Exact(identity) => write!(f, "`{identity}`"),
            Rule::Matching { pattern, .. } => write!(f, "/{pattern}/"),
        }
    }
}

//! Rules about the identity in a certificate: an exact text, or an expression over the whole of it.

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::error::VerifyError;
use crate::limits::REGEX_BYTES_MAX;

/// A rule about a certificate identity: an e-mail address, a URI, or the text of any other kind of
/// subject alternative name.
#[derive(Clone, Debug)]
pub struct IdentityRule(Rule);

#[derive(Clone, Debug)]
enum Rule {
    Any,
    Exact(String),
    Matching { pattern: String, whole: Regex },
}

impl IdentityRule {
    /// Accepts every identity: for signers that something else identifies, such as the repository
    /// of a workflow.
    pub fn any() -> Self {
        Self(Rule::Any)
    }

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
        Ok(Self(Rule::Exact(identity)))
    }

    /// Accepts identities that `pattern` matches from the first to the last character, with or
    /// without `^` and `$`. cosign matches anywhere, so that `github.com/acme/x` accepts
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
            return Err(refuse("it is empty".to_owned()));
        }
        let compile = |pattern: &str| {
            let compiled = RegexBuilder::new(pattern)
                .size_limit(REGEX_BYTES_MAX)
                .build();
            compiled.map_err(|error| refuse(reason(&error)))
        };
        // Alone first: `a)|(b` is an expression only inside the brackets below.
        compile(pattern)?;
        let whole = compile(&format!(r"\A(?:{pattern})\z"))?;
        let pattern = pattern.to_owned();
        Ok(Self(Rule::Matching { pattern, whole }))
    }

    /// Whether it accepts identities that no policy would name on purpose.
    pub(crate) fn accepts_all(&self) -> bool {
        let samples = ["x", "https://evil.example/", "evil@example.com"];
        samples.iter().all(|identity| self.accepts(identity))
    }

    pub(crate) fn accepts(&self, identity: &str) -> bool {
        match &self.0 {
            Rule::Any => !identity.is_empty(),
            Rule::Exact(expected) => expected == identity,
            Rule::Matching { whole, .. } => whole.is_match(identity),
        }
    }

    /// Describes what is required in place of the identity `found`.
    pub(crate) fn expected(&self, found: Option<&str>) -> String {
        if let (Rule::Matching { pattern, .. }, Some(found)) = (&self.0, found)
            && Regex::new(pattern).is_ok_and(|part| part.is_match(found))
        {
            return format!("{self}, which must match the whole identity: add `.*`");
        }
        self.to_string()
    }
}

impl fmt::Display for IdentityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Any => f.write_str("any identity"),
            Rule::Exact(identity) => write!(f, "`{identity}`"),
            Rule::Matching { pattern, .. } => write!(f, "/{pattern}/"),
        }
    }
}
/// Returns what is wrong with an expression, in one line. The whole text also has the expression, with
/// a mark below it.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().next_back().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

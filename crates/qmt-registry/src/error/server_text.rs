//! The words of a server, fit to be shown.

use std::fmt;

use crate::redact::shown;

/// What a server said, cut at 1 KiB and escaped. Displays as nothing where it said nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServerText(Option<String>);

impl ServerText {
    /// Takes what a server said.
    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "only a server says something")
    )]
    pub(crate) fn new(text: &str) -> Self {
        let text = text.trim();
        Self((!text.is_empty()).then(|| shown(text)))
    }

    /// The text, if there is one.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |text| write!(f, ": {text}"))
    }
}

impl fmt::Debug for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

//! Where a credential comes from, for messages.

use std::fmt;
use std::path::PathBuf;

/// Where the credential for a registry comes from, or why there may be no credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialOrigin {
    /// The store does not say.
    #[default]
    Unknown,
    /// The caller.
    Caller,
    /// Variables of the environment, by name. They are used before what is stored.
    Variables(Vec<String>),
    /// A file, or the helper that it names.
    File(PathBuf),
    /// A variable names a place that has no credentials file.
    Misdirected {
        /// The variable.
        variable: &'static str,
        /// What it names.
        path: PathBuf,
        /// What is wrong with it, as a relative clause without its pronoun.
        reason: &'static str,
    },
}

impl fmt::Display for CredentialOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("an unknown place"),
            Self::Caller => f.write_str("the caller"),
            Self::Variables(names) => {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                f.write_str(&names.join(" and "))
            }
            Self::File(path) => path.display().fmt(f),
            Self::Misdirected {
                variable,
                path,
                reason,
            } => write!(f, "`{variable}` names `{}`, which {reason}", path.display()),
        }
    }
}

//! Where a credential comes from, for messages.

use std::fmt;
use std::path::PathBuf;

/// The variable with the content of a credentials file, which docker and GitLab's runner read. In
/// messages, its name is in place of the path. <https://github.com/docker/cli/pull/6171>
pub(crate) const AUTH_VARIABLE: &str = "DOCKER_AUTH_CONFIG";

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
    /// An entry of a file.
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry's key in `auths`, escaped.
        key: String,
        /// Whether a login to the registry replaces it, or is used before it. It is not where the key
        /// also names a path in the registry.
        is_replaced_by_login: bool,
    },
    /// A credential helper.
    Helper {
        /// The helper's program.
        program: String,
        /// The file that names it.
        path: PathBuf,
        /// The key in that file.
        key: String,
    },
    /// A variable names a place that has no credentials file.
    Misdirected {
        /// The variable.
        variable: &'static str,
        /// What it names.
        path: PathBuf,
        /// What is wrong with it, as a relative clause without its pronoun.
        reason: &'static str,
    },
    /// The variable with the content of a credentials file has no `auths`, and is not used.
    NoAuths {
        /// The variable.
        variable: &'static str,
    },
    /// Variables are set for the registry at the default port of the same host.
    OtherPort {
        /// The variables, by name.
        variables: Vec<String>,
        /// How the names of the registry's own variables begin.
        own: String,
    },
    /// A variable names a path that only a shell makes complete, so it is not used.
    Unexpanded {
        /// The variable.
        variable: &'static str,
        /// What it names.
        path: PathBuf,
        /// What only a shell replaces in it, as a clause.
        reason: &'static str,
    },
    /// A variable that must name a file or folder holds something else, which may be a secret and
    /// is not kept.
    NotAPath {
        /// The variable.
        variable: &'static str,
        /// What it holds, as the object of that verb.
        content: &'static str,
        /// What to do, to follow after a semicolon; may be empty.
        advice: &'static str,
    },
}

impl fmt::Display for CredentialOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("an unknown place"),
            Self::Caller => f.write_str("the caller"),
            Self::Variables(names) => f.write_str(&quoted(names)),
            Self::NoAuths { variable } => write!(
                f,
                "`{variable}` has no `auths`, the object with the credentials by registry"
            ),
            Self::OtherPort { variables, own } => {
                let are = if variables.len() > 1 { "are" } else { "is" };
                write!(
                    f,
                    "{} {are} for this host at the default port; with its port, the names begin with \
                     `{own}_`",
                    quoted(variables)
                )
            }
            Self::File(path) => path.display().fmt(f),
            Self::Entry { path, key, .. } => write!(f, "entry `{key}` of `{}`", path.display()),
            Self::Helper { program, path, key } => {
                write!(f, "`{program}`, named by `{key}` in `{}`", path.display())
            }
            Self::Misdirected {
                variable,
                path,
                reason,
            } => write!(f, "`{variable}` names `{}`, which {reason}", path.display()),
            Self::Unexpanded {
                variable,
                path,
                reason,
            } => write!(f, "`{variable}` names `{}`, and {reason}", path.display()),
            Self::NotAPath {
                variable,
                content,
                advice,
            } => {
                let separator = if advice.is_empty() { "" } else { "; " };
                write!(
                    f,
                    "`{variable}` holds {content}, not a path{separator}{advice}"
                )
            }
        }
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" and ")
}

//! Why a login was not accepted.

use qmt_oci_ref::{RegistryErrorKind, RegistryHost};

use super::text::{login_refused, suffix};

/// Why a login was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The registry, or its token server, refuses the user name and password.
    #[error("{}{}", login_refused(.host, *.status), suffix(.message))]
    Refused {
        /// The registry.
        host: RegistryHost,
        /// The status.
        status: u16,
        /// The server's message, escaped; empty without one.
        message: String,
    },
    /// The server does not have the paths of a registry.
    #[error("no registry answers at `{host}`: `/v2/` does not exist there (status 404){}", suffix(.message))]
    NoRegistry {
        /// The server.
        host: RegistryHost,
        /// The server's message, escaped; empty without one.
        message: String,
    },
}

impl LoginError {
    pub(super) fn kind(&self) -> RegistryErrorKind {
        match self {
            Self::Refused { .. } => RegistryErrorKind::Unauthorized,
            Self::NoRegistry { .. } => RegistryErrorKind::Protocol,
        }
    }

    pub(super) fn hint(&self) -> String {
        match self {
            Self::Refused {
                host, status: 403, ..
            } => format!("ask the operator of `{host}` what this account may do"),
            Self::Refused { .. } => {
                "many registries require an access token in place of the password".to_owned()
            }
            Self::NoRegistry { .. } => super::hint::WEB_PAGE.to_owned(),
        }
    }
}

//! What the user can do about an error.

use super::{ClientError, CredentialError};

/// Where proxies are set.
const PROXY: &str = "a proxy is set by `proxy` of a registry in the config or by `HTTPS_PROXY`, \
                     `HTTP_PROXY` or `ALL_PROXY`; `NO_PROXY` names hosts that are reached without";

impl ClientError {
    /// Returns what the user can do about it, if the message does not say so.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unauthorized {
                host,
                anonymous: true,
                ..
            }
            | Self::TokenRefused {
                host,
                anonymous: true,
                ..
            } => Some(format!(
                "log in with `qmt-plugins login {host}`; logins of docker and podman are used as well"
            )),
            Self::Unauthorized { host, .. } | Self::TokenRefused { host, .. } => Some(format!(
                "the credential may have expired or lack this right; `qmt-plugins login {host}` \
                 replaces it"
            )),
            Self::NotFound {
                host: Some(host), ..
            } => Some(format!(
                "check the name and the tag; for a private repository, many registries answer the same \
                 until you log in: `qmt-plugins login {host}`"
            )),
            Self::WebPage { .. } => Some(
                "check that this is the host of the registry and not of its web site; login pages and \
                 proxies also answer with HTML"
                    .to_owned(),
            ),
            Self::Credential(CredentialError::Helper { program, key, .. }) => Some(format!(
                "install `{program}`, or remove `{key}` from the file and log in again"
            )),
            Self::Credential(CredentialError::AmbiguousVariable { host, own, .. }) => Some(format!(
                "set `{own}` for `{host}`; if it has no credential, set one of them to the empty text"
            )),
            Self::Tls(error) => error.hint(),
            // The answer of a TLS server to plain HTTP: an error, an alert or a reset.
            Self::Status {
                url,
                status: 400,
                from: None,
                ..
            }
            | Self::Transport {
                url,
                answered: false,
                ..
            } if url.as_str().starts_with("http://") =>
            {
                let address = url.address();
                Some(format!(
                    "if `{address}` serves HTTPS, remove `plain_http` from the options of the \
                     registry in the config"
                ))
            }
            Self::ProxyAnswer { status: 407, .. } => Some(format!(
                "give the proxy's user name and password in its URL, `http://USER:PASSWORD@…`; {PROXY}"
            )),
            Self::ProxyFailed { .. } | Self::ProxyAnswer { .. } | Self::ProxyVariable { .. } => {
                Some(PROXY.to_owned())
            }
            Self::Unreachable { address, .. } => Some(unreachable_server(address)),
            _ => None,
        }
    }
}

/// The host as references name it: without the default port of HTTPS.
pub(super) fn host_of(address: &str) -> &str {
    address.strip_suffix(":443").unwrap_or(address)
}

fn unreachable_server(address: &str) -> String {
    let host = host_of(address);
    let plain = if host == address {
        ""
    } else {
        " (if it serves plain HTTP: `plain_http = true` there)"
    };
    format!(
        "is the registry running, and are its name and port right{plain}? Set `proxy` or `mirrors` in \
         `[registries.\"{host}\"]` to reach it another way; only mirrors with `resolve_tags = true` \
         are asked for tags"
    )
}

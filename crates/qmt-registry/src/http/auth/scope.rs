//! What a request needs access to, and the token scopes that follow.

use std::sync::Arc;

use qmt_oci_ref::Repository;

use crate::http::transport::Endpoint;

/// What a request is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    /// Check the credential, and nothing else.
    Check,
    /// Read.
    Pull,
    /// Read and write.
    Push,
}

/// What a request needs access to.
pub(crate) struct AuthScope<'a> {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) repository: Option<&'a Repository>,
    pub(crate) access: Access,
    /// Another repository of the same registry that is read at the same time.
    pub(crate) mount_from: Option<&'a Repository>,
}

impl AuthScope<'_> {
    /// The registry's origin: scheme, host and port.
    pub(super) fn origin(&self) -> String {
        self.endpoint.base.origin().ascii_serialization()
    }

    /// The scopes to ask for. The registry's own scope is taken where it is no wider than the
    /// request needs, because some registries store a repository under another name.
    pub(super) fn tokens(&self, demanded: Option<&str>) -> Vec<String> {
        let Some(repository) = self.repository else {
            return Vec::new();
        };
        let required: &[&str] = match self.access {
            Access::Check => return Vec::new(),
            Access::Pull => &["pull"],
            Access::Push => &["pull", "push"],
        };
        let fits = |scope: &&str| {
            let mut parts = scope.split(':');
            let (kind, actions) = (parts.next(), parts.next_back().unwrap_or_default());
            let granted: Vec<&str> = actions.split(',').collect();
            kind == Some("repository")
                && granted.iter().all(|action| required.contains(action))
                && required.iter().all(|action| granted.contains(action))
        };
        let demanded = demanded.map(str::trim_ascii).filter(fits);
        let is_single = |scope: &&str| !scope.contains(|c: char| c.is_ascii_whitespace());
        let mut scopes = vec![demanded.filter(is_single).map_or_else(
            || format!("repository:{}:{}", repository.path(), required.join(",")),
            str::to_owned,
        )];
        scopes.extend(
            self.mount_from
                .map(|from| format!("repository:{}:pull", from.path())),
        );
        scopes
    }
}

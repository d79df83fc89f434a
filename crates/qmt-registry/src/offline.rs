//! [`Offline`]: the registry of a host that may not use the network.

use async_trait::async_trait;
use qmt_oci_ref::manifest::Referrers;
use qmt_oci_ref::{
    BlobStream, Descriptor, Digester, PinnedReference, RawManifest, Reference, Registry,
    RegistryError, Repository,
};

use crate::error::ClientError;

/// Replaces a registry for which the network would be used, and answers every request with
/// [`RegistryErrorKind::Offline`](qmt_oci_ref::RegistryErrorKind::Offline).
///
/// The error is a [`ClientError::Offline`], which names the rule and what was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Offline {
    rule: &'static str,
}

impl Offline {
    /// Forbids the network because of `rule`: the option or setting as the operator writes it, such
    /// as `` `--offline` ``.
    pub fn new(rule: &'static str) -> Self {
        Self { rule }
    }

    fn refuse<T>(self, what: String) -> Result<T, RegistryError> {
        let rule = self.rule;
        Err(ClientError::Offline { what, rule }.into())
    }
}

#[async_trait]
impl Registry for Offline {
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        self.refuse(format!("`{reference}`"))
    }

    async fn manifest(
        &self,
        pin: &PinnedReference,
        _limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        self.refuse(format!("the manifest `{pin}`"))
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        _resume_from: Digester,
    ) -> Result<BlobStream, RegistryError> {
        self.refuse(format!("the blob `{from}@{}`", blob.digest()))
    }

    async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError> {
        self.refuse(format!("the list of referrers of `{subject}`"))
    }
}

#[cfg(test)]
mod tests;

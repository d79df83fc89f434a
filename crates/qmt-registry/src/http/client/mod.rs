//! [`HttpRegistry`]: manifests, blobs, uploads, referrers.
//!
//! [`attempt`] sends a request with authorization, [`operation`] paces the attempts; [`manifest`],
//! [`referrers`], [`blob`] and [`upload`] are what is done with them.

mod attempt;
mod blob;
mod file;
mod hosts;
mod login;
mod manifest;
mod operation;
mod referrers;
mod retry;
mod upload;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub use self::hosts::HttpRegistryBuilder;
use self::hosts::Inner;
use self::operation::{Operation, PINNED};
use self::referrers::NO_TAG;
pub(crate) use self::retry::until;
use super::auth::Auth;
use super::transport::HostOptions;
use crate::credentials::{Credential, CredentialChain, Environment};
use crate::error::{ClientError, text::answers_with};
use crate::events::Events;
use crate::limits::MIRROR_TRIES_MAX;
use crate::writer::{BlobContent, RegistryWriter};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use qmt_oci_ref::manifest::Referrers;
use qmt_oci_ref::{
    BlobStream, Descriptor, Digester, PinnedReference, RawManifest, Reference, Registry,
    RegistryError, RegistryHost, Repository, Tag,
};

/// The time limit of a mirror for connecting, for the head of an answer, and for the window in
/// which the rate of a body is measured. There is no second attempt: the next source has the
/// content as well, and the look-up of signatures must have time left.
const MIRROR_WAIT: Duration = Duration::from_secs(5);

/// All registries that speak the OCI distribution protocol. Cloning shares connections and tokens.
#[derive(Clone)]
pub struct HttpRegistry {
    inner: Arc<Inner>,
}

impl HttpRegistry {
    /// Starts setting up a client.
    pub fn builder() -> HttpRegistryBuilder {
        HttpRegistryBuilder::default()
    }

    /// Checks whether `host` accepts `credential`, without a fallback to anonymous access. Returns
    /// whether the registry asked for the credential: if not, nothing is known about it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Login`] where it does not accept it, and the network's errors.
    pub async fn check_credential(
        &self,
        host: &RegistryHost,
        credential: Credential,
    ) -> Result<bool, RegistryError> {
        let endpoint = self.inner.endpoint(host)?;
        let store = CredentialChain::over(Environment::default());
        let store = store.with_explicit(endpoint.host.clone(), credential);
        let auth = Arc::new(Auth::new(Some(Arc::new(store)), false));
        let checked = self.inner.run_with(auth, host, Operation::check).await;
        Ok(checked.map_err(|error| login::of_login(endpoint.host.clone(), error))?)
    }

    /// Checks that `host` answers as a registry, with the credential that is stored for it, if there
    /// is one. As for downloads, one that can't be used is reported as an event, and anonymous access is
    /// tried. Returns whether the registry asked for a credential and got it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unauthorized`] and [`ClientError::TokenRefused`] where it does not accept the
    /// credential, or requires one that is not stored, [`ClientError::Login`] where it is not a registry,
    /// and the network's errors.
    pub async fn check_host(&self, host: &RegistryHost) -> Result<bool, RegistryError> {
        Ok(self.inner.run(host, Operation::check).await?)
    }

    /// Reads the files that the options of all registries name.
    ///
    /// # Errors
    ///
    /// [`ClientError::Options`] where an option can't be used.
    pub fn check_options(&self) -> Result<(), RegistryError> {
        Ok(self.inner.check_options()?)
    }

    /// Returns warnings about the options: client certificates that are not valid at `now`.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        self.inner.warnings(now)
    }

    /// Checks that the proxy for `host`, if the options or the environment name one, can be read. Nothing
    /// is connected.
    ///
    /// # Errors
    ///
    /// [`ClientError::Proxy`] with the variable, and [`ClientError::Options`].
    pub fn check_proxy(&self, host: &RegistryHost) -> Result<(), RegistryError> {
        Ok(self.inner.endpoint(host)?.check_proxy()?)
    }

    /// A client of a mirror, which shares limits, tokens and credentials with this one and gives up
    /// sooner. It reaches `host` with `options`.
    pub(crate) fn of_mirror(
        &self,
        host: RegistryHost,
        options: HostOptions,
    ) -> Result<Self, ClientError> {
        let Inner { auth, streams, .. } = &*self.inner;
        let (auth, streams) = (Arc::clone(auth), Arc::clone(streams));
        let mut context = self.inner.context.clone();
        let limits = &mut context.limits;
        limits.tries = limits.tries.min(MIRROR_TRIES_MAX);
        limits.connect_timeout = limits.connect_timeout.min(MIRROR_WAIT);
        limits.header_timeout = limits.header_timeout.min(MIRROR_WAIT);
        limits.stall_window = limits.stall_window.min(MIRROR_WAIT);
        // A longer pause, which it may ask for, is no attempt at all.
        limits.retry_wait_max = limits.retry_wait_max.min(MIRROR_WAIT);
        limits.retries_silence = false;
        let is_deferred = self.inner.is_deferred;
        let inner = Inner::new(context, auth, streams, vec![(host, options)], is_deferred)?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Whether `host` is reached without TLS.
    pub(crate) fn is_plain_http(&self, host: &RegistryHost) -> bool {
        self.inner.is_plain_http(host)
    }

    pub(crate) fn events(&self) -> &Events {
        &self.inner.context.events
    }

    /// The limit of one operation.
    pub(crate) fn total_timeout(&self) -> Duration {
        self.inner.context.limits.total_timeout
    }

    async fn fetch_manifest(
        &self,
        reference: &Reference,
        limit: u64,
    ) -> Result<RawManifest, ClientError> {
        let fetch = async |mut operation: Operation| {
            if stands_for_digest(reference) {
                operation = operation.as_one_of_many_places();
            }
            operation.fetch_manifest(reference, limit).await
        };
        self.inner.run(reference.host(), fetch).await
    }
}

/// Whether `reference` is a tag that is made of a digest, such as that of a signature.
fn stands_for_digest(reference: &Reference) -> bool {
    let tag = reference.tag().filter(|_| reference.digest().is_none());
    tag.is_some_and(Tag::stands_for_digest)
}

#[async_trait]
impl Registry for HttpRegistry {
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        let limit = self.inner.context.limits.manifest;
        match self.fetch_manifest(reference, limit).await {
            Err(ClientError::Status {
                status,
                from: None,
                message,
                ..
            }) if stands_for_digest(reference) && NO_TAG.contains(&status) => {
                let absent = RegistryError::from(ClientError::absent(reference));
                Err(absent.with_remark(answers_with(status, &message)))
            }
            fetched => Ok(fetched?),
        }
    }

    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        let fetched = self.fetch_manifest(&pin.clone().into(), limit).await;
        fetched.map_err(|mut error| {
            if let ClientError::NotFound { advice, .. } = &mut error {
                *advice = PINNED;
            }
            // A tag may be missing where the registry says so with status 200; a digest was listed.
            let is_other_content = matches!(error, ClientError::ErrorContent { .. });
            let error = RegistryError::from(error);
            if is_other_content {
                error.with_other_content()
            } else {
                error
            }
        })
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        resume_from: Digester,
    ) -> Result<BlobStream, RegistryError> {
        let streams = Arc::clone(&self.inner.streams);
        let open = |operation| blob::open(operation, streams, from, blob, resume_from);
        Ok(self.inner.run(from.host(), open).await?)
    }

    async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError> {
        let list =
            async |operation: Operation| Ok(Box::pin(operation.list_referrers(subject)).await);
        self.inner.run(subject.repository().host(), list).await?
    }

    async fn until(&self, end: Instant, reads: BoxFuture<'_, ()>) {
        until(end.into(), reads).await;
    }
}

#[async_trait]
impl RegistryWriter for HttpRegistry {
    async fn push_blob(
        &self,
        to: &Repository,
        blob: &Descriptor,
        content: &dyn BlobContent,
        mount_from: Option<&Repository>,
    ) -> Result<(), RegistryError> {
        let push = async |operation| {
            let mut upload = upload::Upload {
                operation,
                to,
                blob,
                content,
                lost: 0,
            };
            upload.run(mount_from).await
        };
        Ok(self.inner.run(to.host(), push).await?)
    }

    async fn push_manifest(
        &self,
        to: &Reference,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, RegistryError> {
        let push = async |mut operation: Operation| operation.push_manifest(to, manifest).await;
        Ok(self.inner.run(to.host(), push).await?)
    }
}

impl std::fmt::Debug for HttpRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRegistry").finish_non_exhaustive()
    }
}

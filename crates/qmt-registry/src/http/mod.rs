//! Registries over HTTP: one client for all hosts.
//!
//! A request's way: `HttpRegistry` picks the sources (registry and mirrors), `retry` paces the
//! tries at each, `request` adds the authorization that `token` holds and follows redirects as
//! far as `redirect` and `resolver` allow, `body` bounds what comes back, and `manifest` or
//! `resume` prove it.

mod body;
mod builder;
mod challenge;
mod download;
mod endpoint;
mod exchange;
mod manifest;
mod options;
mod pool;
mod realm;
mod redirect;
mod referrers;
mod request;
mod resolver;
mod resume;
mod retry;
mod sources;
mod token;
mod upload;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use http::{HeaderMap, Method};
use qmt_oci_ref::{
    Descriptor, Digester, MediaType, PinnedReference, Reference, RegistryHost, Repository,
};
use tokio::time::timeout_at;

pub use self::builder::HttpRegistryBuilder;
pub use self::options::HostOptions;

use self::endpoint::Endpoint;
use self::manifest::Name;
use self::request::{Call, Payload};
use self::retry::Attempts;
use self::sources::Inner;
use self::token::{Access, Auth};
use self::upload::Upload;
use crate::credential::{Credential, CredentialStore};
use crate::error::{Phase, RegistryError};
use crate::mirror::{Subject, order};
use crate::redact::RedactedUrl;
use crate::registry::{BlobContent, BlobStream, RawManifest, Registry, RegistryWriter, Resolved};

/// All registries that speak the OCI distribution protocol. Cloning shares connections, tokens and
/// what is known of mirrors.
#[derive(Clone)]
pub struct HttpRegistry {
    inner: Arc<Inner>,
}

impl HttpRegistry {
    /// Starts setting up a client.
    pub fn builder() -> HttpRegistryBuilder {
        HttpRegistryBuilder::default()
    }

    /// Lists the referrers of `subject` that have this artifact type.
    ///
    /// # Errors
    ///
    /// As [`Registry::referrers`].
    pub async fn referrers_of_type(
        &self,
        subject: &PinnedReference,
        artifact_type: &MediaType,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        self.list_referrers(subject, Some(artifact_type)).await
    }

    /// Asks `host` whether it takes `credential`, and nothing else. No fallback to anonymity.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unauthorized`] or [`RegistryError::TokenRefused`] where it does not, and
    /// the network's errors.
    pub async fn check_credential(
        &self,
        host: &RegistryHost,
        credential: Credential,
    ) -> Result<(), RegistryError> {
        let origin = &self.inner.sources(host)?.origin;
        let auth = Auth::new(Some(Arc::new(Only(credential))), false);
        let call = Call {
            endpoint: origin,
            repository: None,
            access: Access::Check,
            mount_from: None,
            method: Method::GET,
            url: origin.version_url(),
            headers: HeaderMap::new(),
            payload: Payload::Empty,
            what: host.to_string(),
        };
        let context = &self.inner.context;
        self.inner
            .within(origin, async |mut attempts: Attempts| {
                request::send(context, &auth, &call, &[200], &mut attempts)
                    .await
                    .map(|_| ())
            })
            .await
    }

    /// Fetches a manifest from the sources in order.
    async fn fetch_manifest(
        &self,
        repository: &Repository,
        name: Name<'_>,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        let subject = match name {
            Name::Tag(_) => Subject::Tag,
            Name::Digest(_) => Subject::Content,
        };
        let inner = &*self.inner;
        let ask = |endpoint: Arc<Endpoint>, mut attempts: Attempts| {
            async move {
                let (context, auth) = (&inner.context, &inner.auth);
                manifest::fetch(
                    context,
                    auth,
                    &endpoint,
                    repository,
                    name,
                    limit,
                    &mut attempts,
                )
                .await
            }
            .boxed()
        };
        inner
            .first_of(repository.host(), subject, ask, |_| false)
            .await
    }

    async fn list_referrers(
        &self,
        subject: &PinnedReference,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let inner = &*self.inner;
        let ask = |endpoint: Arc<Endpoint>, mut attempts: Attempts| {
            async move {
                let (context, auth) = (&inner.context, &inner.auth);
                referrers::list(
                    context,
                    auth,
                    &endpoint,
                    subject,
                    artifact_type,
                    &mut attempts,
                )
                .await
            }
            .boxed()
        };
        // A pull-through cache rarely has the lists of its origin.
        let host = subject.repository().host();
        inner
            .first_of(host, Subject::Referrers, ask, Vec::is_empty)
            .await
    }
}

#[async_trait]
impl Registry for HttpRegistry {
    async fn resolve(&self, reference: &Reference) -> Result<Resolved, RegistryError> {
        let name = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Name::Digest(digest),
            (None, Some(tag)) => Name::Tag(tag.as_str()),
            (None, None) => {
                return Err(RegistryError::NotFound {
                    what: reference.to_string(),
                });
            }
        };
        let limit = self.inner.context.limits.manifest;
        let manifest = self
            .fetch_manifest(reference.repository(), name, limit)
            .await?;
        Resolved::new(reference, manifest)
    }

    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        self.fetch_manifest(pin.repository(), Name::Digest(pin.digest()), limit)
            .await
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        eaten: Digester,
    ) -> Result<BlobStream, RegistryError> {
        let sources = self.inner.sources(from.host())?;
        let order = || order(Subject::Content, &sources.mirrors, &sources.origin);
        let deadline = self.inner.deadline();
        let opening = resume::open_at(&self.inner, order, from, blob, eaten, deadline);
        timeout_at(deadline, opening).await.unwrap_or_else(|_| {
            Err(RegistryError::Timeout {
                url: RedactedUrl::from(&sources.origin.base),
                phase: Phase::Finish,
                limit: self.inner.context.limits.total_timeout,
            })
        })
    }

    async fn referrers(&self, subject: &PinnedReference) -> Result<Vec<Descriptor>, RegistryError> {
        self.list_referrers(subject, None).await
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
        let origin = &self.inner.sources(to.host())?.origin;
        let (context, auth) = (&self.inner.context, &self.inner.auth);
        let upload = Upload {
            context,
            auth,
            endpoint: origin,
        };
        self.inner
            .within(origin, async |mut attempts: Attempts| {
                upload
                    .blob(to, blob, content, mount_from, &mut attempts)
                    .await
            })
            .await
    }

    async fn push_manifest(
        &self,
        to: &Reference,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, RegistryError> {
        let origin = &self.inner.sources(to.host())?.origin;
        let (context, auth) = (&self.inner.context, &self.inner.auth);
        let upload = Upload {
            context,
            auth,
            endpoint: origin,
        };
        self.inner
            .within(origin, async |mut attempts: Attempts| {
                upload.manifest(to, manifest, &mut attempts).await
            })
            .await
    }
}

impl std::fmt::Debug for HttpRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRegistry").finish_non_exhaustive()
    }
}

/// A store that knows one credential, to check it.
struct Only(Credential);

#[async_trait]
impl CredentialStore for Only {
    async fn credential(
        &self,
        _host: &RegistryHost,
        _repository: Option<&Repository>,
    ) -> Result<Option<Credential>, RegistryError> {
        Ok(Some(self.0.clone()))
    }
}

fn index_media_type() -> MediaType {
    MediaType::new(MediaType::OCI_INDEX)
}

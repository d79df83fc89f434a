//! [`Mirrors`]: other sources of a registry's content, and which of them are asked in which order.
//!
//! Content is addressed by digest, so a mirror needs no trust for it. A tag is a claim, so only the
//! registry itself, or a mirror that the operator calls authoritative, resolves one.

mod deadline;
mod failover;
mod lists;
mod options;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use qmt_oci_ref::manifest::Referrers;
use qmt_oci_ref::{
    BlobStream, Descriptor, Digester, PinnedReference, RawManifest, Reference, Registry,
    RegistryError, RegistryErrorKind, RegistryHost, Repository,
};

use self::deadline::{Deadline, Turn};
use self::failover::{Failover, Opened};
pub use self::options::MirrorOptions;
use crate::error::{ClientError, text::error_with_cause};
use crate::events::{Events, RegistryEvent};
use crate::http::{HttpRegistry, origin_key, until};

/// Up to this size, a blob that may come from a mirror is verified before its first byte is handed
/// out, so that wrong content of a mirror costs nothing: 1 MiB.
const VERIFIED_FIRST_MAX: u64 = 1 << 20;
/// How long a mirror that sent wrong content, or no whole answer in time, is not asked.
const GIVEN_UP: Duration = Duration::from_mins(10);

/// A registry client in front of which mirrors are asked.
///
/// Mirrors are asked in the order in which they were added, the registry last. A mirror that sent
/// wrong content, or no whole answer in time, is not asked again for 10 minutes.
#[derive(Clone)]
pub struct Mirrors {
    client: HttpRegistry,
    origin: Arc<Source>,
    /// The mirrors of each registry, by its key.
    hosts: HashMap<(String, u16), Vec<Arc<Source>>>,
}

/// A mirror, or the registry itself.
struct Source {
    registry: Arc<dyn Registry>,
    /// `None` for the registry itself.
    mirror: Option<MirrorOptions>,
    /// When it sent wrong content, or did not answer in time.
    given_up: Mutex<Option<Instant>>,
}

/// What is asked for, as far as it matters for the choice of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// Content by its digest: every source.
    Content,
    /// A tag: authoritative sources.
    Tag,
    /// Referrers: authoritative sources first; all others where these list none or the registry does
    /// not answer in full, because every referrer is verified.
    Referrers,
}

impl Mirrors {
    /// Puts no mirrors in front of `client` yet.
    pub fn new(client: HttpRegistry) -> Self {
        let origin = Arc::new(Source {
            registry: Arc::new(client.clone()),
            mirror: None,
            given_up: Mutex::default(),
        });
        Self {
            client,
            origin,
            hosts: HashMap::new(),
        }
    }

    /// Adds a mirror of the registry `host`. Its files are read unless the client is deferred, but it is
    /// not connected to.
    ///
    /// # Errors
    ///
    /// [`ClientError::Options`] where an option of the mirror can't be used.
    pub fn mirror(
        mut self,
        host: &RegistryHost,
        mirror: MirrorOptions,
    ) -> Result<Self, RegistryError> {
        let (at, options) = (mirror.host.clone(), mirror.options.clone());
        let source = Arc::new(Source {
            registry: Arc::new(self.client.of_mirror(at, options)?),
            mirror: Some(mirror),
            given_up: Mutex::default(),
        });
        let key = self.key(host);
        self.hosts.entry(key).or_default().push(source);
        Ok(self)
    }

    fn key(&self, host: &RegistryHost) -> (String, u16) {
        origin_key(host, self.client.is_plain_http(host))
    }

    /// The sources of `host` for `subject`, in order; the registry itself is always among them.
    fn sources(&self, host: &RegistryHost, subject: Subject) -> Vec<Arc<Source>> {
        let mirrors = self.hosts.get(&self.key(host));
        let mirrors = mirrors.map_or(&[][..], Vec::as_slice);
        order(subject, mirrors, Arc::clone(&self.origin), Instant::now())
    }

    /// The deadline of an operation at `host` that starts now.
    fn deadline(&self, host: &RegistryHost, limit: Duration) -> Deadline {
        let plain_http = self.client.is_plain_http(host);
        let limit = limit.min(self.client.total_timeout());
        Deadline::new(host, plain_http, limit)
    }

    /// The sources of `host` for `subject`, in order, each with the time that it gets of `limit`.
    fn turns(
        &self,
        host: &RegistryHost,
        subject: Subject,
        limit: Duration,
    ) -> impl ExactSizeIterator<Item = Turn> {
        let deadline = self.deadline(host, limit);
        let sources = self.sources(host, subject);
        let mut others = sources.len();
        sources.into_iter().map(move |source| {
            others = others.saturating_sub(1);
            deadline.turn(source, others)
        })
    }

    /// Reads from the sources of `repository` in order until one answers.
    async fn first_of<'a, T>(
        &'a self,
        repository: &Repository,
        subject: Subject,
        read: impl Fn(Arc<Source>, Repository) -> BoxFuture<'a, Result<T, RegistryError>> + Send,
    ) -> Result<T, RegistryError> {
        let mut lacking = Vec::new();
        for turn in self.turns(repository.host(), subject, Duration::MAX) {
            let source = &turn.source;
            let read = |repository| read(Arc::clone(source), repository);
            match turn.read(repository, read).await {
                Err(error) if source.mirror.is_some() => {
                    source.skip(&error, subject, self.client.events());
                    if error.is_not_found() {
                        lacking.extend(source.mirror.as_ref().map(|mirror| mirror.host.clone()));
                    }
                }
                // The registry itself is the last source.
                Err(error) if error.is_network() => return Err(with_mirrors(error, &lacking)),
                outcome => return outcome,
            }
        }
        let what = repository.to_string();
        Err(ClientError::absent(what).into())
    }
}

#[async_trait]
impl Registry for Mirrors {
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        let subject = match reference.digest() {
            Some(_) => Subject::Content,
            None => Subject::Tag,
        };
        let (tag, digest) = (reference.tag().cloned(), reference.digest().cloned());
        let read = |source: Arc<Source>, repository| -> BoxFuture<'_, _> {
            let reference = Reference::new(repository, tag.clone(), digest.clone());
            Box::pin(async move { source.registry.resolve(&reference).await })
        };
        self.first_of(reference.repository(), subject, read).await
    }

    async fn resolve_all(&self, reference: &Reference) -> Vec<Result<RawManifest, RegistryError>> {
        let has_mirrors = self.hosts.contains_key(&self.key(reference.host()));
        if reference.digest().is_some() || !has_mirrors {
            return vec![self.resolve(reference).await];
        }
        self.merged_tag(reference).await
    }

    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        let read = |source: Arc<Source>, repository| -> BoxFuture<'_, _> {
            let pin = PinnedReference::new(repository, pin.digest().clone());
            Box::pin(async move { source.registry.manifest(&pin, limit).await })
        };
        self.first_of(pin.repository(), Subject::Content, read)
            .await
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        resume_from: Digester,
    ) -> Result<BlobStream, RegistryError> {
        let host = from.host();
        let mut failover = Failover {
            deadline: self.deadline(host, Duration::MAX),
            events: self.client.events().clone(),
            from: from.clone(),
            blob: blob.clone(),
            hashed: resume_from,
            sources: self.sources(host, Subject::Content),
            contributors: Vec::new(),
        };
        if failover.sources.len() == 1 {
            return Ok(failover.open().await?.stream);
        }
        if blob.size() > VERIFIED_FIRST_MAX {
            return failover.into_stream().await;
        }
        loop {
            let Opened { turn, stream } = failover.open().await?;
            match turn.wait(stream.try_collect::<Vec<Bytes>>()).await {
                Ok(chunks) => {
                    let chunks = chunks.into_iter().map(Ok);
                    return Ok(Box::pin(futures_util::stream::iter(chunks)));
                }
                Err(error) => failover.next_source(&turn.source, error)?,
            }
        }
    }

    async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError> {
        self.merged_referrers(subject).await
    }

    async fn until(&self, end: Instant, reads: BoxFuture<'_, ()>) {
        until(end.into(), reads).await;
    }
}

impl std::fmt::Debug for Mirrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirrors").finish_non_exhaustive()
    }
}

impl Source {
    /// The repository under which this source stores `repository`.
    fn locate(&self, repository: &Repository) -> Result<Repository, RegistryError> {
        let Some(mirror) = &self.mirror else {
            return Ok(repository.clone());
        };
        let path = match &mirror.prefix {
            Some(prefix) => format!("{prefix}/{}", repository.path()),
            None => repository.path().to_owned(),
        };
        Repository::new(mirror.host.clone(), &path)
            .map_err(|cause| RegistryError::new(RegistryErrorKind::Configuration, cause))
    }

    fn given_up(&self) -> MutexGuard<'_, Option<Instant>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_given_up(&self, now: Instant) -> bool {
        let given_up = *self.given_up();
        given_up.is_some_and(|at| now.duration_since(at) < GIVEN_UP)
    }

    /// Reports that this mirror is skipped, and remembers if its content was wrong or it was silent.
    fn skip(&self, error: &RegistryError, subject: Subject, events: &Events) {
        let Some(mirror) = &self.mirror else {
            return;
        };
        // Lists of referrers are not addressed by digest.
        let is_wrong = is_wrong_content(error) && subject != Subject::Referrers;
        let cause: Option<&ClientError> = error.downcast_ref();
        let is_silent = cause.is_some_and(ClientError::is_silence);
        if is_wrong || is_silent {
            *self.given_up() = Some(Instant::now());
        }
        let mut reason = cause.map_or_else(|| error.to_string(), error_with_cause);
        // Other hints are about the image or a registry that can't be reached.
        let hint = cause.filter(|cause| is_about_access(cause));
        if let Some(hint) = hint.and_then(ClientError::hint) {
            reason = format!("{reason}; {hint}");
        }
        if is_silent {
            reason.push_str("; it is not asked again for 10 minutes");
        }
        events.send(RegistryEvent::MirrorSkipped {
            mirror: mirror.host.clone(),
            reason,
            wrong_content: is_wrong,
        });
    }
}

/// Whether a source is there and is not used because of certificates or credentials.
fn is_about_access(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Tls(_) | ClientError::Unauthorized { .. } | ClientError::TokenRefused { .. }
    )
}

/// Whether a source sent wrong content, in one answer or in several, or compressed it in an
/// encoding that is not read.
fn is_wrong_content(error: &RegistryError) -> bool {
    let is_mismatch = matches!(
        error.downcast_ref(),
        Some(
            ClientError::DigestMismatch { .. }
                | ClientError::Protocol {
                    compressed: true,
                    ..
                }
        )
    );
    is_mismatch || error.kind() == RegistryErrorKind::Content
}

/// Adds to the error of a registry that these mirrors do not have what was asked for either.
fn with_mirrors(error: RegistryError, mirrors: &[RegistryHost]) -> RegistryError {
    if mirrors.is_empty() {
        return error;
    }
    let names: Vec<_> = mirrors.iter().map(|host| format!("`{host}`")).collect();
    let mut hint = format!("its mirrors do not have it: {}", names.join(", "));
    if let Some(of_registry) = error.hint() {
        hint = format!("{of_registry}; {hint}");
    }
    error.with_hint(hint)
}

/// The sources to ask for `subject` at the time `now`, in order.
fn order(
    subject: Subject,
    mirrors: &[Arc<Source>],
    origin: Arc<Source>,
    now: Instant,
) -> Vec<Arc<Source>> {
    let usable = mirrors.iter().filter(|mirror| !mirror.is_given_up(now));
    let (mut sources, others): (Vec<_>, Vec<_>) = usable.cloned().partition(|source| {
        let is_authoritative = |mirror: &MirrorOptions| mirror.authoritative;
        subject == Subject::Content || source.mirror.as_ref().is_none_or(is_authoritative)
    });
    sources.push(origin);
    if subject == Subject::Referrers {
        sources.extend(others);
    }
    sources
}

//! From a target to verified content: what `load`, `fetch` and `update` have in common.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use qmt_cache::CacheError;
use qmt_oci_ref::{PluginKind, time};
use qmt_verify::VerifyError;

use crate::artifact::{PluginArtifact, Prepared};
use crate::caching::CachedRegistry;
use crate::config::{NativeRule, ProviderConfig, PullPolicy, Span};
use crate::error::Error;
use crate::events::{Reporter, Stage};
use crate::host::PluginHost;
use crate::lockfile::{LockEntry, LockfileError};
use crate::source::PluginSource;
use crate::stage::allow::{NativeTrust, check_allowed};
use crate::stage::cache::Cached;
use crate::stage::content::{Content, ReadMode};
use crate::stage::{Context, Locked, Request, VersionPolicy};
use crate::target::Target;
use crate::{check, local, pipeline, trust};

/// A plugin, and what the lockfile is to say about it once it is accepted.
pub(crate) struct Acquired {
    pub(crate) artifact: PluginArtifact,
    pub(crate) record: Option<Record>,
}

/// A new entry of the lockfile.
pub(crate) struct Record {
    entry: LockEntry,
    /// The entry that it replaces: the one that was there when the plugin was resolved.
    replaced: Option<LockEntry>,
    /// Whether an unwritable lockfile is an error: the entry pins a signer, or the caller asked for it
    /// to be written.
    is_required: bool,
}

impl PluginHost {
    /// Acquires the plugin that `target` names, and checks that the config allows its kind.
    pub(crate) async fn acquire(
        &self,
        target: &Target,
        version: VersionPolicy,
        mode: ReadMode,
    ) -> Result<PluginArtifact, Error> {
        let acquired = async {
            let Acquired { artifact, record } = self.acquire_source(target, version, mode).await?;
            if let Some(record) = record {
                self.record(record, &self.reporter(target)).await?;
            }
            Ok(artifact)
        };
        self.report(target, acquired.await)
    }

    /// Logs the error of a plugin that is not loaded, and sends it as an event.
    pub(crate) fn report<T>(&self, target: &Target, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| {
            let reference = target.source().to_string();
            self.reporter(target).refused(reference, error);
        })
    }

    /// Acquires the plugin, and leaves the lockfile as it is.
    pub(crate) async fn acquire_source(
        &self,
        target: &Target,
        version: VersionPolicy,
        mode: ReadMode,
    ) -> Result<Acquired, Error> {
        self.check_writers().await?;
        match target.located(self.file.folder()) {
            PluginSource::Registry(_) | PluginSource::Layout { .. } => {
                self.acquire_image(target, version, mode).await
            }
            PluginSource::File(path) => {
                let read = local::read(self, target.provider(), &path);
                let reporter = self.reporter(target);
                let read = reporter.ended(Stage::Fetch, read.await)?;
                if let Some(warning) = read.warning {
                    reporter.warning(warning);
                }
                self.unsigned(target, read.kind, path, read.content)
            }
            // The config names its digest, which is checked instead of a signature.
            PluginSource::Url { url, sha256 } => {
                // Boxed, so that the futures of hosts stay small.
                let download = Box::pin(self.download(target, &url, &sha256)).await;
                let bytes = self.reporter(target).ended(Stage::Fetch, download)?;
                // `download` returns only bytes with this digest.
                let content = Content::InMemory(bytes, sha256);
                let (kind, path) = Self::kind_of_url(target, &content)?;
                self.unsigned(target, kind, path, content)
            }
        }
    }

    async fn acquire_image(
        &self,
        target: &Target,
        version: VersionPolicy,
        mode: ReadMode,
    ) -> Result<Acquired, Error> {
        let provider = target.provider();
        let mut context = self.prepare_verified(target).await?;
        context.request.version = version;
        let cache_error = |source| Error::cache(&provider.name, source);
        let mut cached = pipeline::run(&context).await?;
        let reading = Content::of(&cached, mode);
        let (content, prepared) = tokio::join!(reading, self.prepared(target, &cached, mode));
        let content = match content {
            // The damaged entry is removed by now, so the plugin is fetched again.
            Err(error @ CacheError::Damaged { removed: true, .. }) if cached.is_hit() => {
                match pipeline::run(&context).await {
                    Err(Error::Offline { .. }) => return Err(cache_error(error)),
                    other => cached = other?,
                }
                context
                    .reporter
                    .warning("the cache was damaged; the plugin was fetched again");
                Content::of(&cached, mode).await
            }
            other => other,
        }
        .map_err(cache_error)?;
        let kind = cached.artifact().record().kind();
        let before = self.recorded_kind(target);
        let trust = NativeTrust::of_image(cached.is_skipped());
        check_allowed(
            provider,
            self.config().oci.native,
            kind,
            before.as_ref(),
            trust,
        )?;
        let record = target.is_configured().then(|| {
            let mut entry = lock_entry(provider, &context, &cached, self.config().oci.native);
            if cached.is_skipped() {
                // What was not verified removes no pin, and no time that forbids a rollback.
                entry.signer.clone_from(&context.request.pinned_signer);
                entry.signed_at = self
                    .in_repository(target, |entry| entry.signed_at)
                    .flatten();
            }
            let is_first = cached.verification().first_use();
            let is_required = is_first || version != VersionPolicy::Configured;
            Record {
                entry,
                replaced: context.request.replaced,
                is_required,
            }
        });
        let artifact = PluginArtifact {
            name: target.name().to_owned(),
            kind,
            path: cached.artifact().path().to_owned(),
            content,
            image: Some(cached),
            prepared,
        };
        Ok(Acquired { artifact, record })
    }

    /// Prepares the loader for a plugin that was loaded before and is being read.
    async fn prepared(&self, target: &Target, cached: &Cached, mode: ReadMode) -> Option<Prepared> {
        if mode == ReadMode::Hash || !cached.is_hit() {
            return None;
        }
        let record = cached.artifact().record();
        // What fails here is reported when it is loaded.
        let loader = self.loaders.for_kind(target.name(), record.kind()).ok()?;
        let options = self.load_options(target);
        loader.prepare(record.file_digest(), &options).await
    }

    /// Takes a plugin without a signature, if the config allows its kind.
    fn unsigned(
        &self,
        target: &Target,
        kind: PluginKind,
        path: PathBuf,
        content: Content,
    ) -> Result<Acquired, Error> {
        let default = self.config().oci.native;
        let trust = NativeTrust::Unsigned;
        check_allowed(target.provider(), default, kind, None, trust)?;
        let artifact = PluginArtifact {
            name: target.name().to_owned(),
            kind,
            path,
            content,
            image: None,
            prepared: None,
        };
        let record = None;
        Ok(Acquired { artifact, record })
    }

    /// Identifies the kind of what was downloaded from a URL, and returns the URL as it is shown.
    pub(crate) fn kind_of_url(
        target: &Target,
        content: &Content,
    ) -> Result<(PluginKind, PathBuf), Error> {
        let path = PathBuf::from(target.source().to_string());
        let bytes = content.bytes();
        let bytes = bytes.map_err(|source| Error::cache(target.name(), source))?;
        match qmt_artifact::sniff::kind_of(&bytes) {
            Ok(kind) => Ok((kind, path)),
            Err(problem) => Err(Error::not_a_plugin(
                target.name(),
                &path,
                problem.to_string(),
            )),
        }
    }

    /// Writes what was acquired to the lockfile.
    pub(crate) async fn record(&self, record: Record, reporter: &Reporter) -> Result<(), Error> {
        let Record {
            entry,
            replaced,
            is_required,
        } = record;
        if !self.lock().has_change(&entry, self.mode)? {
            return Ok(());
        }
        let recorded = self.lockfile.change(reporter.clone(), move |lockfile| {
            lockfile.record(entry, replaced.as_ref())
        });
        match recorded.await {
            Err(Error::Lockfile(LockfileError::Write { path, source })) if !is_required => {
                let path = path.display();
                reporter.warning(format!("the lockfile {path} can't be written: {source}"));
                Ok(())
            }
            other => other,
        }
    }

    /// Returns what the pipeline requires for `target`, the verifier included.
    pub(crate) async fn prepare_verified(&self, target: &Target) -> Result<Context, Error> {
        let refreshed = self.lockfile.refresh(|entry| {
            let target = Target::named(self.config(), &entry.name);
            target.is_ok_and(|target| target.source().to_string() == entry.reference)
        });
        refreshed.await?;
        let mut context = self.prepare(target)?;
        self.check_writers().await?;
        let trust = trust::of(self, context.request.reference.repository(), context.now).await;
        match trust {
            Ok(trust) => context.trust = Some(trust),
            Err(Error::Trust(source)) => {
                return Err(Error::Unverifiable {
                    plugin: target.name().to_owned(),
                    reference: target.source().to_string(),
                    missing: missing_image(&context, &source).await,
                    source,
                });
            }
            Err(error) => return Err(error),
        }
        Ok(context)
    }

    /// Checks once which other users may change the files that decide about trust.
    async fn check_writers(&self) -> Result<(), Error> {
        let checked = self.writers.get_or_try_init(|| async {
            let reporter = Reporter::new("config", self.events.clone());
            for warning in check::writers(self)? {
                reporter.warning(warning);
            }
            Ok(())
        });
        checked.await.copied()
    }

    /// Returns what the stages before **verify** require for `target`.
    pub(crate) fn prepare(&self, target: &Target) -> Result<Context, Error> {
        let oci = &self.config().oci;
        let provider = target.provider();
        let source = target.located(self.file.folder());
        let (registry, reference) = match self.connect(target, &source) {
            Err(error) => self.unopened(target, &source).ok_or(error)?,
            Ok(connected) => connected,
        };
        let is_local = matches!(source, PluginSource::Layout { .. });
        // Read first: what changes between this and the other reads is noticed when it is recorded.
        let named = target.source().to_string();
        let replaced = self.lock().own(target.name(), &named).cloned();
        let locked = self.entry(target).map(|entry| Locked {
            digest: entry.digest,
            signed_at: entry.signed_at.and_then(|seconds| {
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
            }),
        });
        let request = Request {
            reference,
            source: named,
            kind: provider.kind,
            file: provider.file.clone(),
            replaced,
            locked,
            pinned_signer: self
                .in_repository(target, |entry| entry.signer.clone())
                .flatten(),
            pull: oci.pull_policy,
            // A locked layout is not read again where a registry would not be asked either.
            refresh_after: oci
                .refresh_after
                .filter(|_| !is_local || self.may_refresh())
                .map(Span::duration),
            version: VersionPolicy::Configured,
        };
        let cache = Arc::new(self.cache.clone());
        Ok(Context {
            request,
            registry: CachedRegistry::new(registry, cache.clone()),
            is_local,
            offline: self.offline_rule().filter(|_| !is_local),
            cache,
            trust: None,
            host: self.platform.clone(),
            limits: oci.extract_limits(),
            reporter: self.reporter(target),
            now: SystemTime::now(),
        })
    }

    /// Whether a tag that is locked may be resolved again.
    pub(crate) fn may_refresh(&self) -> bool {
        let is_allowed = self.config().oci.pull_policy != PullPolicy::Never;
        is_allowed && self.offline_rule().is_none()
    }
}

/// Returns the error about the image, if the network may not be used and neither the image nor the
/// trust root is stored.
async fn missing_image(context: &Context, trust: &VerifyError) -> Option<Box<Error>> {
    if context.offline.is_none() || !matches!(trust, VerifyError::NotStored { .. }) {
        return None;
    }
    let error = pipeline::resolve(context).await.err()?;
    matches!(error, Error::Offline { .. }).then(|| Box::new(error))
}

/// Describes what was acquired, for the lockfile. `default` is the key `native` of `[oci]`.
fn lock_entry(
    provider: &ProviderConfig,
    context: &Context,
    cached: &Cached,
    default: Option<NativeRule>,
) -> LockEntry {
    let verification = cached.verification();
    let record = cached.artifact().record();
    let is_isolated = record.kind() == PluginKind::Native
        && provider.native_rule(default) == NativeRule::Isolated;
    LockEntry {
        name: provider.name.clone(),
        config: None,
        reference: context.request.source.clone(),
        digest: cached.pin().digest().clone(),
        manifest: cached.manifest().clone(),
        kind: record.kind(),
        file: record.file_name().to_owned(),
        file_digest: record.file_digest().clone(),
        size: record.size(),
        signer: verification.signer().cloned(),
        signed_at: verification.signed_at().map(time::seconds),
        native: is_isolated.then_some(NativeRule::Isolated),
        granted: provider.allow.clone(),
    }
}

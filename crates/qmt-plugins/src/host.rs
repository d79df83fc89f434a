//! `PluginHost`: what a host program holds.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use futures_util::{StreamExt, stream};
use qmt_artifact::{ExtractLimits, HostPlatform, PluginKind};
use qmt_cache::{CacheError, FsCache};
use qmt_loader::Plugin;
use qmt_registry::Registry;
use qmt_verify::{Report, TrustRootInfo};
use tokio::sync::OnceCell;

use crate::artifact::{ImageFacts, PluginArtifact};
use crate::builder::PluginHostBuilder;
use crate::config::{Config, ConfigFile, ProviderConfig, PullPolicy};
use crate::error::Error;
use crate::events::{EventSink, Reporter};
use crate::lockfile::{LockEntry, LockMode, Lockfile};
use crate::source::PluginSource;
use crate::stage::cache::Cached;
use crate::stage::load::{self, Content, Loaders, Standing};
use crate::stage::verify::Freshness;
use crate::stage::{Context, Request, Trust, resolve, verify};
use crate::target::Target;
use crate::{connect, local, pipeline};

/// How many plugins are worked on at the same time where the config says nothing.
const PARALLEL: usize = 4;

/// Loads the plugins of one config. Cheap to share: put it into an `Arc`.
pub struct PluginHost {
    pub(crate) file: ConfigFile,
    pub(crate) cache: FsCache,
    pub(crate) registry: Option<Arc<dyn Registry>>,
    #[cfg(feature = "http")]
    pub(crate) http: std::sync::OnceLock<qmt_registry::HttpRegistry>,
    /// Made at the first verification, because it may have to ask a TUF repository.
    pub(crate) trust: OnceCell<Trust>,
    pub(crate) loaders: Loaders,
    pub(crate) lockfile: Mutex<Lockfile>,
    pub(crate) mode: LockMode,
    pub(crate) offline: bool,
    pub(crate) platform: HostPlatform,
    pub(crate) events: Option<EventSink>,
}

impl PluginHost {
    /// Opens the config at `path`, its lockfile and the cache. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], [`Error::Lockfile`], or [`Error::Cache`] where the folder is not safe.
    pub fn from_config(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder(ConfigFile::read(path)?).build()
    }

    /// Starts a host for a config that was read already, with parts of its own.
    pub fn builder(file: ConfigFile) -> PluginHostBuilder {
        PluginHostBuilder::new(file)
    }

    /// Returns the config.
    pub fn config(&self) -> &Config {
        self.file.config()
    }

    /// Returns the cache.
    pub fn cache(&self) -> &FsCache {
        &self.cache
    }

    /// Returns the lockfile's entries, sorted by name.
    pub fn locked(&self) -> Vec<LockEntry> {
        self.lock().entries().cloned().collect()
    }

    /// Resolves, verifies, fetches and loads the plugin called `name`.
    ///
    /// # Errors
    ///
    /// [`Error`], with the stage that failed. Nothing is loaded that was not verified, unless the
    /// config says so.
    pub async fn load(&self, name: &str) -> Result<Arc<dyn Plugin>, Error> {
        let target = Target::named(self.config(), name)?;
        let fetched = self.obtain(&target, None, Need::Bytes).await?;
        let reporter = self.reporter(&target);
        let code = fetched.content.into_code().await;
        let code = code.map_err(|source| Error::Cache {
            plugin: target.name().to_owned(),
            source,
        })?;
        load::load(
            &self.loaders,
            target.provider(),
            fetched.kind,
            code,
            &reporter,
        )
        .await
    }

    /// Loads all plugins of the config, several at a time, in the config's order.
    pub async fn load_all(&self) -> Vec<(String, Result<Arc<dyn Plugin>, Error>)> {
        let loads = self
            .config()
            .providers
            .iter()
            .map(|provider| async { (provider.name.clone(), self.load(&provider.name).await) });
        stream::iter(loads)
            .buffered(self.parallel())
            .collect()
            .await
    }

    /// Does all that [`Self::load`] does but load: for hosts that load by themselves.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub async fn fetch(&self, name: &str) -> Result<PluginArtifact, Error> {
        self.fetch_target(&Target::named(self.config(), name)?)
            .await
    }

    /// Fetches what `target` names, which need not be in the config.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub async fn fetch_target(&self, target: &Target) -> Result<PluginArtifact, Error> {
        let obtained = self.obtain(target, None, Need::Proof).await?;
        Ok(obtained.into_artifact(target))
    }

    /// Fetches several, some at a time; one that fails does not stop the others.
    pub async fn fetch_all<'a>(
        &self,
        targets: &'a [Target],
    ) -> Vec<(&'a Target, Result<PluginArtifact, Error>)> {
        let fetches = targets
            .iter()
            .map(|target| async move { (target, self.fetch_target(target).await) });
        stream::iter(fetches)
            .buffered(self.parallel())
            .collect()
            .await
    }

    /// Judges the signature of what `target` names now, with signature material asked for anew, and
    /// reports what was proven.
    ///
    /// # Errors
    ///
    /// [`Error::NotVerified`] with every piece of evidence that was found, or why it could not be
    /// looked for.
    pub async fn verify(&self, target: &Target) -> Result<Report, Error> {
        let (context, request) = self.prepare_verified(target).await?;
        let pinned = resolve::resolve(&context, &request).await?;
        let verified =
            verify::verify(&context, &request, &pinned, Freshness::RegistryFirst).await?;
        Ok(verified.verification().report().clone())
    }

    /// Forgets what the lockfile holds of `name` and resolves it anew: tags may move, and where no
    /// signer is configured the new one must be the pinned one.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]. The old entry stays where it fails.
    pub async fn update(&self, name: &str) -> Result<PluginArtifact, Error> {
        let target = Target::named(self.config(), name)?;
        let always = Some(PullPolicy::Always);
        let obtained = self.obtain(&target, always, Need::Proof).await?;
        Ok(obtained.into_artifact(&target))
    }

    /// Reads policies, keys and trust material of the config, as far as no network is needed.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`], with the file that is missing, empty or malformed.
    pub async fn check_trust(&self) -> Result<(), Error> {
        crate::trust::check(self).await
    }

    /// Says which trust root is in force. With `refresh` a TUF repository is asked for news now.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`].
    pub async fn trust_root(&self, refresh: bool) -> Result<TrustRootInfo, Error> {
        let offline = self.offline_rule().is_some();
        Ok(crate::trust::trust_root(self, offline, refresh)
            .await?
            .describe()
            .clone())
    }

    /// Removes lockfile entries of plugins that the config does not name any more.
    ///
    /// # Errors
    ///
    /// [`Error::Lockfile`].
    pub fn tidy_lockfile(&self) -> Result<(), Error> {
        let names: Vec<&str> = self
            .config()
            .providers
            .iter()
            .map(|provider| provider.name.as_str())
            .collect();
        Ok(self.lock().retain(&names)?)
    }

    /// Runs the pipeline for what `target` names, and proves the bytes or reads them.
    async fn obtain(
        &self,
        target: &Target,
        pull: Option<PullPolicy>,
        need: Need,
    ) -> Result<Obtained, Error> {
        let provider = target.provider();
        match target.source().clone().relative_to(self.file.folder()) {
            PluginSource::Registry(_) | PluginSource::Layout { .. } => {}
            PluginSource::File(path) => {
                let (kind, code) = local::read(&provider.name, &path, &self.platform).await?;
                load::permit(provider, kind, None, Standing::OwnFile)?;
                return Ok(Obtained {
                    kind,
                    path,
                    content: Content::Read(code),
                    image: None,
                });
            }
            PluginSource::Url { url, sha256 } => {
                return connect::url_plugin(self, target, &url, &sha256).await;
            }
        }
        let (context, mut request) = self.prepare_verified(target).await?;
        request.pull = pull.unwrap_or(request.pull);
        let cached = pipeline::run(&context, &request).await?;
        let (cached, content) = match need.take(&cached).await {
            Ok(content) => (cached, content),
            // The entry was dropped just now. Fetching it again mends the cache.
            Err(CacheError::Damaged { .. }) if cached.is_hit() && context.may_ask() => {
                context
                    .reporter
                    .warning("the cache was damaged here; fetching the plugin again");
                let again = pipeline::run(&context, &request).await?;
                let content = need.take(&again).await.map_err(context.cache_error())?;
                (again, content)
            }
            Err(error) => return Err(context.cache_error()(error)),
        };
        let kind = recorded_kind(&context, &cached)?;
        let before = self.entry(target).map(|entry| entry.kind);
        let standing = if cached.is_skipped() {
            Standing::Unverified
        } else {
            Standing::Verified
        };
        load::permit(provider, kind, before, standing)?;
        if target.is_configured() {
            self.record(provider, &request, &cached, kind, &context.reporter)?;
        }
        let image = ImageFacts {
            pin: cached.pin().clone(),
            manifest: cached.manifest().clone(),
            verification: cached.verification().clone(),
            is_hit: cached.is_hit(),
        };
        Ok(Obtained {
            kind,
            path: cached.artifact().path().to_owned(),
            content,
            image: Some(image),
        })
    }

    /// Enters what was found into the lockfile.
    fn record(
        &self,
        provider: &ProviderConfig,
        request: &Request,
        cached: &Cached,
        kind: PluginKind,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let verification = cached.verification();
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .ok()
                .map(|d| d.as_secs())
        };
        let entry = LockEntry {
            name: provider.name.clone(),
            reference: request.shown.clone(),
            digest: cached.pin().digest().clone(),
            manifest: cached.manifest().clone(),
            kind: load::provider_kind(kind),
            file: cached.record().file_name().to_owned(),
            file_digest: cached.record().file_digest().clone(),
            size: cached.record().size(),
            signer: verification.signer().cloned(),
            signed_at: verification.signed_at().and_then(seconds),
            granted: provider.allow.clone(),
        };
        let written = self.lock().record(entry, self.mode);
        match written {
            // Where the signer is pinned by the lockfile, a lockfile that can't be written pins nothing.
            Err(crate::lockfile::LockfileError::Write { path, source })
                if !verification.first_use() =>
            {
                reporter.warning(format!(
                    "the lockfile {} can't be written: {source}",
                    path.display()
                ));
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// Puts together what the pipeline needs for `target`, the verifier included.
    async fn prepare_verified(&self, target: &Target) -> Result<(Context, Request), Error> {
        let (mut context, request) = self.prepare(target)?;
        let make = || crate::trust::build(self, context.offline.is_some());
        context.trust = Some(self.trust.get_or_try_init(make).await?.clone());
        Ok((context, request))
    }

    /// Puts together what the stages before **verify** need for `target`.
    pub(crate) fn prepare(&self, target: &Target) -> Result<(Context, Request), Error> {
        let oci = &self.config().oci;
        let provider = target.provider();
        let source = target.source().clone().relative_to(self.file.folder());
        let (registry, reference, is_local) = connect::registry_for(self, target, &source)?;
        let entry = self.entry(target);
        let mut limits = ExtractLimits::default();
        if let Some(size) = oci.max_artifact_size {
            limits = limits.with_artifact_bytes(size.bytes());
        }
        let context = Context {
            registry,
            is_local,
            cache: Arc::new(self.cache.clone()),
            trust: None,
            host: self.platform.clone(),
            offline: self.offline_rule(),
            limits,
            reporter: self.reporter(target),
            now: SystemTime::now(),
        };
        let request = Request {
            reference,
            shown: target.source().to_string(),
            kind: provider.kind.map(load::plugin_kind),
            file: provider.file.clone(),
            locked: entry.as_ref().map(|entry| entry.digest.clone()),
            expected: entry.and_then(|entry| entry.signer),
            pull: oci.pull_policy,
            refresh_after: oci.refresh_after.map(|span| span.duration()),
        };
        Ok((context, request))
    }

    /// The rule that forbids the network, if any.
    pub(crate) fn offline_rule(&self) -> Option<&'static str> {
        match (self.mode, self.offline, self.config().oci.pull_policy) {
            (LockMode::Frozen, ..) => Some("`--frozen`"),
            (_, true, _) => Some("`--offline`"),
            (_, _, PullPolicy::Never) => Some("`pull_policy = \"never\"`"),
            _ => None,
        }
    }

    pub(crate) fn forbid_network(
        &self,
        target: &Target,
        missing: &'static str,
    ) -> Result<(), Error> {
        match self.offline_rule() {
            None => Ok(()),
            Some(rule) => Err(Error::Offline {
                plugin: target.name().to_owned(),
                reference: target.source().to_string(),
                missing,
                rule,
            }),
        }
    }

    /// The HTTP client, made at its first use: with it come the files of certificates.
    #[cfg(feature = "http")]
    pub(crate) fn http_client(
        &self,
    ) -> Result<qmt_registry::HttpRegistry, qmt_registry::RegistryError> {
        if let Some(client) = self.http.get() {
            return Ok(client.clone());
        }
        let client = crate::http_client::build(&self.file, self.events.clone())?;
        Ok(self.http.get_or_init(|| client).clone())
    }

    fn parallel(&self) -> usize {
        self.config().oci.parallel.unwrap_or(PARALLEL).max(1)
    }

    fn entry(&self, target: &Target) -> Option<LockEntry> {
        let reference = target.source().to_string();
        target
            .is_configured()
            .then(|| self.lock().entry(target.name(), &reference).cloned())?
    }

    pub(crate) fn reporter(&self, target: &Target) -> Reporter {
        Reporter::new(target.name(), self.events.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lockfile> {
        self.lockfile.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHost")
            .field("config", &self.file.path())
            .finish_non_exhaustive()
    }
}

/// What becomes of a plugin's bytes.
#[derive(Clone, Copy)]
enum Need {
    /// They run here, so they are read.
    Bytes,
    /// They stay where they are, however many they are.
    Proof,
}

impl Need {
    async fn take(self, cached: &Cached) -> Result<Content, CacheError> {
        match self {
            Self::Bytes => Content::read(cached).await,
            Self::Proof => Content::prove(cached).await,
        }
    }
}

/// A plugin's bytes, and what is known of them.
pub(crate) struct Obtained {
    pub(crate) kind: PluginKind,
    pub(crate) path: std::path::PathBuf,
    pub(crate) content: Content,
    pub(crate) image: Option<ImageFacts>,
}

impl Obtained {
    fn into_artifact(self, target: &Target) -> PluginArtifact {
        PluginArtifact {
            name: target.name().to_owned(),
            kind: self.kind,
            path: self.path,
            content: self.content,
            image: self.image,
        }
    }
}

/// Reads the kind that the extraction found, which the cache keeps as text.
fn recorded_kind(context: &Context, cached: &Cached) -> Result<PluginKind, Error> {
    match cached.record().kind() {
        "wasm" => Ok(PluginKind::Wasm),
        "native" => Ok(PluginKind::Native),
        _ => Err(context.cache_error()(CacheError::Damaged {
            path: cached.artifact().path().to_owned(),
            reason: "its record names an unknown kind of plugin",
        })),
    }
}

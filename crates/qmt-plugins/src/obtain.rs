//! From a target to proven content: what `load`, `fetch` and `update` have in common.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use qmt_artifact::PluginKind;
use qmt_cache::CacheError;
use qmt_verify::SignerId;

use crate::artifact::{ImageFacts, PluginArtifact};
use crate::config::{ProviderConfig, PullPolicy, Span};
use crate::error::Error;
use crate::events::Reporter;
use crate::host::PluginHost;
use crate::lockfile::{LockEntry, LockMode};
use crate::source::PluginSource;
use crate::stage::cache::Cached;
use crate::stage::load::{self, Content, Standing};
use crate::stage::{Context, Request};
use crate::target::Target;
use crate::{connect, local, pipeline};

impl PluginHost {
    /// Runs the pipeline for what `target` names, and proves the bytes or reads them.
    pub(crate) async fn obtain(
        &self,
        target: &Target,
        wanted: Wanted,
        need: Need,
    ) -> Result<Obtained, Error> {
        let provider = target.provider();
        match target.located(self.file.folder()) {
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
        if wanted == Wanted::Newest {
            (request.pull, request.is_update) = (PullPolicy::Always, true);
        }
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
    pub(crate) async fn prepare_verified(
        &self,
        target: &Target,
    ) -> Result<(Context, Request), Error> {
        let (mut context, request) = self.prepare(target)?;
        let make = || crate::trust::build(self, context.offline.is_some());
        context.trust = Some(self.trust.get_or_try_init(make).await?.clone());
        Ok((context, request))
    }

    /// Puts together what the stages before **verify** need for `target`.
    pub(crate) fn prepare(&self, target: &Target) -> Result<(Context, Request), Error> {
        let oci = &self.config().oci;
        let provider = target.provider();
        let source = target.located(self.file.folder());
        let (registry, reference, is_local) = connect::registry_for(self, target, &source)?;
        let entry = self.entry(target);
        let context = Context {
            registry,
            is_local,
            cache: Arc::new(self.cache.clone()),
            trust: None,
            host: self.platform.clone(),
            offline: self.offline_rule(),
            limits: oci.extract_limits(),
            reporter: self.reporter(target),
            now: SystemTime::now(),
        };
        let request = Request {
            reference,
            shown: target.source().to_string(),
            kind: provider.kind.map(load::plugin_kind),
            file: provider.file.clone(),
            locked: entry.as_ref().map(|entry| entry.digest.clone()),
            locked_at: entry.as_ref().and_then(|entry| {
                let since = Duration::from_secs(entry.signed_at?);
                SystemTime::UNIX_EPOCH.checked_add(since)
            }),
            expected: self.pinned_signer(target),
            pull: oci.pull_policy,
            refresh_after: oci.refresh_after.map(Span::duration),
            is_update: false,
        };
        Ok((context, request))
    }

    /// The rule that forbids the network, if any.
    pub(crate) fn offline_rule(&self) -> Option<&'static str> {
        self.offline_call().or(match self.config().oci.pull_policy {
            PullPolicy::Never => Some("`pull_policy = \"never\"`"),
            _ => None,
        })
    }

    /// What forbids the network for anything, not for pulling alone.
    fn offline_call(&self) -> Option<&'static str> {
        match (self.mode, self.offline) {
            (LockMode::Frozen, _) => Some("`--frozen`"),
            (_, true) => Some("`--offline`"),
            _ => None,
        }
    }

    /// Refuses what cannot be done without the network, where that is forbidden.
    pub(crate) fn needs_network(
        &self,
        target: impl std::fmt::Display,
        doing: &'static str,
    ) -> Result<(), Error> {
        match self.offline_call() {
            None => Ok(()),
            Some(rule) => Err(Error::NetworkForbidden {
                target: target.to_string(),
                doing,
                rule,
            }),
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

    /// The signer that the lockfile pins for the target's repository, under whatever tag and name:
    /// that of the same provider first, else the one that all others agree on.
    fn pinned_signer(&self, target: &Target) -> Option<SignerId> {
        let folder = self.file.folder();
        let wanted = target.located(folder);
        let is_same = |entry: &&LockEntry| {
            let source = PluginSource::parse(&entry.reference, None);
            source.is_ok_and(|source| source.relative_to(folder).is_same_repository(&wanted))
        };
        let lock = self.lock();
        let mut own = lock.entries().filter(is_same);
        if target.is_configured()
            && let Some(entry) = own.find(|entry| entry.name == target.name())
        {
            return entry.signer.clone();
        }
        let mut signers = lock.entries().filter(is_same).map(|entry| &entry.signer);
        let first = signers.next()?;
        signers.all(|other| other == first).then(|| first.clone())?
    }

    fn entry(&self, target: &Target) -> Option<LockEntry> {
        let reference = target.source().to_string();
        target
            .is_configured()
            .then(|| self.lock().entry(target.name(), &reference).cloned())?
    }
}

/// Which version of a plugin is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The one that lockfile, cache and pull policy lead to.
    AsConfigured,
    /// What the tag names now, by the operator's word.
    Newest,
}

/// What becomes of a plugin's bytes.
#[derive(Clone, Copy)]
pub(crate) enum Need {
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
    pub(crate) fn into_artifact(self, target: &Target) -> PluginArtifact {
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

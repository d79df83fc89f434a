//! **resolve**: reference → digest, once. No later stage looks at a tag.

use std::time::Duration;

use qmt_oci_ref::{
    Digest, PinnedReference, RawManifest, Registry as _, RegistryError, RegistryErrorKind, text,
};
use qmt_registry::limits;
use tokio::time::timeout;

use super::{Context, StageError, VersionPolicy};
use crate::config::PullPolicy;
use crate::events::Stage;
use crate::inspect::DigestOrigin;

/// How long a registry may take to resolve a tag of which a digest is known.
const REFRESH_WAIT: Duration = Duration::from_secs(10);

/// A pinned reference, and the manifest or index that its digest names.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pin: PinnedReference,
    manifest: RawManifest,
    origin: DigestOrigin,
}

impl Resolved {
    pub(crate) fn pin(&self) -> &PinnedReference {
        &self.pin
    }

    pub(crate) fn manifest(&self) -> &RawManifest {
        &self.manifest
    }

    pub(crate) fn origin(&self) -> DigestOrigin {
        self.origin
    }

    /// Reports whether the registry resolved the tag in this run.
    pub(crate) fn is_fresh(&self) -> bool {
        self.origin == DigestOrigin::Registry
    }
}

/// Pins the reference: by its own digest, else by that of the lockfile, else by what the cache
/// recorded for the tag, else by what the registry answers now.
pub(crate) async fn resolve(context: &Context) -> Result<Resolved, StageError> {
    context.reporter.started(Stage::Resolve);
    let resolved = match context.request.reference.digest() {
        Some(digest) => {
            let origin = DigestOrigin::Reference;
            by_digest(context, digest.clone(), origin).await?
        }
        None => by_tag(context).await?,
    };
    let pin = resolved.pin.to_string();
    context.reporter.finished(Stage::Resolve, pin);
    Ok(resolved)
}

async fn by_tag(context: &Context) -> Result<Resolved, StageError> {
    let recorded = context.cache.ref_(&context.request.reference).await?;
    if context.request.version == VersionPolicy::Imported {
        let Some((digest, _)) = recorded else {
            return Err(StageError::NotImported);
        };
        return by_digest(context, digest, DigestOrigin::Cache).await;
    }
    let is_stale = match (&recorded, context.request.refresh_after) {
        // The age of a layout's tag is not recorded, and reading the tag costs little.
        (_, Some(_)) if context.is_local => true,
        // After a clock went backwards, nothing counts as stale.
        (Some((_, at)), Some(limit)) => {
            context.now.duration_since(*at).is_ok_and(|age| age > limit)
        }
        _ => false,
    };
    let known = match &context.request.locked {
        Some(locked) => Some((locked.digest.clone(), DigestOrigin::Lockfile)),
        // Reading a layout costs as much as reading the cache, and its path is not in the key.
        None if context.is_local => None,
        None => recorded.map(|(digest, _)| (digest, DigestOrigin::Cache)),
    };
    let Some((known, origin)) = known else {
        return current(context).await.map_err(StageError::Resolve);
    };
    let pull = match context.request.version {
        VersionPolicy::Newest => PullPolicy::Always,
        VersionPolicy::Configured | VersionPolicy::Recorded | VersionPolicy::Imported => {
            context.request.pull
        }
    };
    if pull != PullPolicy::Always && !is_stale {
        return by_digest(context, known, origin).await;
    }
    // The last digest stays valid, unless the config insists on the registry's answer.
    let is_optional = pull == PullPolicy::IfNotPresent;
    let limit = if is_optional {
        REFRESH_WAIT
    } else {
        Duration::MAX
    };
    let problem = match timeout(limit, current(context)).await {
        Ok(Err(error)) if error.kind() == RegistryErrorKind::Offline => None,
        Ok(Err(error)) if is_optional && is_of_registry(error.kind()) => {
            Some(text::messages(&error).join(": "))
        }
        Ok(answer) => return answer.map_err(StageError::Resolve),
        Err(_) => Some(format!(
            "the registry did not answer within {} s",
            REFRESH_WAIT.as_secs()
        )),
    };
    if let Some(problem) = problem {
        context.reporter.warning(format!(
            "`{}` can't be resolved now ({problem}); continuing with {known}",
            context.request.source
        ));
    }
    by_digest(context, known, origin).await
}

/// Whether a registry fails, and not this machine. That a tag does not exist is an answer.
fn is_of_registry(kind: RegistryErrorKind) -> bool {
    use RegistryErrorKind as Kind;
    matches!(
        kind,
        Kind::Unauthorized | Kind::Network { .. } | Kind::Content | Kind::Protocol
    )
}

async fn by_digest(
    context: &Context,
    digest: Digest,
    origin: DigestOrigin,
) -> Result<Resolved, StageError> {
    let pin = context.request.reference.with_digest(digest);
    let manifest = context.registry.manifest(&pin, limits::MANIFEST_MAX).await;
    Ok(Resolved {
        pin,
        manifest: manifest.map_err(StageError::Manifest)?,
        origin,
    })
}

/// Resolves the tag in the registry, whatever lockfile and cache say.
pub(crate) async fn current(context: &Context) -> Result<Resolved, RegistryError> {
    let manifest = context.registry.resolve(&context.request.reference).await?;
    let pin = context
        .request
        .reference
        .with_digest(manifest.digest().clone());
    Ok(Resolved {
        pin,
        manifest,
        origin: DigestOrigin::Registry,
    })
}

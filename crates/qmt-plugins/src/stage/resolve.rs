//! **resolve**: name → digest, once. Nothing behind this stage looks at a tag again.

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, PinnedReference};
use qmt_registry::{RawManifest, limits};

use super::{Context, Request};
use crate::config::PullPolicy;
use crate::error::Error;
use crate::events::Stage;
use crate::manifest_type::media_type_of;

/// A pinned name, and the manifest or index that the digest stands for.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    pin: PinnedReference,
    manifest: RawManifest,
    /// Whether the registry was asked for the tag just now.
    is_fresh: bool,
}

impl Pinned {
    pub(crate) fn pin(&self) -> &PinnedReference {
        &self.pin
    }

    pub(crate) fn digest(&self) -> &Digest {
        self.pin.digest()
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        self.manifest.bytes()
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        self.manifest.descriptor()
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.is_fresh
    }
}

/// Pins the reference: by its own digest, else by the lockfile's, else by what the cache remembers
/// of the tag, else by what the registry says now.
pub(crate) async fn resolve(context: &Context, request: &Request) -> Result<Pinned, Error> {
    context.reporter.started(Stage::Resolve);
    let pinned = match known_digest(context, request).await? {
        Some(digest) => by_digest(context, request, digest).await?,
        None => by_tag(context, request).await?,
    };
    context
        .reporter
        .finished(Stage::Resolve, pinned.pin.to_string());
    Ok(pinned)
}

/// The digest that needs no question, if there is one.
async fn known_digest(context: &Context, request: &Request) -> Result<Option<Digest>, Error> {
    if let Some(digest) = request.reference.digest() {
        return Ok(Some(digest.clone()));
    }
    if request.pull == PullPolicy::Always && context.may_ask() {
        return Ok(None);
    }
    let remembered = context
        .cache
        .ref_(&request.reference)
        .await
        .map_err(context.cache_error())?;
    let is_stale = match (&remembered, request.refresh_after) {
        // A clock that ran backwards makes nothing stale.
        (Some((_, at)), Some(limit)) => {
            context.now.duration_since(*at).is_ok_and(|age| age > limit)
        }
        _ => false,
    };
    if is_stale && context.may_ask() {
        return Ok(None);
    }
    if request.locked.is_some() {
        return Ok(request.locked.clone());
    }
    // A layout on disk is as near as the cache, and its path is not part of the cache's key.
    if context.is_local {
        Ok(None)
    } else {
        Ok(remembered.map(|(digest, _)| digest))
    }
}

async fn by_digest(context: &Context, request: &Request, digest: Digest) -> Result<Pinned, Error> {
    let pin = request.reference.with_digest(digest);
    let kept = context
        .cache
        .bytes(pin.digest(), limits::MANIFEST_MAX)
        .await;
    if let Some(bytes) = kept.map_err(context.cache_error())? {
        let media_type = media_type_of(&bytes);
        let manifest = RawManifest::with_algorithm(media_type, bytes, pin.digest().algorithm());
        return Ok(Pinned {
            pin,
            manifest,
            is_fresh: false,
        });
    }
    context.need_network(request, "the manifest")?;
    let manifest = context.registry.manifest(&pin, limits::MANIFEST_MAX).await;
    let manifest = manifest.map_err(context.registry_error(request, "fetching the manifest of"))?;
    Ok(Pinned {
        pin,
        manifest,
        is_fresh: false,
    })
}

async fn by_tag(context: &Context, request: &Request) -> Result<Pinned, Error> {
    context.need_network(request, "the digest")?;
    match context.registry.resolve(&request.reference).await {
        Ok(resolved) => {
            let (pin, manifest) = (resolved.pin().clone(), resolved.manifest().clone());
            Ok(Pinned {
                pin,
                manifest,
                is_fresh: true,
            })
        }
        // What was good yesterday still is, where the config does not insist on today's answer.
        Err(error) if error.is_network() && request.pull == PullPolicy::IfNotPresent => {
            let remembered = context
                .cache
                .ref_(&request.reference)
                .await
                .map_err(context.cache_error())?;
            let last = request
                .locked
                .clone()
                .or(remembered.map(|(digest, _)| digest));
            let Some(digest) = last else {
                return Err(context.registry_error(request, "resolving")(error));
            };
            context.reporter.warning(format!(
                "`{}` could not be asked for again ({error}); going on with {digest}",
                request.shown
            ));
            by_digest(context, request, digest).await
        }
        Err(error) => Err(context.registry_error(request, "resolving")(error)),
    }
}

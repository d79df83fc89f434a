//! **select**: index or manifest → the manifest and layers for this host.

use qmt_artifact::{Selection, SelectionRequest};
use qmt_oci_ref::Digest;

use super::resolve::Resolved;
use super::verify::Verified;
use super::{Context, Request, StageError};
use crate::caching::CachedRegistry;
use crate::events::Stage;

/// The manifest and layers that were selected out of a verified image.
#[derive(Debug)]
pub(crate) struct Selected {
    verified: Verified,
    selection: Selection,
    key: Digest,
}

impl Selected {
    pub(crate) fn verified(&self) -> &Verified {
        &self.verified
    }

    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Returns the key of the artifact in the cache, see [`key`].
    pub(crate) fn key(&self) -> &Digest {
        &self.key
    }

    pub(super) fn into_verified(self) -> Verified {
        self.verified
    }
}

/// Selects among what the verified index or manifest offers. Manifests and configs that have to be
/// requested go into the cache.
pub(crate) async fn select(context: &Context, verified: Verified) -> Result<Selected, StageError> {
    let registry = context.registry.storing();
    let selection = choose(context, verified.resolved(), &registry).await?;
    Ok(Selected {
        key: key(&context.request, &selection),
        selection,
        verified,
    })
}

/// Returns the key of the artifact in the cache: the digest of its manifest, or one of manifest and
/// file if the config names the file. What is selected in place of a Wasm layer has its own key.
pub(crate) fn key(request: &Request, selection: &Selection) -> Digest {
    let manifest = selection.manifest().digest();
    match &request.file {
        file if selection.leaves_out_wasm() => {
            let file = file.as_deref().unwrap_or_default();
            Digest::sha256(format!("no Wasm layer\n{manifest}\n{file}"))
        }
        Some(file) => Digest::sha256(format!("{manifest}\n{file}")),
        None => manifest.clone(),
    }
}

/// Chooses what is selected out of an image, which need not be verified. Nothing goes into the cache
/// but by `registry`.
pub(crate) async fn choose(
    context: &Context,
    resolved: &Resolved,
    registry: &CachedRegistry,
) -> Result<Selection, StageError> {
    context.reporter.started(Stage::Select);
    let selection = SelectionRequest::new(resolved.manifest().clone())
        .with_host(context.host.clone())
        .with_kind(context.request.kind)
        .with_file(context.request.file.clone());
    let repository = resolved.pin().repository();
    let selection = qmt_artifact::select(selection, registry, repository).await;
    let selection = selection.map_err(StageError::Select)?;
    let trace = selection.trace().join("; ");
    context.reporter.finished(Stage::Select, trace);
    Ok(selection)
}

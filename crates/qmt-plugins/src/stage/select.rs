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

/// Returns the key of the artifact in the cache: the digest of its manifest, or one of the manifest and
/// of everything else that decides which file is extracted from it: the file that the config names,
/// whether a Wasm layer is passed over, and what config and host require of the kind and the platform.
pub(crate) fn key(request: &Request, selection: &Selection) -> Digest {
    let manifest = selection.manifest().digest();
    let passed_over = selection.leaves_out_wasm().then_some("no Wasm layer");
    let narrowed_by = selection.narrowed_by();
    let rules: Vec<_> = passed_over.into_iter().chain(narrowed_by).collect();
    match (&request.file, rules.join(", ")) {
        (None, rules) if rules.is_empty() => manifest.clone(),
        (Some(file), rules) if rules.is_empty() => Digest::sha256(format!("{manifest}\n{file}")),
        (file, rules) => {
            let file = file.as_deref().unwrap_or_default();
            Digest::sha256(format!("{rules}\n{manifest}\n{file}"))
        }
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

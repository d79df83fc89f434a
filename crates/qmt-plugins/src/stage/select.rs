//! **select**: index or manifest → the manifest and layers for this host.

use bytes::Bytes;
use qmt_artifact::{Selection, SelectionRequest};
use qmt_oci_ref::{Descriptor, Digest};

use super::resolve::Pinned;
use super::{Context, Request};
use crate::adapter::CachedManifests;
use crate::error::Error;
use crate::events::Stage;

/// What was selected, and the manifests that were fetched to decide it.
#[derive(Debug)]
pub(crate) struct Selected {
    selection: Selection,
    key: Digest,
    fetched: Vec<(Descriptor, Bytes)>,
}

impl Selected {
    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Returns the digest under which the cache keeps the artifact: that of the manifest, or one
    /// made from manifest and file where the config asks for another file.
    pub(crate) fn key(&self) -> &Digest {
        &self.key
    }

    /// Returns the manifests and configs that came from the registry.
    pub(crate) fn fetched(&self) -> &[(Descriptor, Bytes)] {
        &self.fetched
    }
}

/// Chooses among what the pinned index or manifest offers.
pub(crate) async fn select(
    context: &Context,
    request: &Request,
    pinned: &Pinned,
) -> Result<Selected, Error> {
    context.reporter.started(Stage::Select);
    let wanted = SelectionRequest::new(pinned.descriptor(), pinned.bytes().clone())
        .with_host(context.host.clone())
        .with_kind(request.kind)
        .with_file(request.file.clone());
    let registry = context.may_ask().then_some(&*context.registry);
    let source = CachedManifests::new(registry, &*context.cache, pinned.pin().repository());
    let selection = qmt_artifact::select(wanted, &source)
        .await
        .map_err(|source| {
            let reference = pinned.pin().to_string();
            Error::Artifact {
                plugin: context.plugin(),
                reference,
                source,
            }
        })?;
    let manifest = selection.manifest().digest();
    let key = match &request.file {
        Some(file) => Digest::sha256(format!("{manifest}\n{file}")),
        None => manifest.clone(),
    };
    context
        .reporter
        .finished(Stage::Select, selection.trace().join("; "));
    Ok(Selected {
        key,
        fetched: source.into_fetched(),
        selection,
    })
}

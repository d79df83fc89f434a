//! The search: the requests to each place, and what they return.

use std::collections::HashSet;

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use qmt_oci_ref::manifest::{Document, Manifest, ManifestLimits};
use qmt_oci_ref::{
    Descriptor, Digest, PinnedReference, RawManifest, Reference, Registry, RegistryError,
    RegistryErrorKind, Tag,
};

use super::layer::{self, Kind, Layer, Likelihood};
use super::{Budget, Caps, Found};
use crate::error::VerifyError;
use crate::evidence::Item;
use crate::limits::{MANIFEST_BYTES_MAX, MANIFESTS_MAX, REFERRERS_MAX, REQUESTS_AT_ONCE};

pub(super) struct Search<'a> {
    pub(super) registry: &'a dyn Registry,
    /// The digest, in the repository that is searched.
    pub(super) subject: PinnedReference,
    pub(super) caps: Caps,
}

impl Search<'_> {
    /// Everything that refers to the subject: bundles, and signatures in cosign 2's OCI 1.1 mode.
    pub(super) async fn referrers(&self) -> Result<Found, VerifyError> {
        let place = format!("the referrers of {}", self.subject);
        let listed = self.registry.referrers(&self.subject).await;
        let mut listed = existing(&place, listed)?.unwrap_or_default();
        let mut found = Found::default();
        found.truncate(&mut listed, REFERRERS_MAX, &place, "considered");
        let mut unique = HashSet::new();
        listed.retain(|referrer| unique.insert(referrer.digest().clone()));
        // Sorted by type, not filtered: a fallback index names the type of the config, or none.
        // Signatures come first, so that a flood of other referrers cannot push them out.
        listed.sort_by_key(Likelihood::of);
        found.truncate(&mut listed, MANIFESTS_MAX, &place, "fetched");
        let read: Vec<_> = stream::iter(listed)
            .map(|referrer| self.referrer(referrer).boxed())
            .buffered(REQUESTS_AT_ONCE)
            .try_collect()
            .await?;
        let mut layers = Vec::new();
        for (notes, more) in read {
            found.extend(notes);
            layers.extend(more);
        }
        self.fetch(layers, &mut found).await?;
        Ok(found)
    }

    /// The layers of one referrer that may be signatures.
    async fn referrer(&self, referrer: Descriptor) -> Result<(Found, Vec<Layer>), VerifyError> {
        let place = format!("referrer {}", referrer.digest());
        let mut found = Found::default();
        if referrer.size() > MANIFEST_BYTES_MAX {
            let reason = format!("its manifest is over {MANIFEST_BYTES_MAX} bytes");
            found.note(place, reason);
            return Ok((found, Vec::new()));
        }
        let repository = self.subject.repository().clone();
        let pin = PinnedReference::new(repository, referrer.digest().clone());
        let raw = self.registry.manifest(&pin, MANIFEST_BYTES_MAX).await;
        let Some(raw) = existing(&place, raw)? else {
            found.note(place, "is listed, but does not exist");
            return Ok((found, Vec::new()));
        };
        // `RawManifest` hashes its bytes itself.
        same_digest(&place, pin.digest(), raw.digest().clone())?;
        let Some(manifest) = read(&place, &raw, &mut found)? else {
            return Ok((found, Vec::new()));
        };
        // A registry may list anything (CVE-2023-33959).
        if manifest.subject().map(Descriptor::digest) != Some(self.subject.digest()) {
            found.note(place, "its subject is another digest");
            return Ok((found, Vec::new()));
        }
        // Other artifacts that refer to an image are not noted.
        let layers = match layer::kind_of_referrer(&manifest) {
            Some(kind) => layer::select(&place, &manifest, kind, self.caps, &mut found),
            None => Vec::new(),
        };
        Ok((found, layers))
    }

    /// The layers under a tag that is made of the subject's digest.
    pub(super) async fn tag(
        &self,
        prefix: &str,
        suffix: &str,
        kind: Kind,
    ) -> Result<Found, VerifyError> {
        let mut found = Found::default();
        let name = format!("{prefix}sha256-{}{suffix}", self.subject.digest().hex());
        let place = format!("tag {name}");
        let tag: Tag = name.parse().map_err(|error| {
            VerifyError::policy(format!("the tag prefix `{prefix}` is not valid: {error}"))
        })?;
        let reference = Reference::new(self.subject.repository().clone(), Some(tag), None);
        let raw = self.registry.resolve(&reference).await;
        if let Some(raw) = existing(&place, raw)?
            && let Some(manifest) = read(&place, &raw, &mut found)?
        {
            let layers = layer::select(&place, &manifest, kind, self.caps, &mut found);
            self.fetch(layers, &mut found).await?;
        }
        Ok(found)
    }

    /// Fetches `layers` at the same time and keeps their order; never more than can be stored.
    async fn fetch(&self, layers: Vec<Layer>, found: &mut Found) -> Result<(), VerifyError> {
        let mut budget = Budget::new(self.caps);
        let mut taken = Vec::new();
        for layer in layers {
            match budget.take(layer.kind == Kind::Envelope, layer.descriptor.size()) {
                Ok(()) => taken.push(layer),
                Err(reason) => found.note(layer.place, reason),
            }
        }
        found.items = stream::iter(taken)
            .map(|layer| self.layer(layer).boxed())
            .buffered(REQUESTS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(())
    }

    /// Fetches one layer, whose size has been checked.
    async fn layer(&self, layer: Layer) -> Result<Item, VerifyError> {
        let (place, descriptor) = (layer.place, layer.descriptor);
        let repository = self.subject.repository();
        let pulled = self.registry.pull_blob(repository, &descriptor).await;
        let bytes = pulled.map_err(|source| failed(&place, source))?;
        let (count, size) = (bytes.len(), descriptor.size());
        if count as u64 != size {
            return Err(content(&place, format!("{count} bytes, expected {size}")));
        }
        let digest = descriptor.digest();
        same_digest(&place, digest, Digest::of(digest.algorithm(), &bytes))?;
        let content = layer.kind.content(&bytes, &descriptor);
        Ok(Item { place, content })
    }
}

/// Parses a manifest; `None`, with a note, if it is not one of signatures.
fn read(
    place: &str,
    raw: &RawManifest,
    found: &mut Found,
) -> Result<Option<Manifest>, VerifyError> {
    if raw.bytes().len() as u64 > MANIFEST_BYTES_MAX {
        let problem = format!("a manifest over {MANIFEST_BYTES_MAX} bytes");
        return Err(content(place, problem));
    }
    let limits = ManifestLimits::for_signatures();
    match Document::read(raw.media_type(), raw.bytes(), &limits) {
        Ok(Document::Manifest(manifest)) => return Ok(Some(*manifest)),
        Ok(Document::Index(_)) => found.note(place, "is an index, not a manifest"),
        Err(problem) => found.note(place, format!("its manifest cannot be read: {problem}")),
    }
    Ok(None)
}

/// `None` if the registry says that it does not exist.
fn existing<T>(place: &str, outcome: Result<T, RegistryError>) -> Result<Option<T>, VerifyError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(failed(place, error)),
    }
}

fn failed(place: &str, source: RegistryError) -> VerifyError {
    VerifyError::Source {
        place: place.to_owned(),
        source,
    }
}

fn content(place: &str, problem: String) -> VerifyError {
    let source = RegistryError::new(RegistryErrorKind::Content, problem);
    failed(place, source)
}

fn same_digest(place: &str, expected: &Digest, actual: Digest) -> Result<(), VerifyError> {
    if actual == *expected {
        return Ok(());
    }
    Err(VerifyError::WrongContent {
        place: place.to_owned(),
        expected: expected.clone(),
        actual,
    })
}

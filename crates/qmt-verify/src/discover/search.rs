//! The search: the requests to each place, and what they return.

mod referrers;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, join, select};
use futures_util::stream::{self, StreamExt as _};
use qmt_oci_ref::manifest::{ClaimLimits, Claims};
use qmt_oci_ref::{
    Digest, PinnedReference, RawManifest, Reference, Registry, RegistryError, RegistryErrorKind,
    Tag, text,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::Caps;
use super::found::Found;
use super::layer::{self, Kind, Layer, Origin};
use crate::evidence::{ANNOTATIONS, Item};
use crate::limits::{
    ANNOTATION_BYTES_MAX, ENVELOPES_AT_ONCE, MANIFEST_BYTES_MAX, OPTIONAL_TIME_MIN,
    REQUESTS_AT_ONCE, TAG_ANNOTATIONS_MAX, TAG_LAYERS_MAX,
};

/// The time at which a search must end.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    /// The time until then, for messages.
    pub(super) limit: Duration,
}

impl Deadline {
    /// Runs one request to `registry`. The clock is read before it as well, because a timeout never
    /// fires for a source that never waits.
    pub(super) async fn bound<T: Send>(
        self,
        registry: &dyn Registry,
        request: impl Future<Output = Result<T, RegistryError>> + Send,
    ) -> Result<T, RegistryError> {
        if Instant::now() < self.at
            && let Ok(Some(outcome)) = timeout_at(self.at, until(registry, self.at, request)).await
        {
            return outcome;
        }
        Err(too_late(self.limit))
    }
}

/// Runs requests to `registry`, which does not pause beyond `end` to repeat a failed one: its error
/// says more than that there was no answer. `None` if it does not run them.
async fn until<T: Send>(
    registry: &dyn Registry,
    end: Instant,
    requests: impl Future<Output = T> + Send,
) -> Option<T> {
    let mut outcome = None;
    let run = async { outcome = Some(requests.await) };
    registry.until(end.into_std(), run.boxed()).await;
    outcome
}

fn too_late(limit: Duration) -> RegistryError {
    RegistryError::new(
        RegistryErrorKind::Network { retryable: true },
        format!("it was not read within {limit:?}"),
    )
}

pub(super) struct Search<'a> {
    registry: &'a dyn Registry,
    /// The digest, in the repository that is searched.
    subject: PinnedReference,
    caps: Caps,
    deadline: Deadline,
}

/// Fetched layers, or why they could not be fetched, by their positions.
type Fetched = BTreeMap<usize, Result<Item, Found>>;

/// How many more bytes of annotations are held of one place.
type AnnotationsLeft = Mutex<usize>;

impl<'a> Search<'a> {
    pub(super) fn new(
        registry: &'a dyn Registry,
        subject: PinnedReference,
        caps: Caps,
        deadline: Deadline,
    ) -> Self {
        Self {
            registry,
            subject,
            caps,
            deadline,
        }
    }

    /// The layers under the `.att` tag; and `others`.
    pub(super) async fn attestations<T>(
        &self,
        tag: Tag,
        required: bool,
        others: impl Future<Output = T>,
    ) -> (T, Found) {
        let attestations = self.tag(tag.clone(), Kind::Envelope);
        let both = self.with_attestations(required, others, attestations);
        let (others, attestations) = both.await;
        let attestations = attestations.unwrap_or_else(|waited| {
            let mut found = Found::of(Kind::Envelope);
            found.fail(format!("tag {tag}"), too_late(waited));
            found
        });
        (others, attestations)
    }

    /// The layers under `tag`, which is made of the subject's digest. In an image layout, it can
    /// name several manifests.
    pub(super) async fn tag(&self, tag: Tag, kind: Kind) -> Found {
        let mut found = Found::of(kind);
        let place = format!("tag {tag}");
        let left = AnnotationsLeft::new(TAG_ANNOTATIONS_MAX);
        let reference = Reference::new(self.subject.repository().clone(), Some(tag), None);
        let resolved = async { Ok(self.registry.resolve_all(&reference).await) };
        let resolved = self.deadline.bound(self.registry, resolved).await;
        for one in resolved.unwrap_or_else(|error| vec![Err(error)]) {
            match one {
                // GitLab takes a tag for the digest that it is made of.
                Ok(raw) if raw.digest() == self.subject.digest() => {
                    found.places = 1;
                    found.note_answer(place.clone(), "the registry sends the image itself");
                }
                Ok(raw) => {
                    found.places = 1;
                    let limits = (MANIFEST_BYTES_MAX, TAG_LAYERS_MAX);
                    if let Some(manifest) = read(&place, &raw, limits, &left, &mut found) {
                        let most_bytes = self.caps.item_bytes;
                        let kind = (kind, Origin::Tag);
                        layer::select(&place, manifest, kind, most_bytes, &mut found);
                    }
                }
                Err(error) if error.is_not_found() => {
                    found.places = 1;
                    if let Some(remark) = error.remark() {
                        found.note_answer(place.clone(), remark);
                    }
                }
                Err(error) => found.fail(place.clone(), error),
            }
        }
        found
    }

    /// Fetches one layer, whose size has been checked.
    async fn layer(&self, layer: Layer, deadline: Deadline) -> Result<Item, Found> {
        let (place, descriptor) = (layer.place, layer.descriptor);
        let mut found = Found::of(layer.kind);
        let repository = self.subject.repository();
        let pulled = self.registry.pull_blob(repository, &descriptor);
        let bytes = match deadline.bound(self.registry, pulled).await {
            Ok(bytes) => bytes,
            Err(error) => {
                found.miss(place, error);
                return Err(found);
            }
        };
        let (count, size) = (bytes.len(), descriptor.size());
        let digest = descriptor.digest();
        let actual = Digest::of(digest.algorithm(), &bytes);
        let reason = if count as u64 != size {
            format!(
                "its content has {}, expected {size}",
                text::counted(count, "byte")
            )
        } else if actual != *digest {
            format!("its content hashes to `{actual}`, expected `{digest}`")
        } else {
            let content = layer.kind.content(&bytes, &descriptor);
            return Ok(Item { place, content });
        };
        found.note(place, reason);
        Err(found)
    }

    /// Fetches the layers of `found` that fit into the limits, at the same time, and returns them
    /// in their order. Envelopes are waited for as in [`Self::with_attestations`].
    pub(super) async fn fetch(
        &self,
        found: &mut Found,
        attestations_required: bool,
        deadline: Deadline,
    ) -> Vec<Item> {
        let layers = found.take_layers(self.caps).into_iter();
        let (envelopes, signatures): (Vec<_>, Vec<_>) =
            layers.partition(|(_, layer)| layer.kind == Kind::Envelope);
        let places = envelopes
            .iter()
            .map(|(index, one)| (*index, one.place.clone()));
        let places: Vec<_> = places.collect();
        let (mut fetched, mut attestations) = (Fetched::new(), Fetched::new());
        let at_once = REQUESTS_AT_ONCE - ENVELOPES_AT_ONCE;
        let signatures = self.fetch_all(signatures, at_once, deadline, &mut fetched);
        let envelopes = self.fetch_all(envelopes, ENVELOPES_AT_ONCE, deadline, &mut attestations);
        let both = self.with_attestations(attestations_required, signatures, envelopes);
        if let ((), Err(waited)) = both.await {
            for (index, place) in places {
                attestations.entry(index).or_insert_with(|| {
                    let mut missed = Found::of(Kind::Envelope);
                    missed.fail(place, too_late(waited));
                    Err(missed)
                });
            }
        }
        fetched.append(&mut attestations);
        let mut items = Vec::new();
        for one in fetched.into_values() {
            match one {
                Ok(item) => items.push(item),
                Err(missed) => found.extend(missed),
            }
        }
        items
    }

    /// Adds `layers` to `fetched`, each as soon as it is there.
    async fn fetch_all(
        &self,
        layers: Vec<(usize, Layer)>,
        at_once: usize,
        deadline: Deadline,
        fetched: &mut Fetched,
    ) {
        let mut layers = stream::iter(layers)
            .map(|(index, layer)| async move { (index, self.layer(layer, deadline).await) }.boxed())
            .buffer_unordered(at_once);
        while let Some((index, one)) = layers.next().await {
            fetched.insert(index, one);
        }
    }

    /// Waits for `others` and for `attestations`; for these, where they are not `required`, as long
    /// again as for the others, but at least [`OPTIONAL_TIME_MIN`], the most that a failed request
    /// pauses. The error is how long they were waited for.
    async fn with_attestations<T, A: Send>(
        &self,
        required: bool,
        others: impl Future<Output = T>,
        attestations: impl Future<Output = A> + Send,
    ) -> (T, Result<A, Duration>) {
        if required {
            let (others, attestations) = join(others, attestations).await;
            return (others, Ok(attestations));
        }
        let started = Instant::now();
        let waited = || {
            let waited = started.elapsed().as_millis();
            Duration::from_millis(waited.try_into().unwrap_or(u64::MAX))
        };
        let end = started + OPTIONAL_TIME_MIN;
        let attestations = until(self.registry, end, attestations);
        match select(pin!(others), pin!(attestations)).await {
            Either::Right((attestations, others)) => {
                (others.await, attestations.ok_or_else(waited))
            }
            Either::Left((others, attestations)) => {
                let limit = started.elapsed().max(OPTIONAL_TIME_MIN);
                let attestations = timeout(limit, attestations).await;
                let attestations = attestations.ok().flatten();
                (others, attestations.ok_or_else(waited))
            }
        }
    }
}

/// Reads a manifest of at most so many bytes and layers; `None`, with a note, if it is not one
/// of signatures.
fn read(
    place: &str,
    raw: &RawManifest,
    (most_bytes, most_layers): (u64, usize),
    left: &AnnotationsLeft,
    found: &mut Found,
) -> Option<Claims> {
    if raw.bytes().len() as u64 > most_bytes {
        let reason = format!("its manifest is over {most_bytes} bytes");
        found.skip(place, 1, reason);
        return None;
    }
    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
    let limits = ClaimLimits {
        entries: most_layers,
        both_ends: false,
        annotations_each: ANNOTATION_BYTES_MAX,
        annotations_all: *left,
        annotation_names: Some(&ANNOTATIONS),
    };
    match Claims::read(raw.bytes(), limits) {
        Ok(claims) if claims.is_index() => {
            found.note(place, "it is an index, not a manifest of signatures");
        }
        Ok(claims) => {
            let held = claims
                .layers
                .as_ref()
                .map_or(0, |list| list.annotation_bytes);
            *left = left.saturating_sub(held);
            return Some(claims);
        }
        Err(problem) => found.note(place, format!("its manifest cannot be read: {problem}")),
    }
    None
}

//! The search for signed children of an index that is not signed itself. This is a common mistake
//! of publishers, and the error names it. Only the signatures of a child are requested, never the
//! child.

use std::pin::pin;

use futures_util::stream::{self, StreamExt as _};
use futures_util::{FutureExt as _, future, join};
use qmt_oci_ref::manifest::{ClaimLimits, Claims};
use qmt_oci_ref::{Descriptor, Digest, PinnedReference, Registry};

use super::layer::Kind;
use super::search::{Deadline, Search};
use super::{Caps, DiscoveryOptions};
use crate::limits::{CHILDREN_AT_ONCE, CHILDREN_MAX, MANIFEST_BYTES_MAX};

/// The annotation of entries that `BuildKit` adds for its attestations.
const BUILDKIT_REFERENCE: &str = "vnd.docker.reference.type";

/// The first manifest listed by `subject` that itself has a signature or an attestation.
pub(super) async fn first_signed(
    registry: &dyn Registry,
    subject: &PinnedReference,
    options: &DiscoveryOptions,
    deadline: Deadline,
) -> Option<Digest> {
    let raw = deadline.bound(registry.manifest(subject, MANIFEST_BYTES_MAX));
    let raw = raw
        .await
        .ok()
        .filter(|raw| raw.digest() == subject.digest())?;
    let limits = ClaimLimits {
        entries: CHILDREN_MAX,
        annotations_each: usize::MAX,
        annotations_all: usize::MAX,
        annotation_names: Some(&[BUILDKIT_REFERENCE]),
    };
    let claims = Claims::read(raw.bytes(), limits).ok();
    let index = claims.filter(Claims::is_index)?;
    let children = index
        .manifests
        .unwrap_or_default()
        .read
        .into_iter()
        .flatten();
    let children = children.map(|entry| entry.descriptor);
    let children = children.filter(|child| child.annotation(BUILDKIT_REFERENCE).is_none());
    let children: Vec<Descriptor> = children.collect();
    let repository = options.repository.as_ref().unwrap_or(subject.repository());
    let signed = stream::iter(children)
        .map(|child| {
            let pin = PinnedReference::new(repository.clone(), child.digest().clone());
            is_signed(registry, pin, options, deadline).boxed()
        })
        .buffered(CHILDREN_AT_ONCE);
    pin!(signed.filter_map(future::ready)).next().await
}

/// The digest of `child`, if anything that may be a signature of it is found.
async fn is_signed(
    registry: &dyn Registry,
    child: PinnedReference,
    options: &DiscoveryOptions,
    deadline: Deadline,
) -> Option<Digest> {
    let tag = options.tag(child.digest(), ".sig").ok()?;
    let digest = child.digest().clone();
    let caps = Caps {
        envelopes: 0,
        ..options.caps
    };
    let search = Search::new(registry, child, caps, deadline);
    let (referrers, tagged) = join!(search.referrers(), search.tag(tag, Kind::SimpleSigning));
    let is_signed = !referrers.layers.is_empty() || !tagged.layers.is_empty();
    is_signed.then_some(digest)
}

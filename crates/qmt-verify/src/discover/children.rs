//! The search for signed children of an index that is not signed itself. This is a common mistake
//! of publishers, and the error names it. Of a child, only the signatures are requested, and the
//! child itself where it is an index.

use std::pin::pin;

use futures_util::stream::{self, StreamExt as _};
use futures_util::{FutureExt as _, future, join};
use qmt_oci_ref::manifest::{ClaimLimits, Claims, is_index};
use qmt_oci_ref::{Descriptor, Digest, PinnedReference, Registry, Repository};

use super::layer::Kind;
use super::search::{Deadline, Search};
use super::{Caps, DiscoveryOptions};
use crate::limits::{
    CHILDREN_AT_ONCE, CHILDREN_MAX, INDEX_DEPTH_MAX, INDEXES_MAX, MANIFEST_BYTES_MAX,
};

/// The annotation of entries that `BuildKit` adds for its attestations.
const BUILDKIT_REFERENCE: &str = "vnd.docker.reference.type";

/// The first manifest or index listed by `subject`, or by an index in it, that itself has a signature
/// or an attestation.
pub(super) async fn first_signed(
    registry: &dyn Registry,
    subject: &PinnedReference,
    options: &DiscoveryOptions,
    deadline: Deadline,
) -> Option<Digest> {
    let mut left = CHILDREN_MAX;
    let mut indexes = vec![subject.clone()];
    for _ in 0..INDEX_DEPTH_MAX {
        let mut level = Vec::new();
        for index in indexes {
            level.append(&mut children(registry, &index, left, deadline).await);
            level.truncate(left);
        }
        left = left.saturating_sub(level.len());
        let inner = level.iter().filter(|child| is_index(child.media_type()));
        let inner = inner.map(|child| at(subject.repository(), child));
        indexes = inner.take(INDEXES_MAX.min(left)).collect();
        let repository = options.searched(subject.repository());
        let signed = stream::iter(level)
            .map(|child| is_signed(registry, at(repository, &child), options, deadline).boxed())
            .buffered(CHILDREN_AT_ONCE);
        let first = pin!(signed.filter_map(future::ready)).next().await;
        if first.is_some() {
            return first;
        }
    }
    None
}

fn at(repository: &Repository, child: &Descriptor) -> PinnedReference {
    PinnedReference::new(repository.clone(), child.digest().clone())
}

/// At most so many manifests and indexes that `index` lists; none if it cannot be read, or is not
/// an index.
async fn children(
    registry: &dyn Registry,
    index: &PinnedReference,
    most: usize,
    deadline: Deadline,
) -> Vec<Descriptor> {
    let raw = registry.manifest(index, MANIFEST_BYTES_MAX);
    let raw = deadline.bound(registry, raw).await.ok();
    let Some(raw) = raw.filter(|raw| raw.digest() == index.digest()) else {
        return Vec::new();
    };
    let limits = ClaimLimits {
        entries: most,
        both_ends: false,
        annotations_each: usize::MAX,
        annotations_all: usize::MAX,
        annotation_names: Some(&[BUILDKIT_REFERENCE]),
    };
    let claims = Claims::read(raw.bytes(), limits).ok();
    let index = claims.filter(Claims::is_index);
    let listed = index.and_then(|index| index.manifests).unwrap_or_default();
    let children = listed.read.into_iter().flatten();
    let children = children.map(|entry| entry.descriptor);
    let is_attestation = |child: &Descriptor| child.annotation(BUILDKIT_REFERENCE).is_some();
    children.filter(|child| !is_attestation(child)).collect()
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

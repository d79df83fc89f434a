//! The referrers: their list, and the manifests that are read of it.

use std::collections::HashSet;

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use qmt_oci_ref::manifest::{Referrers, may_be_signature};
use qmt_oci_ref::{Descriptor, PinnedReference, RegistryErrorKind};

use super::{AnnotationsLeft, Search, read};
use crate::discover::found::Found;
use crate::discover::layer::{self, Origin};
use crate::limits::{
    LARGE_AT_ONCE, LARGE_MANIFESTS_MAX, LAYERS_MAX, REFERRER_ANNOTATIONS_MAX, REFERRER_BYTES_MAX,
    REQUESTS_AT_ONCE, SMALL_BYTES_MAX, SMALL_MANIFESTS_MAX,
};

impl Search<'_> {
    /// Everything that refers to the subject: bundles, and signatures in cosign 2's OCI 1.1 mode.
    pub(in crate::discover) async fn referrers(&self) -> Found {
        let place = format!("the referrers of {}", self.subject);
        let mut found = Found::default();
        let Some(mut listed) = self.list(&place, &mut found).await else {
            return found;
        };
        found.places = 1;
        let mut unique = HashSet::new();
        listed.retain(|referrer| unique.insert(referrer.digest().clone()));
        drop(unique);
        listed.retain(|referrer| {
            let fits = referrer.size() <= REFERRER_BYTES_MAX;
            if !fits && may_be_signature(referrer) {
                let place = format!("referrer {}", referrer.digest());
                let reason = format!("its manifest is over {REFERRER_BYTES_MAX} bytes");
                found.skip(place, 1, reason);
            }
            fits
        });
        found.drop_notes();
        let left = AnnotationsLeft::new(REFERRER_ANNOTATIONS_MAX);
        let listed = layer::by_likelihood(listed).into_iter();
        let (small, mut large): (Vec<_>, Vec<_>) =
            listed.partition(|referrer| referrer.size() <= SMALL_BYTES_MAX);
        let limits = (SMALL_MANIFESTS_MAX, REQUESTS_AT_ONCE);
        let larger = self.some_referrers(&place, small, limits, &left, &mut found);
        large.extend(larger.await);
        let limits = (LARGE_MANIFESTS_MAX, LARGE_AT_ONCE);
        let larger = self.some_referrers(&place, large, limits, &left, &mut found);
        larger.await;
        found
    }

    /// Adds what the first ones of `some` hold. Returns those whose manifests can be larger than listed.
    async fn some_referrers(
        &self,
        place: &str,
        mut some: Vec<Descriptor>,
        (most, at_once): (usize, usize),
        left: &AnnotationsLeft,
        found: &mut Found,
    ) -> Vec<Descriptor> {
        // What is listed as something else is no missing signature.
        let unread = some.iter().skip(most);
        let unread = unread.filter(|one| may_be_signature(one)).count();
        let reason = format!("only {most} of {} are read", some.len());
        found.skip(place, unread, reason);
        some.truncate(most);
        some.shrink_to_fit();
        let mut read = stream::iter(some)
            .map(|referrer| self.referrer_as_listed(referrer, left).boxed())
            .buffered(at_once);
        let mut larger = Vec::new();
        while let Some(one) = read.next().await {
            match one {
                Ok(one) => found.add_referrer(one),
                Err(referrer) => larger.push(referrer),
            }
        }
        larger
    }

    /// The list of referrers, or the part of it that could be read.
    async fn list(&self, place: &str, found: &mut Found) -> Option<Vec<Descriptor>> {
        let listed = self.registry.referrers(&self.subject);
        let mut error = match self.deadline.bound(self.registry, listed).await {
            Ok(listed) => return Some(noted(listed, place, found)),
            Err(error) if error.is_not_found() => return Some(Vec::new()),
            Err(error) => error,
        };
        let listed = error.take_listed();
        if listed.is_some() {
            found.miss_rest(place, error);
        } else {
            found.fail(place, error);
        }
        listed.map(|listed| noted(listed, place, found))
    }

    /// As [`referrer`](Self::referrer), without what is odd about other artifacts than signatures.
    async fn referrer_as_listed(
        &self,
        referrer: Descriptor,
        left: &AnnotationsLeft,
    ) -> Result<Found, Descriptor> {
        let is_listed_as_other = !may_be_signature(&referrer);
        let mut found = self.referrer(referrer, left).await?;
        if is_listed_as_other && found.layers.is_empty() {
            found.notes.clear();
        }
        Ok(found)
    }

    /// The layers of one referrer that may be signatures. The error is the referrer with the largest
    /// size, where its manifest can be larger than listed.
    async fn referrer(
        &self,
        referrer: Descriptor,
        left: &AnnotationsLeft,
    ) -> Result<Found, Descriptor> {
        let place = format!("referrer {}", referrer.digest());
        let mut found = Found::default();
        let repository = self.subject.repository().clone();
        let pin = PinnedReference::new(repository, referrer.digest().clone());
        // The listed size is only a claim, of which any publisher can make another.
        let limit = referrer.size().max(SMALL_BYTES_MAX);
        let as_large = || {
            let (media_type, digest) = (referrer.media_type().clone(), referrer.digest().clone());
            Descriptor::new(media_type, digest, REFERRER_BYTES_MAX)
        };
        let raw = self.registry.manifest(&pin, limit);
        let raw = match self.deadline.bound(self.registry, raw).await {
            Ok(raw) => raw,
            Err(error)
                if error.kind() == RegistryErrorKind::Content && limit < REFERRER_BYTES_MAX =>
            {
                return Err(as_large());
            }
            Err(error) => {
                found.miss(place, error);
                return Ok(found);
            }
        };
        if raw.bytes().len() as u64 > limit && limit < REFERRER_BYTES_MAX {
            return Err(as_large());
        }
        // `RawManifest` hashes its bytes itself.
        if raw.digest() != pin.digest() {
            found.note(place, format!("its manifest hashes to `{}`", raw.digest()));
            return Ok(found);
        }
        let Some(manifest) = read(&place, &raw, (limit, LAYERS_MAX), left, &mut found) else {
            return Ok(found);
        };
        // A registry may list anything (CVE-2023-33959). What is listed by hand or under Harbor's
        // rules for accessories names no subject; the signed content names the digest as well.
        let subject = manifest.subject.as_ref();
        if subject.is_some_and(|named| named != self.subject.digest()) {
            found.note(place, "its subject is another digest");
            return Ok(found);
        }
        // Other artifacts that refer to an image are not noted.
        if let Some(kind) = layer::kind_of_referrer(&manifest) {
            let most_bytes = self.caps.item_bytes;
            let kind = (kind, Origin::Referrers);
            layer::select(&place, manifest, kind, most_bytes, &mut found);
        }
        Ok(found)
    }
}

/// Notes what was unexpected about a list, and returns its entries.
fn noted(listed: Referrers, place: &str, found: &mut Found) -> Vec<Descriptor> {
    for remark in listed.remarks() {
        found.note_answer(place, remark);
    }
    for error in listed.failures() {
        found.fail(place, error.clone());
    }
    listed.into_entries()
}

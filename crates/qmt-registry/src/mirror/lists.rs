//! Evidence from several sources: lists of referrers, and tags of signatures. Both are claims that
//! the caller checks one by one, so what one source has, lacks or refuses does not hide what another
//! one has.

use qmt_oci_ref::manifest::{DescriptorSet, Referrers};
use qmt_oci_ref::{PinnedReference, RawManifest, Reference, RegistryError};

use super::{Mirrors, Subject, is_unreachable};
use crate::limits::{MERGED_REFERRERS_TIMEOUT, REFERRERS_MAX};

/// What the sources listed so far.
struct Merged {
    entries: DescriptorSet,
    remarks: Vec<String>,
    was_read: bool,
    /// Why the registry itself did not list all.
    missing: Option<RegistryError>,
    /// Whether it sent no answer: then the empty list of a mirror counts.
    is_unreachable: bool,
}

impl Merged {
    fn of(sources: usize) -> Self {
        Self {
            // The most that they list, so that one source does not hide what another one has.
            entries: DescriptorSet::new(REFERRERS_MAX.saturating_mul(sources)),
            remarks: Vec::new(),
            was_read: false,
            missing: None,
            is_unreachable: false,
        }
    }

    fn add(&mut self, listed: Referrers) {
        self.was_read = true;
        self.remarks.extend_from_slice(listed.remarks());
        for entry in listed.into_entries() {
            self.entries.add(entry);
        }
    }

    fn into_result(self) -> Result<Referrers, RegistryError> {
        let mut listed = Referrers::from(self.entries.into_vec());
        self.remarks
            .into_iter()
            .for_each(|line| listed.remark(line));
        match self.missing {
            None => Ok(listed),
            Some(_) if self.is_unreachable && self.was_read && listed.is_empty() => Ok(listed),
            Some(error) if self.was_read => Err(error.with_listed(listed)),
            Some(error) => Err(error),
        }
    }
}

impl Mirrors {
    /// Lists the referrers that authoritative mirrors and the registry itself have. Where these list
    /// none, or the registry does not answer in full, the other mirrors are asked as well.
    pub(super) async fn merged_referrers(
        &self,
        subject: &PinnedReference,
    ) -> Result<Referrers, RegistryError> {
        let host = subject.repository().host();
        let turns = self.turns(host, Subject::Referrers, MERGED_REFERRERS_TIMEOUT)?;
        let mut merged = Merged::of(turns.len());
        for turn in turns {
            let source = &turn.source;
            let read = async |repository| {
                let subject = PinnedReference::new(repository, subject.digest().clone());
                source.registry.referrers(&subject).await
            };
            match turn.read(subject.repository(), read).await {
                Ok(listed) => {
                    merged.add(listed);
                    // A pull-through cache rarely has the whole list of its registry.
                    if source.mirror.is_none() && !merged.entries.is_empty() {
                        break;
                    }
                }
                Err(mut error) => {
                    let listed = error.take_listed();
                    if source.mirror.is_some() {
                        source.skip(&error, Subject::Referrers, self.client.events());
                    } else {
                        merged.is_unreachable = is_unreachable(&error) && listed.is_none();
                        merged.missing = Some(error);
                    }
                    if let Some(listed) = listed {
                        merged.add(listed);
                    }
                }
            }
        }
        merged.into_result()
    }

    /// Reads what authoritative mirrors and the registry itself have under the tag of `reference`,
    /// equal manifests once. Where the registry answers with an error, so does this. Where it sends
    /// no answer and a mirror lacks the tag, the tag does not exist: some machines reach only the
    /// mirror. An unexpected answer of a source that lacks the tag is returned in any case.
    pub(super) async fn merged_tag(
        &self,
        reference: &Reference,
    ) -> Vec<Result<RawManifest, RegistryError>> {
        let turns = match self.turns(reference.host(), Subject::Tag, MERGED_REFERRERS_TIMEOUT) {
            Ok(turns) => turns,
            Err(error) => return vec![Err(error)],
        };
        let (mut manifests, mut absent, mut failed) = (Vec::<RawManifest>::new(), Vec::new(), None);
        for turn in turns {
            let source = &turn.source;
            let read = async |repository| {
                let reference = Reference::new(repository, reference.tag().cloned(), None);
                source.registry.resolve(&reference).await
            };
            match turn.read(reference.repository(), read).await {
                Ok(raw) if manifests.iter().any(|known| known.digest() == raw.digest()) => {}
                Ok(raw) => manifests.push(raw),
                // Most images lack most of these tags.
                Err(error) if error.is_not_found() => absent.push(error),
                Err(error) if source.mirror.is_none() => failed = Some(error),
                Err(error) => source.skip(&error, Subject::Tag, self.client.events()),
            }
        }
        if manifests.is_empty() && failed.as_ref().is_none_or(is_unreachable) {
            failed = absent.pop().or(failed);
        }
        absent.retain(|error| error.remark().is_some());
        let manifests = manifests.into_iter().map(Ok);
        let failed = failed.into_iter().chain(absent).map(Err);
        manifests.chain(failed).collect()
    }
}

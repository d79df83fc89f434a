//! Evidence from several sources: lists of referrers, and tags of signatures. Both are claims that
//! the caller checks one by one, so what one source has, lacks or refuses does not hide what another
//! one has.

use std::time::Instant;

use qmt_oci_ref::manifest::{DescriptorSet, Referrers};
use qmt_oci_ref::{
    PinnedReference, RawManifest, Reference, RegistryError, RegistryErrorKind, RegistryHost,
};

use super::{MirrorOptions, Mirrors, Subject};
use crate::limits::{MERGED_REFERRERS_TIMEOUT, REFERRERS_MAX};

/// What the sources listed so far.
struct Merged {
    entries: DescriptorSet,
    remarks: Vec<String>,
    /// The errors of mirrors.
    failures: Vec<RegistryError>,
    was_read: bool,
    /// Why the registry itself did not list all.
    missing: Option<RegistryError>,
}

impl Merged {
    fn of(sources: usize) -> Self {
        Self {
            // The most that they list, so that one source does not hide what another one has.
            entries: DescriptorSet::new(REFERRERS_MAX.saturating_mul(sources)),
            remarks: Vec::new(),
            failures: Vec::new(),
            was_read: false,
            missing: None,
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
        self.failures
            .into_iter()
            .for_each(|error| listed.fail(error));
        match self.missing {
            None => Ok(listed),
            Some(error) if self.was_read => Err(error.with_listed(listed)),
            Some(error) => Err(error),
        }
    }
}

impl Mirrors {
    /// Lists the referrers that authoritative mirrors and the registry itself have. Where these list
    /// none, or the registry does not answer in full, the other mirrors are asked as well. The list
    /// has the errors of mirrors, because a signature may be where it could not be looked for.
    pub(super) async fn merged_referrers(
        &self,
        subject: &PinnedReference,
    ) -> Result<Referrers, RegistryError> {
        let host = subject.repository().host();
        let given_up = self.given_up(host);
        let turns = self.turns(host, Subject::Referrers, MERGED_REFERRERS_TIMEOUT);
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
                    if let Some(mirror) = &source.mirror {
                        source.skip(&error, Subject::Referrers, self.client.events());
                        let error = error.with_mirror(mirror.host.clone());
                        merged.failures.push(error);
                    } else {
                        merged.missing = Some(error);
                    }
                    if let Some(listed) = listed {
                        merged.add(listed);
                    }
                }
            }
        }
        let lists_none = merged.entries.is_empty();
        let given_up = given_up.into_iter();
        let given_up = given_up.filter(|mirror| mirror.authoritative || lists_none);
        merged.failures.extend(given_up.map(not_asked));
        merged.into_result()
    }

    /// The mirrors of `host` that are not asked.
    fn given_up(&self, host: &RegistryHost) -> Vec<MirrorOptions> {
        let mirrors = self.hosts.get(&self.key(host));
        let mirrors = mirrors.into_iter().flatten();
        let given_up = mirrors.filter(|mirror| mirror.is_given_up(Instant::now()));
        given_up.filter_map(|one| one.mirror.clone()).collect()
    }

    /// Reads what authoritative mirrors and the registry itself have under the tag of `reference`,
    /// equal manifests once. Where the registry does not answer, or answers with an error, so does
    /// this. An unexpected answer of a source that lacks the tag is returned in any case, and so is the
    /// error of a mirror.
    pub(super) async fn merged_tag(
        &self,
        reference: &Reference,
    ) -> Vec<Result<RawManifest, RegistryError>> {
        let host = reference.host();
        let given_up = self.given_up(host);
        let turns = self.turns(host, Subject::Tag, MERGED_REFERRERS_TIMEOUT);
        let given_up = given_up.into_iter().filter(|mirror| mirror.authoritative);
        let mut of_mirrors: Vec<_> = given_up.map(not_asked).collect();
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
                Err(error) => match &source.mirror {
                    None => failed = Some(error),
                    Some(mirror) => {
                        source.skip(&error, Subject::Tag, self.client.events());
                        of_mirrors.push(error.with_mirror(mirror.host.clone()));
                    }
                },
            }
        }
        if manifests.is_empty() && failed.is_none() {
            failed = absent.pop();
        }
        absent.retain(|error| error.remark().is_some());
        let manifests = manifests.into_iter().map(Ok);
        let failed = failed.into_iter().chain(absent);
        manifests.chain(failed.chain(of_mirrors).map(Err)).collect()
    }
}

/// The error of a mirror that was given up earlier.
fn not_asked(mirror: MirrorOptions) -> RegistryError {
    let kind = RegistryErrorKind::Network { retryable: true };
    let reason = "it did not answer in time, or sent wrong content, and is not asked again for 10 \
                  minutes";
    RegistryError::new(kind, reason).with_mirror(mirror.host)
}

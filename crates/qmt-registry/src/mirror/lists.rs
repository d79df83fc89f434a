//! Lists of referrers from several sources. A list is a claim that the caller checks entry by
//! entry, so what one source refuses does not hide what another one lists.

use std::collections::HashSet;
use std::sync::Arc;

use qmt_oci_ref::{Descriptor, Digest, PinnedReference, RegistryError};

use super::deadline::SourceDeadline;
use super::{Mirrors, Source, Subject};
use crate::limits::MERGED_REFERRERS_TIMEOUT;

/// What the sources listed so far.
#[derive(Default)]
struct Merged {
    entries: Vec<Descriptor>,
    digests: HashSet<Digest>,
    was_read: bool,
    /// Why the registry itself did not list all.
    missing: Option<RegistryError>,
    /// Whether it could not be reached: then what mirrors list counts.
    is_unreachable: bool,
}

impl Merged {
    fn add(&mut self, listed: Vec<Descriptor>) {
        self.was_read = true;
        for entry in listed {
            if self.digests.insert(entry.digest().clone()) {
                self.entries.push(entry);
            }
        }
    }

    fn into_result(self) -> Result<Vec<Descriptor>, RegistryError> {
        match self.missing {
            None => Ok(self.entries),
            Some(_) if self.is_unreachable && self.was_read => Ok(self.entries),
            Some(error) if self.was_read => Err(error.with_listed(self.entries)),
            Some(error) => Err(error),
        }
    }
}

impl Mirrors {
    /// Lists referrers: those of the first source that has any, or of the registry itself. Until
    /// one of them answers in full, what the sources list is merged.
    pub(super) async fn merged_referrers(
        &self,
        subject: &PinnedReference,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let host = subject.repository().host();
        let mut merged = Merged::default();
        let deadline = self.deadline(host, MERGED_REFERRERS_TIMEOUT)?;
        let sources = self.sources(host, Subject::Referrers);
        for (index, source) in sources.iter().enumerate() {
            let deadline = deadline.of(source, sources.len().saturating_sub(index + 1));
            if self.add_from(source, subject, deadline, &mut merged).await {
                break;
            }
        }
        merged.into_result()
    }

    /// Adds what `source` lists; `true` if no other source is asked.
    async fn add_from(
        &self,
        source: &Arc<Source>,
        subject: &PinnedReference,
        deadline: SourceDeadline,
        merged: &mut Merged,
    ) -> bool {
        let outcome = match source.locate(subject.repository()) {
            Ok(repository) => {
                let subject = PinnedReference::new(repository, subject.digest().clone());
                deadline.wait(source.registry.referrers(&subject)).await
            }
            Err(error) => Err(error),
        };
        let is_mirror = source.mirror.is_some();
        match outcome {
            Ok(listed) => {
                // A pull-through cache rarely has the lists of its registry.
                let is_final = !is_mirror || !listed.is_empty();
                merged.add(listed);
                is_final
            }
            Err(mut error) => {
                let listed = error.take_listed();
                if is_mirror {
                    source.skip(&error, Subject::Referrers, self.client.events());
                } else {
                    merged.is_unreachable = error.is_network() && listed.is_none();
                    merged.missing = Some(error);
                }
                if let Some(listed) = listed {
                    merged.add(listed);
                }
                false
            }
        }
    }
}

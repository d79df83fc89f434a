//! The entries and remarks of all pages and lists that were read.

use std::collections::VecDeque;

use qmt_oci_ref::manifest::{
    ClaimLimits, DescriptorSet, ManifestError, Referrers, is_index, may_be_signature,
};
use qmt_oci_ref::{Descriptor, PinnedReference};

use super::{not_a_list, read_claims, too_many};
use crate::error::ClientError;
use crate::limits::{PAGE_ENTRIES_MAX, REFERRER_ANNOTATIONS_MAX, REFERRERS_ANNOTATIONS_MAX};

/// What was listed so far, up to a limit.
pub(super) struct Listed<'a> {
    subject: &'a PinnedReference,
    limit: usize,
    annotations_left: usize,
    pub(super) entries: DescriptorSet,
    /// The last entries over the limit. They take the places of those in the middle, because a flood is
    /// added at one end.
    last: VecDeque<Descriptor>,
    /// What was unexpected.
    remarks: Vec<String>,
    /// Whether there were too many entries, so that those are left out which can't be signatures.
    is_selective: bool,
    /// Whether a list was read, be it an empty one.
    pub(super) was_read: bool,
    is_over: bool,
    /// How many entries cannot be read, and the rule that the first of them breaks.
    unreadable: Option<(usize, &'static str)>,
}

impl<'a> Listed<'a> {
    pub(super) fn new(subject: &'a PinnedReference, limit: usize) -> Self {
        Self {
            subject,
            limit,
            annotations_left: REFERRERS_ANNOTATIONS_MAX,
            entries: DescriptorSet::new(limit),
            last: VecDeque::new(),
            remarks: Vec::new(),
            is_selective: false,
            was_read: false,
            is_over: false,
            unreadable: None,
        }
    }

    /// Adds the entries of a page that are new.
    pub(super) fn add(&mut self, content: &[u8]) -> Result<(), ClientError> {
        let limits = ClaimLimits {
            entries: PAGE_ENTRIES_MAX,
            both_ends: true,
            annotations_each: REFERRER_ANNOTATIONS_MAX,
            annotations_all: self.annotations_left,
            annotation_names: None,
        };
        let claims = read_claims(content, self.subject, limits)?;
        // `null`, and a list that an index lacks, are empty lists.
        let is_list = claims.manifests.as_ref().is_some_and(|list| !list.is_null);
        let list = match (claims.manifests, claims.media_type) {
            (_, Some(media_type)) if !is_index(&media_type) => {
                let source = ManifestError::NotAnImage { media_type };
                return Err(not_a_list(self.subject, source));
            }
            (None, None) => {
                let source = ManifestError::Missing { field: "manifests" };
                return Err(not_a_list(self.subject, source));
            }
            (list, _) => list.unwrap_or_default(),
        };
        self.was_read = true;
        if !is_list {
            self.remark("`manifests` is absent or null in the list");
        }
        self.is_over |= list.count > list.read.len();
        self.annotations_left = self.annotations_left.saturating_sub(list.annotation_bytes);
        for entry in list.read {
            match entry {
                Ok(entry) => self.add_entry(entry.descriptor),
                Err(rule) => {
                    let (count, first) = self.unreadable.unwrap_or((0, rule));
                    self.unreadable = Some((count.saturating_add(1), first));
                }
            }
        }
        Ok(())
    }

    fn add_entry(&mut self, entry: Descriptor) {
        if self.is_selective && !may_be_signature(&entry) {
            return;
        }
        if self.entries.add(entry.clone()) {
            return;
        }
        if !self.is_selective {
            self.is_selective = true;
            self.entries.retain(may_be_signature);
            return self.add_entry(entry);
        }
        self.is_over = true;
        if self.last.len() >= self.limit / 2 {
            self.last.pop_front();
        }
        self.last.push_back(entry);
    }

    pub(super) fn remark(&mut self, line: impl Into<String>) {
        let line = line.into();
        // One page says the same as the next.
        if !self.remarks.contains(&line) {
            self.remarks.push(line);
        }
    }

    pub(super) fn into_referrers(self) -> Referrers {
        let mut entries = self.entries.into_vec();
        entries.truncate(self.limit.saturating_sub(self.last.len()));
        entries.extend(self.last);
        let mut referrers = Referrers::from(entries);
        self.remarks
            .into_iter()
            .for_each(|line| referrers.remark(line));
        referrers
    }

    /// Remarks that there are too many entries, where another error is reported.
    pub(super) fn remark_limit(&mut self) {
        if self.is_over {
            let limit = self.limit;
            self.remark(format!(
                "only {limit} referrers are listed, the first and the last ones"
            ));
        }
    }

    /// Why the entries are not all, if so.
    pub(super) fn incomplete(&self) -> Option<ClientError> {
        if self.is_over {
            return Some(too_many("referrers", self.limit, self.subject));
        }
        let (count, rule) = self.unreadable?;
        Some(ClientError::UnreadableEntries {
            subject: self.subject.to_string(),
            count,
            rule,
        })
    }
}

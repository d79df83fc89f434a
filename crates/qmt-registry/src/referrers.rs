//! The two ways in which a registry lists what refers to a manifest.
//!
//! The referrers API answers with an index, page by page. Where a registry lacks it, clients keep
//! an index under a tag made of the subject's digest.
//! Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers>

use std::collections::HashSet;

use qmt_oci_ref::{Descriptor, MediaType, PinnedReference, ReferenceError, Tag};
use serde::{Deserialize, Serialize};

use crate::error::RegistryError;

/// The tag under which a registry without the API keeps the list: `sha256-<hex>`.
///
/// # Errors
///
/// None for any digest that exists; the type is that of the tag's grammar.
pub(crate) fn fallback_tag(subject: &PinnedReference) -> Result<Tag, ReferenceError> {
    Tag::for_digest(subject.digest(), "")
}

/// An index, as far as referrers need it.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReferrersIndex {
    schema_version: u32,
    #[serde(default = "index_type")]
    media_type: MediaType,
    pub(crate) manifests: Vec<Descriptor>,
}

impl ReferrersIndex {
    pub(crate) fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: index_type(),
            manifests,
        }
    }

    /// Reads a page of the list.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotAManifest`].
    pub(crate) fn read(subject: &PinnedReference, content: &[u8]) -> Result<Self, RegistryError> {
        let refuse = |fault, source| RegistryError::NotAManifest {
            what: format!("the referrers of {subject}"),
            fault,
            source,
        };
        let index: Self = serde_json::from_slice(content)
            .map_err(|cause| refuse("it is not an image index", Some(cause)))?;
        if index.media_type != MediaType::OCI_INDEX {
            return Err(refuse("its media type is not that of an image index", None));
        }
        Ok(index)
    }
}

fn index_type() -> MediaType {
    MediaType::new(MediaType::OCI_INDEX)
}

/// Descriptors in the order in which they were found, each digest once, up to a limit.
pub(crate) struct Found<'a> {
    subject: &'a PinnedReference,
    limit: usize,
    seen: HashSet<qmt_oci_ref::Digest>,
    list: Vec<Descriptor>,
}

impl<'a> Found<'a> {
    pub(crate) fn new(subject: &'a PinnedReference, limit: usize) -> Self {
        Self {
            subject,
            limit,
            seen: HashSet::new(),
            list: Vec::new(),
        }
    }

    /// Adds what is new among `descriptors`.
    ///
    /// # Errors
    ///
    /// [`RegistryError::TooMany`].
    pub(crate) fn extend(&mut self, descriptors: Vec<Descriptor>) -> Result<(), RegistryError> {
        for descriptor in descriptors {
            if !self.seen.insert(descriptor.digest().clone()) {
                continue;
            }
            if self.list.len() >= self.limit {
                return Err(RegistryError::TooMany {
                    what: "referrers",
                    limit: u64::try_from(self.limit).unwrap_or(u64::MAX),
                    subject: self.subject.to_string(),
                });
            }
            self.list.push(descriptor);
        }
        Ok(())
    }

    pub(crate) fn into_list(self) -> Vec<Descriptor> {
        self.list
    }
}

/// The subject that a manifest names, if it does.
///
/// # Errors
///
/// The parser's.
pub(crate) fn subject_of(
    manifest: &[u8],
) -> Result<(Option<Descriptor>, Option<MediaType>), serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Referring {
        subject: Option<Descriptor>,
        artifact_type: Option<MediaType>,
        config: Option<Config>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config {
        media_type: Option<MediaType>,
    }
    let manifest: Referring = serde_json::from_slice(manifest)?;
    // The specification: the artifact type of a manifest that has none is its config's media type.
    let config = manifest.config.and_then(|config| config.media_type);
    Ok((manifest.subject, manifest.artifact_type.or(config)))
}

/// The annotations of a manifest, which its entry in the fallback list repeats.
pub(crate) fn annotations_of(manifest: &[u8]) -> qmt_oci_ref::Annotations {
    #[derive(Deserialize)]
    struct Annotated {
        #[serde(default)]
        annotations: qmt_oci_ref::Annotations,
    }
    serde_json::from_slice::<Annotated>(manifest)
        .map(|found| found.annotations)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use qmt_oci_ref::Digest;

    use super::*;

    fn subject() -> PinnedReference {
        format!("r.example/a@{}", Digest::sha256(b"subject"))
            .parse()
            .unwrap()
    }

    fn entries(range: std::ops::Range<u32>) -> Vec<Descriptor> {
        range
            .map(|n| Descriptor::of(MediaType::new("text/plain"), &n.to_be_bytes()))
            .collect()
    }

    /// DIG-14, LIM: the limit counts different entries; one more is an error that names it.
    #[test]
    fn the_list_is_bounded() {
        let subject = subject();
        let mut found = Found::new(&subject, 3);
        found.extend(entries(0..3)).unwrap();
        found.extend(entries(0..3)).unwrap();
        let error = found.extend(entries(3..4)).unwrap_err();
        assert!(
            matches!(error, RegistryError::TooMany { limit: 3, .. }),
            "{error:?}"
        );
        assert_eq!(found.into_list().len(), 3);
    }

    /// DIG-14: what is no index is refused.
    #[test]
    fn only_an_index_is_a_list() {
        let read = |text: &str| ReferrersIndex::read(&subject(), text.as_bytes()).map(|_| ());
        let index = MediaType::OCI_INDEX;
        read(&format!(
            r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[]}}"#
        ))
        .unwrap();
        read(r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
        for wrong in [
            r#"{"schemaVersion":2,"mediaType":"text/plain","manifests":[]}"#,
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
            r#"{"schemaVersion":2,"manifests":[{"digest":"md5:00"}]}"#,
            "[]",
            "<html>",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_subject_is_found() {
        let manifest = format!(
            r#"{{"subject":{{"mediaType":"a/b","digest":"{}","size":1}},"config":{{"mediaType":"c/d"}}}}"#,
            Digest::sha256(b"x")
        );
        let (subject, artifact_type) = subject_of(manifest.as_bytes()).unwrap();
        assert_eq!(subject.unwrap().digest(), &Digest::sha256(b"x"));
        assert_eq!(artifact_type.unwrap(), "c/d");
        assert!(subject_of(b"{}").unwrap().0.is_none());
    }
}

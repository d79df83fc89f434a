//! Publishing a manifest, and adding it to its subject's list.

use http::{HeaderMap, HeaderName, Method, header};
use qmt_oci_ref::manifest::{Document, ManifestError, ManifestLimits, OCI_INDEX};
use qmt_oci_ref::{
    Descriptor, MediaType, PinnedReference, RawManifest, Reference, Repository, Tag, text,
};
use serde_json::{Map, Value};

use super::super::operation::Operation;
use super::super::referrers::{UnderTag, not_a_list};
use super::{STORED, confirmed};
use crate::blob::check_digest;
use crate::error::ClientError;
use crate::http::transport::Payload;
use crate::redact::RedactedUrl;

/// Sent by registries that add a manifest to its subject's list themselves.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// How often a list that another client changed at the same time is changed again.
const LIST_TRIES: usize = 3;

impl Operation {
    /// Sends a manifest, and adds it to its subject's list where the registry does not.
    pub(in super::super) async fn push_manifest(
        &mut self,
        to: &Reference,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, ClientError> {
        let digest = manifest.digest();
        if let Some(expected) = to.digest() {
            check_digest(expected, digest, None)?;
        }
        let name = to
            .tag()
            .map_or_else(|| digest.to_string(), |tag| tag.as_str().to_owned());
        let headers = self.put_manifest(to.repository(), &name, manifest).await?;
        if !headers.contains_key(SUBJECT)
            && let Some((subject, entry)) = referrer(to, manifest)?
        {
            self.add_to_list(&subject, entry).await?;
        }
        Ok(to.with_digest(digest.clone()))
    }

    /// Sends a manifest, and returns the headers of the answer that confirms it.
    async fn put_manifest(
        &mut self,
        to: &Repository,
        name: &str,
        manifest: &RawManifest,
    ) -> Result<HeaderMap, ClientError> {
        let url = self.endpoint.url(to, &format!("manifests/{name}"));
        let mut request = self
            .push_request(to, Method::PUT, url)
            .payload(Payload::Bytes(manifest.bytes().clone()))
            .header(header::CONTENT_TYPE, manifest.media_type().as_ref());
        // Named in errors, because a registry may refuse some tags, and the list of referrers has a tag
        // of its own.
        let separator = if name.contains(':') { '@' } else { ':' };
        request.what = format!("`{to}{separator}{name}`");
        let answer = match self.send(&request, &STORED).await {
            // It lacks a blob or manifest; with several servers, perhaps only for a moment.
            Err(ClientError::UploadRefused { .. }) => {
                tokio::time::sleep(self.endpoint.context.limits.retry_wait_min).await;
                self.send(&request, &STORED).await?
            }
            answer => answer?,
        };
        confirmed(answer, manifest.digest()).await
    }

    /// Adds `entry` to the list under the subject's tag. Two clients can overwrite each other's
    /// list, so it is read again afterwards.
    async fn add_to_list(
        &mut self,
        subject: &PinnedReference,
        entry: Descriptor,
    ) -> Result<(), ClientError> {
        let tag = Tag::for_referrers(subject.digest());
        let mut keeps_lists = false;
        for attempt in 0..=LIST_TRIES {
            let answer = self.answer_under_tag(subject).await?;
            keeps_lists = matches!(answer, UnderTag::List(_));
            let list = match answer {
                UnderTag::List(list) => read_list(subject, &list)?,
                UnderTag::Other(_) | UnderTag::Nothing => Map::new(),
            };
            let Some(list) = with_entry(list, &entry)? else {
                return Ok(());
            };
            if attempt == LIST_TRIES {
                break;
            }
            let content = serde_json::to_vec(&list);
            let content = content.map_err(|cause| ClientError::Content(cause.into()))?;
            let index = RawManifest::new(MediaType::ImageIndex, content.into());
            self.put_manifest(subject.repository(), tag.as_str(), &index)
                .await?;
        }
        let url = self
            .endpoint
            .url(subject.repository(), &format!("manifests/{tag}"));
        let url = RedactedUrl::from(&url);
        if keeps_lists {
            let reason = "other clients change the list of referrers at the same time; try again";
            return Err(ClientError::upload_refused(url, reason));
        }
        Err(ClientError::UploadRefused {
            url,
            reason: "a list of referrers that is stored there can't be read again",
            message: String::new(),
            advice: "this registry has no place for a signature in the bundle format; publish \
                     without a key, and sign the image with `cosign sign \
                     --new-bundle-format=false`, which uses a tag of its own",
        })
    }
}

/// The list as it is: others may have written entries that cannot be read here, which stay.
fn read_list(subject: &PinnedReference, list: &[u8]) -> Result<Map<String, Value>, ClientError> {
    serde_json::from_slice(text::without_byte_order_mark(list))
        .map_err(|source| not_a_list(subject, ManifestError::Json(source)))
}

/// The list with `entry`; `None` if it has the entry already.
fn with_entry(
    mut list: Map<String, Value>,
    entry: &Descriptor,
) -> Result<Option<Map<String, Value>>, ClientError> {
    let failed = |cause: serde_json::Error| ClientError::Content(cause.into());
    let mut entries = match list.remove("manifests") {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    };
    let digest = entry.digest().to_string();
    if entries.iter().any(|listed| listed["digest"] == *digest) {
        return Ok(None);
    }
    // Some programs write an entry that they remove as `null`.
    entries.retain(|listed| !listed.is_null());
    entries.push(serde_json::to_value(entry).map_err(failed)?);
    list.insert("schemaVersion".to_owned(), 2.into());
    list.insert("mediaType".to_owned(), OCI_INDEX.into());
    list.insert("manifests".to_owned(), Value::Array(entries));
    Ok(Some(list))
}

/// The subject of `manifest`, and the entry in the subject's list.
fn referrer(
    to: &Reference,
    manifest: &RawManifest,
) -> Result<Option<(PinnedReference, Descriptor)>, ClientError> {
    let limits = ManifestLimits::default();
    let document = Document::read(manifest.media_type(), manifest.bytes(), &limits);
    let document = document.map_err(|source| ClientError::NotAManifest {
        what: format!("`{to}`"),
        source,
    })?;
    let (subject, artifact_type, annotations) = match &document {
        Document::Manifest(manifest) => (
            manifest.subject(),
            Some(manifest.artifact_type()),
            manifest.annotations(),
        ),
        Document::Index(index) => (index.subject(), index.artifact_type(), index.annotations()),
    };
    let Some(subject) = subject else {
        return Ok(None);
    };
    let subject = PinnedReference::new(to.repository().clone(), subject.digest().clone());
    let mut entry = manifest.descriptor();
    if let Some(artifact_type) = artifact_type {
        entry = entry.with_artifact_type(artifact_type.clone());
    }
    for (name, value) in annotations {
        entry = entry.with_annotation(name, value);
    }
    Ok(Some((subject, entry)))
}

#[cfg(test)]
mod tests {
    use qmt_oci_ref::Digest;
    use qmt_oci_ref::manifest::Index;

    use super::*;

    fn added(list: &str, entry: &Descriptor) -> Option<Value> {
        let digest = Digest::sha256("subject");
        let repository = "r.example/a/b".parse().unwrap();
        let subject = PinnedReference::new(repository, digest);
        let list = read_list(&subject, list.as_bytes()).unwrap();
        with_entry(list, entry).unwrap().map(Value::Object)
    }

    #[test]
    fn the_other_entries_stay_as_they_are() {
        let entry = Descriptor::new(MediaType::ImageManifest, Digest::sha256("new"), 7);
        let odd = r#"{"digest":"blake3:00","size":1,"data":"AA=="},{"size":null},{"digest":null}"#;
        let list = format!(r#"{{"schemaVersion":2,"manifests":[null,{odd}],"more":[1]}}"#);
        let added_to = added(&list, &entry).unwrap();
        let expected: Value = serde_json::from_str(&format!("[{odd}]")).unwrap();
        let entries = added_to["manifests"].as_array().unwrap();
        assert_eq!(entries[..3], expected.as_array().unwrap()[..]);
        assert_eq!(entries[3]["digest"], entry.digest().to_string());
        assert_eq!(entries.len(), 4);
        assert_eq!(added_to["more"][0], 1);
        // It is listed now.
        assert_eq!(added(&added_to.to_string(), &entry), None);
    }

    #[test]
    fn a_list_without_entries_becomes_an_index() {
        let entry = Descriptor::new(MediaType::ImageManifest, Digest::sha256("new"), 7);
        for list in [
            "{}",
            r#"{"schemaVersion":2,"mediaType":null,"manifests":null}"#,
            r#"{"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json"}"#,
        ] {
            let list = added(list, &entry).unwrap();
            let index = Index::read(list.to_string().as_bytes(), &ManifestLimits::default());
            let digests = index.unwrap().into_manifests();
            assert_eq!(digests.len(), 1, "{list}");
            assert_eq!(list["mediaType"], OCI_INDEX);
        }
    }
}

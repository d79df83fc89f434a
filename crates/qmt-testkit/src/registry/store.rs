//! What a registry holds: blobs, manifests, tags and uploads, per repository, in memory.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use qmt_oci_ref::{Digest, MediaType};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Everything that one registry holds.
#[derive(Debug, Default)]
pub(super) struct Store {
    repositories: BTreeMap<String, RepositoryStore>,
    uploads: BTreeMap<String, Upload>,
    next_upload: u64,
}

/// What one repository holds.
#[derive(Debug, Default)]
pub(super) struct RepositoryStore {
    pub(super) blobs: BTreeMap<Digest, Bytes>,
    pub(super) manifests: BTreeMap<Digest, StoredManifest>,
    pub(super) tags: BTreeMap<String, Digest>,
}

/// A manifest or index, with what the referrers list needs of it.
#[derive(Clone, Debug)]
pub(super) struct StoredManifest {
    pub(super) media_type: String,
    pub(super) bytes: Bytes,
    pub(super) subject: Option<Digest>,
    artifact_type: Option<String>,
    annotations: Map<String, Value>,
}

/// Bytes that have arrived for a blob whose digest is not proven yet.
#[derive(Debug, Default)]
pub(super) struct Upload {
    pub(super) repository: String,
    pub(super) bytes: BytesMut,
}

/// The fields of a manifest that a registry looks at. All else is the publisher's business.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ManifestHead {
    pub(super) media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Link>,
    layers: Vec<Link>,
    manifests: Vec<Link>,
    subject: Option<Link>,
    annotations: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    #[serde(default)]
    media_type: String,
    digest: String,
}

impl ManifestHead {
    /// Reads the fields. `None` if it is not a JSON object with fields of the right types.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn subject(&self) -> Option<Digest> {
        self.subject
            .as_ref()
            .and_then(|link| link.digest.parse().ok())
    }

    /// The digests of config and layers that a client needs, as written. Layers that may not be
    /// distributed live elsewhere.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &str> {
        self.config
            .iter()
            .chain(&self.layers)
            .filter(|link| {
                !link.media_type.contains("nondistributable")
                    && !link.media_type.contains(".foreign.")
            })
            .map(|link| link.digest.as_str())
    }

    /// The digests of an index's entries, as written.
    pub(super) fn children(&self) -> impl Iterator<Item = &str> {
        self.manifests.iter().map(|link| link.digest.as_str())
    }
}

impl StoredManifest {
    /// Takes over any bytes: what is not a manifest has no subject.
    pub(super) fn new(media_type: &str, bytes: Bytes) -> Self {
        let head = ManifestHead::parse(&bytes).unwrap_or_default();
        let config_type = head.config.as_ref().map(|config| config.media_type.clone());
        Self {
            media_type: media_type.to_owned(),
            subject: head.subject(),
            artifact_type: head
                .artifact_type
                .or(config_type)
                .filter(|text| !text.is_empty()),
            annotations: head.annotations.unwrap_or_default(),
            bytes,
        }
    }

    /// The entry in a referrers list, and the artifact type by which it is filtered.
    fn listed(&self, digest: &Digest) -> Referrer {
        let mut entry = json!({
            "mediaType": self.media_type,
            "digest": digest.to_string(),
            "size": self.bytes.len(),
        });
        if let Some(fields) = entry.as_object_mut() {
            if let Some(artifact_type) = &self.artifact_type {
                fields.insert("artifactType".into(), artifact_type.clone().into());
            }
            if !self.annotations.is_empty() {
                fields.insert("annotations".into(), self.annotations.clone().into());
            }
        }
        Referrer {
            artifact_type: self.artifact_type.clone(),
            entry,
        }
    }
}

/// One entry of a referrers list.
#[derive(Debug)]
pub(super) struct Referrer {
    pub(super) artifact_type: Option<String>,
    pub(super) entry: Value,
}

impl Store {
    pub(super) fn repository(&self, name: &str) -> Option<&RepositoryStore> {
        self.repositories.get(name)
    }

    pub(super) fn repository_mut(&mut self, name: &str) -> Option<&mut RepositoryStore> {
        self.repositories.get_mut(name)
    }

    /// The repository of that name, made if it is not there.
    pub(super) fn repository_or_new(&mut self, name: &str) -> &mut RepositoryStore {
        self.repositories.entry(name.to_owned()).or_default()
    }

    /// The names of all repositories, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        self.repositories.keys().cloned().collect()
    }

    pub(super) fn blob(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        self.repository(repository)?.blobs.get(digest).cloned()
    }

    /// A blob from whichever repository has it.
    pub(super) fn blob_anywhere(&self, digest: &Digest) -> Option<Bytes> {
        self.repositories
            .values()
            .find_map(|repository| repository.blobs.get(digest).cloned())
    }

    /// A manifest by tag or digest, with the digest under which it is kept.
    pub(super) fn manifest(
        &self,
        repository: &str,
        reference: &str,
    ) -> Option<(Digest, &StoredManifest)> {
        let repository = self.repository(repository)?;
        let digest = match reference.parse() {
            Ok(digest) => digest,
            Err(_) => repository.tags.get(reference)?.clone(),
        };
        let manifest = repository.manifests.get(&digest)?;
        Some((digest, manifest))
    }

    /// Keeps a blob under the digest of its bytes.
    pub(super) fn put_blob(&mut self, repository: &str, bytes: Bytes) -> Digest {
        let digest = Digest::sha256(&bytes);
        self.repository_or_new(repository)
            .blobs
            .insert(digest.clone(), bytes);
        digest
    }

    /// Keeps a manifest under the digest of its bytes, and tags it.
    pub(super) fn put_manifest(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Digest {
        let digest = Digest::sha256(&bytes);
        let repository = self.repository_or_new(repository);
        let manifest = StoredManifest::new(media_type.as_ref(), bytes);
        repository.manifests.insert(digest.clone(), manifest);
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest.clone());
        }
        digest
    }

    /// The manifests of `repository` whose subject is `digest`, in the order of their digests.
    pub(super) fn referrers(&self, repository: &str, digest: &Digest) -> Vec<Referrer> {
        self.repository(repository)
            .into_iter()
            .flat_map(|repository| &repository.manifests)
            .filter(|(_, manifest)| manifest.subject.as_ref() == Some(digest))
            .map(|(own, manifest)| manifest.listed(own))
            .collect()
    }

    /// Begins an upload and returns its name.
    pub(super) fn begin_upload(&mut self, repository: &str) -> String {
        self.next_upload += 1;
        let id = format!("upload-{}", self.next_upload);
        self.repository_or_new(repository);
        let upload = Upload {
            repository: repository.to_owned(),
            bytes: BytesMut::new(),
        };
        self.uploads.insert(id.clone(), upload);
        id
    }

    pub(super) fn upload_mut(&mut self, repository: &str, id: &str) -> Option<&mut Upload> {
        self.uploads
            .get_mut(id)
            .filter(|upload| upload.repository == repository)
    }

    pub(super) fn remove_upload(&mut self, id: &str) {
        self.uploads.remove(id);
    }
}

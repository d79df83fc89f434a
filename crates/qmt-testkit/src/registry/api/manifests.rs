//! Manifests and indexes: pull, push, delete, by tag and by digest.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode};
use qmt_oci_ref::{Digest, MediaType, Tag, text};

use super::error::{ApiError, Code};
use super::{Api, Reply, empty, reads, set, unsupported};
use crate::registry::server::Received;
use crate::registry::store::{ManifestHead, Store, StoredManifest};

/// Largest manifest that may be pushed, in bytes: the least that the spec asks of a registry.
const MANIFEST_MAX_BYTES: usize = 4 * 1024 * 1024;

impl Api {
    pub(super) fn manifest(&self, name: &str, reference: &str, request: &Received) -> Reply {
        match &request.method {
            method if reads(method) => self.get_manifest(name, reference),
            &Method::PUT => self.put_manifest(name, reference, request),
            &Method::DELETE if self.abilities.deletes => self.delete_manifest(name, reference),
            _ => Err(unsupported()),
        }
    }

    fn get_manifest(&self, name: &str, reference: &str) -> Reply {
        let store = self.store();
        let (digest, manifest) = store.manifest(name, reference).ok_or_else(unknown)?;
        let mut response = Response::new(Body::from(manifest.bytes.clone()));
        let headers = response.headers_mut();
        headers.insert("content-length", HeaderValue::from(manifest.bytes.len()));
        set(&mut response, "content-type", &manifest.media_type);
        set(&mut response, "docker-content-digest", &digest.to_string());
        Ok(response)
    }

    fn put_manifest(&self, name: &str, reference: &str, request: &Received) -> Reply {
        let invalid = |message| ApiError::new(Code::ManifestInvalid, message);
        let body = &request.body;
        if !request.complete {
            return Err(ApiError::new(Code::SizeInvalid, "the body broke off"));
        }
        if body.len() > MANIFEST_MAX_BYTES {
            return Err(ApiError::new(Code::TooLarge, "the manifest is over 4 MiB"));
        }
        let (tag, digest) = if reference.contains(':') {
            let digest: Digest = reference
                .parse()
                .map_err(|_| ApiError::new(Code::DigestInvalid, "not a sha256 or sha512 digest"))?;
            if Digest::of(digest.algorithm(), body) != digest {
                return Err(ApiError::new(
                    Code::DigestInvalid,
                    "the content has another digest",
                ));
            }
            (None, digest)
        } else {
            let tag: Tag = reference.parse().map_err(|_| invalid("not a tag"))?;
            (Some(tag), Digest::sha256(body))
        };
        let head = ManifestHead::parse(body).ok_or_else(|| invalid("not a manifest"))?;
        let sent = request.header("content-type").map(text::media_type);
        let media_type = match (sent, &head.media_type) {
            (Some(sent), Some(own)) if sent.as_ref() != own.as_str() => {
                return Err(invalid(
                    "`Content-Type` differs from the manifest's `mediaType`",
                ));
            }
            (Some(sent), _) => sent,
            (None, Some(own)) => MediaType::from(own.as_str()),
            (None, None) => return Err(invalid("neither `Content-Type` nor `mediaType`")),
        };
        let mut store = self.store();
        if self.abilities.check_references {
            check_references(&store, name, &head)?;
        }
        let manifest = StoredManifest::new(media_type.as_ref(), body.clone());
        let subject = manifest.subject.clone();
        let held = store.repository_or_new(name);
        held.manifests.insert(digest.clone(), manifest);
        let mut response = empty(StatusCode::CREATED);
        if let Some(tag) = tag {
            held.tags.insert(tag.to_string(), digest.clone());
        }
        // Tags in addition to a digest, as in later versions of the spec.
        for tag in request
            .parameters("tag")
            .iter()
            .filter_map(|tag| tag.parse::<Tag>().ok())
        {
            held.tags.insert(tag.to_string(), digest.clone());
            if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
                response.headers_mut().append("oci-tag", value);
            }
        }
        set(
            &mut response,
            "location",
            &format!("/v2/{name}/manifests/{digest}"),
        );
        set(&mut response, "docker-content-digest", &digest.to_string());
        if let Some(subject) = subject.filter(|_| self.has_referrers()) {
            set(&mut response, "oci-subject", &subject.to_string());
        }
        Ok(response)
    }

    fn delete_manifest(&self, name: &str, reference: &str) -> Reply {
        let mut store = self.store();
        let held = store.repository_mut(name).ok_or_else(unknown)?;
        if let Ok(digest) = reference.parse::<Digest>() {
            held.manifests.remove(&digest).ok_or_else(unknown)?;
            held.tags.retain(|_, target| *target != digest);
        } else {
            held.tags.remove(reference).ok_or_else(unknown)?;
        }
        Ok(empty(StatusCode::ACCEPTED))
    }
}

fn unknown() -> ApiError {
    ApiError::new(
        Code::ManifestUnknown,
        "the repository holds no such manifest",
    )
}

/// Whether all that the manifest names is there. A subject may be missing: the spec says so.
fn check_references(store: &Store, name: &str, head: &ManifestHead) -> Result<(), ApiError> {
    let missing = || {
        ApiError::new(
            Code::ManifestBlobUnknown,
            "the manifest names content that is not here",
        )
    };
    for blob in head.blobs() {
        let digest: Digest = blob.parse().map_err(|_| missing())?;
        store.blob(name, &digest).ok_or_else(missing)?;
    }
    for child in head.children() {
        store.manifest(name, child).ok_or_else(missing)?;
    }
    Ok(())
}

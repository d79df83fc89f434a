//! Uploads: in one request, in one stream or in chunks; status, cancel, mount.

use axum::response::Response;
use bytes::Bytes;
use http::{Method, StatusCode};
use qmt_oci_ref::Digest;

use super::error::{ApiError, Code};
use super::{Api, Reply, empty, set, unsupported};
use crate::registry::server::Received;
use crate::registry::store::Upload;

impl Api {
    /// `POST /v2/<name>/blobs/uploads/`: mounts, takes the blob at once, or begins an upload.
    pub(super) fn begin_upload(&self, name: &str, request: &Received) -> Reply {
        if let Some(mount) = request.parameter("mount")
            && let Some(response) = self.mount(name, &mount, request)
        {
            return Ok(response);
        }
        if let Some(digest) = request.parameter("digest") {
            return self.finish(name, &digest, request.body.clone(), request.complete);
        }
        let id = self.store().begin_upload(name);
        Ok(progress(StatusCode::ACCEPTED, name, &id, 0))
    }

    /// Takes over a blob of another repository. `None` begins an upload instead.
    fn mount(&self, name: &str, digest: &str, request: &Received) -> Option<Response> {
        let digest: Digest = digest.parse().ok()?;
        if !self.abilities.mounts {
            return None;
        }
        let mut store = self.store();
        let blob = match request.parameter("from") {
            Some(from) if self.may_pull(request, &from) => store.blob(&from, &digest)?,
            // Anonymous mount: any repository will do, unless that would go round its access rule.
            None if self.issuer().is_none() => store.blob_anywhere(&digest)?,
            Some(_) | None => return None,
        };
        store
            .repository_or_new(name)
            .blobs
            .insert(digest.clone(), blob);
        Some(created(name, &digest))
    }

    /// `/v2/<name>/blobs/uploads/<id>`: adds, finishes, reports, or cancels.
    pub(super) fn upload(&self, name: &str, id: &str, request: &Received) -> Reply {
        let mut store = self.store();
        let upload = store
            .upload_mut(name, id)
            .ok_or_else(|| ApiError::new(Code::BlobUploadUnknown, "no such upload"))?;
        match request.method {
            Method::GET => Ok(progress(
                StatusCode::NO_CONTENT,
                name,
                id,
                upload.bytes.len(),
            )),
            Method::PATCH => {
                check_chunk(upload, name, id, request)?;
                // What arrived before a connection broke off counts: the client may go on there.
                upload.bytes.extend_from_slice(&request.body);
                Ok(progress(StatusCode::ACCEPTED, name, id, upload.bytes.len()))
            }
            Method::PUT => {
                check_chunk(upload, name, id, request)?;
                let Some(digest) = request.parameter("digest") else {
                    return Err(ApiError::new(Code::DigestInvalid, "the digest is missing"));
                };
                upload.bytes.extend_from_slice(&request.body);
                if !request.complete {
                    return Err(incomplete());
                }
                let bytes = upload.bytes.split().freeze();
                store.remove_upload(id);
                drop(store);
                self.finish(name, &digest, bytes, true)
            }
            Method::DELETE => {
                store.remove_upload(id);
                Ok(empty(StatusCode::NO_CONTENT))
            }
            _ => Err(unsupported()),
        }
    }

    fn finish(&self, name: &str, digest: &str, bytes: Bytes, complete: bool) -> Reply {
        let digest: Digest = digest
            .parse()
            .map_err(|_| ApiError::new(Code::DigestInvalid, "not a sha256 or sha512 digest"))?;
        if !complete {
            return Err(incomplete());
        }
        if Digest::of(digest.algorithm(), &bytes) != digest {
            return Err(ApiError::new(
                Code::DigestInvalid,
                "the content has another digest",
            ));
        }
        self.store()
            .repository_or_new(name)
            .blobs
            .insert(digest.clone(), bytes);
        Ok(created(name, &digest))
    }
}

fn incomplete() -> ApiError {
    ApiError::new(Code::SizeInvalid, "the body broke off")
}

/// Compares `Content-Range` with what has arrived and with the body.
fn check_chunk(upload: &Upload, name: &str, id: &str, request: &Received) -> Result<(), ApiError> {
    let Some(text) = request.header("content-range") else {
        return Ok(());
    };
    let invalid = || {
        ApiError::new(
            Code::BlobUploadInvalid,
            "`Content-Range` is not `first-last`",
        )
    };
    let (first, last) = text.split_once('-').ok_or_else(invalid)?;
    let first: u64 = first.parse().map_err(|_| invalid())?;
    let last: u64 = last.parse().map_err(|_| invalid())?;
    let arrived = upload.bytes.len() as u64;
    if first != arrived {
        return Err(
            ApiError::new(Code::RangeInvalid, "the chunk is out of order")
                .with_header("location", location(name, id).as_bytes())
                .with_header("range", arrived_range(upload.bytes.len()).as_bytes()),
        );
    }
    let len = last.checked_sub(first).and_then(|len| len.checked_add(1));
    if request.complete && len != Some(request.body.len() as u64) {
        return Err(ApiError::new(
            Code::SizeInvalid,
            "`Content-Range` differs from the body",
        ));
    }
    Ok(())
}

fn progress(status: StatusCode, name: &str, id: &str, arrived: usize) -> Response {
    let mut response = empty(status);
    if status == StatusCode::NO_CONTENT {
        response.headers_mut().remove("content-length");
    }
    set(&mut response, "location", &location(name, id));
    set(&mut response, "range", &arrived_range(arrived));
    set(&mut response, "docker-upload-uuid", id);
    response
}

fn location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// First and last byte that have arrived. For none the spec has no form; `0-0` is customary.
fn arrived_range(len: usize) -> String {
    format!("0-{}", len.saturating_sub(1))
}

fn created(name: &str, digest: &Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    set(
        &mut response,
        "location",
        &format!("/v2/{name}/blobs/{digest}"),
    );
    set(&mut response, "docker-content-digest", &digest.to_string());
    response
}

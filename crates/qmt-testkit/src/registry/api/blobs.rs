//! Blobs: pull whole or in part, delete.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use qmt_oci_ref::Digest;

use super::error::{ApiError, Code};
use super::{Api, Reply, empty, reads, set, unsupported};
use crate::registry::content;
use crate::registry::server::Received;

impl Api {
    pub(super) fn blob(&self, name: &str, digest: &str, request: &Received) -> Reply {
        let digest: Digest = digest
            .parse()
            .map_err(|_| ApiError::new(Code::DigestInvalid, "not a sha256 or sha512 digest"))?;
        match &request.method {
            method if reads(method) => {
                let blob = self.store().blob(name, &digest).ok_or_else(unknown)?;
                let wanted = self.abilities.ranges && request.method == Method::GET;
                let range = request.header("range").filter(|_| wanted);
                self.serve_blob(&digest, blob, range)
            }
            &Method::DELETE if self.abilities.deletes => {
                let mut store = self.store();
                let removed = store
                    .repository_mut(name)
                    .and_then(|held| held.blobs.remove(&digest));
                removed
                    .map(|_| empty(StatusCode::ACCEPTED))
                    .ok_or_else(unknown)
            }
            _ => Err(unsupported()),
        }
    }

    fn serve_blob(&self, digest: &Digest, blob: Bytes, range: Option<&str>) -> Reply {
        let mut response = content::respond(blob, range);
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            let total = response
                .headers()
                .get("content-range")
                .map(HeaderValue::as_bytes);
            return Err(
                ApiError::new(Code::RangeInvalid, "no byte of the range exists")
                    .with_header("content-range", total.unwrap_or_default()),
            );
        }
        if self.abilities.ranges {
            let value = HeaderValue::from_static("bytes");
            response.headers_mut().insert("accept-ranges", value);
        }
        set(&mut response, "docker-content-digest", &digest.to_string());
        Ok(response)
    }
}

fn unknown() -> ApiError {
    ApiError::new(Code::BlobUnknown, "the repository holds no such blob")
}

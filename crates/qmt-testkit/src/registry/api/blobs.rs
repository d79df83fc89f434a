//! Blobs: pull whole or in part, delete.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use qmt_oci_ref::Digest;

use super::error::{ApiError, Code};
use super::{Api, Reply, empty, reads, set, unsupported};
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
        let total = blob.len();
        let mut response = Response::new(Body::empty());
        let body = match range.map_or(Range::Whole, |text| parse_range(text, total)) {
            Range::Whole => blob,
            Range::Part(from, to) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                set(
                    &mut response,
                    "content-range",
                    &format!("bytes {from}-{to}/{total}"),
                );
                blob.slice(from..=to)
            }
            Range::Unsatisfiable => {
                return Err(
                    ApiError::new(Code::RangeInvalid, "no byte of the range exists")
                        .with_header("content-range", format!("bytes */{total}").as_bytes()),
                );
            }
        };
        let headers = response.headers_mut();
        headers.insert(
            "content-type",
            HeaderValue::from_static("application/octet-stream"),
        );
        headers.insert("content-length", HeaderValue::from(body.len()));
        if self.abilities.ranges {
            headers.insert("accept-ranges", HeaderValue::from_static("bytes"));
        }
        set(&mut response, "docker-content-digest", &digest.to_string());
        *response.body_mut() = Body::from(body);
        Ok(response)
    }
}

fn unknown() -> ApiError {
    ApiError::new(Code::BlobUnknown, "the repository holds no such blob")
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// First and last byte.
    Part(usize, usize),
    Unsatisfiable,
}

/// Reads a `Range` header. Several ranges at once, other units and malformed values are answered
/// with the whole content, as RFC 9110 allows; `first-last` in the wrong order is refused.
fn parse_range(text: &str, total: usize) -> Range {
    let Some((first, last)) = text
        .strip_prefix("bytes=")
        .and_then(|part| part.split_once('-'))
    else {
        return Range::Whole;
    };
    let end = total.saturating_sub(1);
    let (from, to) = match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.min(end)),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, end),
        (Err(_), Ok(0)) if first.trim().is_empty() => return Range::Unsatisfiable,
        (Err(_), Ok(count)) if first.trim().is_empty() => (total.saturating_sub(count), end),
        _ => return Range::Whole,
    };
    if from > to || from >= total {
        Range::Unsatisfiable
    } else {
        Range::Part(from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, total, range) in [
            ("bytes=0-0", 10, Range::Part(0, 0)),
            ("bytes=2-5", 10, Range::Part(2, 5)),
            ("bytes=2-", 10, Range::Part(2, 9)),
            ("bytes=-3", 10, Range::Part(7, 9)),
            ("bytes=-30", 10, Range::Part(0, 9)),
            ("bytes=8-30", 10, Range::Part(8, 9)),
            ("bytes=9-9", 10, Range::Part(9, 9)),
            ("bytes=10-10", 10, Range::Unsatisfiable),
            ("bytes=5-2", 10, Range::Unsatisfiable),
            ("bytes=-0", 10, Range::Unsatisfiable),
            ("bytes=0-0", 0, Range::Unsatisfiable),
            ("bytes=0-1,3-4", 10, Range::Whole),
            ("lines=1-2", 10, Range::Whole),
            ("bytes=x", 10, Range::Whole),
        ] {
            assert_eq!(parse_range(text, total), range, "{text} of {total}");
        }
    }
}

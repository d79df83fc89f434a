//! Errors in the form of the distribution spec.
//!
//! Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes>

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

/// The spec's error codes, as far as they are used, and the status that each has here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PaginationInvalid,
    SizeInvalid,
    RangeInvalid,
    TooLarge,
    Unauthorized,
    Unsupported,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid | Self::RangeInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::PaginationInvalid => "PAGINATION_NUMBER_INVALID",
            Self::SizeInvalid | Self::TooLarge => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unsupported => "UNSUPPORTED",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestUnknown
            | Self::NameUnknown => StatusCode::NOT_FOUND,
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestBlobUnknown
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::PaginationInvalid
            | Self::SizeInvalid => StatusCode::BAD_REQUEST,
            Self::RangeInvalid => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

/// An answer that says no.
#[derive(Debug)]
pub(in crate::registry) struct ApiError {
    code: Code,
    message: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(in crate::registry) fn new(code: Code, message: &'static str) -> Self {
        Self {
            code,
            message,
            headers: Vec::new(),
        }
    }

    /// Adds a header; a value that cannot be one is left out.
    pub(in crate::registry) fn with_header(mut self, name: &'static str, value: &[u8]) -> Self {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }
}

impl From<ApiError> for Response {
    fn from(error: ApiError) -> Self {
        let body = json!({ "errors": [
            { "code": error.code.text(), "message": error.message, "detail": null }
        ] });
        let mut response = json_response(error.code.status(), "application/json", &body);
        for (name, value) in error.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

/// An answer with a JSON body.
pub(in crate::registry) fn json_response(
    status: StatusCode,
    media_type: &'static str,
    body: &Value,
) -> Response {
    let text = body.to_string();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Body::from(text);
    response
}

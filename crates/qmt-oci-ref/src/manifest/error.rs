//! Why a document is not a manifest or an index.

use oci_spec::image::MediaType;

/// Why some bytes are not the manifest or index that they should be.
#[derive(Debug, thiserror::Error)]
#[allow(
    clippy::exhaustive_enums,
    reason = "each reader decides about every case"
)]
pub enum ManifestError {
    /// It is not JSON of the right form, or JSON that two parsers could read differently.
    #[error("it is not a JSON document of that kind")]
    Json(#[from] serde_json::Error),
    /// Docker's schema 1, which nothing proves.
    #[error("Docker's manifest schema 1 is not supported; rebuild the image")]
    Schema1,
    /// OCI's artifact manifest, which was withdrawn before version 1.1 of the specification.
    #[error(
        "OCI's withdrawn artifact manifest is not supported; push it again with a current oras"
    )]
    ArtifactManifest,
    /// The schema version is not 2.
    #[error("its `schemaVersion` is {found}; only 2 is supported")]
    SchemaVersion {
        /// The version that it names.
        found: u64,
    },
    /// It has fields of a manifest and of an index, or of a withdrawn format.
    #[error("it has the field `{field}`, which does not belong to its kind of document")]
    Mixed {
        /// The field.
        field: &'static str,
    },
    /// A required field is missing.
    #[error("the field `{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// It is said to be of another type than its content says (CVE-2021-41190).
    #[error("it is declared as `{declared}`, but its content is `{found}`")]
    MediaTypeMismatch {
        /// The media type by header or descriptor.
        declared: MediaType,
        /// The media type by content.
        found: MediaType,
    },
    /// It has no `mediaType`, and documents of the declared type have one:
    /// <https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/manifest-v2-2.md>
    #[error("it is declared as `{declared}`, and has no `mediaType`, which that format requires")]
    MissingMediaType {
        /// The media type by header.
        declared: MediaType,
    },
    /// The media type is not that of a manifest or index.
    #[error("its media type is `{media_type}`, not that of an image manifest or index")]
    NotAnImage {
        /// The media type.
        media_type: MediaType,
    },
    /// A limit is exceeded.
    #[error("it has {found} {what}; at most {limit} are allowed")]
    TooMany {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What it has.
        found: u64,
    },
}

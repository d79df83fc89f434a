//! Failures of the blocking side, which pass through `std::io` inside decoders and the `tar` crate.

use std::io;

use qmt_oci_ref::Digest;

use crate::error::{ArtifactError, escaped};
use crate::problem::LayerProblem;

/// A failure while one layer is read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The layer is defective, or its bytes were changed in transfer.
    #[error(transparent)]
    Layer(#[from] LayerProblem),
    /// The cause lies elsewhere: a limit, the sink, the content of a file.
    #[error(transparent)]
    Other(#[from] ArtifactError),
}

impl Failure {
    pub(super) fn sink(source: io::Error) -> Self {
        Self::Other(ArtifactError::Sink { source })
    }

    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Layer(LayerProblem::Archive { reason })
    }

    /// Takes an error from the `tar` crate: a failure from below, or an objection of the crate,
    /// whose text may quote the archive.
    pub(super) fn in_archive(error: io::Error) -> Self {
        let failure = error.downcast();
        failure.unwrap_or_else(|error| Self::malformed(escaped(error.to_string().as_bytes())))
    }

    pub(super) fn into_error(self, layer: &Digest) -> ArtifactError {
        match self {
            Self::Layer(source) => ArtifactError::Layer {
                layer: layer.clone(),
                source,
            },
            Self::Other(error) => error,
        }
    }
}

/// Takes an error from a decoder: a failure from below, or damaged data.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        error
            .downcast()
            .unwrap_or_else(|source: io::Error| match source.kind() {
                io::ErrorKind::UnexpectedEof => LayerProblem::Truncated.into(),
                _ => Self::Layer(LayerProblem::Damaged { source }),
            })
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}

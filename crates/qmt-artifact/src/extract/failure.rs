//! What goes wrong on the blocking side, carried through `std::io` where decoders stand between.

use std::{fmt, io};

use qmt_oci_ref::Digest;

use crate::error::{ArtifactError, LayerProblem, Limit};

/// A failure of one layer, before it is known by which layer it came.
#[derive(Debug)]
pub(super) enum Failure {
    /// The layer is at fault.
    Layer(LayerProblem),
    /// Something else is.
    Other(ArtifactError),
}

impl Failure {
    pub(super) fn too_much(what: Limit, limit: u64, found: u64) -> Self {
        Self::Other(ArtifactError::TooMuch { what, limit, found })
    }

    pub(super) fn sink(source: io::Error) -> Self {
        Self::Other(ArtifactError::Sink { source })
    }

    /// Reports whether bytes that were changed on the way could explain it, so that the source's
    /// own verdict on them is worth waiting for.
    pub(super) fn may_be_the_transfers(&self) -> bool {
        matches!(self, Self::Layer(_))
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

impl From<LayerProblem> for Failure {
    fn from(problem: LayerProblem) -> Self {
        Self::Layer(problem)
    }
}

/// Takes a failure of ours out of the wrapping, and blames the compressed data for anything else.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
        {
            let inner = error
                .into_inner()
                .and_then(|inner| inner.downcast::<Self>().ok());
            return inner.map_or(Self::Other(ArtifactError::Aborted), |inner| *inner);
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Layer(LayerProblem::Truncated);
        }
        Self::Layer(LayerProblem::Damaged { source: error })
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(problem) => problem.fmt(f),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

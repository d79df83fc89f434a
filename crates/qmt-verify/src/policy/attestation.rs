//! Requirements on attestations: what a signed statement must say about the image.
//! <https://slsa.dev/spec/v1.0/provenance>, <https://slsa.dev/spec/v0.2/provenance>

use std::fmt;

use serde_json::Value;

use crate::error::VerifyError;
use crate::evidence::COSIGN_SIGN;
use crate::signature::plain_text;

const SLSA_V1: &str = "https://slsa.dev/provenance/v1";
const SLSA_V02: &str = "https://slsa.dev/provenance/v0.2";

/// An attestation that must exist in addition to the signature.
#[derive(Clone, Debug)]
pub struct AttestationDemand {
    pub(super) predicate_type: String,
    /// Fields with their required values.
    fields: Vec<(Field, String)>,
}

/// A field of a predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Builder,
    Source,
    BuildType,
    Workflow,
    /// By its JSON pointer.
    Pointer(String),
}

impl Field {
    /// The JSON pointers to the field in a predicate of this type; none if the type has no such
    /// field.
    fn pointers(&self, predicate_type: &str) -> Vec<&str> {
        match (self, predicate_type) {
            (Self::Pointer(pointer), _) => vec![pointer],
            (Self::Builder, SLSA_V1) => vec!["/runDetails/builder/id"],
            (Self::Builder, SLSA_V02) => vec!["/builder/id"],
            (Self::Source, SLSA_V1) => vec![
                "/buildDefinition/externalParameters/workflow/repository",
                "/buildDefinition/externalParameters/source",
                // BuildKit and Google Cloud Build.
                "/buildDefinition/externalParameters/configSource/uri",
                "/buildDefinition/externalParameters/sourceToBuild/repository",
            ],
            (Self::Source, SLSA_V02) => vec!["/invocation/configSource/uri"],
            (Self::BuildType, SLSA_V1) => vec!["/buildDefinition/buildType"],
            (Self::BuildType, SLSA_V02) => vec!["/buildType"],
            (Self::Workflow, SLSA_V1) => vec!["/buildDefinition/externalParameters/workflow/path"],
            (Self::Workflow, SLSA_V02) => vec!["/invocation/configSource/entryPoint"],
            _ => Vec::new(),
        }
    }

    fn values(&self, predicate_type: &str, predicate: &Value) -> Vec<String> {
        let pointers = self.pointers(predicate_type).into_iter();
        let found = pointers.filter_map(|one| predicate.pointer(one));
        found.map(plain_text).collect()
    }

    fn accepts(&self, found: &str, expected: &str) -> bool {
        // Provenance writes a repository in several ways.
        found == expected || (*self == Self::Source && repository(found) == plain(expected))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Builder => "builder",
            Self::Source => "source",
            Self::BuildType => "build type",
            Self::Workflow => "workflow",
            Self::Pointer(pointer) => pointer,
        })
    }
}

/// `https://host/owner/name` of `git+https://host/owner/name.git@refs/tags/v1`, or with `#` before
/// the ref.
fn repository(uri: &str) -> &str {
    // An `@` in front of the path is part of the host's name and stays.
    let (_, rest) = uri.split_once("://").unwrap_or_default();
    let (_, path) = rest.split_once('/').unwrap_or_default();
    let end = path.find(['@', '#']).map_or("", |at| path.split_at(at).1);
    plain(uri.strip_suffix(end).unwrap_or(uri))
}

/// A repository without the prefix and the endings that name no other one. A ref stays: a config
/// that has one requires it.
fn plain(uri: &str) -> &str {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    let uri = uri
        .strip_suffix('/')
        .filter(|one| !one.ends_with('/'))
        .unwrap_or(uri);
    uri.strip_suffix(".git").unwrap_or(uri)
}

impl AttestationDemand {
    /// Requires an attestation of `predicate_type`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if it is empty, or the type that cosign uses for signatures.
    pub fn new(predicate_type: impl Into<String>) -> Result<Self, VerifyError> {
        let predicate_type = predicate_type.into();
        if predicate_type.trim().is_empty() {
            return Err(VerifyError::policy("`predicate_type` is empty"));
        }
        if predicate_type == COSIGN_SIGN {
            let problem =
                format!("`{COSIGN_SIGN}` is the type of a signature, not of an attestation");
            return Err(VerifyError::policy(problem));
        }
        Ok(Self {
            predicate_type,
            fields: Vec::new(),
        })
    }

    /// Requires this builder id of a SLSA provenance.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if `id` is empty, or the predicate type is not SLSA provenance v0.2
    /// or v1.
    pub fn with_builder(self, id: impl Into<String>) -> Result<Self, VerifyError> {
        self.slsa(Field::Builder, id.into())
    }

    /// Requires this source repository of a SLSA provenance.
    ///
    /// # Errors
    ///
    /// As [`AttestationDemand::with_builder`].
    pub fn with_source(self, repository: impl Into<String>) -> Result<Self, VerifyError> {
        self.slsa(Field::Source, repository.into())
    }

    /// Requires this build type of a SLSA provenance.
    ///
    /// # Errors
    ///
    /// As [`AttestationDemand::with_builder`].
    pub fn with_build_type(self, build_type: impl Into<String>) -> Result<Self, VerifyError> {
        self.slsa(Field::BuildType, build_type.into())
    }

    /// Requires this workflow file of a SLSA provenance.
    ///
    /// # Errors
    ///
    /// As [`AttestationDemand::with_builder`].
    pub fn with_workflow(self, path: impl Into<String>) -> Result<Self, VerifyError> {
        self.slsa(Field::Workflow, path.into())
    }

    /// Requires that the predicate has `expected` at the JSON pointer `pointer`. A string is
    /// compared with its content, any other value with its JSON.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if `pointer` does not begin with `/`.
    pub fn with_field(
        mut self,
        pointer: impl Into<String>,
        expected: impl Into<String>,
    ) -> Result<Self, VerifyError> {
        let pointer = pointer.into();
        if !pointer.starts_with('/') {
            let problem = format!("`{pointer}` is not a JSON pointer, which begins with `/`");
            return Err(VerifyError::policy(problem));
        }
        self.fields.push((Field::Pointer(pointer), expected.into()));
        Ok(self)
    }

    fn slsa(mut self, field: Field, expected: String) -> Result<Self, VerifyError> {
        if field.pointers(&self.predicate_type).is_empty() {
            let found = self.predicate_type;
            let problem =
                format!("`{field}` applies to SLSA provenance v0.2 and v1, not to `{found}`");
            return Err(VerifyError::policy(problem));
        }
        if expected.trim().is_empty() {
            let problem = format!("the required {field} is empty");
            return Err(VerifyError::policy(problem));
        }
        self.fields.push((field, expected));
        Ok(self)
    }

    /// The first requirement that `predicate` does not meet, in words.
    pub(super) fn unmet(&self, predicate: &Value) -> Option<String> {
        self.fields.iter().find_map(|(field, expected)| {
            let values = field.values(&self.predicate_type, predicate);
            // Where a provenance names it in two places, both must agree.
            match values.iter().find(|value| !field.accepts(value, expected)) {
                Some(found) => Some(format!("its {field} is `{found}`, not `{expected}`")),
                None if values.is_empty() => Some(format!("it has no {field}")),
                None => None,
            }
        })
    }
}

#[cfg(test)]
mod tests;

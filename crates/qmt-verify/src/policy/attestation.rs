//! Demands on attestations: what a signed statement beside the image must say about it.
//! <https://slsa.dev/spec/v1.0/provenance>, <https://slsa.dev/spec/v0.2/provenance>

use serde_json::Value;

use crate::error::VerifyError;

const SLSA_V1: &str = "https://slsa.dev/provenance/v1";
const SLSA_V02: &str = "https://slsa.dev/provenance/v0.2";
/// What cosign writes for a signature. A signature is no attestation.
pub(crate) const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// An attestation that must be there besides the signature.
#[derive(Clone, Debug)]
pub struct AttestationDemand {
    predicate_type: String,
    fields: Vec<Field>,
}

/// One field and the text that it must have.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    /// JSON pointers; one of them leads to the value.
    pointers: Vec<String>,
    expected: String,
    /// Whether the value is a repository, which provenance writes in several ways.
    is_source: bool,
}

impl Field {
    fn accepts(&self, found: &str) -> bool {
        found == self.expected || (self.is_source && repository(found) == self.expected)
    }
}

/// `https://host/owner/name` of `git+https://host/owner/name@refs/tags/v1`.
fn repository(uri: &str) -> &str {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    // An `@` in front of the path is part of the host's name and stays.
    let path = uri.find("://").and_then(|scheme| {
        let host = scheme.checked_add(3)?;
        uri.get(host..)?.find('/')?.checked_add(host)
    });
    let end = path.and_then(|path| uri.get(path..)?.find('@')?.checked_add(path));
    end.and_then(|end| uri.get(..end)).unwrap_or(uri)
}

impl AttestationDemand {
    /// Demands an attestation of `predicate_type`.
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
            return Err(VerifyError::policy(format!(
                "`{COSIGN_SIGN}` is a signature, which cannot be demanded as an attestation"
            )));
        }
        Ok(Self {
            predicate_type,
            fields: Vec::new(),
        })
    }

    /// Demands this builder id of a SLSA provenance.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if the predicate type is no SLSA provenance that we know.
    pub fn with_builder(self, id: impl Into<String>) -> Result<Self, VerifyError> {
        self.slsa(
            "builder",
            &["/runDetails/builder/id"],
            &["/builder/id"],
            id.into(),
        )
    }

    /// Demands this source repository of a SLSA provenance.
    ///
    /// # Errors
    ///
    /// As [`AttestationDemand::with_builder`].
    pub fn with_source(self, repository: impl Into<String>) -> Result<Self, VerifyError> {
        let v1 = [
            "/buildDefinition/externalParameters/workflow/repository",
            "/buildDefinition/externalParameters/source",
        ];
        self.slsa(
            "source",
            &v1,
            &["/invocation/configSource/uri"],
            repository.into(),
        )
    }

    /// Demands this build type of a SLSA provenance.
    ///
    /// # Errors
    ///
    /// As [`AttestationDemand::with_builder`].
    pub fn with_build_type(self, build_type: impl Into<String>) -> Result<Self, VerifyError> {
        self.slsa(
            "build type",
            &["/buildDefinition/buildType"],
            &["/buildType"],
            build_type.into(),
        )
    }

    /// Demands this workflow file of a SLSA provenance.
    ///
    /// # Errors
    ///
    /// As [`AttestationDemand::with_builder`].
    pub fn with_workflow(self, path: impl Into<String>) -> Result<Self, VerifyError> {
        let v1 = ["/buildDefinition/externalParameters/workflow/path"];
        self.slsa(
            "workflow",
            &v1,
            &["/invocation/configSource/entryPoint"],
            path.into(),
        )
    }

    /// Demands that the predicate has `expected` at the JSON pointer `pointer`. Text is compared as
    /// it is, anything else by its JSON.
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
            return Err(VerifyError::policy(format!(
                "`{pointer}` is no JSON pointer"
            )));
        }
        self.fields.push(Field {
            name: pointer.clone(),
            pointers: vec![pointer],
            expected: expected.into(),
            is_source: false,
        });
        Ok(self)
    }

    fn slsa(
        mut self,
        name: &str,
        v1: &[&str],
        v02: &[&str],
        expected: String,
    ) -> Result<Self, VerifyError> {
        let pointers = match self.predicate_type.as_str() {
            SLSA_V1 => v1,
            SLSA_V02 => v02,
            other => {
                return Err(VerifyError::policy(format!(
                    "`{name}` is known for SLSA provenance v0.2 and v1, not for `{other}`"
                )));
            }
        };
        if expected.trim().is_empty() {
            return Err(VerifyError::policy(format!("the demanded {name} is empty")));
        }
        let pointers = pointers.iter().map(|&pointer| pointer.to_owned()).collect();
        self.fields.push(Field {
            name: name.to_owned(),
            pointers,
            expected,
            is_source: name == "source",
        });
        Ok(self)
    }

    pub(crate) fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// Says what `predicate` lacks, if anything.
    pub(crate) fn lacks(&self, predicate: &Value) -> Option<String> {
        self.fields.iter().find_map(|field| {
            let values = field
                .pointers
                .iter()
                .filter_map(|pointer| predicate.pointer(pointer));
            let values: Vec<String> = values.map(text).collect();
            // Where a provenance says it in two places, both must agree.
            let wrong = values.iter().find(|value| !field.accepts(value));
            match (wrong, values.is_empty()) {
                (None, false) => None,
                (Some(found), _) => Some(format!(
                    "its {} is `{found}`, not `{}`",
                    field.name, field.expected
                )),
                (None, true) => Some(format!("it has no {}", field.name)),
            }
        })
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_repository_without_its_ref() {
        for (uri, expected) in [
            (
                "git+https://github.com/acme/x@refs/tags/v1",
                "https://github.com/acme/x",
            ),
            (
                "https://github.com/acme/x@refs/heads/a@b",
                "https://github.com/acme/x",
            ),
            ("https://github.com/acme/x", "https://github.com/acme/x"),
            (
                "https://github.com@evil.example/acme/x",
                "https://github.com@evil.example/acme/x",
            ),
            ("pkg:npm/%40acme/x@1", "pkg:npm/%40acme/x@1"),
            ("https://", "https://"),
            ("", ""),
        ] {
            assert_eq!(repository(uri), expected, "{uri}");
        }
    }

    #[test]
    fn two_places_of_a_provenance_must_agree() {
        let demand = AttestationDemand::new(SLSA_V1)
            .unwrap()
            .with_source("https://a/b")
            .unwrap();
        let predicate = |workflow: &str, source: &str| {
            serde_json::json!({ "buildDefinition": { "externalParameters": {
                "workflow": { "repository": workflow }, "source": source,
            } } })
        };
        assert_eq!(
            demand.lacks(&predicate("https://a/b", "git+https://a/b@refs/x")),
            None
        );
        assert!(
            demand
                .lacks(&predicate("https://a/b", "https://evil/b"))
                .is_some()
        );
        assert!(
            demand
                .lacks(&predicate("https://evil/b", "https://a/b"))
                .is_some()
        );
        assert!(demand.lacks(&Value::Null).is_some());
    }
}

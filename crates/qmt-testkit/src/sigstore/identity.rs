//! Who signs: the names and claims that Fulcio copies from an OIDC token into a certificate.
//!
//! Object identifiers: <https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md>.

use std::collections::BTreeMap;

/// The issuer of GitHub Actions' tokens.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// The claims up to this number are raw bytes in the certificate, later ones are `UTF8String`.
pub(super) const LAST_RAW_CLAIM: u32 = 6;

/// The issuer as Fulcio first wrote it, raw bytes.
pub(super) const ISSUER_V1: u32 = 1;

/// The issuer as `UTF8String`.
pub(super) const ISSUER_V2: u32 = 8;

/// The repository as GitHub's tokens name it, raw bytes.
const REPOSITORY: u32 = 5;

/// The subject of the token, `UTF8String`.
const TOKEN_SUBJECT: u32 = 24;

/// One name in the certificate's subject alternative names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubjectName {
    /// An e-mail address (`rfc822Name`).
    Email(String),
    /// A URI, as workload identities have it.
    Uri(String),
    /// A DNS name.
    Dns(String),
    /// A user name: `otherName` of type 1.3.6.1.4.1.57264.1.7.
    Username(String),
}

/// An identity as an OIDC issuer attests it.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(super) names: Vec<SubjectName>,
    pub(super) claims: BTreeMap<u32, String>,
}

impl Identity {
    /// A person, by e-mail address.
    pub fn email(address: &str, issuer: &str) -> Self {
        Self::named(SubjectName::Email(address.to_owned()), issuer)
    }

    /// A workload, by URI.
    pub fn uri(uri: &str, issuer: &str) -> Self {
        Self::named(SubjectName::Uri(uri.to_owned()), issuer)
    }

    /// A machine, by DNS name.
    pub fn dns(name: &str, issuer: &str) -> Self {
        Self::named(SubjectName::Dns(name.to_owned()), issuer)
    }

    /// A user, by a name like `jane!example.com`, which Fulcio writes as `otherName`.
    pub fn username(name: &str, issuer: &str) -> Self {
        Self::named(SubjectName::Username(name.to_owned()), issuer)
    }

    /// A GitHub Actions workflow that was triggered by a push, with all claims that Fulcio writes.
    ///
    /// `repository` is `owner/name`, `workflow` a file name in `.github/workflows`, `git_ref` a
    /// full ref like `refs/tags/v1.0.0`.
    pub fn github(repository: &str, workflow: &str, git_ref: &str) -> Self {
        const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
        let home = format!("https://github.com/{repository}");
        let owner = repository.split('/').next().unwrap_or(repository);
        let config = format!("{home}/.github/workflows/{workflow}@{git_ref}");
        let title = workflow.split('.').next().unwrap_or(workflow);
        let run = format!("{home}/actions/runs/42/attempts/1");
        let mut identity = Self::uri(&config, GITHUB_ISSUER);
        for (number, value) in [
            (2, "push"),
            (3, COMMIT),
            (4, title),
            (REPOSITORY, repository),
            (6, git_ref),
            (9, config.as_str()),
            (10, COMMIT),
            (11, "github-hosted"),
            (12, home.as_str()),
            (13, COMMIT),
            (14, git_ref),
            (15, "1001"),
            (16, &format!("https://github.com/{owner}")),
            (17, "1002"),
            (18, config.as_str()),
            (19, COMMIT),
            (20, "push"),
            (21, run.as_str()),
            (22, "public"),
            (TOKEN_SUBJECT, &format!("repo:{repository}:ref:{git_ref}")),
        ] {
            identity.claims.insert(number, value.to_owned());
        }
        identity
    }

    /// Sets the claim 1.3.6.1.4.1.57264.1.`number`.
    #[must_use]
    pub fn with_claim(mut self, number: u32, value: &str) -> Self {
        self.claims.insert(number, value.to_owned());
        self
    }

    /// Leaves the claim 1.3.6.1.4.1.57264.1.`number` out.
    #[must_use]
    pub fn without_claim(mut self, number: u32) -> Self {
        self.claims.remove(&number);
        self
    }

    /// Adds a further name; the certificate then speaks for several.
    #[must_use]
    pub fn with_name(mut self, name: SubjectName) -> Self {
        self.names.push(name);
        self
    }

    /// The names in the certificate.
    pub fn names(&self) -> &[SubjectName] {
        &self.names
    }

    /// The issuer as the certificate's claim 1.3.6.1.4.1.57264.1.8 gives it.
    pub fn issuer(&self) -> &str {
        self.claims.get(&ISSUER_V2).map_or("", String::as_str)
    }

    fn named(name: SubjectName, issuer: &str) -> Self {
        let (SubjectName::Email(subject)
        | SubjectName::Uri(subject)
        | SubjectName::Dns(subject)
        | SubjectName::Username(subject)) = &name;
        let claims = [
            (ISSUER_V1, issuer.to_owned()),
            (ISSUER_V2, issuer.to_owned()),
            (TOKEN_SUBJECT, subject.clone()),
        ]
        .into();
        Self {
            names: vec![name],
            claims,
        }
    }
}

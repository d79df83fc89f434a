//! The format of a case: one TOML file that says what is published, how it is signed, what the
//! operator's configuration says, and what the command must print.
//!
//! In configurations, `{registry}`, `{reference}`, `{trusted_root}`, `{key}` and `{cache}` stand
//! for values of the run.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// The folder of the cases, from the root of the project.
pub const FOLDER: &str = "fixtures/e2e";

/// One file of `fixtures/e2e`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The file's name without `.toml`.
    #[serde(skip)]
    pub name: String,
    /// One line for the report.
    pub about: String,
    /// What is pushed.
    pub image: Image,
    /// How it is signed.
    pub signature: Signature,
    /// The registry that serves it.
    #[serde(default)]
    pub registry: Abilities,
    /// `plugins.toml` with the words above.
    pub config: String,
    /// The runs of the command, in order.
    pub steps: Vec<Step>,
}

/// What is pushed before the first step.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// One manifest with the module as a layer of its own media type.
    Wasm,
    /// One manifest for this machine with a library in a tar+gzip layer.
    Native,
    /// An index of both.
    MultiPlatform,
    /// What `FROM scratch` and `COPY plugin.wasm /plugin.wasm` make.
    Dockerfile,
}

/// What kind of registry serves the image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Abilities {
    /// Whether it has the referrers API; without it, signatures are found by the fallback tag.
    pub referrers_api: bool,
    /// The login that it requires.
    pub auth: Auth,
    /// Whether the user has logged in, as `docker login` does it.
    pub logged_in: bool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            referrers_api: true,
            auth: Auth::None,
            logged_in: true,
        }
    }
}

/// The login that a registry requires.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// None.
    None,
    /// A password with every request.
    Basic,
    /// A token, got for a password.
    Token,
}

/// How the image is signed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// In which format, or not at all.
    pub format: Format,
    /// Keyless: the e-mail address in the certificate.
    pub identity: Option<String>,
    /// Keyless: the OIDC issuer in the certificate.
    pub issuer: Option<String>,
    /// By key: `team` is the one that `{key}` names.
    pub key: Option<String>,
    /// The signature is a genuine one of another image.
    #[serde(default)]
    pub copied: bool,
}

/// Where the signature is found.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Nowhere.
    None,
    /// As a bundle among the referrers, as cosign 3 does it.
    Bundle,
    /// Under the tag `sha256-….sig`, as cosign 2 does it.
    Sig,
    /// In both places.
    Both,
}

/// One run of the command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The arguments; `--config FILE` is added to them.
    pub run: Vec<String>,
    /// The exit code.
    #[serde(default)]
    pub exit: i32,
    /// Texts that the output must hold.
    #[serde(default)]
    pub stdout: Vec<String>,
    /// Texts that the messages must hold.
    #[serde(default)]
    pub stderr: Vec<String>,
    /// The registry is gone from here on.
    #[serde(default)]
    pub offline: bool,
    /// Replaces the case's configuration from here on for this step.
    pub config: Option<String>,
}

impl Signature {
    /// A keyless signature of `identity`, vouched for by `issuer`.
    pub fn keyless(format: Format, identity: &str, issuer: &str) -> Self {
        Self {
            format,
            identity: Some(identity.to_owned()),
            issuer: Some(issuer.to_owned()),
            key: None,
            copied: false,
        }
    }
}

impl Case {
    /// Every case of the folder, sorted by name.
    pub fn load_all(folder: &Path) -> anyhow::Result<Vec<Self>> {
        let mut cases = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                cases.push(Self::load(&path).with_context(|| path.display().to_string())?);
            }
        }
        cases.sort_by(|one, other| one.name.cmp(&other.name));
        anyhow::ensure!(!cases.is_empty(), "no cases in {}", folder.display());
        Ok(cases)
    }

    fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let mut case: Self = toml::from_str(&text)?;
        let stem = path.file_stem().unwrap_or_default();
        case.name = stem.to_string_lossy().into_owned();
        anyhow::ensure!(!case.steps.is_empty(), "a case without steps shows nothing");
        let signature = &case.signature;
        let signers =
            usize::from(signature.identity.is_some()) + usize::from(signature.key.is_some());
        anyhow::ensure!(
            signers == usize::from(signature.format != Format::None),
            "a signature has either `identity` and `issuer` or `key`"
        );
        anyhow::ensure!(
            signature.identity.is_some() == signature.issuer.is_some(),
            "`identity` and `issuer` go together"
        );
        Ok(case)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_the_project_is_well_formed() {
        let cases = Case::load_all(&crate::root().join(FOLDER)).unwrap();
        for case in &cases {
            assert!(!case.about.is_empty(), "{}", case.name);
        }
        let refusals = cases
            .iter()
            .filter(|case| case.steps.iter().any(|step| step.exit == 3));
        assert!(refusals.count() >= 5);
    }

    #[test]
    fn a_case_that_contradicts_itself_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("case.toml");
        let load = |signature: &str, rest: &str| {
            let text = format!(
                "about = \"x\"\nimage = \"wasm\"\nconfig = \"\"\nsignature = {{ {signature} }}\n{rest}"
            );
            std::fs::write(&path, text).unwrap();
            Case::load(&path).map(|case| case.name)
        };
        let steps = "[[steps]]\nrun = [\"list\"]\n";
        assert_eq!(load("format = \"none\"", steps).unwrap(), "case");
        assert!(load("format = \"none\", key = \"team\"", steps).is_err());
        assert!(load("format = \"sig\"", steps).is_err());
        assert!(load("format = \"sig\", identity = \"a@b.c\"", steps).is_err());
        assert!(load("format = \"none\"", "steps = []\n").is_err());
        assert!(load("format = \"none\"", "[[steps]]\nrun = []\nexti = 3\n").is_err());
    }
}

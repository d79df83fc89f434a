//! The client under test of the Sigstore conformance suite, for bundles:
//!
//! ```text
//! conformance verify-bundle [--staging] --bundle FILE
//!     (--certificate-identity ID --certificate-oidc-issuer URL | --key PEM)
//!     [--trusted-root FILE] FILE_OR_DIGEST
//! ```
//!
//! The exit code is 0 only where the bundle holds for this file and signer. It goes through the
//! policy and the limits of the crate. <https://github.com/sigstore/sigstore-conformance>

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use qmt_oci_ref::{Digest, text};
use qmt_verify::policy::{Authority, IdentityRule, Policy, PolicySet, Scope};
use qmt_verify::report::Report;
use qmt_verify::trust::TrustRoot;
use qmt_verify::{BoxError, SigstoreVerifier};

/// The largest bundle that is read, so that the limit of the crate is what refuses more.
const BUNDLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the suite asks.
#[derive(Default)]
struct Request {
    staging: bool,
    bundle: Option<PathBuf>,
    identity: Option<String>,
    issuer: Option<String>,
    key: Option<PathBuf>,
    trusted_root: Option<PathBuf>,
    artifact: Option<String>,
}

fn main() -> ExitCode {
    if run(std::env::args().skip(1)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether what the arguments ask holds; says why not.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> bool {
    match Request::parse(arguments).and_then(|request| request.verify()) {
        Ok(report) => {
            say(&format!("verified: {}", report.authority));
            true
        }
        Err(error) => {
            say(&format!(
                "not verified: {}",
                text::error_line(&*error, None)
            ));
            false
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program with a user")]
fn say(text: &str) {
    eprintln!("{text}");
}

impl Request {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut arguments = arguments;
        match arguments.next().as_deref() {
            Some("verify-bundle") => {}
            other => return Err(format!("only `verify-bundle` is known, not {other:?}").into()),
        }
        let mut request = Self::default();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| BoxError::from(format!("`{argument}` needs a value")))
            };
            match argument.as_str() {
                "--staging" => request.staging = true,
                "--bundle" => request.bundle = Some(value()?.into()),
                "--certificate-identity" => request.identity = Some(value()?),
                "--certificate-oidc-issuer" => request.issuer = Some(value()?),
                "--key" => request.key = Some(value()?.into()),
                "--trusted-root" => request.trusted_root = Some(value()?.into()),
                option if option.starts_with("--") => {
                    return Err(format!("unknown option `{option}`").into());
                }
                _ if request.artifact.is_some() => {
                    return Err("more than one file or digest".into());
                }
                _ => request.artifact = Some(argument),
            }
        }
        Ok(request)
    }

    fn verify(&self) -> Result<Report, BoxError> {
        let trust = match (&self.trusted_root, self.staging) {
            (Some(path), _) => TrustRoot::from_json_file(path)?,
            (None, true) => TrustRoot::embedded_staging()?,
            (None, false) => TrustRoot::embedded()?,
        };
        let policy = Policy::any_of(vec![self.authority()?], 1)?;
        let policies = PolicySet::new(vec![(Scope::everything(), policy)])?;
        let verifier = SigstoreVerifier::new(trust, policies)?;

        let path = self.bundle.as_deref().ok_or("`--bundle` is missing")?;
        let bundle = read(path)?;
        let artifact = self
            .artifact
            .as_deref()
            .ok_or("the file or digest is missing")?;
        let now = SystemTime::now();
        // A digest in words, unless there is a file of that very name.
        let report = match artifact.parse::<Digest>() {
            Ok(digest) if !Path::new(artifact).exists() => {
                verifier.check_file(&digest, None, &bundle, now)?
            }
            _ => {
                let content = std::fs::read(artifact)?;
                verifier.check_file(&Digest::sha256(&content), Some(&content), &bundle, now)?
            }
        };
        Ok(report)
    }

    fn authority(&self) -> Result<Authority, BoxError> {
        match (&self.key, &self.identity, &self.issuer) {
            (Some(path), None, None) => Ok(Authority::key(
                path.display().to_string(),
                &std::fs::read(path)?,
            )?),
            (None, Some(identity), Some(issuer)) => Ok(Authority::certificate(
                issuer,
                IdentityRule::exact(identity)?,
            )?),
            _ => Err("either `--key`, or both of `--certificate-identity` and \
                      `--certificate-oidc-issuer`"
                .into()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BoxError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(BUNDLE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

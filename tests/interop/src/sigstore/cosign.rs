//! cosign's commands: keys, signatures by each of its versions, and its result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;
use xshell::{Shell, cmd};

use super::cases::{
    ANNOTATION, ATTESTED, Case, Extra, Log, PERSON, Place, Program, STRANGER, Signer, WORKFLOW,
};
use super::instance::{Instance, trust};
use super::services::write;
use crate::real::{self, PASSWORD};

/// The names of the keys; the last one signs nothing.
const KEYS: [&str; 3] = ["p256", "rsa", "other"];

/// cosign with a home of its own.
pub(super) struct Cosign<'a> {
    sh: Shell,
    home: &'a Path,
    instance: &'a Instance,
}

/// Makes the keys: private ones in `home`, public ones in the folder `trust`.
pub(super) fn make_keys(sh: &Shell, home: &Path, trust: &Path) -> anyhow::Result<()> {
    let cosign = real::tool("cosign3")?;
    for name in KEYS {
        let prefix = home.join(format!("key-{name}"));
        let make = if name == "rsa" {
            // cosign makes keys of one kind only, and takes others.
            let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
            let file = write(home, "rsa.pem", &key.serialize_pem())?;
            cmd!(
                sh,
                "{cosign} import-key-pair --key {file} --output-key-prefix {prefix} -y"
            )
        } else {
            cmd!(
                sh,
                "{cosign} generate-key-pair --output-key-prefix {prefix}"
            )
        };
        real::quietly(make.env("COSIGN_PASSWORD", PASSWORD).env("HOME", home))?;
        let public = Case::key_file(name);
        std::fs::copy(home.join(&public), trust.join(&public))?;
    }
    Ok(())
}

impl<'a> Cosign<'a> {
    pub(super) fn new(home: &'a Path, instance: &'a Instance) -> anyhow::Result<Self> {
        let sh = Shell::new()?;
        Ok(Self { sh, home, instance })
    }

    /// Signs `REPOSITORY@DIGEST` as the case says.
    pub(super) fn sign(&self, case: &Case, image: &str) -> anyhow::Result<()> {
        let signer = match case.signer {
            Signer::Key(name) => {
                let key = self.home.join(format!("key-{name}.key"));
                vec!["--key".to_owned(), path(&key)?]
            }
            Signer::Person => token(self.instance.people.email(PERSON)),
            Signer::Stranger => token(self.instance.people.email(STRANGER)),
            Signer::Workflow => token(self.instance.workflows.github(&WORKFLOW)),
        };
        let place = match case.program {
            Program::Cosign2 => self.as_cosign_2(case)?,
            Program::Cosign3 => self.as_cosign_3(case.log)?,
        };
        let annotation = format!("{}={}", ANNOTATION.0, ANNOTATION.1);
        let program = real::tool(case.program.tool())?;
        let options = if case.extra == Extra::OnlyAttested {
            let predicate = self.home.join("predicate.json");
            let (kind, builder) = ATTESTED;
            let provenance = json!({
                "buildDefinition": { "buildType": "https://builder.example.com/types/1" },
                "runDetails": { "builder": { "id": builder } },
            });
            std::fs::write(&predicate, provenance.to_string())?;
            let predicate = path(&predicate)?;
            ["attest", "--type", kind, "--predicate", &predicate]
                .map(str::to_owned)
                .to_vec()
        } else {
            vec!["sign".to_owned(), "--annotations".to_owned(), annotation]
        };
        let mut sign = cmd!(
            self.sh,
            "{program} {options...} {signer...} {place...} --allow-http-registry -y {image}"
        );
        for (name, value) in self.variables() {
            sign = sign.env(name, value);
        }
        if case.place == Place::Referrer {
            sign = sign.env("COSIGN_EXPERIMENTAL", "1");
        }
        real::quietly(sign).map(drop)
    }

    /// What cosign says about `REPOSITORY@DIGEST`: nothing, or why it refuses.
    pub(super) fn verify(
        &self,
        program: Program,
        options: &BTreeMap<&'static str, String>,
        image: &str,
    ) -> anyhow::Result<Option<String>> {
        let cosign = real::tool(program.tool())?;
        let options = options
            .iter()
            .map(|(option, value)| format!("{option}={}", self.filled(value)));
        // Offline: missing data must not be fetched from the public Sigstore.
        let mut verify = cmd!(
            self.sh,
            "{cosign} verify {options...} --offline=true --allow-http-registry {image}"
        );
        for (name, value) in self.variables() {
            verify = verify.env(name, value);
        }
        let output = verify.quiet().ignore_status().output()?;
        if output.status.success() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        // A crash or a wrong option is no result.
        anyhow::ensure!(
            code.is_some_and(|code| code != 2) && !said.contains("unknown flag"),
            "{} verify: {said}",
            program.tool()
        );
        let errors = said.lines().filter(|line| line.starts_with("Error"));
        Ok(Some(errors.collect::<Vec<_>>().join("\n")))
    }

    /// Puts what this run made up into a text.
    pub(super) fn filled(&self, text: &str) -> String {
        text.replace("{trust}", &self.instance.trust.display().to_string())
            .replace("{people}", &self.instance.people.url())
            .replace("{workflows}", &self.instance.workflows.url())
    }

    fn as_cosign_2(&self, case: &Case) -> anyhow::Result<Vec<String>> {
        let mut options = match (case.log, &self.instance.rekor1) {
            (Log::Rekor1, Some(rekor)) => vec!["--rekor-url".to_owned(), rekor.url.clone()],
            (Log::None, _) => vec!["--tlog-upload=false".to_owned()],
            (log, _) => anyhow::bail!("cosign 2 cannot write to {log:?}"),
        };
        if case.place == Place::Bundle {
            let root = path(&self.instance.trust.join(trust::ROOT))?;
            options.extend([
                "--new-bundle-format".to_owned(),
                "--trusted-root".to_owned(),
                root,
            ]);
        }
        if case.is_keyless() {
            let fulcio = self.instance.fulcio.url.clone();
            options.extend(["--fulcio-url".to_owned(), fulcio]);
        }
        if case.place == Place::Referrer {
            options.push("--registry-referrers-mode=oci-1-1".to_owned());
        }
        Ok(options)
    }

    fn as_cosign_3(&self, log: Log) -> anyhow::Result<Vec<String>> {
        let services = match (log, &self.instance.rekor1_config) {
            (Log::Rekor2, _) => &self.instance.rekor2_config,
            (Log::Rekor1, Some(config)) => config,
            (Log::None, _) => &self.instance.nothing_config,
            (Log::Rekor1, None) => anyhow::bail!("Rekor v1 is not there"),
        };
        let root = self.instance.trust.join(trust::ROOT);
        Ok(vec![
            "--signing-config".to_owned(),
            path(services)?,
            "--trusted-root".to_owned(),
            path(&root)?,
        ])
    }

    /// What both versions read from the environment.
    fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let trust = &self.instance.trust;
        let mut variables = vec![
            ("HOME", self.home.to_owned()),
            ("COSIGN_PASSWORD", PathBuf::from(PASSWORD)),
            ("SIGSTORE_ROOT_FILE", trust.join(trust::FULCIO)),
            ("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", trust.join(trust::CTFE)),
        ];
        if self.instance.rekor1.is_some() {
            variables.push(("SIGSTORE_REKOR_PUBLIC_KEY", trust.join(trust::REKOR1)));
        }
        variables
    }
}

fn token(token: String) -> Vec<String> {
    vec!["--identity-token".to_owned(), token]
}

fn path(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().context("a path that is not UTF-8")?;
    Ok(text.to_owned())
}

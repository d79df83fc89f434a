//! A whole Sigstore on loopback, and the files that clients of it need.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use qmt_testkit::PrivateSigstore;
use serde_json::Value;
use xshell::{Shell, cmd};

use super::ct_log::CtLog;
use super::oidc::Issuer;
use super::processes::Processes;
use super::rekor1::{self, Database};
use super::services::{self, Service};
use crate::real;
use crate::tools;

/// Without these there is no Sigstore.
pub(super) const NEEDED: &[&str] = &["fulcio", "rekor-posix", "timestamp-server", "cosign3"];
/// When everything is valid from.
const START: &str = "2020-01-01T00:00:00Z";
const OPERATOR: &str = "private.test";

/// The running services. Fields are dropped in this order: programs first.
pub(super) struct Instance {
    _processes: Processes,
    _database: Option<Database>,
    pub(super) people: Issuer,
    pub(super) workflows: Issuer,
    pub(super) fulcio: Service,
    /// Rekor v1, where its programs are installed.
    pub(super) rekor1: Option<Service>,
    _ct_log: CtLog,
    /// Holds what clients trust: see the constants of [`trust`].
    pub(super) trust: PathBuf,
    /// For cosign 3: Rekor v2, Rekor v1, and no service at all.
    pub(super) rekor2_config: PathBuf,
    pub(super) rekor1_config: Option<PathBuf>,
    pub(super) nothing_config: PathBuf,
}

/// The names of the files in [`Instance::trust`].
pub(super) mod trust {
    pub(crate) const ROOT: &str = "trusted_root.json";
    /// Of a Sigstore that shares nothing with ours but names.
    pub(crate) const OTHER: &str = "other-trusted_root.json";
    pub(crate) const FULCIO: &str = "fulcio-chain.pem";
    pub(crate) const CTFE: &str = "ctfe.pub";
    pub(crate) const REKOR: &str = "rekor.pub";
    pub(crate) const REKOR1: &str = "rekor1.pub";
    pub(crate) const TSA: &str = "tsa-chain.pem";
    /// A list of the trusted root, and the file in which it is that of the other Sigstore.
    pub(crate) const FOREIGN: [(&str, &str); 4] = [
        ("certificateAuthorities", "foreign-fulcio.json"),
        ("tlogs", "foreign-logs.json"),
        ("ctlogs", "foreign-ct-log.json"),
        ("timestampAuthorities", "foreign-timestamps.json"),
    ];
}

impl Instance {
    /// Starts everything; logs and keys go into `folder`. Free ports are looked for before programs
    /// bind them, so that another program may take one: then it is tried again.
    pub(super) fn start(sh: &Shell, folder: &Path) -> anyhow::Result<Self> {
        match Self::try_start(sh, folder) {
            Err(error) if format!("{error:#}").contains("address already in use") => {
                Self::try_start(sh, folder)
            }
            outcome => outcome,
        }
    }

    fn try_start(sh: &Shell, folder: &Path) -> anyhow::Result<Self> {
        let trust = folder.join("trust");
        std::fs::create_dir_all(&trust)?;
        let missing = tools::missing(rekor1::NEEDED);
        let database = if missing.is_empty() {
            Some(Database::folder()?)
        } else {
            println!(
                "skipped {:<36} not installed: {}",
                "Rekor v1",
                missing.join(", ")
            );
            None
        };
        let mut processes = Processes::new(folder);
        let (people, workflows, ct_log) = (Issuer::start()?, Issuer::start()?, CtLog::start()?);
        let timestamps = services::timestamps(&mut processes, folder)?;
        let fulcio = services::fulcio(&mut processes, folder, &people, &workflows, &ct_log)?;
        let rekor2 = services::rekor(&mut processes, folder)?;
        let rekor1 = database
            .as_ref()
            .map(|database| rekor1::start(&mut processes, database, folder))
            .transpose()
            .context("Rekor v1")?;

        for name in [trust::FULCIO, trust::CTFE, trust::REKOR, trust::TSA] {
            std::fs::copy(folder.join(name), trust.join(name))?;
        }
        if rekor1.is_some() {
            std::fs::copy(folder.join(trust::REKOR1), trust.join(trust::REKOR1))?;
        }
        let client = Client {
            sh,
            folder,
            people: &people,
            fulcio: &fulcio,
            timestamps: &timestamps,
        };
        let logs: Vec<&Service> = [Some(&rekor2), rekor1.as_ref()]
            .into_iter()
            .flatten()
            .collect();
        client.trusted_root(&trust, &logs, &ct_log)?;
        let rekor2_config = client.signing_config("rekor2", Some((&rekor2, 2)))?;
        let rekor1_config = rekor1
            .as_ref()
            .map(|rekor| client.signing_config("rekor1", Some((rekor, 1))))
            .transpose()?;
        let nothing_config = client.signing_config("nothing", None)?;
        Ok(Self {
            _processes: processes,
            _database: database,
            people,
            workflows,
            fulcio,
            rekor1,
            _ct_log: ct_log,
            trust,
            rekor2_config,
            rekor1_config,
            nothing_config,
        })
    }
}

/// Writes what clients need, by cosign's own commands.
struct Client<'a> {
    sh: &'a Shell,
    folder: &'a Path,
    people: &'a Issuer,
    fulcio: &'a Service,
    timestamps: &'a Service,
}

impl Client<'_> {
    fn trusted_root(&self, trust: &Path, logs: &[&Service], ct: &CtLog) -> anyhow::Result<()> {
        let cosign = real::tool("cosign3")?;
        let file = trust.join(trust::ROOT);
        let authority = |service: &Service| {
            let Service { url, trust } = service;
            format!("url={url},certificate-chain={}", trust.display())
        };
        let log = |url: &str, key: &Path| {
            let key = key.display();
            format!("url={url},public-key={key},start-time={START}")
        };
        let fulcio = authority(self.fulcio);
        let ctfe = log(&ct.url(), &self.folder.join(trust::CTFE));
        let tsa = authority(self.timestamps);
        let logs = logs
            .iter()
            .map(|service| format!("--rekor={}", log(&service.url, &service.trust)));
        cmd!(
            self.sh,
            "{cosign} trusted-root create --fulcio={fulcio} --ctfe={ctfe} --tsa={tsa} {logs...} --out {file}"
        )
        .env("HOME", self.folder).quiet().ignore_stderr().run()?;
        let root: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        let other = PrivateSigstore::new().trusted_root_json();
        std::fs::write(trust.join(trust::OTHER), &other)?;
        let other: Value = serde_json::from_str(&other)?;
        for (list, name) in trust::FOREIGN {
            let mut root = root.clone();
            let entries = root.get_mut(list).context("a list that cosign left out")?;
            *entries = other[list].clone();
            std::fs::write(trust.join(name), root.to_string())?;
        }
        Ok(())
    }

    /// A configuration with this log and its version, or with nothing.
    fn signing_config(&self, name: &str, log: Option<(&Service, u8)>) -> anyhow::Result<PathBuf> {
        let cosign = real::tool("cosign3")?;
        let file = self.folder.join(format!("signing-config-{name}.json"));
        let service = |kind: &str, url: &str, version: u8| {
            format!(
                "--{kind}=url={url},api-version={version},start-time={START},operator={OPERATOR}"
            )
        };
        let mut options = Vec::new();
        if let Some((rekor, version)) = log {
            options.extend([
                service("fulcio", &self.fulcio.url, 1),
                service("oidc-provider", &self.people.url(), 1),
                service("rekor", &rekor.url, version),
                "--rekor-config=ANY".to_owned(),
                service("tsa", &self.timestamps.url, 1),
                "--tsa-config=EXACT:1".to_owned(),
            ]);
        }
        cmd!(
            self.sh,
            "{cosign} signing-config create {options...} --out {file}"
        )
        .env("HOME", self.folder)
        .quiet()
        .ignore_stderr()
        .run()?;
        Ok(file)
    }
}

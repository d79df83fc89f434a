//! The recorded cases of cosign 2 and 3 through `qmt-plugins verify`, from a registry and from the
//! image layout on disk. They are in the folder `cosign` of the one that `QMT_REAL_FIXTURES` names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use qmt_testkit::FakeRegistry;
use serde::Deserialize;

use crate::command::{Answer, Desk};

/// Exit code of what is not verified.
const NOT_VERIFIED: i32 = 3;
/// Those that must be accepted by name, whatever `cases.json` says.
const ACCEPTED: [&str; 11] = [
    "cosign2-keyless",
    "cosign2-keyless-github",
    "cosign2-key-p256",
    "cosign2-key-rsa2048",
    "cosign2-twice",
    "cosign3-keyless",
    "cosign3-keyless-github",
    "cosign3-keyless-rekor1",
    "cosign3-key-p256",
    "cosign3-index",
    "cosign2-and-3",
];

#[derive(Deserialize)]
struct Case {
    name: String,
    digest: String,
    signer: Signer,
    #[serde(default)]
    claims: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    attestation: Option<Attestation>,
    /// `None`: either verdict is right.
    accept: Option<bool>,
    why: String,
    /// A manifest of a signed index, which has no tag of its own.
    #[serde(default)]
    child: bool,
}

#[derive(Deserialize)]
struct Signer {
    identity: Option<String>,
    issuer: Option<String>,
    key: Option<String>,
}

#[derive(Deserialize)]
struct Attestation {
    predicate_type: String,
    builder: String,
}

/// The folder of the recorded cases; says that it is skipped where there is none.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("QMT_REAL_FIXTURES");
    if folder.is_none() {
        println!("recorded cases: skipped, QMT_REAL_FIXTURES is not set");
    }
    folder.map(|folder| Path::new(&folder).join("cosign"))
}

fn cases(folder: &Path) -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(folder.join("cases.json")).unwrap()).unwrap()
}

impl Case {
    fn wants_no_log(&self) -> bool {
        self.why.contains("asks for no log")
    }

    /// The `[oci]` table of an operator who trusts the signer of the case alone.
    fn config(&self, trusted_root: &Path, keys: &Path, registry: &str) -> String {
        let mut signer = String::new();
        let mut add = |key: &str, value: &str| {
            let _ = write!(signer, "{key} = {value:?}, ");
        };
        match &self.signer {
            Signer { key: Some(key), .. } => {
                let file = keys.join(format!("key-{key}.pub"));
                add("key", &file.display().to_string());
                let log = if self.wants_no_log() {
                    "optional"
                } else {
                    "required"
                };
                add("transparency_log", log);
            }
            Signer {
                identity: Some(identity),
                issuer: Some(issuer),
                ..
            } => {
                add("identity", identity);
                add("issuer", issuer);
            }
            _ => panic!("{}: no signer", self.name),
        }
        for (claim, key) in [
            ("repository", "github_repository"),
            ("ref", "github_ref"),
            ("event_name", "github_trigger"),
            ("workflow", "github_workflow"),
            ("sha", "github_sha"),
        ] {
            if let Some(value) = self.claims.get(claim) {
                add(key, value);
            }
        }
        let signer = signer.trim_end_matches(", ");
        let mut text = format!(
            "[oci]\ntrusted_root = {:?}\ncache_dir = \"cache\"\n\
             [[oci.policy]]\nscope = \"**\"\nany_of = [{{ {signer} }}]\n",
            trusted_root.display().to_string(),
        );
        if let Some(wanted) = &self.attestation {
            let _ = writeln!(
                text,
                "attestations = [{{ predicate_type = {:?}, builder = {:?} }}]",
                wanted.predicate_type, wanted.builder
            );
        }
        if !self.annotations.is_empty() {
            text.push_str("[oci.policy.annotations]\n");
            for (name, value) in &self.annotations {
                let _ = writeln!(text, "{name:?} = {value:?}");
            }
        }
        let _ = writeln!(text, "[registries.{registry:?}]\nplain_http = true");
        text
    }

    /// The same signer as options of the command, where options can say it.
    fn options(&self, trust: &Path) -> Option<Vec<String>> {
        if !self.claims.is_empty() || !self.annotations.is_empty() || self.attestation.is_some() {
            return None;
        }
        let mut options = vec![
            "--trusted-root".to_owned(),
            trust.join("trusted_root.json").display().to_string(),
        ];
        match &self.signer {
            Signer { key: Some(key), .. } => {
                let file = trust.join(format!("key-{key}.pub"));
                options.extend(["--key".to_owned(), file.display().to_string()]);
                if self.wants_no_log() {
                    options.push("--insecure-ignore-tlog".to_owned());
                }
            }
            signer => options.extend([
                "--certificate-identity".to_owned(),
                signer.identity.clone()?,
                "--certificate-oidc-issuer".to_owned(),
                signer.issuer.clone()?,
            ]),
        }
        Some(options)
    }
}

/// What is wrong with `answer`, if anything.
fn verdict(case: &Case, place: &str, answer: &Answer) -> Option<String> {
    let is_right = match (case.accept, answer.code) {
        (Some(true), code) => code == Some(0) && answer.stdout.contains(&case.digest),
        (Some(false), code) => code == Some(NOT_VERIFIED),
        // A key of a kind that we don't use is an error of the config.
        (None, code) => matches!(code, Some(0 | NOT_VERIFIED | 6)),
    };
    let shown = format!("{} {place}: {}", case.name, answer.transcript());
    (!is_right).then_some(shown)
}

/// SIG-16: every case, as an operator meets it.
#[test]
fn every_recorded_case_comes_out_as_it_says_through_the_command() {
    let Some(folder) = folder() else {
        return;
    };
    let (trust, layout) = (folder.join("trust"), folder.join("layout"));
    let registry = FakeRegistry::from_layout(&layout).unwrap();
    let host = registry.host().to_string();
    let repository = format!("{host}/layout");
    let layout = layout.display();
    let desk = Desk::new();
    let cases = cases(&folder);
    let (mut accepted, mut wrong) = (Vec::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let config = case.config(&trust.join("trusted_root.json"), &trust, &host);
        let config = desk.write(&format!("{number}.toml"), config);
        let config = config.to_str().unwrap();
        let (name, digest) = (&case.name, &case.digest);
        let mut places = vec![
            format!("{repository}@{digest}"),
            format!("oci-layout://{layout}@{digest}"),
        ];
        if !case.child {
            places.push(format!("{repository}:{name}"));
            places.push(format!("oci-layout://{layout}:{name}"));
        }
        for place in &places {
            let answer = desk.run(&["verify", "--config", config, place]);
            wrong.extend(verdict(case, place, &answer));
            if case.accept == Some(true) && answer.code == Some(0) {
                accepted.push(name.as_str());
            }
            println!("{name:28} {:?} exit {:?} {place}", case.accept, answer.code);
        }
        // Once more with the signer in the options, without any config.
        if let Some(options) = case.options(&trust) {
            let place = format!("oci-layout://{layout}@{digest}");
            let mut arguments = vec!["verify", place.as_str()];
            arguments.extend(options.iter().map(String::as_str));
            wrong.extend(verdict(case, "by options", &desk.run(&arguments)));
        }
    }
    assert!(cases.len() >= 40, "{} cases", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    for name in ACCEPTED {
        assert!(accepted.contains(&name), "{name} is not among the cases");
    }
}

/// SIG-12: the trusted root of another Sigstore accepts no signer here.
#[test]
fn another_trusted_root_accepts_no_recorded_case() {
    let Some(folder) = folder() else {
        return;
    };
    let (trust, layout) = (
        folder.join("trust"),
        folder.join("layout").display().to_string(),
    );
    let desk = Desk::new();
    let foreign = trust.join("other-trusted_root.json");
    let certified = cases(&folder)
        .into_iter()
        .filter(|case| case.accept == Some(true) && !case.wants_no_log());
    let mut refused = 0;
    for case in certified {
        let config = desk.write("plugins.toml", case.config(&foreign, &trust, "localhost:1"));
        let place = format!("oci-layout://{layout}@{}", case.digest);
        let answer = desk.run(&["verify", "--config", config.to_str().unwrap(), &place]);
        assert_eq!(
            answer.code,
            Some(NOT_VERIFIED),
            "{}: {}",
            case.name,
            answer.transcript()
        );
        refused += 1;
    }
    assert!(refused >= 15, "{refused}");
}

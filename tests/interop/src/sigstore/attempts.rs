//! Configurations under which a signed image is verified: those of its signer, and many others. Each
//! attempt has our configuration and, where there are any, the options of cosign that mean the same.
//!
//! `{trust}` is replaced by the folder of trusted files.

mod wrong;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::cases::{ANNOTATION, ATTESTED, Case, Extra, Log, PERSON, Place, Signer, WORKFLOW};
use super::instance::trust;

/// The image that is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that was signed.
    Own,
    /// Another one, to which the signature of the first was copied.
    Copied,
    /// A signed one whose signature was changed by a bit.
    Tampered,
    /// The signed one with its signature, in another repository.
    Moved,
}

/// A configuration, and whether the image satisfies it.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) name: &'static str,
    pub(super) image: Which,
    /// `None`: accepted. Otherwise the kind of the refusal.
    pub(super) refused: Option<&'static str>,
    /// Options of `cosign verify` that mean the same, if it has any.
    pub(super) cosign: Option<BTreeMap<&'static str, String>>,
    roots: Vec<(&'static str, Vec<&'static str>)>,
    authorities: Vec<Authority>,
    require: usize,
    lines: Vec<String>,
    annotation: Option<(&'static str, &'static str)>,
}

/// The refusal of a config that contradicts itself: nothing is verified.
pub(super) const CONFIG: &str = "config";

/// The option by which cosign looks among the referrers for what cosign 2 put there.
const OCI11: &str = "--experimental-oci11";

type Authority = Vec<(&'static str, String)>;

/// Every attempt at a case, those that are to be accepted first.
pub(super) fn of(case: &Case) -> Vec<Attempt> {
    let mut right = right(case);
    if case.extra == Extra::OnlyAttested {
        right.refused = Some("attestation");
        return vec![right];
    }
    let mut all = vec![right.clone()];
    if case.extra == Extra::SecondSigner {
        let mut both = Attempt {
            name: "both-signers",
            require: 2,
            cosign: None,
            ..right.clone()
        };
        both.authorities
            .push(vec![("key", file(&Case::key_file("rsa")))]);
        all.push(both);
    }
    if case.extra == Extra::AttestedToo {
        let (kind, builder) = ATTESTED;
        all.push(Attempt {
            name: "attested",
            cosign: None,
            lines: vec![provenance(kind, builder)],
            ..right.clone()
        });
    }
    if case.place == Place::Referrer {
        let mut plain = Attempt {
            name: "without-oci11-option",
            ..right.clone()
        };
        if let Some(cosign) = &mut plain.cosign {
            cosign.remove(OCI11);
        }
        all.push(plain);
    }
    if case.is_logged() {
        all.push(with_pem_files(case, &right));
    }
    if case.place == Place::Sig {
        all.push(Attempt {
            name: "signed-name",
            lines: vec!["signed_name = \"match\"".to_owned()],
            cosign: None,
            ..right.clone()
        });
    }
    let wrong = right.refused("right", "other-digest");
    match case.signer {
        Signer::Key(key) => wrong::keys(case, key, &wrong, &mut all),
        Signer::Person | Signer::Stranger | Signer::Workflow => {
            wrong::certificates(case, &wrong, &mut all);
        }
    }
    wrong::trust(case, &wrong, &mut all);
    wrong::for_all(case, &wrong, &mut all);
    all
}

fn right(case: &Case) -> Attempt {
    let mut cosign = BTreeMap::from([("--trusted-root", file(trust::ROOT))]);
    let annotation = case.is_annotated().then_some(ANNOTATION);
    if let Some((name, value)) = annotation {
        cosign.insert("--annotations", format!("{name}={value}"));
    }
    if case.place == Place::Referrer {
        cosign.insert(OCI11, "true".to_owned());
    }
    let authority = match case.signer {
        Signer::Key(key) => {
            let log = if case.is_logged() {
                "required"
            } else {
                cosign.insert("--insecure-ignore-tlog", "true".to_owned());
                "optional"
            };
            let key = file(&Case::key_file(key));
            cosign.insert("--key", key.clone());
            vec![("key", key), ("transparency_log", log.to_owned())]
        }
        Signer::Person | Signer::Stranger => person(&mut cosign),
        Signer::Workflow => {
            let identity = WORKFLOW.identity();
            cosign.insert("--certificate-identity", identity.clone());
            cosign.insert("--certificate-oidc-issuer", "{workflows}".to_owned());
            let mut authority = vec![("identity", identity), ("issuer", "{workflows}".to_owned())];
            for (claim, option, value) in claims() {
                authority.push((claim, value.to_owned()));
                cosign.insert(option, value.to_owned());
            }
            authority
        }
    };
    Attempt {
        name: "right",
        image: Which::Own,
        refused: None,
        cosign: Some(cosign),
        roots: vec![("trusted_root", vec![trust::ROOT])],
        authorities: vec![authority],
        require: 1,
        lines: Vec::new(),
        annotation,
    }
}

fn person(cosign: &mut BTreeMap<&'static str, String>) -> Authority {
    cosign.insert("--certificate-identity", PERSON.to_owned());
    cosign.insert("--certificate-oidc-issuer", "{people}".to_owned());
    vec![
        ("identity", PERSON.to_owned()),
        ("issuer", "{people}".to_owned()),
    ]
}

/// The claims of the workflow, in our words and in cosign's.
fn claims() -> [(&'static str, &'static str, &'static str); 5] {
    [
        (
            "github_repository",
            "--certificate-github-workflow-repository",
            WORKFLOW.repository,
        ),
        (
            "github_ref",
            "--certificate-github-workflow-ref",
            WORKFLOW.git_ref,
        ),
        (
            "github_trigger",
            "--certificate-github-workflow-trigger",
            WORKFLOW.trigger,
        ),
        (
            "github_workflow",
            "--certificate-github-workflow-name",
            WORKFLOW.name,
        ),
        (
            "github_sha",
            "--certificate-github-workflow-sha",
            WORKFLOW.sha,
        ),
    ]
}

/// The same trust by PEM files, as the QueryMT manual has it.
fn with_pem_files(case: &Case, right: &Attempt) -> Attempt {
    let rekor = match case.log {
        Log::Rekor1 => vec![trust::REKOR, trust::REKOR1],
        Log::Rekor2 | Log::None => vec![trust::REKOR],
    };
    let mut roots = vec![("rekor_pub_keys", rekor), ("tsa_certs", vec![trust::TSA])];
    if case.is_keyless() {
        roots.push(("fulcio_certs", vec![trust::FULCIO]));
        roots.push(("ctfe_keys", vec![trust::CTFE]));
    }
    Attempt {
        name: "pem-files",
        roots,
        cosign: None,
        ..right.clone()
    }
}

impl Attempt {
    /// The same under another name, to be refused.
    fn refused(&self, name: &'static str, kind: &'static str) -> Self {
        Self {
            name,
            refused: Some(kind),
            ..self.clone()
        }
    }

    /// Requires another value, of cosign too if it has an option for it.
    fn instead(
        mut self,
        key: &'static str,
        value: &str,
        cosign: Option<(&'static str, &str)>,
    ) -> Self {
        for authority in &mut self.authorities {
            authority.retain(|(name, _)| *name != key);
            authority.push((key, value.to_owned()));
        }
        if let (Some(options), Some((option, value))) = (&mut self.cosign, cosign) {
            options.insert(option, value.to_owned());
        }
        self
    }

    fn leave_out(&mut self, key: &str, option: &str) {
        for authority in &mut self.authorities {
            authority.retain(|(name, _)| *name != key);
        }
        if let Some(options) = &mut self.cosign {
            options.remove(option);
        }
    }

    /// The `[oci]` table.
    pub(super) fn config(&self) -> String {
        let mut text = String::from("[oci]\n");
        for (key, files) in &self.roots {
            let files: Vec<String> = files.iter().map(|name| file(name)).collect();
            let _ = match (*key, files.as_slice()) {
                ("trusted_root", [one]) => writeln!(text, "{key} = {one:?}"),
                _ => writeln!(text, "{key} = {files:?}"),
            };
        }
        text.push_str("[[oci.policy]]\nscope = \"**\"\nany_of = [\n");
        for authority in &self.authorities {
            let parts: Vec<String> = authority
                .iter()
                .map(|(key, value)| format!("{key} = {value:?}"))
                .collect();
            let _ = writeln!(text, "  {{ {} }},", parts.join(", "));
        }
        text.push_str("]\n");
        if self.require != 1 {
            let _ = writeln!(text, "require = {}", self.require);
        }
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        if let Some((name, value)) = self.annotation {
            let _ = writeln!(text, "annotations = {{ {name} = {value:?} }}");
        }
        text
    }
}

/// The demand for an attestation of that type, by that builder.
fn provenance(kind: &str, builder: &str) -> String {
    format!("attestations = [{{ predicate_type = {kind:?}, builder = {builder:?} }}]")
}

/// A file of the folder of what is trusted.
fn file(name: &str) -> String {
    format!("{{trust}}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigstore::cases::CASES;

    #[test]
    fn every_case_is_refused_in_ten_ways_with_names_of_their_own() {
        let signed = |case: &&Case| case.extra != Extra::OnlyAttested;
        for case in CASES.iter().filter(signed) {
            let attempts = of(case);
            let mut names: Vec<_> = attempts.iter().map(|attempt| attempt.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), attempts.len(), "{}", case.name);
            let refused = attempts.iter().filter(|one| one.refused.is_some()).count();
            assert!(refused >= 10, "{}: {refused}", case.name);
            for attempt in &attempts {
                let config = attempt.config();
                let table: toml::Table = config.parse().unwrap();
                assert!(table["oci"]["policy"][0]["any_of"].is_array(), "{config}");
            }
        }
    }
}

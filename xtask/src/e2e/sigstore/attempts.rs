//! What an operator may want of a signed image: once what its signer has, and many times something
//! else. Each attempt is a configuration of ours and, where there is one, what cosign is asked for
//! the same.
//!
//! `{trust}` stands for the folder of what is trusted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::cases::{ANNOTATION, ATTESTED, Case, Extra, Log, PERSON, Place, Signer, WORKFLOW};
use super::instance::trust;

/// The image that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that was signed.
    Own,
    /// Another one, beside which the signature of the first was put.
    Copied,
    /// A signed one whose signature was changed by a bit.
    Tampered,
    /// The signed one with its signature, in another repository.
    Moved,
}

/// What is wanted of an image, and whether it has that.
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
        Signer::Key(key) => wrong_keys(case, key, &wrong, &mut all),
        Signer::Person | Signer::Stranger | Signer::Workflow => {
            wrong_certificates(case, &wrong, &mut all);
        }
    }
    wrong_trust(case, &wrong, &mut all);
    wrong_for_all(case, &wrong, &mut all);
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

fn wrong_keys(case: &Case, key: &'static str, wrong: &Attempt, all: &mut Vec<Attempt>) {
    let other_kind = if key == "rsa" { "p256" } else { "rsa" };
    for (name, other) in [("other-key", "other"), ("other-kind-of-key", other_kind)] {
        let other = file(&Case::key_file(other));
        all.push(
            wrong
                .refused(name, "other-key")
                .instead("key", &other, Some(("--key", &other))),
        );
    }
    let mut person_instead = wrong.refused("certificate-wanted", "no-key");
    let mut cosign = wrong.cosign.clone().unwrap_or_default();
    cosign.remove("--key");
    person_instead.authorities = vec![person(&mut cosign)];
    person_instead.cosign = Some(cosign);
    all.push(person_instead);
    if !case.is_logged() {
        let mut wanted =
            wrong
                .refused("log-wanted", "no-log")
                .instead("transparency_log", "required", None);
        if let Some(cosign) = &mut wanted.cosign {
            cosign.remove("--insecure-ignore-tlog");
        }
        all.push(wanted);
    }
}

fn wrong_certificates(case: &Case, wrong: &Attempt, all: &mut Vec<Attempt>) {
    let (identity, prefix, issuer) = match case.signer {
        Signer::Workflow => (
            "https://github.com/my-org/my-plugin/.github/workflows/release.yml@refs/heads/main",
            "https://github.com/my-org/my-plugin/",
            "{people}",
        ),
        _ => ("other@example.com", "dev@example", "{workflows}"),
    };
    all.push(wrong.refused("other-identity", "other-identity").instead(
        "identity",
        identity,
        Some(("--certificate-identity", identity)),
    ));
    all.push(wrong.refused("other-issuer", "other-issuer").instead(
        "issuer",
        issuer,
        Some(("--certificate-oidc-issuer", issuer)),
    ));
    let mut unanchored = wrong.refused("part-of-identity", "other-identity").instead(
        "identity_regex",
        prefix,
        Some(("--certificate-identity-regexp", prefix)),
    );
    unanchored.leave_out("identity", "--certificate-identity");
    all.push(unanchored);
    if case.signer == Signer::Workflow {
        let others = [
            ("other-repository", "other-org/my-plugin"),
            ("other-ref", "refs/heads/main"),
            ("other-trigger", "pull_request"),
            ("other-workflow", "nightly"),
            ("other-commit", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"),
        ];
        for ((claim, option, _), (name, other)) in claims().into_iter().zip(others) {
            let attempt = wrong.refused(name, "other-claim");
            all.push(attempt.instead(claim, other, Some((option, other))));
        }
    } else {
        let (claim, option, value) = claims()[0];
        let attempt = wrong.refused("workflow-wanted", "other-claim");
        all.push(attempt.instead(claim, value, Some((option, value))));
    }
    let mut key = wrong.refused("key-wanted", "only-keys");
    let file = file(&Case::key_file("p256"));
    key.authorities = vec![vec![("key", file.clone())]];
    key.cosign = wrong.cosign.as_ref().map(|cosign| {
        let mut cosign = cosign.clone();
        cosign.retain(|option, _| !option.starts_with("--certificate"));
        cosign.insert("--key", file);
        cosign
    });
    all.push(key);
}

/// Other trusted roots. Without a log nothing of them is needed.
fn wrong_trust(case: &Case, wrong: &Attempt, all: &mut Vec<Attempt>) {
    if !case.is_logged() {
        return;
    }
    let [(_, fulcio), (_, logs), (_, ct_log), (_, timestamps)] = trust::FOREIGN;
    let mut root = |name, file: &'static str, kind| {
        let mut attempt = wrong.refused(name, kind);
        attempt.roots = vec![("trusted_root", vec![file])];
        let path = self::file(file);
        if let Some(cosign) = &mut attempt.cosign {
            cosign.insert("--trusted-root", path);
        }
        all.push(attempt);
    };
    let is_stamped = case.is_keyless() && case.is_stamped();
    let kind = if is_stamped { "time" } else { "log" };
    root("other-sigstore", trust::OTHER, kind);
    if is_stamped {
        root("other-timestamps", timestamps, "time");
    }
    root("other-log", logs, "log");
    if case.is_keyless() {
        root("other-authority", fulcio, "certificate");
        root("other-ct-log", ct_log, "certificate");
    }
}

fn wrong_for_all(case: &Case, wrong: &Attempt, all: &mut Vec<Attempt>) {
    let mut copied = wrong.refused("copied", "other-digest");
    copied.image = Which::Copied;
    all.push(copied);
    // By a key of no certificate, nothing tells a changed signature from one of another key.
    let kind = match (case.is_keyless(), case.is_stamped()) {
        (false, _) => "other-key",
        // The timestamp is looked at first, and is one of another signature then.
        (true, true) => "time",
        (true, false) => "signature",
    };
    let mut tampered = wrong.refused("tampered", kind);
    tampered.image = Which::Tampered;
    all.push(tampered);

    let mut annotated = wrong.refused("other-annotation", "other-annotation");
    annotated.annotation = Some((ANNOTATION.0, "beta"));
    if let Some(cosign) = &mut annotated.cosign {
        cosign.insert("--annotations", format!("{}=beta", ANNOTATION.0));
    }
    all.push(annotated);

    // cosign has no words for the following.
    let mut later = wrong.refused("signed-later", "too-old");
    later.lines = vec!["signed_after = \"2100-01-01T00:00:00Z\"".to_owned()];
    let mut both = wrong.refused("two-signers", "not-enough");
    both.authorities.push(vec![
        ("key", file(&Case::key_file("other"))),
        ("transparency_log", "optional".to_owned()),
    ]);
    both.require = 2;
    let mut attested = wrong.refused("attestation-wanted", "demand");
    attested.lines = vec![provenance(ATTESTED.0, "https://builder.example.com/2")];
    let mut without_words = vec![later, both, attested];
    if case.place == Place::Sig {
        let mut moved = wrong.refused("other-name", "other-name");
        moved.image = Which::Moved;
        moved.lines = vec!["signed_name = \"match\"".to_owned()];
        without_words.push(moved);
    }
    for mut attempt in without_words {
        attempt.cosign = None;
        all.push(attempt);
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

    /// Asks for another value, also of cosign if it has an option for it.
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
    use crate::e2e::sigstore::cases::CASES;

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

//! Attempts that must be refused: other keys, other identities, other trusted roots, other images.

use super::super::cases::{ANNOTATION, ATTESTED, Case, Place, Signer};
use super::super::instance::trust as files;
use super::{Attempt, CONFIG, Which, claims, file, person, provenance};

pub(super) fn keys(case: &Case, key: &'static str, wrong: &Attempt, all: &mut Vec<Attempt>) {
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

pub(super) fn certificates(case: &Case, wrong: &Attempt, all: &mut Vec<Attempt>) {
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
pub(super) fn trust(case: &Case, wrong: &Attempt, all: &mut Vec<Attempt>) {
    if !case.is_logged() {
        return;
    }
    let [(_, fulcio), (_, logs), (_, ct_log), (_, timestamps)] = files::FOREIGN;
    let mut root = |name, file: &'static str, kind| {
        let mut attempt = wrong.refused(name, kind);
        attempt.roots = vec![("trusted_root", vec![file])];
        let path = super::file(file);
        if let Some(cosign) = &mut attempt.cosign {
            cosign.insert("--trusted-root", path);
        }
        all.push(attempt);
    };
    let is_stamped = case.is_keyless() && case.is_stamped();
    let kind = if is_stamped { "time" } else { "log" };
    root("other-sigstore", files::OTHER, kind);
    if is_stamped {
        root("other-timestamps", timestamps, "time");
    }
    root("other-log", logs, "log");
    if case.is_keyless() {
        root("other-authority", fulcio, "certificate");
        root("other-ct-log", ct_log, "certificate");
    }
}

pub(super) fn for_all(case: &Case, wrong: &Attempt, all: &mut Vec<Attempt>) {
    let mut copied = wrong.refused("copied", "other-digest");
    copied.image = Which::Copied;
    all.push(copied);
    let kind = match (case.is_keyless(), case.is_stamped()) {
        // A log entry or the hint of a bundle names the key.
        (false, _) if case.is_logged() || case.place == Place::Bundle => "signature",
        // Nothing tells a changed signature from one with another key.
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
    // A key without a log proves no time, so that the config itself is refused.
    let kind = if case.is_keyless() || case.is_logged() {
        "too-old"
    } else {
        CONFIG
    };
    let mut later = wrong.refused("signed-later", kind);
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

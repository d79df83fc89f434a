//! `fixtures/sigstore/cosign`: everything that cosign 2 and 3 signed against a real Sigstore, asked
//! about as its signer would have it and in wrong ways, through the command and offline.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use crate::command::{Answer, Desk, root};

/// Exit code of what is not verified.
const NOT_VERIFIED: i32 = 3;
/// Exit code of a config that cannot be used.
const CONFIG: i32 = 6;
/// How many cases are played at the same time.
const WORKERS: usize = 4;

#[derive(Deserialize)]
struct Recording {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    signed_by: String,
    log: String,
    place: String,
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Attempt {
    name: String,
    tag: String,
    digest: String,
    /// The `[oci]` table, with `{trust}` for the folder of what is trusted.
    config: String,
    /// The kind of the refusal.
    refused: Option<String>,
}

fn folder() -> PathBuf {
    root().join("fixtures/sigstore/cosign")
}

fn recording() -> Recording {
    let text = std::fs::read(folder().join("cases.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

impl Attempt {
    fn play(&self, desk: &Desk, place: &str) -> Answer {
        let trust = folder().join("trust").display().to_string();
        let config = desk.write("plugins.toml", self.config.replace("{trust}", &trust));
        let config = config.to_str().unwrap();
        let arguments = ["verify", "--format", "json", "--config", config];
        let arguments = [&arguments[..], &["--cache-dir", "cache", place]].concat();
        desk.run(&arguments)
    }

    /// What came out otherwise than it was recorded, if anything.
    fn problem(&self, answer: &Answer) -> Option<String> {
        let is_right = match self.refused.as_deref() {
            None => {
                answer.code == Some(0)
                    && answer.json()["report"]["subject"]
                        .as_str()
                        .is_some_and(|subject| subject.ends_with(&self.digest))
            }
            // The config contradicts itself, so that nothing is verified.
            Some("config") => {
                answer.code == Some(CONFIG) && answer.json()["error"]["kind"] == "config"
            }
            Some(kind) => {
                answer.code == Some(NOT_VERIFIED)
                    && answer.json()["error"]["rejected"]
                        .as_array()
                        .is_some_and(|all| all.iter().any(|one| one["code"] == kind))
            }
        };
        let wanted = self.refused.as_deref().unwrap_or("accepted");
        (!is_right).then(|| format!("{}: {wanted}: {}", self.name, answer.transcript()))
    }
}

/// What is wrong with the outcomes of every attempt at one case.
fn play(case: &Case) -> Vec<String> {
    let layout = folder().join("layout");
    let layout = layout.display();
    let desk = Desk::new();
    let mut wrong = Vec::new();
    for attempt in &case.attempts {
        let mut places = vec![format!("oci-layout://{layout}@{}", attempt.digest)];
        // As an operator would ask.
        if attempt.name == "right" {
            places.push(format!("oci-layout://{layout}:{}", attempt.tag));
        }
        for place in places {
            let problem = attempt.problem(&attempt.play(&desk, &place));
            wrong.extend(problem.map(|problem| format!("{}: {problem}", case.name)));
        }
    }
    wrong
}

/// SIG-16.
#[test]
fn what_cosign_signed_is_accepted_and_refused_as_it_was_recorded() {
    let cases = recording().cases;
    // Most of the time goes into starting the command.
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = cases
            .chunks(cases.len().div_ceil(WORKERS))
            .map(|part| scope.spawn(|| part.iter().flat_map(play).collect::<Vec<_>>()))
            .collect();
        let ended = workers.into_iter().map(|worker| worker.join().unwrap());
        ended.flatten().collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let attempts = || cases.iter().flat_map(|case| &case.attempts);
    let accepted = attempts().filter(|one| one.refused.is_none()).count();
    let refused = attempts().count() - accepted;
    assert!(accepted >= 30 && refused >= 200, "{accepted}, {refused}");
}

/// SIG-01, SIG-12, SIG-13: a recording that lacks a way of signing, or of being wrong, shows
/// little.
#[test]
fn the_recording_holds_every_way_of_signing_and_ten_wrong_ways_for_each() {
    let cases = recording().cases;
    let mut ways = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for case in &cases {
        ways.insert((
            case.signed_by.as_str(),
            case.log.as_str(),
            case.place.as_str(),
        ));
        let refused: Vec<&str> = case
            .attempts
            .iter()
            .filter_map(|attempt| attempt.refused.as_deref())
            .collect();
        let is_signed = case.attempts.iter().any(|one| one.refused.is_none());
        assert!(!is_signed || refused.len() >= 10, "{}", case.name);
        kinds.extend(refused);
    }
    for way in [
        ("cosign2", "Rekor v1", ".sig"),
        ("cosign2", "none", ".sig"),
        ("cosign2", "Rekor v1", "cosign 2 referrer"),
        ("cosign2", "Rekor v1", "bundle"),
        ("cosign3", "Rekor v2", "bundle"),
        ("cosign3", "Rekor v1", "bundle"),
        ("cosign3", "none", "bundle"),
    ] {
        assert!(ways.contains(&way), "{way:?}");
    }
    for kind in [
        "attestation",
        "certificate",
        "demand",
        "log",
        "no-key",
        "no-log",
        "not-enough",
        "only-keys",
        "other-annotation",
        "other-claim",
        "other-digest",
        "other-identity",
        "other-issuer",
        "other-key",
        "other-name",
        "signature",
        "time",
        "too-old",
    ] {
        assert!(kinds.contains(kind), "{kind}");
    }
}

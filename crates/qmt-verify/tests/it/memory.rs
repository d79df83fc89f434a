//! SIG-18: what hostile signatures may cost in memory, measured in a process of its own.
#![cfg(target_os = "linux")]

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_testkit::{PrivateSigstore, Signing};
use qmt_verify::Evidence;
use serde_json::{Value, json};

use crate::support::{any_of, check, dev, dev_authority, evidence, subject, verifier};

/// Set where this process is the one that is fed.
const FED: &str = "QMT_FED";
/// What one piece of signature material may have: `limits::PIECE_BYTES_MAX`.
const PIECE: usize = 1024 * 1024;
/// How much more than for a good signature the process may need, in KiB.
const GROWTH_MAX: u64 = 64 * 1024;

/// JSON of the most bytes that one piece may have, in shapes that grow when they are read.
fn bombs() -> Vec<String> {
    let filled = |head: &str, unit: &str, tail: &str| {
        let count = (PIECE - head.len() - tail.len()) / unit.len();
        format!("{head}{}{tail}", unit.repeat(count))
    };
    let material = "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\",\
                    \"verificationMaterial\":{";
    vec![
        filled("", "[", ""),
        filled("", "{\"a\":", ""),
        filled("[0", ",0", "]"),
        filled("[{}", ",{}", "]"),
        filled("[[]", ",[]", "]"),
        filled("{\"a\":\"", "x", "\"}"),
        filled("{\"a\":\"", "\\u0000", "\"}"),
        filled("{\"a\":", "9", "}"),
        filled(&format!("{material}\"tlogEntries\":[{{}}"), ",{}", "]}}"),
        filled(
            &format!(
                "{material}\"timestampVerificationData\":{{\"rfc3161Timestamps\":[\
                 {{\"signedTimestamp\":\"\"}}"
            ),
            ",{\"signedTimestamp\":\"\"}",
            "]}}}",
        ),
        filled(
            &format!(
                "{material}\"x509CertificateChain\":{{\"certificates\":[{{\"rawBytes\":\"\"}}"
            ),
            ",{\"rawBytes\":\"\"}",
            "]}}}",
        ),
        filled(
            &format!("{material}\"certificate\":{{\"rawBytes\":\""),
            "MIIB",
            "\"}}}",
        ),
        filled(
            "{\"payloadType\":\"a\",\"payload\":\"\",\"signatures\":[{\"sig\":\"\"}",
            ",{\"sig\":\"\"}",
            "]}",
        ),
        filled(
            "-----BEGIN CERTIFICATE-----\n",
            "MIIB",
            "\n-----END CERTIFICATE-----\n",
        ),
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".repeat(PIECE / 60),
    ]
}

/// The ways in which `bomb` can reach the check.
fn placed(bomb: &str) -> [Value; 4] {
    let text = STANDARD.encode(bomb);
    let annotations = |name: &str| json!({ name: bomb });
    [
        json!({ "bundle": { "json": text } }),
        json!({ "simple-signing": { "payload": text, "annotations": {} } }),
        json!({ "simple-signing": {
            "payload": STANDARD.encode("{}"),
            "annotations": annotations("dev.sigstore.cosign/bundle"),
        } }),
        json!({ "simple-signing": {
            "payload": STANDARD.encode("{}"),
            "annotations": annotations("dev.sigstore.cosign/certificate"),
        } }),
    ]
}

/// The most memory that this process ever held, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse().unwrap()
}

/// SIG-18: pieces as large as they may be, in shapes that grow when they are read, are refused and
/// do not eat the memory.
#[tokio::test]
async fn sig_18_hostile_signatures_do_not_eat_the_memory() {
    if std::env::var_os(FED).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "memory::sig_18_hostile_signatures_do_not_eat_the_memory",
                "--nocapture",
            ])
            .env(FED, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        let line = text.lines().find_map(|line| line.split_once("grew by "));
        let grown: u64 = line.unwrap_or_else(|| panic!("{text}")).1.parse().unwrap();
        assert!(grown <= GROWTH_MAX, "{grown} KiB more than for a good one");
        return;
    }
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let good = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    let good = evidence(&subject(), [good]).await;
    check(&verifier, &subject(), &good).unwrap();
    let before = peak_kib();
    let mut checked = 0;
    for bomb in bombs() {
        for content in placed(&bomb) {
            let stored = json!({
                "schema": 1,
                "subject": subject().digest(),
                "pieces": [{ "found": "a bomb", "content": content }],
            });
            let Ok(evidence) = Evidence::from_json(stored.to_string().as_bytes()) else {
                continue;
            };
            checked += 1;
            check(&verifier, &subject(), &evidence).unwrap_err();
        }
    }
    // The caps must not have kept all of them from the check.
    assert!(checked >= bombs().len(), "{checked}");
    println!("\ngrew by {}", peak_kib() - before);
}

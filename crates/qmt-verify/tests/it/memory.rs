//! SIG-18: what hostile signatures may cost in memory, measured in a separate process.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::process::Command;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use qmt_oci_ref::manifest::{OCI_MANIFEST, Referrers};
use qmt_oci_ref::{
    BlobStream, Descriptor, Digest, Digester, MediaType, PinnedReference, RawManifest, Reference,
    Registry, RegistryError, Repository,
};
use qmt_testkit::{Attestation, PrivateSigstore, Signing};
use qmt_verify::Evidence;
use qmt_verify::report::RejectionCode;
use serde_json::{Value, json};

use crate::support::{
    any_of, check, dev, dev_authority, evidence, look, missing, stream, subject, verifier,
};

/// Set where this process is the one that is fed.
const FED: &str = "QMT_FED";
/// Most bytes of one evidence item: `limits::ITEM_BYTES_MAX`.
const ITEM_BYTES: usize = 1024 * 1024;
/// How much more than for a good signature the process may need, in KiB.
const GROWTH_MAX: u64 = 64 * 1024;

/// JSON of the most bytes that one item may have, in shapes that grow when they are read.
fn bombs() -> Vec<String> {
    let filled = |head: &str, unit: &str, tail: &str| {
        let count = (ITEM_BYTES - head.len() - tail.len()) / unit.len();
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
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".repeat(ITEM_BYTES / 60),
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

/// Runs the test `name` in a separate process, which prints by how much it grew; `false` in that
/// process.
fn is_parent(name: &str) -> bool {
    if std::env::var_os(FED).is_some() {
        return false;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("memory::{name}"), "--nocapture"])
        .env(FED, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let line = text.lines().find_map(|line| line.split_once("grew by "));
    let grown: u64 = line.unwrap_or_else(|| panic!("{text}")).1.parse().unwrap();
    assert!(grown <= GROWTH_MAX, "{grown} KiB more than for a good one");
    true
}

/// SIG-18: items as large as they may be, in shapes that grow when they are read, are refused and
/// do not eat the memory.
#[tokio::test]
async fn sig_18_hostile_signatures_do_not_eat_the_memory() {
    if is_parent("sig_18_hostile_signatures_do_not_eat_the_memory") {
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

/// SIG-14, SIG-18: attestations of many values, of which none has a valid signature.
#[tokio::test]
async fn unsigned_attestations_do_not_eat_the_memory() {
    if is_parent("unsigned_attestations_do_not_eat_the_memory") {
        return;
    }
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let attestation = Attestation::new("https://example.com/x", "{}");
    let good = sigstore.attest_bundle(subject().digest(), &attestation, &Signing::keyless(dev()));
    let mut bundle: Value = serde_json::from_slice(&good.json).unwrap();
    let tiny = r#"{"":0},"#.repeat(700 * 1024 / 8);
    let statement = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://example.com/x",
        "subject":[{{"digest":{{"sha256":"{}"}}}}],"predicate":[{tiny}0]}}"#,
        subject().digest().hex()
    );
    bundle["dsseEnvelope"]["payload"] = STANDARD.encode(statement).into();
    let text = STANDARD.encode(bundle.to_string());
    let content = json!({ "bundle": { "json": text } });
    let pieces = vec![json!({ "found": "a bomb", "content": content }); 15];
    let stored = json!({ "schema": 1, "subject": subject().digest(), "pieces": pieces });
    let evidence = Evidence::from_json(stored.to_string().as_bytes()).unwrap();
    let before = peak_kib();
    let error = check(&verifier, &subject(), &evidence).unwrap_err();
    println!("\ngrew by {}", peak_kib() - before);
    let mut codes = error.rejections().iter().map(|one| one.code);
    assert!(codes.all(|code| code == RejectionCode::Attestation));
}

/// A registry whose referrers and tags are as large as the limits, or larger. It builds each
/// manifest when it is requested, so that it takes no memory itself.
struct Heavy {
    shape: fn(usize) -> String,
    manifest_bytes: usize,
    /// The size that the list gives for a manifest.
    claimed: u64,
    /// How many manifests are listed.
    count: usize,
    digests: Mutex<HashMap<Digest, usize>>,
}

/// Layers and annotations, each as short as possible, and the content of annotations that are read.
const SHAPES: [fn(usize) -> String; 5] = [
    |bytes| {
        let tiny: Vec<String> = (0..bytes / 12).map(|n| format!(r#""{n:x}":"b""#)).collect();
        format!(r#""layers":[{}]"#, bundle_layer(&tiny.join(",")))
    },
    |bytes| {
        let layer = bundle_layer("");
        format!(
            r#""layers":[{}]"#,
            vec![layer.clone(); bytes / layer.len()].join(",")
        )
    },
    |bytes| {
        let tiny: Vec<String> = (0..bytes / 12).map(|n| format!(r#""{n:x}":"b""#)).collect();
        format!(
            r#""layers":[{}],"annotations":{{{}}}"#,
            bundle_layer(""),
            tiny.join(",")
        )
    },
    |bytes| {
        let chain = format!(
            r#""dev.sigstore.cosign/chain":"{}""#,
            "x".repeat(bytes / 64)
        );
        format!(r#""layers":[{}]"#, vec![bundle_layer(&chain); 60].join(","))
    },
    |bytes| {
        format!(
            r#""layers":[{}0],"a":[{}0]"#,
            "{},".repeat(bytes / 8),
            "0,".repeat(bytes / 4)
        )
    },
];

/// The digest of all layers.
static LAYER: LazyLock<Digest> = LazyLock::new(|| Digest::sha256(vec![b'x'; 1024 * 1024]));

fn bundle_layer(annotations: &str) -> String {
    format!(
        r#"{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"{}",
        "size":1048576,"annotations":{{{annotations}}}}}"#,
        *LAYER,
    )
}

impl Heavy {
    fn manifest(&self, number: usize, bytes: usize) -> Bytes {
        let head = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","number":{number},
            "artifactType":"application/vnd.dev.cosign.artifact.sig.v1+json",
            "config":{{"mediaType":"a/b","digest":"{0}","size":2}},
            "subject":{{"mediaType":"a/b","digest":"{0}","size":2}},"#,
            subject().digest(),
        );
        format!("{head}{}}}", (self.shape)(bytes - 2_000)).into()
    }
}

#[async_trait]
impl Registry for Heavy {
    async fn referrers(&self, _: &PinnedReference) -> Result<Referrers, RegistryError> {
        let mut digests = self.digests.lock().unwrap();
        let listed = (0..self.count).map(|number| {
            let digest = Digest::sha256(self.manifest(number, self.manifest_bytes));
            digests.insert(digest.clone(), number);
            Descriptor::new(MediaType::ImageManifest, digest, self.claimed)
        });
        Ok(listed.collect::<Vec<_>>().into())
    }

    async fn resolve(&self, _: &Reference) -> Result<RawManifest, RegistryError> {
        let bytes = self.manifest(self.count, 3_900_000);
        Ok(RawManifest::new(MediaType::ImageManifest, bytes))
    }

    async fn manifest(&self, pin: &PinnedReference, _: u64) -> Result<RawManifest, RegistryError> {
        let number = self.digests.lock().unwrap().get(pin.digest()).copied();
        let bytes = self.manifest(number.ok_or_else(missing)?, self.manifest_bytes);
        Ok(RawManifest::new(MediaType::ImageManifest, bytes))
    }

    async fn blob(
        &self,
        _: &Repository,
        _: &Descriptor,
        _: Digester,
    ) -> Result<BlobStream, RegistryError> {
        Ok(stream(vec![b'x'; 1024 * 1024].into()))
    }
}

/// SIG-14: large referrers and tags, listed with their size or with a wrong one.
#[tokio::test]
async fn sig_14_heavy_referrers_do_not_eat_the_memory() {
    if is_parent("sig_14_heavy_referrers_do_not_eat_the_memory") {
        return;
    }
    let before = peak_kib();
    for shape in SHAPES {
        for (manifest_bytes, claimed, count) in [
            (1_040_000, 1_040_000, 64),
            (64_000, 64_000, 300),
            (1_040_000, 0, 64),
            (3_900_000, 3_900_000, 64),
        ] {
            let heavy = Heavy {
                shape,
                manifest_bytes: if claimed > 1 << 20 {
                    3_000
                } else {
                    manifest_bytes
                },
                claimed,
                count,
                digests: Mutex::default(),
            };
            let started = Instant::now();
            drop(look(&heavy, &subject()).await);
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{:?}",
                started.elapsed()
            );
        }
    }
    println!("\ngrew by {}", peak_kib() - before);
}

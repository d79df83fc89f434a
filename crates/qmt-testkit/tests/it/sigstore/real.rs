//! What the private Sigstore makes has the shape of what cosign made with the real services.
//!
//! The genuine signatures are no part of the project: the variable `QMT_REAL_FIXTURES` names the
//! folder that holds them, and without it these tests say that they were skipped.

use std::collections::BTreeSet;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use const_oid::ObjectIdentifier;
use der::asn1::SequenceRef;
use der::{Decode as _, DecodePem as _, Reader as _, SliceReader, Tag};
use qmt_testkit::{
    Attestation, Identity, LogKind, PrivateSigstore, SignatureImage, SignedSubject, Signing,
    SimpleAttestation, SimpleSigning,
};
use serde_json::Value;
use x509_cert::Certificate;

use super::verify::{DIGEST, Judge};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Members whose value is part of the shape.
const TELLING: [&str; 11] = [
    "mediaType",
    "artifactType",
    "kind",
    "version",
    "apiVersion",
    "_type",
    "predicateType",
    "payloadType",
    "algorithm",
    "keyDetails",
    "type",
];

struct Real {
    folder: PathBuf,
    index: Value,
    cases: Value,
}

impl Real {
    fn open() -> Option<Self> {
        let Some(folder) = std::env::var_os("QMT_REAL_FIXTURES").map(PathBuf::from) else {
            println!("skipped: QMT_REAL_FIXTURES is not set");
            return None;
        };
        let json = |path: &str| -> Value {
            serde_json::from_slice(&std::fs::read(folder.join(path)).unwrap()).unwrap()
        };
        let (index, cases) = (json("cosign/layout/index.json"), json("cosign/cases.json"));
        Some(Self {
            folder,
            index,
            cases,
        })
    }

    fn blob(&self, digest: &str) -> Vec<u8> {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let path = self.folder.join("cosign/layout/blobs/sha256").join(hex);
        std::fs::read(path).unwrap()
    }

    /// The manifest that holds the signature of the case.
    fn manifest(&self, case: &str, suffix: &str) -> Value {
        let cases = self.cases.as_array().unwrap();
        let case = cases.iter().find(|c| c["name"] == case).unwrap();
        let tag = case["digest"].as_str().unwrap().replace(':', "-") + suffix;
        let entries = self.index["manifests"].as_array().unwrap();
        let name = "org.opencontainers.image.ref.name";
        let entry = entries
            .iter()
            .find(|e| e["annotations"][name] == tag.as_str())
            .unwrap();
        let parse = |digest: &Value| -> Value {
            serde_json::from_slice(&self.blob(digest.as_str().unwrap())).unwrap()
        };
        let found = parse(&entry["digest"]);
        match found["manifests"].as_array() {
            Some(listed) => parse(&listed[0]["digest"]),
            None => found,
        }
    }
}

fn email() -> Identity {
    Identity::email("dev@example.com", "https://accounts.example.com")
}

fn github() -> Identity {
    Identity::github("my-org/my-plugin", "release.yml", "refs/tags/v1.1.0")
}

fn subject() -> SignedSubject {
    SignedSubject::new(MANIFEST, DIGEST, 506)
}

#[test]
fn images_of_cosign_2_have_the_real_shape() {
    let Some(real) = Real::open() else { return };
    let sigstore = PrivateSigstore::new();
    let none = |name| Signing::key(name).log(LogKind::None);
    for (case, order) in [
        ("cosign2-keyless", Signing::keyless(email())),
        ("cosign2-keyless-github", Signing::keyless(github())),
        (
            "cosign2-keyless-timestamp",
            Signing::keyless(email()).timestamp(true),
        ),
        ("cosign2-keyless-referrer", Signing::keyless(email())),
        ("cosign2-key-p256", Signing::key("p256")),
        ("cosign2-key-rsa2048", Signing::key("rsa2048")),
        ("cosign2-key-rsa4096", Signing::key("rsa4096")),
        ("cosign2-key-nolog", none("p256")),
        ("cosign2-key-p384-nolog", none("p384")),
        ("cosign2-key-ed25519-nolog", none("ed25519")),
    ] {
        let made = sigstore.sign_simple(DIGEST, &order);
        let (image, suffix) = if case.ends_with("referrer") {
            (SimpleSigning::referrer(&subject(), &[made]), "")
        } else {
            (SimpleSigning::image(DIGEST, &[made]), ".sig")
        };
        compare(&real, case, suffix, &image, &[]);
    }
}

#[test]
fn referrers_with_bundles_have_the_real_shape() {
    let Some(real) = Real::open() else { return };
    let sigstore = PrivateSigstore::new();
    let v2 = |order: Signing| order.log(LogKind::RekorV2).timestamp(true);
    // cosign 2 leaves out of the statement what it has nothing to say in.
    let absent: &[&str] = &[".annotations", ".predicate"];
    for (case, order, absent) in [
        ("cosign2-keyless-bundle", Signing::keyless(email()), absent),
        ("cosign3-keyless", v2(Signing::keyless(email())), &[]),
        (
            "cosign3-keyless-github",
            v2(Signing::keyless(github())),
            &[],
        ),
        (
            "cosign3-keyless-rekor1",
            Signing::keyless(email()).timestamp(true),
            &[],
        ),
        ("cosign3-key-p256", v2(Signing::key("p256")), &[]),
        ("cosign3-key-p384", v2(Signing::key("p384")), &[]),
        ("cosign3-key-rsa2048", v2(Signing::key("rsa2048")), &[]),
        ("cosign3-key-rsa4096", v2(Signing::key("rsa4096")), &[]),
        (
            "cosign3-key-nolog",
            Signing::key("p256").log(LogKind::None),
            &[],
        ),
    ] {
        let image = sigstore.sign_bundle(DIGEST, &order).referrer(&subject());
        compare(&real, case, "", &image, absent);
    }
}

#[test]
fn attestations_have_the_real_shape() {
    let Some(real) = Real::open() else { return };
    let sigstore = PrivateSigstore::new();
    let predicate = r#"{
        "buildDefinition": { "buildType": "", "externalParameters": {} },
        "runDetails": { "builder": { "id": "" }, "metadata": {} }
    }"#;
    let attestation = Attestation::new("https://slsa.dev/provenance/v1", predicate);
    let order = Signing::keyless(email());
    let simple = sigstore.attest_simple(DIGEST, &attestation, &order);
    let image = SimpleAttestation::image(DIGEST, &[simple]);
    compare(&real, "attested-2", ".att", &image, &[]);
}

/// The bundle that a workflow made with the public good instance.
#[test]
fn the_public_good_instance_makes_bundles_of_this_shape() {
    let Some(real) = Real::open() else { return };
    let path = real.folder.join("cosign3-keyless-image.bundle.json");
    let theirs: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let sigstore = PrivateSigstore::new();
    let order = Signing::keyless(github()).timestamp(true);
    let ours: Value = serde_json::from_slice(&sigstore.sign_bundle(DIGEST, &order).json).unwrap();
    let (ours, mut theirs) = (shape(&ours), shape(&theirs));
    // A claim that the instance of that day did not write, and the empty predicate of later days.
    let later = "/claim 1.3.6.1.4.1.57264.1.24 false";
    let places: Vec<_> = ours
        .iter()
        .filter(|p| p.ends_with(later))
        .cloned()
        .collect();
    assert!(!places.is_empty());
    theirs.extend(places);
    theirs.insert("/dsseEnvelope/payload/predicate".to_owned());
    assert_same("public good", &theirs, &ours);
}

/// The trusted root of the public good instance.
#[test]
fn the_trusted_root_has_the_real_shape() {
    let Some(real) = Real::open() else { return };
    let path = real.folder.join("public-good-trusted-root.json");
    let theirs: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let ours: Value = serde_json::from_str(&PrivateSigstore::new().trusted_root_json()).unwrap();
    let mut theirs = shape(&theirs);
    // One of their certificate logs has ended.
    assert!(theirs.remove("/ctlogs/[]/publicKey/validFor/end"));
    assert_same("trusted root", &theirs, &shape(&ours));
}

/// The verifier of these tests accepts what cosign made, so that its verdicts mean something.
#[test]
fn genuine_signatures_are_accepted_and_foreign_ones_are_not() {
    let Some(real) = Real::open() else { return };
    let trust =
        |file: &str| std::fs::read_to_string(real.folder.join("cosign/trust").join(file)).unwrap();
    let judge = || Judge::new(&trust("trusted_root.json"));
    let mut simple = PrivateSigstore::new().sign_simple(DIGEST, &Signing::keyless(email()));
    for (case, key, accepted) in [
        ("cosign2-keyless", None, true),
        ("cosign2-keyless-github", None, true),
        ("cosign2-keyless-timestamp", None, true),
        ("cosign2-key-p256", Some("key-p256.pub"), true),
        ("cosign2-key-p256", Some("key-other.pub"), false),
        ("cosign2-key-rsa2048", Some("key-rsa2048.pub"), true),
        ("cosign2-key-rsa4096", Some("key-rsa4096.pub"), true),
        ("other-sigstore-2", None, false),
    ] {
        let layer = &real.manifest(case, ".sig")["layers"][0];
        simple.payload = real.blob(layer["digest"].as_str().unwrap()).into();
        simple.annotations = serde_json::from_value(layer["annotations"].clone()).unwrap();
        let judge = key.map_or_else(judge, |key| judge().key(trust(key)));
        assert_eq!(judge.simple(&simple).is_ok(), accepted, "{case} {key:?}");
    }
    for (case, key, accepted) in [
        ("cosign2-keyless-bundle", None, true),
        ("cosign3-keyless", None, true),
        ("cosign3-keyless-github", None, true),
        ("cosign3-keyless-rekor1", None, true),
        ("cosign3-key-p256", Some("key-p256.pub"), true),
        ("cosign3-key-p256", Some("key-other.pub"), false),
        ("other-sigstore-3", None, false),
    ] {
        let manifest = real.manifest(case, "");
        let bundle = real.blob(manifest["layers"][0]["digest"].as_str().unwrap());
        let subject = manifest["subject"]["digest"].as_str().unwrap();
        let judge = key.map_or_else(judge, |key| judge().key(trust(key)));
        let verdict = judge.bundle_json(subject, &bundle);
        assert_eq!(verdict.is_ok(), accepted, "{case} {key:?}: {verdict:?}");
    }
}

fn compare(real: &Real, case: &str, suffix: &str, image: &SignatureImage, absent: &[&str]) {
    let theirs = real.manifest(case, suffix);
    let ours: Value = serde_json::from_slice(&image.manifest).unwrap();
    assert_same(case, &shape(&theirs), &shape(&ours));
    let contents = |manifest: &Value, read: &dyn Fn(&str) -> Vec<u8>| {
        let layer = read(manifest["layers"][0]["digest"].as_str().unwrap());
        let config = read(manifest["config"]["digest"].as_str().unwrap());
        [layer, config].map(|bytes| shape(&serde_json::from_slice(&bytes).unwrap()))
    };
    let theirs = contents(&theirs, &|digest| real.blob(digest));
    let ours = contents(&ours, &|digest| {
        let find = |(_, bytes): &&(String, bytes::Bytes)| {
            let hash = sigstore_verify::crypto::sha256(bytes).to_hex();
            digest == format!("sha256:{hash}")
        };
        image.blobs.iter().find(find).unwrap().1.to_vec()
    });
    for (theirs, ours) in theirs.iter().zip(ours) {
        let ours = ours
            .into_iter()
            .filter(|path| {
                !absent
                    .iter()
                    .any(|end| path.replace('/', ".").ends_with(end))
            })
            .collect();
        assert_same(case, theirs, &ours);
    }
}

fn assert_same(case: &str, theirs: &BTreeSet<String>, ours: &BTreeSet<String>) {
    let missing: Vec<_> = theirs.difference(ours).collect();
    let extra: Vec<_> = ours.difference(theirs).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{case}: missing {missing:#?}, extra {extra:#?}"
    );
}

/// All paths of members, the values that tell the format, and the same of what is embedded.
fn shape(value: &Value) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    walk(value, "", &mut out);
    out
}

fn walk(value: &Value, path: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = format!("{path}/{name}");
                out.insert(path.clone());
                if let (true, Some(text)) = (TELLING.contains(&name.as_str()), member.as_str()) {
                    out.insert(format!("{path}={text}"));
                }
                walk(member, &path, out);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|i| walk(i, &format!("{path}/[]"), out)),
        Value::String(text) => embedded(text, path, out),
        _ => {}
    }
}

fn embedded(text: &str, path: &str, out: &mut BTreeSet<String>) {
    if let Ok(json @ Value::Object(_)) = serde_json::from_str(text) {
        return walk(&json, path, out);
    }
    if text.starts_with("-----BEGIN CERTIFICATE") {
        let count = text.matches("-----BEGIN").count();
        out.insert(format!("{path}/{count} certificates"));
        let first = text
            .split_inclusive("-----END CERTIFICATE-----")
            .next()
            .unwrap();
        return certificate(&Certificate::from_pem(first).unwrap(), path, out);
    }
    if text.starts_with("-----BEGIN PUBLIC KEY") {
        out.insert(format!("{path}/public key"));
        return;
    }
    let Ok(bytes) = STANDARD.decode(text) else {
        return;
    };
    if path.ends_with("rawBytes") {
        if let Ok(parsed) = Certificate::from_der(&bytes) {
            certificate(&parsed, path, out);
        }
    } else if path.to_lowercase().ends_with("timestamp") && !path.ends_with("EntryTimestamp") {
        let mut tags = Vec::new();
        token(&bytes, &mut tags);
        out.insert(format!("{path}/{}", tags.join(" ")));
    } else if let Ok(inner) = String::from_utf8(bytes)
        && (inner.starts_with('{') || inner.starts_with("-----"))
    {
        embedded(&inner, path, out);
    }
}

fn certificate(certificate: &Certificate, path: &str, out: &mut BTreeSet<String>) {
    let tbs = &certificate.tbs_certificate;
    if path.contains("Chain") || path.contains("chain") || path.contains("Authorities") {
        return; // Each instance has authorities of its own making.
    }
    out.insert(format!("{path}/empty subject {}", tbs.subject.is_empty()));
    out.insert(format!(
        "{path}/key {}",
        tbs.subject_public_key_info.algorithm.oid
    ));
    for extension in tbs.extensions.iter().flatten() {
        out.insert(format!(
            "{path}/claim {} {}",
            extension.extn_id, extension.critical
        ));
    }
}

/// The object identifiers and tags of a timestamp token, in order, without the names and
/// certificates in it, which differ from authority to authority.
fn token(der: &[u8], out: &mut Vec<String>) {
    let Ok(mut reader) = SliceReader::new(der) else {
        return;
    };
    while !reader.is_finished() {
        let header = reader.peek_header().unwrap();
        let element = reader.tlv_bytes().unwrap();
        let content = &element[element.len() - usize::try_from(header.length).unwrap()..];
        if Certificate::from_der(element).is_ok() {
            out.push("certificate".to_owned());
            continue;
        }
        if x509_cert::name::Name::from_der(element).is_ok() {
            out.push("name".to_owned());
            continue;
        }
        match header.tag {
            Tag::ObjectIdentifier => {
                out.push(ObjectIdentifier::from_der(element).unwrap().to_string());
            }
            tag => out.push(tag.to_string()),
        }
        let in_octets = header.tag == Tag::OctetString && SequenceRef::from_der(content).is_ok();
        if header.tag.is_constructed() || in_octets {
            let mut inner = Vec::new();
            token(content, &mut inner);
            out.extend(inner);
        }
    }
}

//! Other ways to write the same thing: what each is taken for. None makes anything else of it.

use qmt_testkit::{
    Attestation, Encoding, Format, LogKind, PrivateSigstore, SLSA_V1, Signing, SimpleSigning,
};
use qmt_verify::policy::AttestationDemand;
use serde_json::{Value, json};

use crate::support::{
    Item, any_of, changed, check, dev, dev_authority, evidence, key_authority, subject, verifier,
};

/// SIG-15: the documented outcome for each encoding.
#[tokio::test]
async fn unusual_encodings_have_a_documented_verdict() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let (mut tried, mut accepted) = (0, Vec::new());
    for format in [Format::Simple, Format::Bundle] {
        for encoding in Encoding::ALL {
            // Some encodings need a signature that has room for them: more than one is tried.
            for number in 0..64 {
                let signing = Signing::keyless(dev()).annotation("n", &number.to_string());
                let encoded: Option<(Item, Item)> = if format == Format::Simple {
                    let good = sigstore.sign_simple(subject().digest(), &signing);
                    good.encoded(encoding).map(|bad| (good.into(), bad.into()))
                } else {
                    let good = sigstore.sign_bundle(subject().digest(), &signing);
                    good.encoded(encoding).map(|bad| (good.into(), bad.into()))
                };
                let Some((good, bad)) = encoded else { continue };
                check(&verifier, &subject(), &evidence(&subject(), [good]).await).unwrap();
                let outcome = check(&verifier, &subject(), &evidence(&subject(), [bad]).await);
                if outcome.is_ok() {
                    accepted.push((format, encoding));
                }
                tried += 1;
                break;
            }
        }
    }
    assert_eq!(tried, 14);
    let expected = [
        // White space in base64 counts as absent, as cosign's decoder skips line breaks.
        (Format::Simple, Encoding::Broken),
        (Format::Simple, Encoding::Spaced),
        // Text around a PEM block is ignored.
        (Format::Simple, Encoding::TextAroundCertificate),
        // As cosign reads them: the first is the signer's, the others are its issuers.
        (Format::Simple, Encoding::TwoCertificates),
        // The JSON of protocol buffers allows both alphabets, with padding and without:
        // <https://protobuf.dev/programming-guides/json/>.
        (Format::Bundle, Encoding::UrlSafe),
        (Format::Bundle, Encoding::Broken),
        (Format::Bundle, Encoding::Unpadded),
        (Format::Bundle, Encoding::Spaced),
    ];
    assert_eq!(accepted, expected);
}

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

fn with(good: &SimpleSigning, name: &str, value: String) -> SimpleSigning {
    let mut other = good.clone();
    other.annotations.insert(name.to_owned(), value);
    other
}

/// SIG-15: the reason names the annotation that is not base64, whatever it is instead.
#[tokio::test]
async fn an_annotation_that_is_not_base64_is_named() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let good = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let text = &good.annotations[SIGNATURE];
    for value in [
        format!("\"{text}\""),
        format!("{text}\\n"),
        format!("{text}="),
        format!("-----BEGIN SIGNATURE-----\n{text}\n-----END SIGNATURE-----"),
        format!("-_{}", &text[2..]),
        "0f".repeat(71),
    ] {
        let bad = with(&good, SIGNATURE, value.clone());
        let error = check(&verifier, &subject(), &evidence(&subject(), [bad]).await).unwrap_err();
        let reason = &error.rejections()[0].reason;
        let expected = format!(
            "the signature cannot be read: the annotation `{SIGNATURE}` has a value that is not \
             base64"
        );
        assert_eq!(*reason, expected, "{value}");
    }
    let spaced = with(&good, SIGNATURE, format!(" {text}\n"));
    check(&verifier, &subject(), &evidence(&subject(), [spaced]).await).unwrap();
}

/// `null` in an annotation that holds JSON is absence: accepted where no log is required, refused
/// where one is.
#[tokio::test]
async fn a_log_entry_of_null_is_absent() {
    let sigstore = PrivateSigstore::new();
    let key = || key_authority(&sigstore, "p256");
    let optional = verifier(&sigstore, any_of(vec![key().without_log()]));
    let required = verifier(&sigstore, any_of(vec![key()]));
    let signing = Signing::key("p256").log(LogKind::None);
    let good = sigstore.sign_simple(subject().digest(), &signing);
    for name in [LOG_ENTRY, TIMESTAMP] {
        let null = evidence(&subject(), [with(&good, name, " null".to_owned())]).await;
        check(&optional, &subject(), &null).unwrap();
        let error = check(&required, &subject(), &null).unwrap_err();
        assert_eq!(error.rejections()[0].code.to_string(), "no-log");
        // What cannot be read is a defect where a log is required, and not absence (`ignored.rs`).
        let odd = evidence(&subject(), [with(&good, name, "[]".to_owned())]).await;
        check(&optional, &subject(), &odd).unwrap();
        let error = check(&required, &subject(), &odd).unwrap_err();
        assert_eq!(error.rejections()[0].code.to_string(), "unreadable");
    }
}

/// The JSON of protocol buffers: `null` is absence, and fields have two names. One field under both
/// is refused, as by sigstore-go.
#[tokio::test]
async fn a_bundle_is_read_as_protocol_buffers() {
    let sigstore = PrivateSigstore::new();
    let key = key_authority(&sigstore, "p256").without_log();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority(), key]));
    let keyless = Signing::keyless(dev()).timestamp(true);
    let keyless = sigstore.sign_bundle(subject().digest(), &keyless);
    let unlogged = Signing::key("p256").log(LogKind::None);
    let unlogged = sigstore.sign_bundle(subject().digest(), &unlogged);
    let outcome =
        async |bundle| check(&verifier, &subject(), &evidence(&subject(), [bundle]).await);
    let required = async |bundle| outcome(bundle).await.map(|_| ());

    let material = "/verificationMaterial";
    for (bundle, parent, field) in [
        (&keyless, "", "messageSignature"),
        (&keyless, "/dsseEnvelope/signatures/0", "keyid"),
        (&keyless, material, "publicKey"),
        (&keyless, material, "x509_certificate_chain"),
        (&unlogged, material, "tlogEntries"),
        (&unlogged, material, "timestamp_verification_data"),
        (
            &unlogged,
            "/verificationMaterial/timestampVerificationData",
            "rfc3161Timestamps",
        ),
        (&unlogged, "/verificationMaterial/publicKey", "hint"),
    ] {
        let null = changed(bundle, |value| {
            if parent.ends_with("Data") {
                value["verificationMaterial"]["timestampVerificationData"] = json!({});
            }
            value.pointer_mut(parent).unwrap()[field] = Value::Null;
        });
        required(null)
            .await
            .unwrap_or_else(|error| panic!("{parent}/{field}: {error}"));
    }
    // What is required is still missing.
    for field in ["mediaType", "verificationMaterial", "dsseEnvelope"] {
        let null = changed(&keyless, |value| value[field] = Value::Null);
        required(null).await.unwrap_err();
    }

    let renamed = changed(&keyless, |value| {
        let fields = value.as_object_mut().unwrap();
        for (name, proto_name) in [
            ("mediaType", "media_type"),
            ("verificationMaterial", "verification_material"),
            ("dsseEnvelope", "dsse_envelope"),
        ] {
            let content = fields.remove(name).unwrap();
            fields.insert(proto_name.to_owned(), content);
        }
    });
    required(renamed).await.unwrap();
    // Every field of every message. DSSE defines `payloadType` under this one name.
    for bundle in [&keyless, &unlogged] {
        required(changed(bundle, by_definition)).await.unwrap();
        let wrong = changed(bundle, |value| {
            by_definition(value);
            value["dsse_envelope"]["payload_type"] = value["dsse_envelope"]["payloadType"].take();
        });
        required(wrong).await.unwrap_err();
    }
    let twice = changed(&keyless, |value| {
        value["media_type"] = value["mediaType"].clone();
    });
    let error = required(twice).await.unwrap_err();
    let reason = &error.rejections()[0].reason;
    assert!(reason.contains("duplicate field `mediaType`"), "{reason}");
}

/// As in a bundle, `null` is absence and a byte order mark is skipped; what is required stays so.
#[tokio::test]
async fn an_envelope_is_read_like_one_in_a_bundle() {
    let sigstore = PrivateSigstore::new();
    let demand = AttestationDemand::new(SLSA_V1).unwrap();
    let policy = any_of(vec![dev_authority()]).with_attestation(demand);
    let verifier = verifier(&sigstore, policy);
    let signing = Signing::keyless(dev());
    let signature = sigstore.sign_simple(subject().digest(), &signing);
    let provenance = Attestation::slsa_v1("https://builder", "https://source", "refs/heads/main");
    let good = sigstore.attest_simple(subject().digest(), &provenance, &signing);
    let value: Value = serde_json::from_slice(&good.envelope).unwrap();
    let with_null = |pointer: &str, field: &str| {
        let mut value = value.clone();
        value.pointer_mut(pointer).unwrap()[field] = Value::Null;
        value.to_string()
    };
    let mut broken = value.clone();
    let payload = value["payload"].as_str().unwrap();
    broken["payload"] = format!("{}\n{}", &payload[..40], &payload[40..]).into();
    broken["signatures"][0]["keyid"] = Value::Null;
    for (envelope, is_good) in [
        (with_null("/signatures/0", "keyid"), true),
        (format!("\u{feff}{value}\r\n"), true),
        (format!("\u{feff}{broken}"), true),
        (with_null("/signatures/0", "sig"), false),
        (with_null("", "payload"), false),
        (with_null("", "payloadType"), false),
        (with_null("", "signatures"), false),
    ] {
        let mut attestation = good.clone();
        attestation.envelope = envelope.clone().into();
        let items = [Item::from(signature.clone()), attestation.into()];
        let outcome = check(&verifier, &subject(), &evidence(&subject(), items).await);
        assert_eq!(outcome.is_ok(), is_good, "{envelope}");
    }
}

/// Gives all fields the names of their definitions.
fn by_definition(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                by_definition(&mut value);
                let mut renamed = String::new();
                for letter in name.chars() {
                    if letter.is_ascii_uppercase() {
                        renamed.push('_');
                    }
                    renamed.push(letter.to_ascii_lowercase());
                }
                if name == "payloadType" {
                    renamed = name;
                }
                fields.insert(renamed, value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(by_definition),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// As cosign reads the certificate's annotation: the first block is the signer's, others are its
/// issuers.
#[tokio::test]
async fn the_certificate_may_be_followed_by_its_chain() {
    const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
    const CHAIN: &str = "dev.sigstore.cosign/chain";
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let good = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let (leaf, chain) = (&good.annotations[CERTIFICATE], &good.annotations[CHAIN]);
    for (certificate, is_good) in [
        (format!("{leaf}{chain}"), true),
        (format!("{chain}{leaf}"), false),
        (" \n#\n".to_owned(), false),
    ] {
        let mut other = good.clone();
        other
            .annotations
            .insert(CERTIFICATE.to_owned(), certificate);
        other.annotations.remove(CHAIN);
        let found = evidence(&subject(), [other]).await;
        assert_eq!(check(&verifier, &subject(), &found).is_ok(), is_good);
    }
    // What cannot be read is named: the chain, not the certificate.
    for odd in [
        "-----BEGIN CERTIFICATE-----\n-\n-----END CERTIFICATE-----",
        "-----BEGIN X-----\nAAAA\n-----END X-----",
    ] {
        let found = evidence(&subject(), [with(&good, CHAIN, odd.to_owned())]).await;
        let error = check(&verifier, &subject(), &found).unwrap_err();
        let reason = &error.rejections()[0].reason;
        assert!(
            reason.starts_with("the certificate chain cannot be read"),
            "{reason}"
        );
    }
}

//! Trust roots: JSON and PEM, what can be used of them, and when.

use std::path::PathBuf;
use std::time::Duration;

use qmt_testkit::{Format, LogKind, PrivateSigstore, Signing, Tampered, TrustPart};
use qmt_verify::trust::{PemTrust, TrustRoot};
use qmt_verify::{SigstoreVerifier, VerifyError};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    PemFiles as _, any_of, check, code, dev, dev_authority, everything, evidence, key_authority,
    subject, trust_json,
};
use crate::tampered::sign;

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn with(root: TrustRoot) -> SigstoreVerifier {
    SigstoreVerifier::new(root, everything(any_of(vec![dev_authority()]))).unwrap()
}

/// One key of an unknown kind does not disable the others; it is named.
#[tokio::test]
async fn an_unusable_key_is_ignored() {
    let sigstore = PrivateSigstore::new();
    let root = trust_json(&sigstore.trusted_root().with_unknown_key().json()).unwrap();
    assert_eq!(root.describe().unusable.len(), 1, "{:?}", root.describe());
    assert_eq!(root.describe().logs, 2);
    let item = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    let evidence = evidence(&subject(), [item]).await;
    let verified = check(&with(root), &subject(), &evidence).unwrap();
    assert!(
        verified
            .report()
            .trust_root
            .as_ref()
            .unwrap()
            .age_seconds
            .is_some()
    );
}

/// PEM files say the same as the JSON: one or many entries each, chains in any order.
#[tokio::test]
async fn pem_files_with_one_or_many_entries() {
    let (one, other) = (PrivateSigstore::new(), PrivateSigstore::new());
    let folder = TempDir::new().unwrap();
    let many = PemTrust::default()
        .with_fulcio(write(
            &folder,
            "fulcio",
            &(one.fulcio_pem() + &other.fulcio_pem()),
        ))
        .with_rekor(write(
            &folder,
            "rekor",
            &(other.rekor_pem() + "a comment\n" + &one.rekor_pem()),
        ))
        .with_ctfe(write(
            &folder,
            "ctfe",
            &(one.ctfe_pem() + &other.ctfe_pem()),
        ))
        .with_tsa(write(&folder, "tsa1", &one.tsa_pem()))
        .with_tsa(write(&folder, "tsa2", &other.tsa_pem()));
    let root = TrustRoot::from_pem(&many).unwrap();
    let info = root.describe();
    assert_eq!(
        (info.logs, info.ct_logs, info.timestamp_authorities),
        (2, 2, 2)
    );
    assert_eq!(info.certificate_authorities, 4);
    assert!(info.unusable.is_empty());
    let verifier = with(root);
    for sigstore in [&one, &other] {
        for format in [Format::Simple, Format::Bundle] {
            let signing = Signing::keyless(dev()).timestamp(true);
            let good = evidence(&subject(), [sign(sigstore, format, &signing)]).await;
            check(&verifier, &subject(), &good).unwrap();
            let bad = sign(sigstore, format, &signing.tampered(Tampered::ExpiredCa));
            let bad = evidence(&subject(), [bad]).await;
            assert!(check(&verifier, &subject(), &bad).is_err());
        }
    }
    // The root alone is enough where the signature brings its intermediate.
    let root_only = PemTrust::default()
        .with_fulcio(write(&folder, "root", &one.fulcio_root_pem()))
        .with_rekor(write(&folder, "rekor1", &one.rekor_pem()))
        .with_ctfe(write(&folder, "ctfe1", &one.ctfe_pem()));
    let verifier = with(TrustRoot::from_pem(&root_only).unwrap());
    let simple = sign(&one, Format::Simple, &Signing::keyless(dev()));
    check(&verifier, &subject(), &evidence(&subject(), [simple]).await).unwrap();
    let bundle = sign(&one, Format::Bundle, &Signing::keyless(dev()));
    let outcome = check(&verifier, &subject(), &evidence(&subject(), [bundle]).await);
    assert_eq!(code(outcome), "certificate");
}

/// The issuer of a timestamp authority is found in all files, in any order.
#[tokio::test]
async fn the_chain_of_a_timestamp_authority_may_be_in_several_files() {
    let sigstore = PrivateSigstore::new();
    let folder = TempDir::new().unwrap();
    let chain = sigstore.tsa_pem();
    let end = "-----END CERTIFICATE-----\n";
    let parts: Vec<_> = chain.split_inclusive(end).collect();
    assert!(parts.len() > 1, "{chain}");
    let parts = parts.iter().enumerate();
    let files: Vec<_> = parts
        .map(|(nth, pem)| write(&folder, &format!("tsa{nth}"), pem))
        .collect();
    let whole = write(&folder, "tsa", &chain);
    let signing = Signing::keyless(dev()).timestamp(true);
    for order in [
        files.clone(),
        files.iter().rev().cloned().collect(),
        files.iter().cloned().chain([whole]).collect(),
    ] {
        let pem = PemTrust::default()
            .with_fulcio(write(&folder, "fulcio", &sigstore.fulcio_pem()))
            .with_rekor(write(&folder, "rekor", &sigstore.rekor_pem()))
            .with_ctfe(write(&folder, "ctfe", &sigstore.ctfe_pem()));
        let root = TrustRoot::from_pem(&order.into_iter().fold(pem, PemTrust::with_tsa)).unwrap();
        let info = root.describe();
        assert!(info.unusable.is_empty(), "{:?}", info.unusable);
        assert_eq!(info.timestamp_authorities, 1);
        let good = evidence(&subject(), [sign(&sigstore, Format::Bundle, &signing)]).await;
        check(&with(root), &subject(), &good).unwrap();
    }
}

/// SIG-12, SIG-15: files that are missing, unreadable, empty, of the wrong kind or broken.
#[test]
fn bad_pem_files_are_errors() {
    let sigstore = PrivateSigstore::new();
    let folder = TempDir::new().unwrap();
    let cut = sigstore.rekor_pem().replace("-----END PUBLIC KEY-----", "");
    let rekor = |text: &str| {
        TrustRoot::from_pem(&PemTrust::default().with_rekor(write(&folder, "x", text)))
    };
    rekor(&sigstore.rekor_pem()).unwrap();
    for text in [
        "",
        "  \n",
        "no key here",
        &cut,
        &sigstore.fulcio_pem(),
        &(sigstore.rekor_pem() + &sigstore.fulcio_pem()),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        let error = rekor(text).unwrap_err();
        assert!(
            matches!(error, VerifyError::TrustRoot { .. }),
            "{text}: {error}"
        );
    }
    let fulcio = |text: &str| {
        TrustRoot::from_pem(&PemTrust::default().with_fulcio(write(&folder, "x", text)))
    };
    fulcio(&sigstore.fulcio_pem()).unwrap();
    for text in [
        sigstore.rekor_pem().as_str(),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(fulcio(text).is_err());
    }
    // A file that holds nothing usable is an error even next to one that does.
    let junk = write(
        &folder,
        "junk",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let rekor_file = write(&folder, "rekor", &sigstore.rekor_pem());
    assert!(
        TrustRoot::from_pem(&PemTrust::default().with_rekor(rekor_file).with_fulcio(junk)).is_err()
    );
    let missing = PemTrust::default().with_rekor(folder.path().join("no such file"));
    let error = TrustRoot::from_pem(&missing).unwrap_err();
    assert!(std::error::Error::source(&error).is_some(), "{error}");
    assert!(error.to_string().contains("no such file"));
    assert!(TrustRoot::from_pem(&PemTrust::default()).is_err());
    assert!(TrustRoot::from_json_file(&folder.path().join("no such file")).is_err());
    let wide = folder.path().join("wide.json");
    std::fs::write(&wide, b"\xff\xfe{\0}\0").unwrap();
    let error = TrustRoot::from_json_file(&wide).unwrap_err().to_string();
    assert!(
        error.contains("it is text in UTF-16; save it as UTF-8"),
        "{error}"
    );
    let long = write(&folder, "long", &" ".repeat(4 * 1024 * 1024 + 1));
    assert!(
        TrustRoot::from_json_file(&long)
            .unwrap_err()
            .to_string()
            .contains("4 MiB")
    );
}

/// SIG-09 (CVE-2026-54787, CVE-2026-24122), SIG-10 (TOB-SIGSTORE-11): each part of the trust root
/// is valid only for its own time.
#[tokio::test]
async fn each_part_of_the_root_vouches_for_its_own_time_only() {
    let sigstore = PrivateSigstore::new();
    let day = Duration::from_hours(24);
    let (before, after) = (sigstore.time() - day, sigstore.time() + day);
    let ages = sigstore.time() - 30 * day;
    for (part, format, signing) in [
        (TrustPart::RekorV1, Format::Simple, Signing::keyless(dev())),
        (TrustPart::RekorV1, Format::Bundle, Signing::keyless(dev())),
        (
            TrustPart::RekorV1,
            Format::Bundle,
            Signing::keyless(dev()).timestamp(true),
        ),
        (
            TrustPart::RekorV2,
            Format::Bundle,
            Signing::keyless(dev())
                .log(LogKind::RekorV2)
                .timestamp(true),
        ),
        (TrustPart::Fulcio, Format::Simple, Signing::keyless(dev())),
        (TrustPart::Fulcio, Format::Bundle, Signing::keyless(dev())),
        (TrustPart::Ctfe, Format::Bundle, Signing::keyless(dev())),
        (
            TrustPart::Tsa,
            Format::Bundle,
            Signing::keyless(dev()).timestamp(true),
        ),
    ] {
        let evidence = evidence(&subject(), [sign(&sigstore, format, &signing)]).await;
        let check_in = |from, until| {
            let json = sigstore.trusted_root().valid(part, from, until).json();
            check(&with(trust_json(&json).unwrap()), &subject(), &evidence)
        };
        check_in(before, Some(after)).unwrap_or_else(|error| panic!("{part:?}: {error}"));
        check_in(before, None).unwrap();
        assert!(
            check_in(ages, Some(before)).is_err(),
            "{part:?} {format:?}: retired before"
        );
        assert!(
            check_in(after, None).is_err(),
            "{part:?} {format:?}: began after"
        );
    }
}

/// CVE-2026-24122: an authority that the root lists with no end still ends with its certificates.
#[tokio::test]
async fn an_expired_authority_ends_with_its_own_certificates() {
    let sigstore = PrivateSigstore::new();
    let begun = sigstore.time() - Duration::from_hours(24 * 365 * 5);
    let json = sigstore
        .trusted_root()
        .valid(TrustPart::Retired, begun, None)
        .json();
    let verifier = with(trust_json(&json).unwrap());
    for format in [Format::Simple, Format::Bundle] {
        let good = evidence(
            &subject(),
            [sign(&sigstore, format, &Signing::keyless(dev()))],
        )
        .await;
        check(&verifier, &subject(), &good).unwrap();
        let bad = sign(
            &sigstore,
            format,
            &Signing::keyless(dev()).tampered(Tampered::ExpiredCa),
        );
        let bad = evidence(&subject(), [bad]).await;
        assert_eq!(code(check(&verifier, &subject(), &bad)), "certificate");
    }
}

/// A root without timestamp authorities takes what the log alone proves, and nothing else.
#[tokio::test]
async fn timestamps_prove_nothing_where_no_authority_is_known() {
    let sigstore = PrivateSigstore::new();
    let json = sigstore.trusted_root().without(TrustPart::Tsa).json();
    let verifier = with(trust_json(&json).unwrap());
    let logged = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()).timestamp(true));
    let verified = check(&verifier, &subject(), &evidence(&subject(), [logged]).await).unwrap();
    assert_eq!(verified.times().len(), 1);
    assert!(
        verified
            .report()
            .warnings
            .iter()
            .any(|one| one.contains("timestamp"))
    );
    let only = Signing::keyless(dev())
        .log(LogKind::RekorV2)
        .timestamp(true);
    let only = sigstore.sign_bundle(subject().digest(), &only);
    assert_eq!(
        code(check(
            &verifier,
            &subject(),
            &evidence(&subject(), [only]).await
        )),
        "time"
    );
}

/// A Sigstore for keys alone: no certificate authority is needed where no policy asks for one.
#[tokio::test]
async fn keys_need_no_certificate_authority() {
    let sigstore = PrivateSigstore::new();
    let folder = TempDir::new().unwrap();
    let rekor = PemTrust::default().with_rekor(write(&folder, "rekor.pub", &sigstore.rekor_pem()));
    let root = TrustRoot::from_pem(&rekor).unwrap();
    let policy = any_of(vec![key_authority(&sigstore, "p256")]);
    let verifier = SigstoreVerifier::new(root, everything(policy)).unwrap();
    for format in [Format::Simple, Format::Bundle] {
        let item = sign(&sigstore, format, &Signing::key("p256"));
        check(&verifier, &subject(), &evidence(&subject(), [item]).await).unwrap();
    }
}

/// A trust root without a log says what to do about signers that require one.
#[test]
fn a_log_that_the_trust_root_lacks_is_named() {
    let sigstore = PrivateSigstore::new();
    let folder = TempDir::new().unwrap();
    let pem = PemTrust::default()
        .with_fulcio(write(&folder, "fulcio", &sigstore.fulcio_pem()))
        .with_tsa(write(&folder, "tsa", &sigstore.tsa_pem()));
    let policies = everything(any_of(vec![dev_authority()]));
    let error = SigstoreVerifier::new(TrustRoot::from_pem(&pem).unwrap(), policies)
        .err()
        .unwrap();
    assert!(matches!(error, VerifyError::NoLogKey { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.ends_with("(`rekor_pub_keys`), which the accepted signers require"),
        "{text}"
    );
}

/// A Sigstore without a log, by PEM files: the timestamp authority takes the place of the log, and
/// without either nothing can be checked.
#[tokio::test]
async fn certificates_without_a_log_need_a_timestamp_authority() {
    let sigstore = PrivateSigstore::new();
    let folder = TempDir::new().unwrap();
    let certificates = PemTrust::default()
        .with_fulcio(write(&folder, "fulcio", &sigstore.fulcio_pem()))
        .with_ctfe(write(&folder, "ctfe", &sigstore.ctfe_pem()));
    let timed = certificates
        .clone()
        .with_tsa(write(&folder, "tsa", &sigstore.tsa_pem()));
    let verifier = |trust: &PemTrust, authority| {
        let root = TrustRoot::from_pem(trust).unwrap();
        SigstoreVerifier::new(root, everything(any_of(vec![authority])))
    };
    let lax = || dev_authority().without_log();
    let signing = Signing::keyless(dev()).log(LogKind::None).timestamp(true);
    for format in [Format::Simple, Format::Bundle] {
        let item = sign(&sigstore, format, &signing);
        let evidence = evidence(&subject(), [item]).await;
        check(&verifier(&timed, lax()).unwrap(), &subject(), &evidence).unwrap();
    }
    for (trust, authority, lacking) in [
        (&certificates, lax(), "tsa_certs"),
        (&timed, dev_authority(), "rekor_pub_keys"),
    ] {
        let error = verifier(trust, authority).err().unwrap().to_string();
        assert!(error.contains(lacking), "{error}");
    }
}

/// As an anchor, the certificate of a signer could issue others.
#[test]
fn a_certificate_that_is_no_authority_is_refused() {
    let sigstore = PrivateSigstore::new();
    let folder = tempfile::tempdir().unwrap();
    let signed = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let leaf = &signed.annotations["dev.sigstore.cosign/certificate"];
    for file in [leaf.clone(), format!("{}{leaf}", sigstore.fulcio_pem())] {
        let trust = PemTrust::default()
            .with_fulcio(write(&folder, "fulcio", &file))
            .with_rekor(write(&folder, "rekor", &sigstore.rekor_pem()));
        let error = TrustRoot::from_pem(&trust).unwrap_err().to_string();
        assert!(error.contains("fulcio"), "{error}");
        let next = "(CA:TRUE); remove it from the file";
        assert!(error.ends_with(next), "{error}");
    }
}

/// The same in JSON: the entry of a signer is not used, and the others are.
#[tokio::test]
async fn a_trusted_root_with_the_certificate_of_a_signer_does_not_trust_it() {
    let sigstore = PrivateSigstore::new();
    let signed = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    let bundle: Value = serde_json::from_slice(&signed.json).unwrap();
    let leaf = &bundle["verificationMaterial"]["certificate"];
    assert!(leaf["rawBytes"].is_string(), "{bundle}");
    let mut root: Value = serde_json::from_str(&sigstore.trusted_root_json()).unwrap();
    let before = trust_json(&root.to_string()).unwrap();
    let authorities = root["certificateAuthorities"].as_array_mut().unwrap();
    let chain = authorities[0]["certChain"]["certificates"]
        .as_array_mut()
        .unwrap();
    chain.insert(0, leaf.clone());
    let mut alone = authorities[0].clone();
    alone["certChain"]["certificates"] = json!([leaf]);
    authorities.push(alone);
    let after = trust_json(&root.to_string()).unwrap();
    let (before, usable) = (before.describe(), after.describe());
    assert_eq!(
        usable.certificate_authorities,
        before.certificate_authorities
    );
    let unusable = &usable.unusable[before.unusable.len()..];
    assert_eq!(unusable.len(), 2, "{unusable:?}");
    for one in unusable {
        assert!(one.contains("(CA:TRUE)"), "{one}");
    }
    let evidence = evidence(&subject(), [signed]).await;
    check(&with(after), &subject(), &evidence).unwrap();
}

/// `gh attestation trusted-root` writes one trusted root a line.
#[test]
fn several_trusted_roots_in_one_file_are_named() {
    let json = PrivateSigstore::new().trusted_root_json();
    let line: Value = serde_json::from_str(&json).unwrap();
    trust_json(&format!("{line}\n")).unwrap();
    let error = trust_json(&format!("{line}\n{line}\n")).unwrap_err();
    assert!(
        error.to_string().contains("several trusted roots"),
        "{error}"
    );
    let error = trust_json(&format!("{line}\ngarbage")).unwrap_err();
    assert!(error.to_string().contains("is not JSON"), "{error}");
}

/// The compiled-in roots are whole.
#[test]
fn the_embedded_roots_are_usable() {
    for root in [
        TrustRoot::embedded().unwrap(),
        TrustRoot::embedded_staging().unwrap(),
    ] {
        let info = root.describe();
        assert!(
            info.logs > 0 && info.certificate_authorities > 0 && info.ct_logs > 0,
            "{info:?}"
        );
        assert!(info.version.is_some());
        with(root);
    }
}

/// Files of another kind: the error names the setting that they are for.
#[test]
fn files_of_another_setting_are_named() {
    let sigstore = PrivateSigstore::new();
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| write(&folder, name, text);
    let error = |pem: PemTrust| TrustRoot::from_pem(&pem).unwrap_err().to_string();
    let (key, certificate) = (sigstore.rekor_pem(), sigstore.fulcio_pem());
    let text = error(PemTrust::default().with_fulcio(file("key", &key)));
    for words in ["for `fulcio_certs`", "belong in `rekor_pub_keys`"] {
        assert!(text.contains(words), "{text}");
    }
    let text = error(PemTrust::default().with_rekor(file("certificate", &certificate)));
    for words in ["for `rekor_pub_keys`", "belong in `fulcio_certs`"] {
        assert!(text.contains(words), "{text}");
    }
    // Keys that verify no signature alone.
    let text = error(PemTrust::default().with_ctfe(file("ctfe", &sigstore.ctfe_pem())));
    for words in ["has only the keys", "`fulcio_certs` and `rekor_pub_keys`"] {
        assert!(text.contains(words), "{text}");
    }
    let text = trust_json(&certificate).unwrap_err().to_string();
    assert!(text.contains("is PEM, and not the JSON"), "{text}");
}

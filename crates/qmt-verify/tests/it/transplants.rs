//! Each part of each of many good signatures, put into each other one.

use qmt_oci_ref::PinnedReference;
use qmt_testkit::{Format, Identity, LogKind, Part, PrivateSigstore, Signing};

use crate::support::{ISSUER, Item, check, dev, evidence, pin, subject, verifier};
use crate::tampered::any_signer;

/// Good signatures of one image and of another, by several signers, in one form.
fn donors(sigstore: &PrivateSigstore, format: Format) -> Vec<(PinnedReference, Item)> {
    let eve = || Identity::email("eve@example.com", ISSUER);
    let workflow = Identity::github("acme/echo", "release.yml", "refs/tags/v1.0.0");
    let mut orders = vec![
        Signing::keyless(dev()),
        Signing::keyless(dev()).timestamp(true),
        Signing::keyless(eve()).timestamp(true),
        Signing::keyless(workflow),
        Signing::key("p256"),
        Signing::key("p256").timestamp(true),
        Signing::key("rsa2048"),
        Signing::key("p384").timestamp(true),
    ];
    if format == Format::Bundle {
        let v2 = |signing: Signing| signing.log(LogKind::RekorV2).timestamp(true);
        orders.extend([
            v2(Signing::keyless(dev())),
            v2(Signing::keyless(eve())),
            v2(Signing::key("p256")),
            // RSA signs the same content with the same signature, so an entry of the one would be
            // an entry of the other: this one says something else.
            v2(Signing::key("rsa2048").annotation("log", "v2")),
            v2(Signing::key("p384")),
        ]);
    }
    let subjects = [subject(), pin("another image")];
    let mut donors = Vec::new();
    for (index, signing) in orders.iter().enumerate() {
        // One of each order, and the first few for the other image too.
        for subject in subjects.iter().take(if index < 5 { 2 } else { 1 }) {
            let item = match format {
                Format::Simple => sigstore.sign_simple(subject.digest(), signing).into(),
                _ => sigstore.sign_bundle(subject.digest(), signing).into(),
            };
            donors.push((subject.clone(), item));
        }
    }
    donors
}

fn transplant(host: &Item, donor: &Item, part: Part) -> Option<Item> {
    match (host, donor) {
        (Item::Simple(host), Item::Simple(donor)) => host.transplant(donor, part).map(Into::into),
        (Item::Bundle(host), Item::Bundle(donor)) => {
            let chimera = host.transplant(donor, part)?;
            // The hint at a key is not signed, and is not read, so it is not part of one.
            let only_hint = part == Part::Certificate
                && String::from_utf8_lossy(&host.json).contains("\"publicKey\"");
            (!only_hint).then(|| chimera.into())
        }
        _ => None,
    }
}

/// SIG-01 (CVE-2022-23649, CVE-2022-36056, CVE-2026-22703): no chimera is accepted, the unchanged
/// ones all are.
#[tokio::test]
async fn no_part_of_one_signature_serves_another() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_signer(&sigstore));
    let (mut chimeras, mut accepted) = (0, Vec::new());
    for format in [Format::Simple, Format::Bundle] {
        let donors = donors(&sigstore, format);
        assert!(donors.len() >= 8);
        for (index, (subject, host)) in donors.iter().enumerate() {
            let unchanged = evidence(subject, [host.clone()]).await;
            check(&verifier, subject, &unchanged).unwrap();
            for (other, (_, donor)) in donors.iter().enumerate() {
                for part in Part::ALL {
                    let Some(chimera) = transplant(host, donor, part) else {
                        continue;
                    };
                    chimeras += 1;
                    let evidence = evidence(subject, [chimera]).await;
                    if check(&verifier, subject, &evidence).is_ok() {
                        accepted.push(format!("{format:?}: {part:?} of {other} in {index}"));
                    }
                }
            }
        }
    }
    let violations = accepted.len();
    println!("drill F16 transplants: {chimeras} cases, {violations} violations");
    assert!(chimeras > 448, "{chimeras}");
    assert!(accepted.is_empty(), "{accepted:#?}");
}

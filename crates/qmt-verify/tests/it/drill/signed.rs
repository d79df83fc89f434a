//! Good signatures to start from, and what a check says about them.

use super::*;

/// What is said otherwise, field by field.
pub(super) fn different(before: &Value, says: &Value) -> String {
    let fields = before.as_object().unwrap().iter();
    let other = fields.filter(|(name, value)| says[name.as_str()] != **value);
    let other = other.map(|(name, value)| format!("{name}: {} for {value}", says[name.as_str()]));
    other.collect::<Vec<_>>().join("; ")
}

pub(super) fn stored(content: &Value) -> Option<Evidence> {
    let stored = serde_json::json!({
        "schema": 1,
        "subject": subject().digest(),
        "pieces": [{ "found": "a flip", "content": content }],
    });
    Evidence::from_json(stored.to_string().as_bytes()).ok()
}

/// All that is said about a signature.
pub(super) fn said(report: &Report) -> Value {
    serde_json::to_value(report).unwrap()
}

/// How many bits are flipped.
pub(super) fn wanted() -> usize {
    match std::env::var("QMT_DRILL").as_deref() {
        Ok("long") => 1_000_000,
        Ok("full") => 100_000,
        _ => 3_000,
    }
}

/// Good signatures with `wanted` bits or more in all.
pub(super) fn good(
    sigstore: &PrivateSigstore,
    verifier: &SigstoreVerifier,
    now: SystemTime,
    wanted: usize,
) -> Vec<Good> {
    let workflow = Identity::github("acme/echo", "release.yml", "refs/tags/v1.0.0");
    let v2 = |signing: Signing| signing.log(LogKind::RekorV2).timestamp(true);
    let mut all = forms();
    for (name, format, signing) in [
        (
            "annotated .sig",
            Format::Simple,
            Signing::keyless(dev()).annotation("a", "b"),
        ),
        (
            "workflow .sig",
            Format::Simple,
            Signing::keyless(workflow.clone()),
        ),
        (
            "workflow bundle",
            Format::Bundle,
            v2(Signing::keyless(workflow)),
        ),
        (
            "witnessed bundle",
            Format::Bundle,
            v2(Signing::keyless(dev())).witnessed(),
        ),
        (
            "many subjects",
            Format::Bundle,
            Signing::key("p256").more_subjects(3),
        ),
    ] {
        all.push((name.to_owned(), format, signing));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (mut good, mut bits) = (Vec::new(), 0);
    // Each of them once at least; then more of them, which differ in keys and signatures.
    for (number, (name, format, signing)) in all.iter().cycle().enumerate() {
        if number >= all.len() && bits >= wanted {
            break;
        }
        // RSA signs the same in the same way: two entries of a log would be one.
        let signing = signing.clone().annotation("number", &number.to_string());
        let item = sign(sigstore, *format, &signing);
        // As it is stored, so that it is found in the same place as the flips.
        let stored_as: Value = serde_json::from_slice(
            &runtime
                .block_on(evidence(&subject(), [item]))
                .to_json()
                .unwrap(),
        )
        .unwrap();
        let evidence = stored(&stored_as["pieces"][0]["content"]).unwrap();
        let verified = verifier
            .check(&subject(), &evidence, None, now)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let one = Good::new(format!("{name} ({number})"), &evidence, verified.report());
        bits += one.bits();
        good.push(one);
    }
    good
}

//! The protocol of the Sigstore client conformance suite, spoken to the example that implements it,
//! as a separate process: <https://github.com/sigstore/sigstore-conformance/blob/main/docs/cli_protocol.md>.
//!
//! Cases of a private Sigstore, and the genuine bundles in `fixtures/sigstore/genuine`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use qmt_oci_ref::Digest;
use qmt_testkit::{Attestation, Identity, LogKind, PrivateSigstore, SLSA_V1, Signing, Tampered};
use tempfile::TempDir;

use crate::support::{EMAIL, ISSUER, dev};

#[expect(dead_code, reason = "its `main` is that of another program")]
#[path = "../../examples/conformance.rs"]
mod client;

/// Set where this process is the client under test: its arguments, one a line.
const ARGUMENTS: &str = "QMT_CONFORMANCE_ARGUMENTS";

/// A test that is the client where the environment says so.
#[test]
fn acts_as_the_client() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        assert!(!client::run(std::iter::empty()), "no command is no success");
        return;
    };
    let held = client::run(arguments.lines().map(ToOwned::to_owned));
    #[expect(clippy::exit, reason = "the exit code is the answer")]
    std::process::exit(i32::from(!held));
}

/// Asks the client as a process; whether it says yes, and what it says.
fn ask(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["conformance::acts_as_the_client", "--exact", "--nocapture"])
        .env(ARGUMENTS, arguments.join("\n"))
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // 101 is a panic.
    let code = output.status.code();
    assert!(
        matches!(code, Some(0 | 1)),
        "{code:?} {arguments:?}: {said}"
    );
    let held = code == Some(0);
    let word = if held { "verified: " } else { "not verified: " };
    assert!(said.starts_with(word), "{arguments:?}: {said}");
    (held, said)
}

const ARTIFACT: &[u8] = b"an artifact";

/// A folder with all that the cases name.
fn lab(sigstore: &PrivateSigstore) -> TempDir {
    let folder = TempDir::new().unwrap();
    let put =
        |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
    let digest = Digest::sha256(ARTIFACT);
    put("a.txt", ARTIFACT);
    put("b.txt", b"another artifact");
    put("root.json", sigstore.trusted_root_json().as_bytes());
    put(
        "other-root.json",
        PrivateSigstore::new().trusted_root_json().as_bytes(),
    );
    put("key.pub", sigstore.key_pem("p256").as_bytes());
    put("other.pub", sigstore.key_pem("p384").as_bytes());
    put("empty", b"");
    let eve = Identity::email("eve@example.com", ISSUER);
    let v2 = |signing: Signing| signing.log(LogKind::RekorV2).timestamp(true);
    for (name, signing) in [
        ("good.json", Signing::keyless(dev())),
        ("good-v2.json", v2(Signing::keyless(dev()))),
        ("eve.json", Signing::keyless(eve)),
        ("key.json", Signing::key("p256")),
        ("key-v2.json", v2(Signing::key("p256"))),
        (
            "old.json",
            Signing::keyless(dev()).tampered(Tampered::OldBundle),
        ),
        (
            "two.json",
            Signing::keyless(dev()).tampered(Tampered::TwoSignatures),
        ),
        (
            "entry.json",
            Signing::keyless(dev()).tampered(Tampered::ForeignEntry),
        ),
        (
            "sct.json",
            Signing::keyless(dev()).tampered(Tampered::MissingSct),
        ),
        (
            "expired.json",
            Signing::keyless(dev()).tampered(Tampered::ExpiredCertificate),
        ),
        (
            "set.json",
            Signing::keyless(dev()).tampered(Tampered::TamperedIntegratedTime),
        ),
        (
            "garbage.json",
            Signing::keyless(dev()).tampered(Tampered::GarbageSignature),
        ),
        (
            "no-entry.json",
            Signing::keyless(dev()).tampered(Tampered::MissingEntry),
        ),
    ] {
        put(name, &sigstore.sign_bundle(&digest, &signing).json);
    }
    let provenance = Attestation::new(SLSA_V1, "{}");
    let attested = sigstore.attest_bundle(&digest, &provenance, &Signing::keyless(dev()));
    put("attested.json", &attested.json);
    folder
}

/// SIG-16: what a private Sigstore signed, by every form of the protocol.
#[test]
fn the_protocol_is_spoken() {
    let sigstore = PrivateSigstore::new();
    let folder = lab(&sigstore);
    let digest = Digest::sha256(ARTIFACT).to_string();
    let other = Digest::sha256(b"another artifact").to_string();
    let cut = digest[..digest.len() - 1].to_owned();
    let keyless = format!(
        "--certificate-identity {EMAIL} --certificate-oidc-issuer {ISSUER} --trusted-root root.json"
    );
    let mut failed = String::new();
    for (arguments, expected) in [
        (format!("--bundle good.json {keyless} a.txt"), true),
        (format!("--bundle good.json {keyless} {digest}"), true),
        (format!("--bundle good-v2.json {keyless} a.txt"), true),
        (format!("--bundle good-v2.json {keyless} {digest}"), true),
        (format!("--bundle attested.json {keyless} a.txt"), true),
        (format!("--bundle attested.json {keyless} {digest}"), true),
        // A file brings its own format, and old ones hold.
        (format!("--bundle old.json {keyless} a.txt"), true),
        (
            "--bundle key.json --key key.pub --trusted-root root.json a.txt".into(),
            true,
        ),
        (
            format!("--bundle key.json --key key.pub --trusted-root root.json {digest}"),
            true,
        ),
        (
            "--bundle key-v2.json --key key.pub --trusted-root root.json a.txt".into(),
            true,
        ),
        // A given trusted root is the one that counts.
        (
            format!("--staging --bundle good.json {keyless} a.txt"),
            true,
        ),
        // Another artifact.
        (format!("--bundle good.json {keyless} b.txt"), false),
        (format!("--bundle good.json {keyless} {other}"), false),
        (format!("--bundle attested.json {keyless} b.txt"), false),
        (
            "--bundle key.json --key key.pub --trusted-root root.json b.txt".into(),
            false,
        ),
        // A digest that is too short is read as a file name, and no such file exists.
        (format!("--bundle good.json {keyless} {cut}"), false),
        (format!("--bundle good.json {keyless} sha512:00"), false),
        (format!("--bundle good.json {keyless} missing.txt"), false),
        // Another signer.
        (format!("--bundle eve.json {keyless} a.txt"), false),
        (format!("--bundle key.json {keyless} a.txt"), false),
        (
            "--bundle key.json --key other.pub --trusted-root root.json a.txt".into(),
            false,
        ),
        (
            "--bundle good.json --key key.pub --trusted-root root.json a.txt".into(),
            false,
        ),
        (
            "--bundle key.json --key empty --trusted-root root.json a.txt".into(),
            false,
        ),
        (
            "--bundle key.json --key missing.pub --trusted-root root.json a.txt".into(),
            false,
        ),
        (
            format!(
                "--bundle good.json --certificate-identity {EMAIL} --certificate-oidc-issuer \
                 https://other.example --trusted-root root.json a.txt"
            ),
            false,
        ),
        (
            format!(
                "--bundle good.json --certificate-identity {EMAIL}x --certificate-oidc-issuer \
                 {ISSUER} --trusted-root root.json a.txt"
            ),
            false,
        ),
        // Another trust root: none is that of the public instances.
        (
            format!(
                "--bundle good.json {} a.txt",
                keyless.replace("root.json", "other-root.json")
            ),
            false,
        ),
        (
            format!(
                "--bundle good.json {} a.txt",
                keyless.replace("root.json", "missing.json")
            ),
            false,
        ),
        (
            format!(
                "--bundle good.json {} a.txt",
                keyless.replace("root.json", "empty")
            ),
            false,
        ),
        (
            format!(
                "--bundle good.json --certificate-identity {EMAIL} --certificate-oidc-issuer \
                 {ISSUER} a.txt"
            ),
            false,
        ),
        (
            format!(
                "--staging --bundle good.json --certificate-identity {EMAIL} \
                 --certificate-oidc-issuer {ISSUER} a.txt"
            ),
            false,
        ),
        // Bad bundles.
        (format!("--bundle two.json {keyless} a.txt"), false),
        (format!("--bundle entry.json {keyless} a.txt"), false),
        (format!("--bundle sct.json {keyless} a.txt"), false),
        (format!("--bundle expired.json {keyless} a.txt"), false),
        (format!("--bundle set.json {keyless} a.txt"), false),
        (format!("--bundle garbage.json {keyless} a.txt"), false),
        (format!("--bundle no-entry.json {keyless} a.txt"), false),
        (format!("--bundle empty {keyless} a.txt"), false),
        (format!("--bundle a.txt {keyless} a.txt"), false),
        (format!("--bundle missing.json {keyless} a.txt"), false),
        // Not the protocol.
        (format!("{keyless} a.txt"), false),
        (format!("--bundle good.json {keyless}"), false),
        (format!("--bundle good.json {keyless} a.txt b.txt"), false),
        (
            format!("--bundle good.json {keyless} --unknown a.txt"),
            false,
        ),
        (
            format!("--bundle good.json --key key.pub {keyless} a.txt"),
            false,
        ),
        (
            format!("--bundle good.json --certificate-identity {EMAIL} a.txt"),
            false,
        ),
        (
            "--bundle good.json --trusted-root root.json a.txt".into(),
            false,
        ),
        (format!("a.txt {keyless} --bundle"), false),
    ] {
        let mut words = vec!["verify-bundle"];
        words.extend(arguments.split_whitespace());
        let (held, said) = ask(folder.path(), &words);
        if held != expected {
            let _ = writeln!(failed, "{arguments}: {said}");
        }
    }
    assert!(failed.is_empty(), "{failed}");
    for words in [
        &[][..],
        &["sign-bundle"],
        &["--bundle", "good.json"],
        &["verify-bundle"],
    ] {
        assert!(!ask(folder.path(), words).0, "{words:?}");
    }
}

/// SIG-16: genuine bundles of the public instances and of others, good and bad.
#[test]
fn genuine_bundles_come_out_as_they_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sigstore/genuine");
    let mut failed = String::new();
    let mut tried = 0;
    for line in GENUINE.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (verdict, arguments) = line.split_once(' ').unwrap();
        let mut words = vec!["verify-bundle"];
        words.extend(arguments.split_whitespace());
        for pair in words.windows(2) {
            if matches!(pair[0], "--bundle" | "--key" | "--trusted-root") {
                assert!(folder.join(pair[1]).is_file(), "{}", pair[1]);
            }
        }
        let (held, said) = ask(&folder, &words);
        tried += 1;
        if held != (verdict == "good") {
            let _ = writeln!(failed, "{line}\n    {said}");
        }
    }
    assert!(failed.is_empty(), "{failed}");
    assert!(tried > 20);
}

/// Verdict and arguments.
const GENUINE: &str = "
    # Message signatures in Rekor v1, with a timestamp and without.
    good --bundle bundles/cosign-v3-blob.sigstore.json --certificate-identity w.vollprecht@gmail.com --certificate-oidc-issuer https://github.com/login/oauth bundles/cosign-v3-blob.txt
    good --bundle bundles/cosign-v3-blob.sigstore.json --certificate-identity w.vollprecht@gmail.com --certificate-oidc-issuer https://github.com/login/oauth sha256:e194b99df6639501325c5f44da79fe3a8efae6f239bd79443a19787e06fb1764
    bad --bundle bundles/cosign-v3-blob.sigstore.json --certificate-identity w.vollprecht@gmail.com --certificate-oidc-issuer https://github.com/login/oauth managed-key/artifact.txt
    bad --bundle bundles/cosign-v3-blob.sigstore.json --certificate-identity w.vollprecht@gmail.com --certificate-oidc-issuer https://accounts.google.com bundles/cosign-v3-blob.txt
    bad --bundle bundles/cosign-v3-blob.sigstore.json --certificate-identity vollprecht@gmail.com --certificate-oidc-issuer https://github.com/login/oauth bundles/cosign-v3-blob.txt
    bad --staging --bundle bundles/cosign-v3-blob.sigstore.json --certificate-identity w.vollprecht@gmail.com --certificate-oidc-issuer https://github.com/login/oauth bundles/cosign-v3-blob.txt
    good --bundle bundles/bundle_v3_github.whl.sigstore --certificate-identity https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2 --certificate-oidc-issuer https://token.actions.githubusercontent.com sha256:c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201
    bad --bundle bundles/bundle_v3_github.whl.sigstore --certificate-identity https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.3 --certificate-oidc-issuer https://token.actions.githubusercontent.com sha256:c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201

    # Attestations: Rekor v1, Rekor v2.
    good --bundle bundles/conda-attestation.sigstore.json --certificate-identity https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main --certificate-oidc-issuer https://token.actions.githubusercontent.com bundles/signed-package-2.1.0-hb0f4dca_0.conda
    good --staging --bundle bundles/conda-attestation-rekor2.sigstore.json --certificate-identity jku@goto.fi --certificate-oidc-issuer https://github.com/login/oauth bundles/signed-package-2.1.0-hb0f4dca_0.conda
    bad --staging --bundle bundles/conda-attestation-rekor2.sigstore.json --certificate-identity jku@goto.fi --certificate-oidc-issuer https://github.com/login/oauth bundles/cosign-v3-blob.txt
    # The statement names the file by its SHA-512 alone: a SHA-256 proves nothing.
    bad --bundle bundles/dsse.sigstore.json --certificate-identity brian@dehamer.com --certificate-oidc-issuer https://github.com/login/oauth sha256:54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f

    # The staging instance, Rekor v2.
    good --staging --bundle upstream/sigstore-python/staging-rekor-v2.txt.sigstore.json --certificate-identity jku@goto.fi --certificate-oidc-issuer https://github.com/login/oauth upstream/sigstore-python/staging-rekor-v2.txt
    bad --bundle upstream/sigstore-python/staging-rekor-v2.txt.sigstore.json --certificate-identity jku@goto.fi --certificate-oidc-issuer https://github.com/login/oauth upstream/sigstore-python/staging-rekor-v2.txt

    good --staging --bundle upstream/sigstore-python/a.dsse.staging-rekor-v2.txt.sigstore.json --certificate-identity https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main --certificate-oidc-issuer https://token.actions.githubusercontent.com sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf
    good --bundle timestamps/valid_bundle.json --certificate-identity https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main --certificate-oidc-issuer https://token.actions.githubusercontent.com --trusted-root timestamps/valid_trusted_root.json sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf
    bad --bundle timestamps/valid_bundle.json --certificate-identity https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main --certificate-oidc-issuer https://token.actions.githubusercontent.com --trusted-root timestamps/github_trusted_root.json sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf

    # A key, and a certificate authority whose intermediates share a name.
    good --bundle managed-key/bundle.sigstore.json --key managed-key/key.pub managed-key/artifact.txt
    bad --bundle managed-key/bundle.sigstore.json --key managed-key/key.pub bundles/cosign-v3-blob.txt
    bad --bundle managed-key/bundle.sigstore.json --certificate-identity w.vollprecht@gmail.com --certificate-oidc-issuer https://github.com/login/oauth managed-key/artifact.txt

    good --bundle sct-multi-intermediate/staging_bundle.sigstore.json --certificate-identity https://github.com/sigstore/root-signing-staging/.github/workflows/custom-test.yml@refs/heads/main --certificate-oidc-issuer https://token.actions.githubusercontent.com --trusted-root sct-multi-intermediate/staging_trusted_root.json sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

    # A user name as an identity, of a private instance.
    good --bundle bundles/othername.sigstore.json --certificate-identity foo!oidc.local --certificate-oidc-issuer http://oidc.local:8080 --trusted-root trusted_roots/scaffolding.json sha256:bc103b4a84971ef6459b294a2b98568a2bfb72cded09d4acd1e16366a401f95b
    bad --bundle bundles/othername.sigstore.json --certificate-identity foo!oidc.local --certificate-oidc-issuer http://oidc.local:8080 sha256:bc103b4a84971ef6459b294a2b98568a2bfb72cded09d4acd1e16366a401f95b

    # Bad ones: a foreign log entry (CVE-2022-36056), a version that there is not, no certificate, no
    # checkpoint, no log entry, no signed time, two signatures, a certificate log of another key.
    bad --bundle bundles/bundle_cve_2022_36056.txt.sigstore --certificate-identity william@yossarian.net --certificate-oidc-issuer https://github.com/login/oauth sha256:c87b5b213ab08b32970c106d0c7e4423e67f5449c2fd2d1e9b4ea6cc43b6ee7c
    bad --bundle bundles/bundle_invalid_version.txt.sigstore --certificate-identity william@yossarian.net --certificate-oidc-issuer https://github.com/login/oauth sha256:7a1f2b23ec9add163c6d0bbb454af45e1483b9bec7b72aea1b4fdf0e2f5644f0
    bad --bundle bundles/bundle_no_cert_v1.txt.sigstore --certificate-identity william@yossarian.net --certificate-oidc-issuer https://github.com/login/oauth sha256:1bc37d4fed3fd960bdf9d095f87283ba8ad1ab4481f38a34e8004f0c56ffe78d
    bad --bundle bundles/bundle_no_checkpoint.txt.sigstore --certificate-identity william@yossarian.net --certificate-oidc-issuer https://github.com/login/oauth sha256:802dd60ff88333802f2585e73043bd21c341285e1992fe5b31755e1cadeae30e
    bad --bundle bundles/bundle_no_log_entry.txt.sigstore --certificate-identity alex.cameron@trailofbits.com --certificate-oidc-issuer https://accounts.google.com sha256:9b469fc9761e8b933073b62725fbc98b549c3314199ded71cc8b286ef2c6fb9b
    bad --bundle bundles/bundle_v3_no_signed_time.txt.sigstore.json --certificate-identity william@yossarian.net --certificate-oidc-issuer https://github.com/login/oauth sha256:ca6de99a11d3d38056d838c7dc9a23a11a0c81bcace0d11eaa301a2ffb482c42
    bad --bundle invalid-ct-key_fail/bundle.sigstore.json --certificate-identity https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main --certificate-oidc-issuer https://token.actions.githubusercontent.com --trusted-root invalid-ct-key_fail/trusted_root.json sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf
    bad --bundle bundles/dsse-2sigs.sigstore.json --certificate-identity brian@dehamer.com --certificate-oidc-issuer https://github.com/login/oauth sha256:54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f
";

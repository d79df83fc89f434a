//! Trust material in files, as the manual writes it, and keys without any.

use qmt_plugins::ErrorKind;
use qmt_testkit::{GITHUB_ISSUER, Identity, LogKind, Signing, attach_bundle, attach_simple};

use crate::scene::{EMAIL, ISSUER, REPOSITORY, Scene, greet, messages, wasm_image};

const TWO_FILES: &str = "use_sigstore_tuf_data = false\nrekor_pub_keys = \"rekor.pub\"\n\
                         fulcio_certs = \"fulcio.pem\"\n";

fn config(scene: &Scene, oci: &str) -> String {
    let config = scene.config_with(oci, "");
    config.replace("trusted_root = \"trusted_root.json\"\n", "")
}

async fn scene() -> Scene {
    let scene = Scene::new().await;
    scene.write("rekor.pub", &scene.sigstore.rekor_pem());
    scene.write("fulcio.pem", &scene.sigstore.fulcio_pem());
    scene.write("ctfe.pub", &scene.sigstore.ctfe_pem());
    scene
}

/// The manual's air gap, word for word: two files and nothing else.
#[tokio::test]
async fn two_files_are_a_trust_root() {
    let scene = scene().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let identity = format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"");
    for constraints in ["", &identity] {
        let config = config(&scene, &format!("{TWO_FILES}{constraints}"));
        let host = scene.host(&config);
        let warnings = host.check().await.unwrap();
        assert!(
            warnings.iter().any(|one| one.contains("`ctfe_keys`")),
            "{warnings:?}"
        );
        let summary = host.trust_summary(false).await.unwrap();
        assert!(!summary.warnings.is_empty());
        assert!(summary.warnings.iter().all(|one| warnings.contains(one)));
        assert_eq!(summary.root.unwrap().ct_logs, 0);
        assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");
        let _ = std::fs::remove_file(scene.folder.path().join("plugins.lock"));
    }
    let other = config(
        &scene,
        &format!("{TWO_FILES}cert_email = \"boss@acme.example\"\ncert_issuer = \"{ISSUER}\""),
    );
    let error = scene.host(&other).load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotVerified, "{}", messages(&error));
    // With the third file nothing is left to say.
    let complete = format!("{TWO_FILES}ctfe_keys = \"ctfe.pub\"\ncertificate_log = \"required\"");
    let host = scene.host(&config(&scene, &complete));
    let warnings = host.check().await.unwrap();
    assert!(
        warnings.iter().all(|one| !one.contains("ctfe_keys")),
        "{warnings:?}"
    );
    greet(&host, "greeter").await;
}

/// One of the two alone names the other, and a required log the third file.
#[tokio::test]
async fn what_is_missing_is_named() {
    let scene = scene().await;
    for (oci, key) in [
        (
            "use_sigstore_tuf_data = false\nrekor_pub_keys = \"rekor.pub\"",
            "`fulcio_certs`",
        ),
        (
            "use_sigstore_tuf_data = false\nfulcio_certs = \"fulcio.pem\"",
            "`rekor_pub_keys`",
        ),
        ("rekor_pub_keys = \"rekor.pub\"", "`fulcio_certs`"),
        ("fulcio_certs = \"fulcio.pem\"", "`rekor_pub_keys`"),
        (
            &format!("{TWO_FILES}certificate_log = \"required\""),
            "`ctfe_keys`",
        ),
    ] {
        let host = scene.host(&config(&scene, oci));
        let error = host.check().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            messages(&error).contains(key),
            "{oci}: {}",
            messages(&error)
        );
        assert!(host.load("greeter").await.is_err());
    }
}

/// `github_workflow_repository` alone is a policy: of GitHub's issuer, and of no other.
#[tokio::test]
async fn a_workflow_repository_is_a_claim_of_github() {
    let scene = Scene::new().await;
    let image = scene.push(&wasm_image(), "1");
    let github = Identity::github("acme/greeter", "release.yml", "refs/tags/v1");
    let own = "https://ci.evil.example";
    let policy = "github_workflow_repository = \"acme/greeter\"";
    let named = format!("{policy}\ncert_issuer = \"{GITHUB_ISSUER}\"");
    let entry =
        "[[oci.policy]]\nscope = \"**\"\nany_of = [{ github_repository = \"acme/greeter\" }]";
    for (issuer, is_good) in [(own, false), (GITHUB_ISSUER, true)] {
        let identity = github.clone().with_claim(1, issuer).with_claim(8, issuer);
        let signing = Signing::keyless(identity);
        let signature = scene.sigstore.sign_simple(image.digest(), &signing);
        attach_simple(&scene.registry, REPOSITORY, image.digest(), &[signature]);
        for rule in [
            policy,
            &named,
            entry,
            &format!("{policy}\nidentity = \"required\""),
        ] {
            let host = scene.host(&scene.config_with(rule, ""));
            assert!(host.check().await.unwrap().is_empty(), "{rule}");
            let loaded = host.load("greeter").await;
            assert_eq!(loaded.is_ok(), is_good, "{issuer} {rule}");
            if let Err(error) = loaded {
                assert!(messages(&error).contains(own), "{}", messages(&error));
            }
        }
    }
}

/// `transparency_log` of `[oci]` is the rule of keys, certificates and pinned signers, and one signer
/// can have another rule.
#[tokio::test]
async fn one_rule_about_logs_holds_for_all_signers() {
    let scene = Scene::new().await;
    scene.write("team.pub", &scene.sigstore.key_pem("p256"));
    let image = scene.push(&wasm_image(), "1");
    let identity = format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"");
    let keyless = Signing::keyless(Identity::email(EMAIL, ISSUER));
    let own = "[[oci.policy]]\nscope = \"**\"\nany_of = [{ key = \"team.pub\", transparency_log = \"required\" }]";
    let inherited = "[[oci.policy]]\nscope = \"**\"\nany_of = [{ key = \"team.pub\" }]";
    for (signing, rule, is_good) in [
        (Signing::key("p256"), "public_keys = \"team.pub\"", true),
        (Signing::key("p256"), inherited, true),
        (Signing::key("p256"), own, false),
        (keyless.clone(), &identity, true),
        (keyless, "", true),
    ] {
        let unlogged = signing.log(LogKind::None).timestamp(true);
        let bundle = scene.sigstore.sign_bundle(image.digest(), &unlogged);
        attach_bundle(&scene.registry, REPOSITORY, &image, &bundle);
        for log in ["", "transparency_log = \"optional\"\n"] {
            let _ = std::fs::remove_file(scene.folder.path().join("plugins.lock"));
            let host = scene.host(&scene.config_with(&format!("{log}{rule}"), ""));
            host.check().await.unwrap();
            let loaded = host.load("greeter").await;
            assert_eq!(loaded.is_ok(), is_good && !log.is_empty(), "{log}{rule}");
        }
    }
}

/// Keys without a log need no trust root, wherever their scope is: nothing is fetched for them.
#[tokio::test]
async fn a_scope_of_keys_alone_reads_no_trust_root() {
    let scene = Scene::new().await;
    scene.write("team.pub", &scene.sigstore.key_pem("p256"));
    let image = scene.push(&wasm_image(), "1");
    let signing = Signing::key("p256").log(LogKind::RekorV1);
    let bundle = scene.sigstore.sign_bundle(image.digest(), &signing);
    attach_bundle(&scene.registry, REPOSITORY, &image, &bundle);
    let host = scene.registry.host();
    let entry = "any_of = [{ key = \"team.pub\", transparency_log = \"optional\" }]";
    for tuf in [
        "",
        "use_sigstore_tuf_data = true\n",
        "use_sigstore_tuf_data = false\n",
    ] {
        for rule in [
            "public_keys = \"team.pub\"\ntransparency_log = \"optional\"".to_owned(),
            format!("[[oci.policy]]\nscope = \"**\"\n{entry}"),
            // All other images are pinned on first use, which requires a Sigstore.
            format!("[[oci.policy]]\nscope = \"{host}/acme/*\"\n{entry}"),
        ] {
            let config = config(&scene, &format!("{tuf}{rule}"));
            let host = scene.host(&config);
            host.check().await.unwrap();
            assert_eq!(
                greet(&host, "greeter").await,
                "Hello, world! (wasm)",
                "{config}"
            );
            assert!(
                !scene.folder.path().join("cache/v1/tuf").exists(),
                "{config}"
            );
        }
    }
}

/// What a key without a log can't prove is said when the config is checked.
#[tokio::test]
async fn rules_about_time_and_keys_without_a_log_are_checked() {
    let scene = Scene::new().await;
    scene.write("team.pub", &scene.sigstore.key_pem("p256"));
    let entry = "any_of = [{ key = \"team.pub\", transparency_log = \"optional\" }]";
    let dated =
        format!("[[oci.policy]]\nscope = \"**\"\nsigned_after = \"2020-01-01T00:00:00Z\"\n{entry}");
    let host = scene.host(&config(&scene, &dated));
    let error = host.check().await.unwrap_err();
    assert!(
        messages(&error).contains("`signed_after`"),
        "{}",
        messages(&error)
    );
    let logged = dated.replace("optional", "required");
    scene
        .host(&scene.config_with(&logged, ""))
        .check()
        .await
        .unwrap();
    for (pull, count) in [
        ("", 0),
        ("pull_policy = \"always\"\n", 1),
        ("refresh_after = \"1h\"\n", 1),
    ] {
        let rule = format!("{pull}public_keys = \"team.pub\"\ntransparency_log = \"optional\"");
        let warnings = scene.host(&config(&scene, &rule)).check().await.unwrap();
        assert_eq!(warnings.len(), count, "{warnings:?}");
    }
}

//! Nothing that the policy does not trust is loaded, or even kept.

use qmt_plugins::{ErrorKind, Target};
use qmt_testkit::{Identity, LogKind, Signing, attach_simple};

use crate::scene::{EMAIL, ISSUER, REPOSITORY, Scene, greet, messages, wasm_image};

/// Invariant 2 and 3: an unsigned image leaves nothing in the cache.
#[tokio::test]
async fn an_unsigned_image_is_refused_and_not_kept() {
    let scene = Scene::new().await;
    scene.push(&wasm_image(), "1");
    let host = scene.host(&scene.config());
    let error = host.load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotVerified, "{}", messages(&error));
    assert!(scene.is_cache_empty(&host).await);
    assert!(host.locked().is_empty());
}

#[tokio::test]
async fn another_signer_is_refused_with_a_reason_and_a_hint() {
    let scene = Scene::new().await;
    scene.sign_as(&scene.push(&wasm_image(), "1"), "mallory@evil.example");
    let host = scene.host(&scene.config());
    let error = host.load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotVerified);
    let text = messages(&error);
    assert!(
        text.contains("mallory@evil.example") && text.contains("greeter"),
        "{text}"
    );
    assert!(error.hint().is_some());
    assert!(scene.is_cache_empty(&host).await);
}

/// An error while looking for signatures is not "unsigned", and never a pass.
#[tokio::test]
async fn a_registry_that_fails_to_list_signatures_is_a_network_error() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    scene
        .registry
        .fault(qmt_testkit::Fault::on("GET", "/v2/*/manifests/sha256-*.sig").respond(403));
    let host = scene.host(&scene.config());
    let error = host.load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Network, "{}", messages(&error));
    assert!(scene.is_cache_empty(&host).await);
}

/// CACHE-05: a stricter policy takes effect at the next load, offline too.
#[tokio::test]
async fn a_stricter_policy_applies_to_what_is_cached() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    assert_eq!(
        greet(&scene.host(&scene.config()), "greeter").await,
        "Hello, world! (wasm)"
    );

    let oci = format!("cert_email = \"boss@acme.example\"\ncert_issuer = \"{ISSUER}\"");
    for offline in [false, true] {
        let stricter = scene
            .builder(&scene.config_with(&oci, ""))
            .offline(offline)
            .build()
            .unwrap();
        let error = stricter.load("greeter").await.err().unwrap();
        assert_eq!(
            error.kind(),
            ErrorKind::NotVerified,
            "offline {offline}: {}",
            messages(&error)
        );
    }
}

/// CACHE-05: what was fetched with verification off is not trusted when it is on.
#[tokio::test]
async fn verification_that_was_skipped_does_not_count_later() {
    let scene = Scene::new().await;
    scene.push(&wasm_image(), "1");
    let careless = scene.config_with("insecure_skip_signature = true", "");
    assert_eq!(
        greet(&scene.host(&careless), "greeter").await,
        "Hello, world! (wasm)"
    );
    assert!(
        scene.warnings().contains("not verified"),
        "{}",
        scene.warnings()
    );

    let error = scene
        .host(&scene.config())
        .load("greeter")
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::NotVerified, "{}", messages(&error));
}

/// A load without verification neither replaces the pinned signer nor its time.
#[tokio::test]
async fn verification_that_was_skipped_removes_no_pin() {
    let scene = Scene::new().await;
    let config = scene.config_with("pull_policy = \"always\"", "");
    let careless = scene.config_with(
        "pull_policy = \"always\"\ninsecure_skip_signature = true",
        "",
    );
    let first = scene.push(&wasm_image(), "1");
    scene.sign(&first);
    let host = scene.host(&config);
    greet(&host, "greeter").await;
    let entry = |host: &qmt_plugins::PluginHost| host.lock_entry("greeter").unwrap();
    let pinned = entry(&host);
    assert!(pinned.signer.is_some() && pinned.signed_at.is_some());

    let image = qmt_testkit::ImageBuilder::dockerfile(qmt_testkit::plugins::echo_wasm()).build();
    let second = scene.push(&image, "1");
    scene.sign_as(&second, "mallory@evil.example");
    let skipping = scene.host(&careless);
    greet(&skipping, "greeter").await;
    let skipped = entry(&skipping);
    assert_eq!(skipped.digest, *second.digest());
    assert_eq!(
        (skipped.signer, skipped.signed_at),
        (pinned.signer, pinned.signed_at)
    );
    let verifying = scene.host(&config);
    for result in [
        verifying.load("greeter").await.err(),
        verifying.update("greeter").await.err(),
    ] {
        let error = result.unwrap();
        assert_eq!(error.kind(), ErrorKind::NotVerified, "{}", messages(&error));
    }
}

/// Design §5: without a constraint the first signer is pinned, and another one later refused.
#[tokio::test]
async fn the_first_signer_is_pinned() {
    let scene = Scene::new().await;
    let first = scene.push(&wasm_image(), "1");
    scene.sign(&first);
    let config = scene.config_with("pull_policy = \"always\"", "");
    let host = scene.host(&config);
    assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");
    let pinned = host
        .locked()
        .first()
        .unwrap()
        .signer
        .clone()
        .unwrap()
        .to_string();
    assert!(pinned.contains(EMAIL), "{pinned}");

    let image = qmt_testkit::ImageBuilder::dockerfile(qmt_testkit::plugins::echo_wasm()).build();
    let second = scene.push(&image, "1");
    scene.sign_as(&second, "mallory@evil.example");
    let error = scene.host(&config).load("greeter").await.err().unwrap();
    let text = messages(&error);
    assert_eq!(error.kind(), ErrorKind::NotVerified, "{text}");
    assert!(
        text.contains("mallory@evil.example") && text.contains(EMAIL),
        "{text}"
    );

    scene.sign(&second);
    assert_eq!(
        greet(&scene.host(&config), "greeter").await,
        "Hello, world! (wasm)"
    );
}

#[tokio::test]
async fn identity_required_refuses_a_config_without_signers() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let host = scene.host(&scene.config_with("identity = \"required\"", ""));
    let error = host.load("greeter").await.err().unwrap();
    let words = messages(&error);
    assert_eq!(error.kind(), ErrorKind::Config, "{words}");
    assert!(words.contains("requires a signer"), "{words}");
}

/// The lockfile holds a digest: a tag that moves changes nothing until `update`.
#[tokio::test]
async fn a_moved_tag_waits_for_an_update() {
    let scene = Scene::new().await;
    let first = scene.push(&wasm_image(), "1");
    scene.sign(&first);
    let config = scene.config();
    scene.host(&config).fetch("greeter").await.unwrap();

    let image = qmt_testkit::ImageBuilder::dockerfile(qmt_testkit::plugins::echo_wasm()).build();
    let second = scene.push(&image, "1");
    scene.sign(&second);
    let host = scene.host(&config);
    let kept = host.fetch("greeter").await.unwrap();
    assert_eq!(kept.reference().unwrap().digest(), first.digest());
    let moved = host.update("greeter").await.unwrap();
    assert_eq!(moved.reference().unwrap().digest(), second.digest());
    assert_eq!(host.locked().first().unwrap().digest, *second.digest());
}

#[tokio::test]
async fn verify_reports_what_was_proven() {
    let scene = Scene::new().await;
    let image = scene.push(&wasm_image(), "1");
    scene.sign(&image);
    let host = scene.host(&scene.config());
    let name = format!("{}/{REPOSITORY}@{}", scene.registry.host(), image.digest());
    let target = Target::parse(host.config(), &name).unwrap();
    let report = host.verify(&target).await.unwrap();
    assert!(report.signer.unwrap().to_string().contains(EMAIL));
    assert!(!report.checks.is_empty() && report.trust_root.is_some());
    assert!(
        scene.is_cache_empty(&host).await,
        "verify fetches no plugin"
    );
}

/// SIG-07: the name that was signed counts where the config says so, and nowhere else.
#[tokio::test]
async fn the_signed_name_counts_where_the_config_says_so() {
    let scene = Scene::new().await;
    let image = scene.push(&wasm_image(), "1");
    let sign_as = |name: &str| {
        let signing = Signing::keyless(Identity::email(EMAIL, ISSUER)).docker_reference(name);
        let signature = scene.sigstore.sign_simple(image.digest(), &signing);
        attach_simple(&scene.registry, REPOSITORY, image.digest(), &[signature]);
    };
    let config = |rule: &str| {
        let policy = format!(
            "[[oci.policy]]\nscope = \"**\"\n{rule}\n\
             any_of = [{{ issuer = \"{ISSUER}\", identity = \"{EMAIL}\" }}]"
        );
        scene.config_with(&policy, "")
    };
    let matching = "signed_name = \"match\"";
    let own = format!("{}/{REPOSITORY}", scene.registry.host());
    for (name, rule, is_accepted) in [
        ("elsewhere.example/acme/greeter", "", true),
        (
            "elsewhere.example/acme/greeter",
            "signed_name = \"any\"",
            true,
        ),
        ("elsewhere.example/acme/greeter", matching, false),
        (&own, matching, true),
    ] {
        sign_as(name);
        let loaded = scene.host(&config(rule)).load("greeter").await;
        match loaded {
            Ok(_) => assert!(is_accepted, "{name} {rule}"),
            Err(error) => {
                let text = messages(&error);
                assert!(!is_accepted && text.contains("elsewhere.example"), "{text}");
            }
        }
    }
}

/// Design §5: a pin is for a plugin, not for one of its tags, and not for the config's name for it.
#[tokio::test]
async fn a_pin_holds_for_every_tag_of_its_repository() {
    let scene = Scene::new().await;
    let first = scene.push(&wasm_image(), "1");
    scene.sign(&first);
    let config = scene.config_with("", "");
    scene.host(&config).fetch("greeter").await.unwrap();
    let image = qmt_testkit::ImageBuilder::dockerfile(qmt_testkit::plugins::echo_wasm()).build();
    let second = scene.push(&image, "2");
    scene.sign_as(&second, "eve@acme.example");
    let elsewhere = image.push(&scene.registry, "acme/other", "2");
    let signing = Signing::keyless(Identity::email("eve@acme.example", ISSUER));
    let signature = scene.sigstore.sign_simple(elsewhere.digest(), &signing);
    attach_simple(
        &scene.registry,
        "acme/other",
        elsewhere.digest(),
        &[signature],
    );

    let other_tag = config.replace("greeter:1", "greeter:2");
    let other_name = other_tag.replace("name = \"greeter\"", "name = \"welcome\"");
    for (config, name) in [(&other_tag, "greeter"), (&other_name, "welcome")] {
        let host = scene.host(config);
        let error = host.fetch(name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotVerified);
        let text = format!("{}; {}", messages(&error), error.hint().unwrap());
        let scope = format!("scope = \"{}/{REPOSITORY}\"", scene.registry.host());
        for part in [
            "the lockfile pins",
            EMAIL,
            "eve@acme.example",
            "[[oci.policy]]",
            &scope,
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(host.locked().first().unwrap().digest, *first.digest());
    }
    // So it does for what is named in full; another repository is another plugin.
    let host = scene.host(&config);
    for (name, is_good) in [
        (format!("{REPOSITORY}:1"), true),
        (format!("{REPOSITORY}:2"), false),
        ("acme/other:2".to_owned(), true),
    ] {
        let name = format!("{}/{name}", scene.registry.host());
        let target = Target::parse(host.config(), &name).unwrap();
        assert_eq!(host.verify(&target).await.is_ok(), is_good, "{name}");
        assert_eq!(host.fetch_target(&target).await.is_ok(), is_good, "{name}");
    }
}

/// Keys alone: no Sigstore is needed for scopes that name keys, and what no scope covers is
/// refused.
#[tokio::test]
async fn scopes_of_keys_need_no_sigstore() {
    let scene = Scene::new().await;
    let image = scene.push(&wasm_image(), "1");
    let signing = Signing::key("p256").log(LogKind::None);
    let signature = scene.sigstore.sign_simple(image.digest(), &signing);
    attach_simple(&scene.registry, REPOSITORY, image.digest(), &[signature]);
    scene.write("team.pub", &scene.sigstore.key_pem("p256"));
    let host = scene.registry.host();
    for (scope, is_good) in [("acme/**", true), ("else/**", false)] {
        let config = scene.config_with(
            &format!(
                "use_sigstore_tuf_data = false\n[[oci.policy]]\nscope = \"{host}/{scope}\"\n\
                 any_of = [{{ key = \"team.pub\", transparency_log = \"optional\" }}]"
            ),
            "",
        );
        let config = config.replace("trusted_root = \"trusted_root.json\"\n", "");
        let host = scene.host(&config);
        // An image that no policy covers is found without the network.
        let checked = host.check().await;
        assert_eq!(checked.is_ok(), is_good, "{checked:?}");
        let fetched = host.fetch("greeter").await;
        assert_eq!(fetched.is_ok(), is_good, "{fetched:?}");
        if let Err(error) = fetched {
            assert!(
                messages(&error).contains("no policy"),
                "{}",
                messages(&error)
            );
        }
    }
}

/// Two files of one key: m of n keys are fewer than it seems.
#[tokio::test]
async fn a_key_in_two_files_is_warned_about_where_keys_are_counted() {
    let scene = Scene::new().await;
    for (file, key) in [("a.pub", "p256"), ("b.pub", "p256"), ("c.pub", "other")] {
        scene.write(file, &scene.sigstore.key_pem(key));
    }
    for (files, require, is_repeated) in [
        (["a.pub", "b.pub"], 2, true),
        (["a.pub", "b.pub"], 1, false),
        (["a.pub", "c.pub"], 2, false),
    ] {
        let keys =
            files.map(|file| format!("{{ key = \"{file}\", transparency_log = \"optional\" }}"));
        let policy = format!(
            "[[oci.policy]]\nscope = \"**\"\nrequire = {require}\nany_of = [{}]",
            keys.join(", ")
        );
        let warnings = scene
            .host(&scene.config_with(&policy, ""))
            .check()
            .await
            .unwrap();
        let warning = warnings.iter().find(|one| one.contains("the same key"));
        assert_eq!(warning.is_some(), is_repeated, "{warnings:?}");
        assert!(
            warning.is_none_or(|one| one.contains("`a.pub` and `b.pub`")),
            "{warnings:?}"
        );
    }
}

//! What `verify` and `why` say about an image with several signatures.

use qmt_oci_ref::Digest;
use qmt_testkit::{FakeRegistry, Fault, Identity, Signing};

use crate::scene::{EMAIL, ISSUER, Scene};

/// A policy of the signed plugin's repository that accepts its signer, with more conditions.
fn policy(scene: &Scene, more: &str) -> String {
    let config = scene.config("");
    let head = config
        .replace("cert_email", "#")
        .replace("cert_issuer", "#");
    let host = scene.registry.host();
    format!(
        "{head}[[oci.policy]]\nscope = \"{host}/acme/greet\"\n{more}\n\
         any_of = [{{ issuer = \"{ISSUER}\", identity = \"{EMAIL}\" }}]\n"
    )
}

/// The accepted signer's signature is the cause, and another signer is no remedy.
#[test]
fn a_condition_comes_before_signatures_by_other_signers() {
    let scene = Scene::new();
    let by = |email| Signing::keyless(Identity::email(email, ISSUER));
    scene.sign(&scene.signed, [by("mallory@evil.example"), by(EMAIL)]);
    let good = policy(&scene, "");
    let accepted = scene.with(&good, &["verify", "greet"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.transcript());
    let late = policy(&scene, "signed_after = \"2999-01-01T00:00:00Z\"");
    let refused = scene.with(&late, &["verify", "greet"]);
    assert_eq!(refused.code, Some(3), "{}", refused.transcript());
    let messages = refused.messages();
    assert!(messages.contains("2999-01-01"), "{messages}");
    assert!(!messages.contains("any_of"), "{messages}");
    assert!(!messages.contains("mallory"), "{messages}");
}

/// The scope can be given once, so pasted lines replace the policy.
#[test]
fn config_lines_replace_a_policy_of_the_same_scope() {
    let scene = Scene::new();
    for (config, is_replaced) in [(policy(&scene, ""), true), (scene.config(""), false)] {
        let why = scene.with(&config, &["why", "greet"]);
        assert_eq!(why.code, Some(0), "{}", why.transcript());
        let replaces = why.stdout.contains("in place of the policy of");
        assert_eq!(replaces, is_replaced, "{}", why.stdout);
    }
}

/// The signer chooses the names of annotations, and none of them becomes a row of its own.
#[test]
fn an_annotation_does_not_look_like_a_result() {
    let scene = Scene::new();
    let signing = Signing::keyless(Identity::email(EMAIL, ISSUER));
    let signing = signing.annotation("signer", "ceo@bank.example");
    scene.sign(&scene.signed, [signing]);
    let verified = scene.run(&["verify", "greet"]);
    assert_eq!(verified.code, Some(0), "{}", verified.transcript());
    let signers = verified
        .stdout
        .lines()
        .filter(|line| line.starts_with("signer"));
    assert_eq!(signers.count(), 1, "{}", verified.stdout);
    let row = "signer = ceo@bank.example";
    assert!(verified.stdout.contains(row), "{}", verified.stdout);
}

/// The trust root of the public Sigstore was never fetched, and may not be now.
#[test]
fn a_trust_root_that_is_not_stored_is_not_found() {
    let scene = Scene::new();
    let config = scene.config("").replace("trusted_root", "#");
    let reference = format!("{}/acme/greet:1", scene.registry.host());
    let (verify, add) = (["verify", &reference], ["add", &reference, "--name", "new"]);
    for (arguments, pull) in [
        (&["pull", "greet"][..], "pull".to_owned()),
        (&["verify", "greet"], "pull".to_owned()),
        (&["why", "greet"], "pull".to_owned()),
        (&verify, format!("pull {reference}")),
        (&add, format!("pull {reference}")),
    ] {
        let refused = scene.with(&config, &[arguments, &["--offline"]].concat());
        assert_eq!(refused.code, Some(4), "{}", refused.transcript());
        let said = format!("{} {}", refused.stdout, refused.messages());
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        // The image is named first.
        let (_, said) = said.split_once("is not in the cache").unwrap();
        for words in [
            "the trust root can't be used either",
            &format!("`qmt-plugins --config other.toml {pull}`"),
            "`qmt-plugins --config other.toml trust update`",
        ] {
            assert!(said.contains(words), "{words}: {}", refused.transcript());
        }
    }
    // The image is there, and the trust root is not.
    let pull = scene.run(&["pull", "greet"]);
    assert_eq!(pull.code, Some(0), "{}", pull.transcript());
    let refused = scene.with(&config, &["verify", "greet", "--offline"]);
    assert_eq!(refused.code, Some(4), "{}", refused.transcript());
    let messages = refused.messages();
    assert!(messages.contains("without the trust root"), "{messages}");
    assert!(!messages.contains("either"), "{messages}");
}

/// The command that a hint names fetches the image, also where the config does not name it.
#[test]
fn the_command_that_ends_offline_work_fetches_the_image() {
    let scene = Scene::new();
    let host = scene.registry.host().to_string();
    let config = scene.config("").replace("acme/greet:1", "acme/other:1");
    let reference = format!("{host}/acme/greet:1");
    let (named, pull) = (scene.config(""), format!("pull {reference}"));
    for (config, arguments, pull) in [
        (&config, &["verify", &*reference][..], &*pull),
        (&config, &["add", &reference, "--name", "new"], &pull),
        (&config, &["inspect", &reference], &pull),
        (&config, &["run", &reference, "greet"], &pull),
        (&named, &["run", "greet", "greet"], "pull"),
    ] {
        let refused = scene.with(config, &[arguments, &["--offline"]].concat());
        assert_eq!(refused.code, Some(4), "{}", refused.transcript());
        let messages = refused.messages();
        let command = format!("`qmt-plugins --config other.toml {pull}`");
        assert!(messages.contains(&command), "{messages}");
    }
    for (config, pulled) in [(&config, &*reference), (&named, "greet")] {
        let pull = scene.with(config, &["pull", pulled]);
        assert_eq!(pull.code, Some(0), "{}", pull.transcript());
        let verify = scene.with(config, &["verify", pulled, "--offline"]);
        assert_eq!(verify.code, Some(0), "{}", verify.transcript());
    }
}

/// A right that can't be granted is a mistake in the config, as `config check` says.
#[test]
fn a_right_that_can_not_be_granted_is_a_mistake_in_the_config() {
    let scene = Scene::new();
    let config = scene.config("").replacen(
        "name = \"greet\"\n",
        "name = \"greet\"\nallow = { hosts = [\"*\"] }\n",
        1,
    );
    for arguments in [&["config", "check"][..], &["run", "greet", "greet"]] {
        let refused = scene.with(&config, arguments);
        assert_eq!(refused.code, Some(6), "{}", refused.transcript());
    }
}

/// A place that only an account may read: the login command can be pasted.
#[test]
fn commands_in_the_hints_of_why_name_the_config() {
    let scene = Scene::new();
    let denied = Fault::on("GET", "/v2/acme/*/referrers/*").respond(403);
    scene.registry.fault(denied);
    let host = scene.registry.host();
    let login = format!("`qmt-plugins --config other.toml login {host}`");
    let config = scene.config("");
    for (name, code) in [("greet", 0), ("unsigned", 5)] {
        let why = scene.with(&config, &["why", name]);
        assert_eq!(why.code, Some(code), "{}", why.transcript());
        assert!(why.stdout.contains(&login), "{}", why.transcript());
        assert!(!why.stdout.contains("`qmt-plugins login"), "{}", why.stdout);
        let json = scene.with(&config, &["why", name, "--format", "json"]);
        assert!(json.stdout.contains(&login), "{}", json.stdout);
        assert!(
            !json.stdout.contains("`qmt-plugins login"),
            "{}",
            json.stdout
        );
    }
}

/// What one place answers is shown, also where a signature in another place is accepted.
#[test]
fn why_shows_odd_places_of_an_accepted_image() {
    let referrers = "/v2/acme/greet/referrers/*";
    let index = "application/vnd.oci.image.index.v1+json";
    let listing = |digest: &str| {
        let entry = format!(
            "{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"size\":500,\
             \"artifactType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\",\
             \"digest\":\"{digest}\"}}"
        );
        let list =
            format!("{{\"schemaVersion\":2,\"mediaType\":\"{index}\",\"manifests\":[{entry}]}}");
        let listed = Fault::on("GET", referrers).respond(200);
        listed.header("content-type", index).body(list)
    };
    let hex = "a".repeat(64);
    for (fault, words) in [
        (
            Fault::on("GET", referrers).respond(422),
            "could not be read: - the referrers of",
        ),
        (
            Fault::on("GET", "/v2/acme/greet/manifests/sha256-*.att").respond(422),
            "the registry answers with status 422",
        ),
        (
            listing(&format!("blake3:{hex}")),
            "rejected: - the referrers of",
        ),
        (
            listing(&format!("sha256:{hex}")),
            "its content is missing in the registry",
        ),
    ] {
        let scene = Scene::new();
        scene.registry.fault(fault);
        let why = scene.run(&["why", "greet"]);
        assert_eq!(why.code, Some(0), "{}", why.transcript());
        let shown = why.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(words), "{words}: {}", why.stdout);
    }
    // What is answered is shown, and not that time is up.
    let manifests = |end| format!("/v2/acme/greet/manifests/sha256{end}");
    for (status, words) in [
        (403, "status 403"),
        (429, "limits the rate"),
        (500, "status 500"),
    ] {
        for end in ["-*.att", ":a*"] {
            let scene = Scene::new();
            scene.registry.fault(listing(&format!("sha256:{hex}")));
            let fault = Fault::on("GET", manifests(end)).respond(status);
            scene.registry.fault(fault.header("retry-after", "9"));
            let why = scene.run(&["why", "greet"]);
            assert_eq!(why.code, Some(0), "{}", why.transcript());
            let shown = why.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
            let (_, unread) = shown.split_once("could not be read:").unwrap();
            assert!(unread.contains(words), "{status} {end}: {}", why.stdout);
        }
    }
    // The image itself under a tag for signatures.
    let scene = Scene::new();
    let digest: Digest = scene.signed.parse().unwrap();
    let tag = format!("sha256-{}.att", digest.hex());
    scene.registry.retag("acme/greet", &tag, &digest);
    let why = scene.run(&["why", "greet"]);
    assert_eq!(why.code, Some(0), "{}", why.transcript());
    assert!(
        why.stdout.contains(&format!("- tag {tag}")),
        "{}",
        why.stdout
    );
}

/// A command in a warning names the config, as one in an error does: it can be pasted.
#[test]
fn a_command_in_a_warning_names_the_config() {
    let scene = Scene::new();
    let mirror = FakeRegistry::builder().start().unwrap();
    let denied = r#"{"errors":[{"code":"DENIED","message":"no"}]}"#;
    mirror.fault(Fault::on("GET", "/v2/*").respond(403).body(denied));
    let host = mirror.host();
    let config = scene.config(&format!("[registries.\"{host}\"]\nplain_http = true\n"));
    let mirrored = format!("plain_http = true\nmirrors = [\"{host}\"]");
    let config = config.replacen("plain_http = true", &mirrored, 1);
    let pulled = scene.with(&config, &["pull", "greet"]);
    assert_eq!(pulled.code, Some(0), "{}", pulled.transcript());
    let command = format!("`qmt-plugins --config other.toml login {host}`");
    let warned = pulled.messages();
    assert!(warned.contains(&command), "{}", pulled.transcript());
    let repeated = "--config other.toml --config";
    assert!(!warned.contains(repeated), "{}", pulled.transcript());
}

/// The attestation may be where it could not be looked for: it is not missing.
#[test]
fn a_failed_look_up_of_an_attestation_is_tried_again() {
    let scene = Scene::new();
    let demand = "attestations = [{ predicate_type = \"https://slsa.dev/provenance/v1\", \
                  builder = \"https://builder.example\" }]";
    let config = policy(&scene, demand);
    let missing = scene.with(&config, &["pull", "greet"]);
    assert_eq!(missing.code, Some(3), "{}", missing.transcript());
    let attach = "attach the attestation";
    let said = missing.messages();
    assert!(said.contains(attach), "{}", missing.transcript());
    let tag = Fault::on("GET", "/v2/*/manifests/*.att");
    scene.registry.fault(tag.respond(500));
    let unknown = scene.with(&config, &["pull", "greet"]);
    assert_eq!(unknown.code, Some(5), "{}", unknown.transcript());
    let said = unknown.messages();
    assert!(said.contains("try again later"), "{}", unknown.transcript());
    assert!(!said.contains(attach), "{}", unknown.transcript());
}

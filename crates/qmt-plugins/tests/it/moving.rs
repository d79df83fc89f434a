//! A registry whose tags move, while it is asked and between two starts. DIG-03, SIG-06, SIG-08.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qmt_plugins::{Error, ErrorKind, LockMode, Target};
use qmt_testkit::{Fault, Gate, Identity, ImageBuilder, LogKind, Signing, attach_simple, plugins};
use tokio::sync::Notify;

use crate::scene::{EMAIL, ISSUER, REPOSITORY, Scene, messages, wasm_image};

/// What the registry does while one of our requests waits for its answer.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The tag of the image names an unsigned one.
    Image,
    /// So does the tag of its signature: that of an unsigned image.
    Signature,
    /// Both.
    Both,
}

impl Move {
    fn make(self, scene: &Scene, signed: &qmt_oci_ref::Descriptor, evil: &qmt_oci_ref::Descriptor) {
        if matches!(self, Self::Image | Self::Both) {
            scene.registry.retag(REPOSITORY, "1", evil.digest());
        }
        if matches!(self, Self::Signature | Self::Both) {
            let tag = format!("sha256-{}.sig", signed.digest().hex());
            scene.registry.retag(REPOSITORY, &tag, evil.digest());
        }
    }
}

/// Pulls while the registry moves its tags at request number `at`; returns the digest that came
/// out, and whether there was a request of that number.
async fn pull(at: usize, how: Move) -> (Result<bool, String>, bool) {
    let scene = Scene::new().await;
    let signed = scene.push(&wasm_image(), "1");
    scene.sign(&signed);
    let unsigned = ImageBuilder::dockerfile(plugins::echo_wasm()).build();
    let evil = unsigned.push(&scene.registry, REPOSITORY, "evil");
    let host = scene.host(&scene.config());

    let (count, held, gate) = (AtomicUsize::new(0), Arc::new(Notify::new()), Gate::new());
    let arrived = Arc::clone(&held);
    let fault = Fault::on("GET", "/v2/*").when(move |_| {
        let is_it = count.fetch_add(1, Ordering::SeqCst) == at;
        if is_it {
            arrived.notify_one();
        }
        is_it
    });
    scene.registry.fault(fault.hold(&gate));
    let fetch = tokio::spawn(async move { host.fetch("greeter").await });
    let was_held = tokio::select! {
        () = held.notified() => true,
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("the pull hangs"),
        () = async { while !fetch.is_finished() { tokio::time::sleep(Duration::from_millis(2)).await } } => false,
    };
    if was_held {
        how.make(&scene, &signed, &evil);
        gate.open();
    }
    let outcome = match fetch.await.unwrap() {
        Ok(fetched) => Ok(fetched.reference().unwrap().digest() == signed.digest()),
        Err(error) => Err(messages(&error)),
    };
    (outcome, was_held)
}

/// DIG-03, SIG-06: wherever between two of our requests the tags move, what comes out is the signed
/// image or an error, and never the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_change_of_a_tag_between_two_requests_loads_an_unsigned_image() {
    let (mut signed, mut refused) = (0, 0);
    for how in [Move::Image, Move::Signature, Move::Both] {
        for at in 0.. {
            assert!(at < 64, "a pull of one image needs fewer requests");
            let (outcome, was_held) = pull(at, how).await;
            match outcome {
                Ok(is_signed) => {
                    assert!(
                        is_signed,
                        "{how:?} at request {at} brought in the other image"
                    );
                    signed += 1;
                }
                Err(messages) => {
                    assert!(was_held, "without a move: {messages}");
                    refused += 1;
                }
            }
            if !was_held {
                break;
            }
        }
    }
    // Both happens: moves that come too late to matter, and moves that are noticed.
    assert!(
        signed > 3 && refused > 2,
        "{signed} signed, {refused} refused"
    );
}

/// Signs a second image an hour before the first, and gives both: the newer one, and the older.
fn two_versions(scene: &Scene) -> [qmt_oci_ref::Descriptor; 2] {
    let older = ImageBuilder::dockerfile(plugins::echo_wasm()).build();
    let older = scene.push(&older, "older");
    let newer = scene.push(&wasm_image(), "1");
    let signing = Signing::keyless(Identity::email(EMAIL, ISSUER));
    let long_ago = signing.earlier(Duration::from_hours(1));
    let signature = scene.sigstore.sign_simple(older.digest(), &long_ago);
    attach_simple(&scene.registry, REPOSITORY, older.digest(), &[signature]);
    scene.sign(&newer);
    [newer, older]
}

/// SIG-08: a registry that serves an older version again, signed and all, is refused where the
/// lockfile knows a newer one; the operator's own update follows, and says so.
#[tokio::test]
async fn a_rollback_behind_the_lockfile_is_refused() {
    let scene = Scene::new().await;
    let [newer, older] = two_versions(&scene);
    for always in ["pull_policy = \"always\"", "refresh_after = \"0s\""] {
        let _ = std::fs::remove_file(scene.folder.path().join("plugins.lock"));
        let _ = std::fs::remove_dir_all(scene.folder.path().join("cache"));
        scene.events.lock().unwrap().clear();
        let trust = format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"\n{always}");
        let host = scene.host(&scene.config_with(&trust, ""));
        // The opposite case: a move to a newer version is no warning.
        scene.registry.retag(REPOSITORY, "1", older.digest());
        host.fetch("greeter").await.unwrap();
        scene.registry.retag(REPOSITORY, "1", newer.digest());
        host.fetch("greeter").await.unwrap();
        assert_eq!(scene.warnings(), "", "{always}");
        assert_eq!(host.locked().first().unwrap().digest, *newer.digest());

        scene.registry.retag(REPOSITORY, "1", older.digest());
        let error = host.fetch("greeter").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotVerified);
        let text = format!("{}; {}", messages(&error), error.hint().unwrap());
        for part in [
            &older.digest().to_string(),
            &newer.digest().to_string(),
            &"was rolled back".to_owned(),
            &"qmt-plugins update greeter".to_owned(),
        ] {
            assert!(text.contains(part.as_str()), "{text}");
        }
        // What is asked about it answers the same.
        let target = Target::named(host.config(), "greeter").unwrap();
        let asked = host.verify_versions(&target).await.unwrap().used.result;
        assert!(matches!(asked, Err(Error::Rollback { .. })), "{asked:?}");
        let asked = host.verify(&target).await;
        assert!(matches!(asked, Err(Error::Rollback { .. })), "{asked:?}");
        // Nothing is lost: what the lockfile holds loads, without a network too.
        assert_eq!(host.locked().first().unwrap().digest, *newer.digest());
        let builder = scene.builder(&scene.config()).lock_mode(LockMode::Frozen);
        builder.build().unwrap().load("greeter").await.unwrap();

        let host = scene.host(&scene.config_with(&trust, ""));
        let updated = host.update("greeter").await.unwrap();
        assert_eq!(updated.reference().unwrap().digest(), older.digest());
        let warnings = scene.warnings();
        assert!(
            warnings.contains("was rolled back") && warnings.contains(&newer.digest().to_string()),
            "{warnings}"
        );
    }
}

/// SIG-08: where no lockfile holds anything, a step back is shown.
#[tokio::test]
async fn without_a_lockfile_a_rollback_is_shown() {
    let scene = Scene::new().await;
    let [newer, older] = two_versions(&scene);
    let trust =
        format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"\npull_policy = \"always\"");
    let host = scene.host(&scene.config_with(&trust, ""));
    let name = format!("{}/{REPOSITORY}:1", scene.registry.host());
    let target = Target::parse(host.config(), &name).unwrap();
    for (to, words) in [
        (&older, ""),
        (&newer, ""),
        (&older, "was rolled back"),
        (&older, ""),
    ] {
        scene.events.lock().unwrap().clear();
        scene.registry.retag(REPOSITORY, "1", to.digest());
        let fetched = host.fetch_target(&target).await.unwrap();
        assert_eq!(fetched.reference().unwrap().digest(), to.digest());
        let warnings = scene.warnings();
        assert_eq!(warnings.is_empty(), words.is_empty(), "{warnings}");
        assert!(warnings.contains(words), "{warnings}");
    }
}

/// A registry, and a config that resolves tags at each start and accepts a key without a log.
async fn keyed_scene() -> (Scene, String) {
    let scene = Scene::new().await;
    scene.write("team.pub", &scene.sigstore.key_pem("p256"));
    let rule = "pull_policy = \"always\"\n[[oci.policy]]\nscope = \"**\"\n\
                any_of = [{ key = \"team.pub\", transparency_log = \"optional\" }]";
    let config = scene.config_with(rule, "");
    (scene, config)
}

fn publish_keyed(
    scene: &Scene,
    image: &qmt_testkit::Image,
    (log, timestamp): (LogKind, bool),
) -> qmt_oci_ref::Descriptor {
    let image = scene.push(image, "1");
    let signing = Signing::key("p256").log(log).timestamp(timestamp);
    let bundle = scene.sigstore.sign_bundle(image.digest(), &signing);
    qmt_testkit::attach_bundle(&scene.registry, REPOSITORY, &image, &bundle);
    image
}

/// SIG-08: where nothing proves which of two is older, the new one may be the older one: a tag that
/// moved waits for the operator. A timestamp made today proves nothing either.
#[tokio::test]
async fn a_change_without_proven_times_is_a_rollback() {
    let other = ImageBuilder::dockerfile(plugins::echo_wasm()).build();
    // Both ways around: what was locked has a proven time, or what the tag names now.
    for (before, now) in [
        ((LogKind::None, false), (LogKind::None, false)),
        ((LogKind::None, false), (LogKind::None, true)),
        ((LogKind::RekorV1, false), (LogKind::None, true)),
        ((LogKind::RekorV1, false), (LogKind::RekorV2, true)),
        ((LogKind::None, false), (LogKind::RekorV1, false)),
    ] {
        let (scene, config) = keyed_scene().await;
        let host = scene.host(&config);
        let first = publish_keyed(&scene, &wasm_image(), before);
        host.fetch("greeter").await.unwrap();
        let second = publish_keyed(&scene, &other, now);
        let error = host.fetch("greeter").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotVerified, "{before:?} {now:?}");
        let text = format!("{}; {}", messages(&error), error.hint().unwrap());
        for part in [
            "may have been rolled back",
            "no proven signing time",
            "update greeter",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(host.locked()[0].digest, *first.digest());
        host.update("greeter").await.unwrap();
        let warnings = scene.warnings();
        assert!(warnings.contains("has changed"), "{warnings}");
        assert_eq!(host.locked()[0].digest, *second.digest());
    }
    // The opposite case: the times of the log prove the order.
    let (scene, config) = keyed_scene().await;
    let host = scene.host(&config);
    publish_keyed(&scene, &wasm_image(), (LogKind::RekorV1, true));
    host.fetch("greeter").await.unwrap();
    publish_keyed(&scene, &other, (LogKind::RekorV1, true));
    host.fetch("greeter").await.unwrap();
}

/// A host that runs for days takes what another process writes to the lockfile.
#[tokio::test]
async fn a_running_host_follows_the_lockfile() {
    let other = ImageBuilder::dockerfile(plugins::echo_wasm()).build();
    let (scene, config) = keyed_scene().await;
    let host = scene.host(&config);
    publish_keyed(&scene, &wasm_image(), (LogKind::None, false));
    host.fetch("greeter").await.unwrap();
    let second = publish_keyed(&scene, &other, (LogKind::None, false));
    host.fetch("greeter").await.unwrap_err();
    scene.host(&config).update("greeter").await.unwrap();
    let fetched = host.fetch("greeter").await.unwrap();
    assert_eq!(fetched.reference().unwrap().digest(), second.digest());
    // While the file is absent, its pins stay.
    std::fs::remove_file(scene.folder.path().join("plugins.lock")).unwrap();
    publish_keyed(&scene, &wasm_image(), (LogKind::None, false));
    host.fetch("greeter").await.unwrap_err();
}

/// The time of `refresh_after` also passes for what a lockfile from elsewhere names.
#[tokio::test]
async fn a_lockfile_from_elsewhere_gets_old() {
    let scene = Scene::new().await;
    let [newer, older] = two_versions(&scene);
    scene.registry.retag(REPOSITORY, "1", older.digest());
    let trust =
        format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"\nrefresh_after = \"0s\"");
    let config = scene.config_with(&trust, "");
    scene.host(&config).fetch("greeter").await.unwrap();
    std::fs::remove_dir_all(scene.folder.path().join("cache")).unwrap();
    scene.registry.retag(REPOSITORY, "1", newer.digest());
    let host = scene.host(&config);
    for expected in [older, newer] {
        let fetched = host.fetch("greeter").await.unwrap();
        assert_eq!(fetched.reference().unwrap().digest(), expected.digest());
    }
}

//! A registry whose tags move while it is asked. DIG-03, SIG-06.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qmt_oci_ref::Tag;
use qmt_testkit::{Fault, Gate, ImageBuilder, plugins};
use tokio::sync::Notify;

use crate::scene::{REPOSITORY, Scene, told, wasm_image};

/// What the registry does while one of our requests waits for its answer.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The tag of the image names an unsigned one.
    Image,
    /// So does the tag of its signature: that of an image which nobody signed.
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
            let tag = Tag::for_digest(signed.digest(), ".sig").unwrap();
            scene
                .registry
                .retag(REPOSITORY, tag.as_str(), evil.digest());
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
        Err(error) => Err(told(&error)),
    };
    (outcome, was_held)
}

/// DIG-03, SIG-06: wherever between two of our requests the tags move, what comes out is the signed image or an
/// error, and never the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_move_of_a_tag_between_two_requests_brings_in_what_nobody_signed() {
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
                Err(told) => {
                    assert!(was_held, "without a move: {told}");
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

//! TUF-01: what was seen once is not forgotten.

use super::*;

/// `test_expiration.py`: a root that was seen is kept, also where the refresh then fails; keys that
/// it took away stay away.
#[tokio::test]
async fn tuf_01_a_root_that_was_seen_is_not_forgotten() {
    let mut simulator = Simulator::new();
    let client = Client::of(&simulator);
    client.refresh(&simulator).await.unwrap();
    let before = simulator.files();
    // The thief's metadata: signed with the keys of now, in newer versions.
    simulator.target = simulator.target.replace("rekor", "thief");
    simulator.update(&LOWER);
    let stolen = simulator.files();
    // The owner gives all lower roles new keys; the refresh meets that root, and then fails.
    simulator.serve(before);
    for (number, role) in LOWER.iter().enumerate() {
        *simulator.role(role) = Role::of(&[8 + number], 1, &[8 + number]);
    }
    simulator.update(&["root"]);
    simulator.asked();
    assert!(client.refresh(&simulator).await.is_err());
    assert_eq!(simulator.asked()[..2], ["2.root.json", "3.root.json"]);
    // What was good before still serves until it is asked for again.
    assert_eq!(client.cached().await.unwrap(), (1, 1));
    simulator.serve(stolen);
    assert!(
        client.refresh(&simulator).await.is_err(),
        "revoked keys are believed again"
    );
    assert_eq!(simulator.asked()[0], "3.root.json");
}

/// Spec 5.4.5, 5.5.7: what a refresh verified before it failed is stored, and no role is rolled
/// back to a version before it.
#[tokio::test]
async fn tuf_01_a_refresh_that_broke_off_is_a_floor() {
    for hashes in [false, true] {
        // The role at which the refresh fails, and the role that is rolled back after it.
        for (broken, rolled_back) in [
            ("snapshot", "timestamp"),
            ("targets", "timestamp"),
            ("targets", "snapshot"),
            ("targets", "targets"),
            ("snapshot", "targets"),
        ] {
            let mut simulator = Simulator::new();
            simulator.hashes = hashes;
            simulator.update(&LOWER);
            let client = Client::of(&simulator);
            client.refresh(&simulator).await.unwrap();
            // Versions 3 and 4 of all roles; the role at which the refresh fails is not served.
            for _ in 0..2 {
                simulator.update(&LOWER);
            }
            let good = simulator.files();
            let mut cut = good.clone();
            cut.remove(&format!("4.{broken}.json")).unwrap();
            simulator.serve(cut);
            assert!(client.refresh(&simulator).await.is_err());
            // The last complete refresh is used while the repository cannot be read.
            assert_eq!(client.cached().await.unwrap(), (1, 2));
            // A lower version of the role than the one seen, named by all roles above it.
            simulator.serve(good.clone());
            let floor = if broken == "snapshot" && rolled_back == "targets" {
                2 // The new snapshot was never seen, so that the one before counts.
            } else {
                4
            };
            simulator.role(rolled_back).version = floor - 1;
            simulator.publish(&[rolled_back]);
            let above = LOWER.iter().skip_while(|one| **one != rolled_back).skip(1);
            let above: Vec<&str> = above.copied().collect();
            simulator.update(&above);
            for attempt in 0..3 {
                let outcome = client.refresh(&simulator).await;
                assert!(
                    outcome.is_err(),
                    "{broken} {rolled_back} {hashes} {attempt}"
                );
            }
            // Newer versions of all roles are accepted.
            for role in LOWER {
                simulator.role(role).version = 9;
            }
            simulator.publish(&LOWER);
            assert_eq!(client.refresh(&simulator).await.unwrap(), (1, 9));
        }
    }
}

/// Spec 5.5.4: a snapshot may not omit a role that an earlier one named, also if a timestamp came
/// in between, or its keys were rotated.
#[tokio::test]
async fn tuf_01_what_a_snapshot_named_is_not_forgotten() {
    for rotated in [false, true] {
        let mut simulator = Simulator::new();
        simulator.update(&LOWER);
        let client = Client::of(&simulator);
        client.refresh(&simulator).await.unwrap();
        // A timestamp whose snapshot is not served.
        simulator.update(&["snapshot", "timestamp"]);
        let mut cut = simulator.files();
        cut.remove("3.snapshot.json").unwrap();
        simulator.serve(cut);
        assert!(client.refresh(&simulator).await.is_err());
        if rotated {
            let version = simulator.roles["timestamp"].version;
            *simulator.role("timestamp") = Role::of(&[8], 1, &[8]);
            simulator.role("timestamp").version = version;
            simulator.update(&["root"]);
        }
        simulator.pinned.insert("targets", 1);
        simulator.role("targets").version = 1;
        simulator.publish(&["targets"]);
        simulator.update(&["snapshot", "timestamp"]);
        for _ in 0..2 {
            assert!(client.refresh(&simulator).await.is_err(), "{rotated}");
        }
        // New keys for the snapshot let the repository recover.
        let version = simulator.roles["snapshot"].version;
        *simulator.role("snapshot") = Role::of(&[9], 1, &[9]);
        simulator.role("snapshot").version = version;
        simulator.update(&["root", "snapshot", "timestamp"]);
        client.refresh(&simulator).await.unwrap();
    }
}

//! TUF-01: what tuf-conformance asks of a client, asked of ours. The suite itself is Python and not
//! here; each test says which of its files it follows.
//! <https://github.com/theupdateframework/tuf-conformance/tree/main/tuf_conformance>

mod delegations;
mod memory;
mod rotations;
mod simulator;

use serde_json::{Value, json};

use self::simulator::{Client, DAY, IN_A_WEEK, ROLES, Role, Simulator, YESTERDAY};

const LOWER: [&str; 3] = ["targets", "snapshot", "timestamp"];

/// `test_basic.py`: the workflow's requests and no other.
#[tokio::test]
async fn tuf_01_a_refresh_asks_for_what_the_workflow_names() {
    let simulator = Simulator::new();
    let client = Client::of(&simulator);
    assert_eq!(client.refresh(&simulator).await.unwrap(), (1, 1));
    let asked = simulator.asked();
    let metadata = [
        "2.root.json",
        "timestamp.json",
        "1.snapshot.json",
        "1.targets.json",
    ];
    assert_eq!(asked[..4], metadata);
    assert!(
        asked[4].starts_with("targets/") && asked.len() == 5,
        "{asked:?}"
    );
    client.refresh(&simulator).await.unwrap();
    assert_eq!(simulator.asked(), metadata[..2]);
}

/// `test_basic.py`: a first root that does not hold; nothing is asked for.
#[tokio::test]
async fn tuf_01_a_bad_first_root_is_refused_before_anything_is_asked() {
    let simulator = Simulator::new();
    let good: Value = serde_json::from_slice(&simulator.files()["1.root.json"]).unwrap();
    let mut unversioned = good.clone();
    unversioned["signed"]
        .as_object_mut()
        .unwrap()
        .remove("version");
    let mut changed = good.clone();
    changed["signed"]["expires"] = IN_A_WEEK.into();
    let mut unsigned = good;
    unsigned["signatures"][0]["sig"] = "00".repeat(64).into();
    for root in [unversioned, changed, unsigned] {
        let client = Client::born_with(root.to_string().into_bytes());
        assert!(client.refresh(&simulator).await.is_err(), "{root}");
        assert!(simulator.asked().is_empty());
    }
}

/// `test_basic.py`: fields that are not in the specification are signed like all others.
#[tokio::test]
async fn tuf_01_unknown_fields_are_part_of_what_is_signed() {
    let mut simulator = Simulator::new();
    let client = Client::of(&simulator);
    client.refresh(&simulator).await.unwrap();
    simulator.root_extra = json!({ "custom-field": "value", "another": { "a": [1, 2] } });
    simulator
        .key_extra
        .insert("extra-field".into(), json!({ "a": 1, "b": 2 }));
    // `test_keys.py`: this client does not depend on the hash in a key's name.
    simulator
        .key_extra
        .insert("keyid_hash_algorithms".into(), json!(["md5"]));
    simulator.update(&["root"]);
    assert_eq!(client.refresh(&simulator).await.unwrap(), (2, 1));
    let mut root: Value = serde_json::from_slice(&simulator.files()["2.root.json"]).unwrap();
    root["signed"]["custom-field"] = "other".into();
    simulator.put("2.root.json", root.to_string().into_bytes());
    let fresh = Client::of(&simulator);
    assert!(fresh.refresh(&simulator).await.is_err());
}

/// `test_basic.py`: a timestamp of the same version is the one that we have, whatever it says.
#[tokio::test]
async fn tuf_01_a_timestamp_of_the_same_version_is_not_taken() {
    let mut simulator = Simulator::new();
    let client = Client::of(&simulator);
    client.refresh(&simulator).await.unwrap();
    simulator.asked();
    simulator.role("snapshot").version = 100;
    simulator.publish(&["snapshot", "timestamp"]);
    assert_eq!(client.refresh(&simulator).await.unwrap(), (1, 1));
    assert_eq!(simulator.asked(), ["2.root.json", "timestamp.json"]);
}

/// `test_basic.py`, `test_rollback.py`: what is pinned is what must come.
#[tokio::test]
async fn tuf_01_versions_and_hashes_are_those_that_are_pinned() {
    for hashes in [false, true] {
        for role in ["targets", "snapshot"] {
            let mut simulator = Simulator::new();
            simulator.hashes = hashes;
            simulator.update(&LOWER);
            let client = Client::of(&simulator);
            client.refresh(&simulator).await.unwrap();
            // The right name, and another version inside.
            simulator.update(&LOWER);
            let name = format!("3.{role}.json");
            let files = simulator.files();
            for other in [2, 4] {
                simulator.role(role).version = other;
                simulator.publish(&[role]);
                let content = simulator.files()[&format!("{other}.{role}.json")].clone();
                simulator.serve(files.clone());
                simulator.put(&name, content);
                assert!(
                    client.refresh(&simulator).await.is_err(),
                    "{role} {other} {hashes}"
                );
                assert_eq!(client.cached().await.unwrap(), (1, 2));
            }
            // The right version, other bytes: only a hash can tell.
            simulator.role(role).version = 3;
            simulator.serve(files.clone());
            simulator.role(role).expires = IN_A_WEEK;
            simulator.publish(&[role]);
            assert_eq!(client.refresh(&simulator).await.is_err(), hashes, "{role}");
        }
    }
}

/// `test_rollback.py`: of each role, with hashes and without.
#[tokio::test]
async fn tuf_01_rollbacks_are_refused() {
    for hashes in [false, true] {
        for (role, republished) in [
            ("timestamp", &["timestamp"][..]),
            ("snapshot", &["snapshot"]),
            ("targets", &["targets"]),
        ] {
            let mut simulator = Simulator::new();
            simulator.hashes = hashes;
            simulator.update(&LOWER);
            let client = Client::of(&simulator);
            assert_eq!(client.refresh(&simulator).await.unwrap(), (1, 2));
            simulator.role(role).version = 1;
            simulator.publish(republished);
            // Everything above says so too, in new versions.
            let above = LOWER.iter().skip_while(|one| **one != role).skip(1);
            let above: Vec<&str> = above.copied().collect();
            simulator.update(&above);
            assert!(client.refresh(&simulator).await.is_err(), "{role} {hashes}");
            assert_eq!(client.cached().await.unwrap(), (1, 2));
            // Without a cache a rollback cannot be detected.
            Client::of(&simulator).refresh(&simulator).await.unwrap();
        }
    }
    // A snapshot that the timestamp does not name is not even asked for.
    let mut simulator = Simulator::new();
    simulator.update(&LOWER);
    let client = Client::of(&simulator);
    client.refresh(&simulator).await.unwrap();
    simulator.asked();
    simulator.role("snapshot").version = 1;
    simulator.publish(&["snapshot"]);
    client.refresh(&simulator).await.unwrap();
    assert_eq!(simulator.asked(), ["2.root.json", "timestamp.json"]);
}

/// `test_rollback.py`: a version that was pushed far ahead is brought back by new keys.
#[tokio::test]
async fn tuf_01_new_keys_recover_from_versions_far_ahead() {
    for (role, rotated) in [
        ("timestamp", &["timestamp"][..]),
        ("snapshot", &["snapshot", "timestamp"]),
        ("targets", &["snapshot", "timestamp"]),
    ] {
        let mut simulator = Simulator::new();
        simulator.role(role).version = 99_999;
        simulator.publish(&LOWER);
        let client = Client::of(&simulator);
        client.refresh(&simulator).await.unwrap();
        for (number, name) in rotated.iter().enumerate() {
            let version = simulator.roles[name].version;
            *simulator.role(name) = Role::of(&[8 + number], 1, &[8 + number]);
            simulator.role(name).version = version;
        }
        simulator.update(&["root"]);
        simulator.role(role).version = 1;
        simulator.publish(&LOWER);
        client
            .refresh(&simulator)
            .await
            .unwrap_or_else(|error| panic!("{role}: {error:?}"));
    }
}

/// `test_expiration.py`: what has expired is refused, and what was cached before stays.
#[tokio::test]
async fn tuf_01_expired_metadata_is_refused() {
    for role in ROLES {
        let mut simulator = Simulator::new();
        let client = Client::of(&simulator);
        client.refresh(&simulator).await.unwrap();
        simulator.role(role).expires = YESTERDAY;
        simulator.update(&ROLES);
        assert!(client.refresh(&simulator).await.is_err(), "{role}");
        assert_eq!(client.cached().await.unwrap(), (1, 1), "{role}");
        assert!(
            Client::of(&simulator).refresh(&simulator).await.is_err(),
            "{role}"
        );
    }
}

/// `test_expiration.py`: cached metadata may have expired when there is newer.
#[tokio::test]
async fn tuf_01_expired_metadata_is_a_start_for_newer() {
    let mut simulator = Simulator::new();
    for role in LOWER {
        simulator.role(role).expires = IN_A_WEEK;
    }
    simulator.publish(&LOWER);
    let mut client = Client::of(&simulator);
    client.refresh(&simulator).await.unwrap();
    simulator
        .roles
        .values_mut()
        .for_each(|role| role.expires = "2027-01-01T00:00:00Z");
    simulator.update(&LOWER);
    client.now += 18 * DAY;
    assert!(client.cached().await.is_err());
    assert_eq!(client.refresh(&simulator).await.unwrap(), (1, 2));
    // And its version is a floor all the same.
    client.now += 10 * DAY;
    simulator.role("timestamp").version = 1;
    simulator.publish(&["timestamp"]);
    assert!(client.refresh(&simulator).await.is_err());
}

/// TUF-02 (CVE-2025-2888): a timestamp that leads to a rollback is refused and not kept, however
/// high its version is.
#[tokio::test]
async fn tuf_02_a_refused_timestamp_poisons_nothing() {
    for hashes in [false, true] {
        let mut simulator = Simulator::new();
        simulator.hashes = hashes;
        simulator.update(&LOWER);
        let client = Client::of(&simulator);
        client.refresh(&simulator).await.unwrap();
        let good = simulator.files();
        simulator.role("snapshot").version = 1;
        simulator.role("timestamp").version = 1_000;
        simulator.publish(&["snapshot", "timestamp"]);
        assert!(client.refresh(&simulator).await.is_err());
        simulator.serve(good);
        client.refresh(&simulator).await.unwrap();
        (
            simulator.role("snapshot").version,
            simulator.role("timestamp").version,
        ) = (2, 2);
        simulator.update(&LOWER);
        assert_eq!(client.refresh(&simulator).await.unwrap(), (1, 3));
    }
}

/// TUF-03 (CVE-2026-23991): malformed metadata, cached or fetched, is an error and no panic.
#[tokio::test]
async fn tuf_03_malformed_metadata_is_an_error() {
    let simulator = Simulator::new();
    let good = simulator.files();
    let deep = "[".repeat(100_000);
    for name in [
        "timestamp.json",
        "1.snapshot.json",
        "1.targets.json",
        "2.root.json",
    ] {
        let whole = good.get(name).unwrap_or(&good["1.root.json"]);
        let text = String::from_utf8(whole.clone()).unwrap();
        let mut bad: Vec<String> = vec![
            String::new(),
            "null".into(),
            "[]".into(),
            "{}".into(),
            deep.clone(),
            r#"{"signed":{},"signatures":[]}"#.into(),
            r#"{"signed":null,"signatures":null}"#.into(),
            text.replace("\"version\":1", "\"version\":-1"),
            text.replace("\"version\":1", "\"version\":1e400"),
            text.replace("\"version\":1", "\"version\":99999999999999999999"),
            text.replace("2030-01-01T00:00:00Z", "2030-13-41T99:00:00Z"),
            text.replace("\"sig\":\"", "\"sig\":\"zz"),
            text.replace("\"sig\":\"", "\"sig\":\"\u{fc}"),
        ];
        bad.extend((0..text.len()).step_by(7).map(|end| text[..end].to_owned()));
        for content in bad {
            simulator.serve(good.clone());
            simulator.put(name, content.clone().into_bytes());
            let client = Client::of(&simulator);
            let shown: String = content.chars().take(200).collect();
            assert!(client.refresh(&simulator).await.is_err(), "{name}: {shown}");
        }
    }
}

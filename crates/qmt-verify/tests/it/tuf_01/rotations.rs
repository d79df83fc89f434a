//! `test_updater_key_rotations.py` and `test_keys.py`: who must sign when keys change.

use super::simulator::{Client, Role, Simulator};

/// Roots one after the other, each with keys, threshold and signers, and whether the last holds.
type Roots = (
    &'static str,
    &'static [(&'static [usize], usize, &'static [usize])],
    bool,
);

const ROOTS: &[Roots] = &[
    (
        "one key",
        &[(&[1], 1, &[1]), (&[2], 1, &[2, 1]), (&[2], 1, &[2])],
        true,
    ),
    (
        "signatures of strangers",
        &[
            (&[1], 1, &[3, 1, 4]),
            (&[2], 1, &[3, 2, 1, 4]),
            (&[2], 1, &[3, 2, 4]),
        ],
        true,
    ),
    (
        "other three of five",
        &[
            (&[0, 1, 2, 3, 4], 3, &[0, 2, 4]),
            (&[0, 1, 2, 3, 4], 3, &[0, 4, 1]),
            (&[0, 1, 2, 3, 4], 3, &[0, 1, 3]),
        ],
        true,
    ),
    (
        "one of five is new",
        &[
            (&[0, 1, 2, 3, 4], 3, &[0, 2, 4]),
            (&[0, 1, 3, 4, 5], 3, &[0, 4, 1]),
        ],
        true,
    ),
    (
        "all are new",
        &[
            (&[0, 1, 2, 3, 4], 3, &[0, 2, 4]),
            (&[5, 6, 7, 8, 9], 3, &[0, 2, 4, 5, 6, 7]),
            (&[5, 6, 7, 8, 9], 3, &[5, 6, 7]),
        ],
        true,
    ),
    (
        "more must sign",
        &[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[1, 2])],
        true,
    ),
    (
        "fewer must sign",
        &[
            (&[1, 2, 3], 2, &[1, 2]),
            (&[1, 2, 3], 1, &[1, 2]),
            (&[1, 2, 3], 1, &[1]),
        ],
        true,
    ),
    (
        "the old did not sign",
        &[(&[1], 1, &[1]), (&[2], 1, &[2, 3, 4])],
        false,
    ),
    (
        "the new did not sign",
        &[(&[1], 1, &[1]), (&[2], 1, &[1, 3, 4])],
        false,
    ),
    (
        "too few of the new",
        &[
            (&[0, 1, 2, 3, 4], 3, &[0, 2, 4]),
            (&[0, 1, 3, 4, 5], 3, &[0, 2, 4]),
        ],
        false,
    ),
    (
        "too few of the old",
        &[
            (&[0, 1, 2, 3, 4], 3, &[0, 2, 4]),
            (&[0, 1, 3, 4, 5], 3, &[0, 4, 5]),
        ],
        false,
    ),
    (
        "the new threshold is not reached",
        &[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[2])],
        false,
    ),
    (
        "the old threshold is not reached",
        &[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1])],
        false,
    ),
    (
        "one signature twice",
        &[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 2, &[1, 1])],
        false,
    ),
];

#[tokio::test]
async fn tuf_01_roots_follow_one_another_by_their_keys() {
    for (name, roots, holds) in ROOTS {
        let mut simulator = Simulator::new();
        for (number, (keys, threshold, signers)) in roots.iter().enumerate() {
            *simulator.role("root") = Role::of(keys, *threshold, signers);
            simulator.role("root").version = number as u64 + 1;
            simulator.publish(&["root"]);
        }
        let client = Client::of(&simulator);
        let outcome = client.refresh(&simulator).await;
        assert_eq!(outcome.is_ok(), *holds, "{name}: {outcome:?}");
        if let Ok((root, _)) = outcome {
            assert_eq!(root, roots.len() as u64, "{name}");
        }
    }
}

#[tokio::test]
async fn tuf_01_lower_roles_are_signed_by_the_keys_of_the_root() {
    let of_five = |signers: &[usize]| Role::of(&[0, 1, 2, 3, 4], 3, signers);
    let changed = |signers: &[usize]| Role::of(&[0, 1, 3, 4, 5], 3, signers);
    for role in ["timestamp", "snapshot", "targets"] {
        for (name, state, holds) in [
            ("a new key", Role::of(&[6], 1, &[6]), true),
            (
                "signatures of strangers",
                Role::of(&[6], 1, &[7, 6, 8]),
                true,
            ),
            ("not the new key", Role::of(&[6], 1, &[1, 7, 8]), false),
            ("no signature", Role::of(&[6], 1, &[]), false),
            ("one of three is no longer", changed(&[0, 2, 4]), false),
            ("two of three", changed(&[0, 4]), false),
            ("one twice", changed(&[0, 4, 4]), false),
            ("these three", of_five(&[0, 2, 4]), true),
            ("other three", of_five(&[4, 1, 0]), true),
            ("all five", of_five(&[0, 1, 2, 3, 4]), true),
            (
                "more than there are",
                Role::of(&[0, 1], 3, &[0, 1, 2]),
                false,
            ),
            ("none is wanted", Role::of(&[6], 0, &[6]), false),
        ] {
            let mut simulator = Simulator::new();
            let client = Client::of(&simulator);
            client.refresh(&simulator).await.unwrap();
            *simulator.role(role) = state;
            simulator.update(&["root", "targets", "snapshot", "timestamp"]);
            let outcome = client.refresh(&simulator).await;
            assert_eq!(outcome.is_ok(), holds, "{role}, {name}: {outcome:?}");
        }
    }
}

/// One key under many names signs once.
#[tokio::test]
async fn tuf_01_a_key_counts_once_under_all_its_names() {
    for names in 1..4 {
        let mut simulator = Simulator::new();
        let client = Client::of(&simulator);
        client.refresh(&simulator).await.unwrap();
        for name in 0..names {
            let alias = format!("{name:064x}");
            simulator.aliases.push((alias, 6));
        }
        *simulator.role("snapshot") = Role::of(&[6], 2, &[6]);
        simulator.update(&["root", "targets", "snapshot", "timestamp"]);
        assert!(client.refresh(&simulator).await.is_err(), "{names}");
        assert_eq!(client.cached().await.unwrap(), (1, 1));
    }
}

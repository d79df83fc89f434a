//! `test_updater_delegation_graphs.py` and `test_quoting_issues.py`: which roles are asked about a
//! target, in which order, and under which names.

use super::simulator::{Client, Delegation, Role, Simulator, quoted};

/// Delegations as `by > to paths`, `!` behind a terminating one, and the roles that are asked.
const GRAPHS: &[(&str, &[&str])] = &[
    ("targets > a *", &["a"]),
    ("targets > a *, targets > b *", &["a", "b"]),
    ("targets > a *, targets > b *, b > c *", &["a", "b", "c"]),
    (
        "targets > a *, targets > b *, a > c *, a > d *",
        &["a", "c", "d", "b"],
    ),
    (
        "targets > a *, targets > b *, a > c *, c > d *",
        &["a", "c", "d", "b"],
    ),
    (
        "targets > a *, targets > b *, a > c *!, a > d *",
        &["a", "c"],
    ),
    (
        "targets > a *, targets > b *, a > c *!, c > d *",
        &["a", "c", "d"],
    ),
    ("targets > a *.py, targets > b *, a > c *", &["b"]),
    (
        "targets > a *, targets > b *, a > c *.py, c > d *",
        &["a", "b"],
    ),
    // Wildcards do not cross `/`.
    ("targets > a */*, targets > b trusted_*.json", &["b"]),
    (
        "targets > a *, targets > b *, b > c *, c > d *, d > b *",
        &["a", "b", "c", "d"],
    ),
    (
        "targets > a *, targets > b *, b > c *, a > c *",
        &["a", "c", "b"],
    ),
    (
        "targets > a *, targets > b *, b > c *, a > c *.py",
        &["a", "b", "c"],
    ),
];

fn with(delegations: impl Iterator<Item = Delegation>, lists: &'static str) -> Simulator {
    let mut simulator = Simulator::new();
    simulator.delegations = delegations.collect();
    for number in 0..simulator.delegations.len() {
        let name = simulator.delegations[number].to;
        simulator.roles.insert(name, Role::of(&[7], 1, &[7]));
    }
    simulator.lists_target = lists;
    let roles: Vec<&str> = simulator
        .roles
        .keys()
        .copied()
        .filter(|role| *role != "root")
        .collect();
    let below: Vec<&str> = roles
        .iter()
        .copied()
        .filter(|role| !["snapshot", "timestamp"].contains(role))
        .collect();
    simulator.update(&["targets"]);
    simulator.publish(&below);
    simulator.update(&["snapshot", "timestamp"]);
    simulator
}

fn graph(text: &'static str) -> impl Iterator<Item = Delegation> {
    text.split(", ").map(|edge| {
        let (by, rest) = edge.split_once(" > ").unwrap();
        let (to, paths) = rest.split_once(' ').unwrap();
        let terminating = paths.ends_with('!');
        let paths = paths.trim_end_matches('!');
        Delegation {
            by,
            to,
            paths,
            terminating,
        }
    })
}

#[tokio::test]
async fn tuf_01_delegations_are_walked_in_their_order() {
    for (text, order) in GRAPHS {
        // No role lists the target, so every role that may list it is requested.
        let simulator = with(graph(text), "unlisted");
        let client = Client::of(&simulator);
        assert!(client.refresh(&simulator).await.is_err(), "{text}");
        let expected: Vec<String> = order.iter().map(|role| format!("1.{role}.json")).collect();
        assert_eq!(simulator.asked()[4..], expected, "{text}");
        // The last of them lists it, which is enough.
        let simulator = with(graph(text), order.last().unwrap());
        let client = Client::of(&simulator);
        assert_eq!(client.refresh(&simulator).await.unwrap(), (1, 2), "{text}");
    }
}

/// CVE-2025-2886, CVE-2025-2887, CVE-2024-47534: a delegated role answers for what was delegated to
/// it, signed by the keys that the delegation names.
#[tokio::test]
async fn tuf_02_delegated_roles_are_checked() {
    // A path that was not delegated.
    let simulator = with(graph("targets > a *.py"), "a");
    assert!(Client::of(&simulator).refresh(&simulator).await.is_err());
    for (name, state, holds) in [
        ("good", Role::of(&[7], 1, &[7]), true),
        ("another key", Role::of(&[7], 1, &[8]), false),
        ("no signature", Role::of(&[7], 1, &[]), false),
        ("one of two", Role::of(&[7, 8], 2, &[7]), false),
        ("two of two", Role::of(&[7, 8], 2, &[7, 8]), true),
        ("none is wanted", Role::of(&[7], 0, &[]), false),
        ("the keys of targets", Role::of(&[7], 1, &[1]), false),
    ] {
        let mut simulator = with(graph("targets > a *"), "a");
        *simulator.role("a") = state;
        simulator.update(&["targets", "snapshot", "timestamp"]);
        simulator.publish(&["a"]);
        simulator.update(&["snapshot", "timestamp"]);
        let outcome = Client::of(&simulator).refresh(&simulator).await;
        assert_eq!(outcome.is_ok(), holds, "{name}: {outcome:?}");
    }
    // A delegated role with the name of a top-level role is not that role.
    let simulator = with(graph("targets > snapshot *"), "unlisted");
    assert!(Client::of(&simulator).refresh(&simulator).await.is_err());
}

/// TUF-03 (CVE-2026-24137, CVE-2026-24686): names of roles stay names, in URLs and in the cache.
#[tokio::test]
async fn tuf_03_names_of_roles_lead_nowhere_else() {
    for name in [
        "?",
        "#",
        "/delegated",
        "../delegated",
        "..",
        "a b",
        "a%2f..",
        "2.root",
        "a\\b",
    ] {
        let edge = |lists| {
            let delegation = Delegation {
                by: "targets",
                to: name,
                paths: "*",
                terminating: false,
            };
            with(std::iter::once(delegation), lists)
        };
        let simulator = edge("unlisted");
        let client = Client::of(&simulator);
        assert!(client.refresh(&simulator).await.is_err(), "{name}");
        let asked = simulator.asked();
        assert_eq!(asked[4..], [format!("1.{}.json", quoted(name))], "{name}");
        assert!(
            !asked
                .iter()
                .any(|one| one.contains("..") && one.contains('/'))
        );
        // Believed under its name, also from the cache.
        let simulator = edge(name);
        let client = Client::of(&simulator);
        client
            .refresh(&simulator)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        client
            .cached()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

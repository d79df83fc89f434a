//! Lockfiles that come back, stay, and are never guessed.

use super::*;

fn entry(name: &str, content: &str) -> LockEntry {
    LockEntry {
        name: name.to_owned(),
        reference: "oci://ghcr.io/acme/echo:1".to_owned(),
        digest: Digest::sha256(content),
        manifest: Digest::sha256("manifest"),
        kind: PluginKind::Wasm,
        file: "plugin.wasm".to_owned(),
        file_digest: Digest::sha256("file"),
        size: 4,
        signer: None,
        signed_at: Some(1_700_000_000),
        granted: AllowConfig {
            hosts: vec!["a.example".to_owned()],
            ..AllowConfig::default()
        },
    }
}

#[test]
fn entries_come_back_sorted_and_stable() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = Lockfile::read(folder.path()).unwrap();
    lock.record(entry("b", "1"), LockMode::Update).unwrap();
    lock.record(entry("a", "1"), LockMode::Update).unwrap();
    let text = std::fs::read_to_string(&lock.path).unwrap();
    let again = Lockfile::read(folder.path()).unwrap();
    assert_eq!(
        again
            .entries()
            .map(|entry| entry.name.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        again.entry("a", "oci://ghcr.io/acme/echo:1"),
        Some(&entry("a", "1"))
    );
    assert_eq!(again.entry("a", "oci://ghcr.io/acme/other:1"), None);
    lock.record(entry("a", "1"), LockMode::Locked).unwrap();
    assert_eq!(std::fs::read_to_string(&lock.path).unwrap(), text);
}

#[test]
fn locked_means_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = Lockfile::read(folder.path()).unwrap();
    lock.record(entry("a", "1"), LockMode::Update).unwrap();
    let error = lock
        .record(entry("a", "2"), LockMode::Locked)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("digest") && error.contains("--locked"),
        "{error}"
    );
    assert!(lock.record(entry("new", "1"), LockMode::Frozen).is_err());
}

#[test]
fn two_processes_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (
        Lockfile::read(folder.path()).unwrap(),
        Lockfile::read(folder.path()).unwrap(),
    );
    one.record(entry("one", "1"), LockMode::Update).unwrap();
    other.record(entry("other", "1"), LockMode::Update).unwrap();
    assert_eq!(Lockfile::read(folder.path()).unwrap().entries().count(), 2);
}

/// What is tidied away is what the config does not name, not what another process just pinned.
#[test]
fn tidying_loses_nothing_of_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = Lockfile::read(folder.path()).unwrap();
    one.record(entry("gone", "1"), LockMode::Update).unwrap();
    let mut other = Lockfile::read(folder.path()).unwrap();
    other.record(entry("kept", "1"), LockMode::Update).unwrap();
    one.retain(&["kept"]).unwrap();
    for lock in [one, Lockfile::read(folder.path()).unwrap()] {
        let names: Vec<&str> = lock.entries().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["kept"]);
    }
}

/// Two first loads at once must not pin two signers.
#[test]
fn a_pin_of_another_process_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (
        Lockfile::read(folder.path()).unwrap(),
        Lockfile::read(folder.path()).unwrap(),
    );
    let signed = |who: &str| LockEntry {
        signer: Some(SignerId::certificate("https://i", who)),
        ..entry("a", "1")
    };
    one.record(signed("first@example.com"), LockMode::Update)
        .unwrap();
    let error = other
        .record(signed("second@example.com"), LockMode::Update)
        .unwrap_err();
    assert!(matches!(error, LockfileError::Raced { .. }), "{error}");
    let kept = Lockfile::read(folder.path()).unwrap();
    assert_eq!(kept.entries().next(), Some(&signed("first@example.com")));
}

#[test]
fn a_damaged_lockfile_is_never_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    for text in [
        "version = 2",
        "version = 1\nplugin = 3",
        "vers",
        "version = 1\nextra = 1",
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Lockfile::read(folder.path()).unwrap_err();
        assert!(
            matches!(error, LockfileError::Malformed { .. }),
            "{text}: {error}"
        );
    }
}

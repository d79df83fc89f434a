//! Lockfiles that come back, stay, and are never guessed.

use super::*;

pub(super) fn entry(name: &str, content: &str) -> LockEntry {
    LockEntry {
        name: name.to_owned(),
        config: Some("plugins.toml".to_owned()),
        reference: "oci://ghcr.io/acme/echo:1".to_owned(),
        digest: Digest::sha256(content),
        manifest: Digest::sha256("manifest"),
        kind: PluginKind::Wasm,
        file: "plugin.wasm".to_owned(),
        file_digest: Digest::sha256("file"),
        size: 4,
        signer: None,
        signed_at: Some(1_700_000_000),
        native: None,
        granted: AllowConfig {
            hosts: vec!["a.example".to_owned()],
            ..AllowConfig::default()
        },
    }
}

/// Records `entry` in place of the one that `lock` has.
fn record(lock: &mut Lockfile, entry: LockEntry) -> Result<(), LockfileError> {
    let seen = lock.own(&entry.name, &entry.reference).cloned();
    lock.record(entry, seen.as_ref())
}

/// The reference of [`entry`].
const REFERENCE: &str = "oci://ghcr.io/acme/echo:1";

fn read(folder: &tempfile::TempDir, config: &str) -> Result<Lockfile, LockfileError> {
    let config = folder.path().join(config);
    std::fs::write(&config, "").unwrap();
    Lockfile::read(&config)
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_kept_and_must_lead_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (
        folder.path().join("plugins.lock"),
        folder.path().join("real"),
    );
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let dangling = read(&folder, "plugins.toml");
    assert!(
        matches!(dangling, Err(LockfileError::Read { .. })),
        "{dangling:?}"
    );
    std::fs::write(&target, "version = 1\n").unwrap();
    let mut lock = read(&folder, "plugins.toml").unwrap();
    record(&mut lock, entry("a", "1")).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let text = std::fs::read_to_string(target).unwrap();
    assert!(text.contains("name = \"a\""), "{text}");
}

#[test]
fn entries_come_back_sorted_and_stable() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = read(&folder, "plugins.toml").unwrap();
    record(&mut lock, entry("b", "1")).unwrap();
    record(&mut lock, entry("a", "1")).unwrap();
    let text = std::fs::read_to_string(&lock.path).unwrap();
    let again = read(&folder, "plugins.toml").unwrap();
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
    assert!(!lock.has_change(&entry("a", "1"), LockMode::Locked).unwrap());
    assert_eq!(std::fs::read_to_string(&lock.path).unwrap(), text);
}

#[test]
fn locked_means_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = read(&folder, "plugins.toml").unwrap();
    record(&mut lock, entry("a", "1")).unwrap();
    assert!(lock.has_change(&entry("a", "2"), LockMode::Update).unwrap());
    let error = lock
        .has_change(&entry("a", "2"), LockMode::Locked)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("digest") && error.contains("--locked"),
        "{error}"
    );
    assert!(
        lock.has_change(&entry("new", "1"), LockMode::Frozen)
            .is_err()
    );
}

/// A config that no longer isolates a native plugin changes the lockfile, which `--locked` refuses.
#[test]
fn the_end_of_isolation_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = read(&folder, "plugins.toml").unwrap();
    let isolated = LockEntry {
        kind: PluginKind::Native,
        native: Some(NativeRule::Isolated),
        ..entry("a", "1")
    };
    record(&mut lock, isolated.clone()).unwrap();
    let text = std::fs::read_to_string(&lock.path).unwrap();
    assert!(text.contains("native = \"isolated\""), "{text}");
    let lock = read(&folder, "plugins.toml").unwrap();
    assert!(!lock.has_change(&isolated, LockMode::Locked).unwrap());
    let here = LockEntry {
        native: None,
        ..isolated
    };
    assert!(lock.has_change(&here, LockMode::Update).unwrap());
    let error = lock.has_change(&here, LockMode::Locked).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("runs in the process of the host"), "{error}");
}

/// The pin is the index. What it has for the host may differ on a host of another platform.
#[test]
fn an_entry_of_another_platform_is_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = read(&folder, "plugins.toml").unwrap();
    let written = entry("a", "index");
    record(&mut lock, written.clone()).unwrap();
    let other = LockEntry {
        manifest: Digest::sha256("other manifest"),
        file: "plugin.so".to_owned(),
        file_digest: Digest::sha256("other file"),
        size: 5,
        ..written.clone()
    };
    for mode in [LockMode::Update, LockMode::Locked, LockMode::Frozen] {
        assert!(!lock.has_change(&other, mode).unwrap(), "{mode:?}");
    }
    let change = |new: LockEntry| {
        assert!(lock.has_change(&new, LockMode::Update).unwrap());
        match lock.has_change(&new, LockMode::Locked).unwrap_err() {
            LockfileError::WouldChange { change, .. } => change,
            error => panic!("{error}"),
        }
    };
    for (new, words) in [
        (entry("a", "other index"), "digest sha256:"),
        (
            LockEntry {
                kind: PluginKind::Native,
                ..other.clone()
            },
            "kind native instead of wasm",
        ),
        (
            LockEntry {
                granted: AllowConfig::default(),
                ..other.clone()
            },
            "other rights",
        ),
        (
            LockEntry {
                signed_at: None,
                ..other.clone()
            },
            "signing time none instead of 2023-11-14T22:13:20Z",
        ),
        (
            LockEntry {
                manifest: other.digest.clone(),
                ..other.clone()
            },
            "file plugin.so instead of plugin.wasm, file digest sha256:",
        ),
        // The same manifest, and another `file` in the config.
        (
            LockEntry {
                manifest: written.manifest.clone(),
                ..other.clone()
            },
            "size 5 instead of 4",
        ),
    ] {
        let change = change(new);
        assert!(change.contains(words), "{change}");
    }
}

/// Below a pinned manifest nothing depends on the platform.
#[test]
fn an_entry_of_a_single_manifest_is_compared_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = read(&folder, "plugins.toml").unwrap();
    let single = LockEntry {
        manifest: Digest::sha256("image"),
        ..entry("a", "image")
    };
    record(&mut lock, single.clone()).unwrap();
    assert!(!lock.has_change(&single, LockMode::Locked).unwrap());
    for new in [
        LockEntry {
            size: 5,
            ..single.clone()
        },
        LockEntry {
            manifest: Digest::sha256("other"),
            ..single.clone()
        },
        LockEntry {
            file_digest: Digest::sha256("other"),
            ..single
        },
    ] {
        assert!(lock.has_change(&new, LockMode::Update).unwrap());
        assert!(lock.has_change(&new, LockMode::Locked).is_err());
    }
}

#[test]
fn two_processes_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (
        read(&folder, "plugins.toml").unwrap(),
        read(&folder, "plugins.toml").unwrap(),
    );
    record(&mut one, entry("one", "1")).unwrap();
    record(&mut other, entry("other", "1")).unwrap();
    assert_eq!(read(&folder, "plugins.toml").unwrap().entries().count(), 2);
}

/// What is tidied away is what the config does not name, not what another process just pinned.
#[test]
fn tidying_loses_nothing_of_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = read(&folder, "plugins.toml").unwrap();
    record(&mut one, entry("gone", "1")).unwrap();
    let mut other = read(&folder, "plugins.toml").unwrap();
    record(&mut other, entry("kept", "1")).unwrap();
    one.retain(&["kept".to_owned()]).unwrap();
    for lock in [one, read(&folder, "plugins.toml").unwrap()] {
        let names: Vec<&str> = lock.entries().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["kept"]);
    }
}

/// Two first loads at once must not pin two signers.
#[test]
fn a_pin_of_another_process_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (
        read(&folder, "plugins.toml").unwrap(),
        read(&folder, "plugins.toml").unwrap(),
    );
    let signed = |identity: &str| LockEntry {
        signer: Some(SignerId::certificate("https://i", identity)),
        ..entry("a", "1")
    };
    record(&mut one, signed("first@example.com")).unwrap();
    let error = record(&mut other, signed("second@example.com")).unwrap_err();
    assert!(matches!(error, LockfileError::Raced { .. }), "{error}");
    let kept = read(&folder, "plugins.toml").unwrap();
    assert_eq!(kept.entries().next(), Some(&signed("first@example.com")));
}

#[test]
fn a_damaged_lockfile_is_never_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    for text in [
        "",
        "version = 1\nplugin = 3",
        "vers",
        "version = 1\nextra = 1",
    ] {
        std::fs::write(&path, text).unwrap();
        let error = read(&folder, "plugins.toml").unwrap_err();
        assert!(
            matches!(error, LockfileError::Malformed { .. }),
            "{text}: {error}"
        );
    }
}

#[test]
fn an_empty_lockfile_is_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    for (text, words) in [
        ("", "it is empty"),
        ("\n", "it is empty"),
        ("plugin = []\n", "missing field `version`"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = read(&folder, "plugins.toml").unwrap_err();
        let shown = qmt_oci_ref::text::messages(&error).join(": ");
        assert!(shown.contains(words), "{text}: {shown}");
    }
}

#[test]
fn a_lockfile_of_another_version_is_not_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    for text in ["version = 2", "version = 2\nother = 1\nplugin = 3"] {
        std::fs::write(&path, text).unwrap();
        let error = read(&folder, "plugins.toml").unwrap_err();
        let LockfileError::OtherVersion { found: 2, .. } = error else {
            panic!("{text}: {error}");
        };
        let text = error.to_string();
        assert!(
            text.contains("has version 2, and this program reads version 1"),
            "{text}"
        );
    }
}

/// A merge that keeps both sides leaves two entries; the message says for which plugin.
#[test]
fn two_entries_for_one_plugin_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let mut lockfile = read(&folder, "plugins.toml").unwrap();
    record(&mut lockfile, entry("a", "1")).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, entry) = text.split_once("[[plugin]]").unwrap();
    std::fs::write(&path, format!("{text}\n[[plugin]]{entry}")).unwrap();
    let error = read(&folder, "plugins.toml").unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(matches!(error, LockfileError::Malformed { .. }), "{error}");
    assert!(cause.starts_with("it has two entries for `a`"), "{cause}");
}

/// Lines and texts of the file are not quoted whole.
#[test]
fn an_error_about_a_long_line_is_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let long = "k".repeat(400_000);
    for text in [
        format!("version = 1\n{long} = 1"),
        format!("version = 1\n[[plugin]]\n\"{long} {long}\" = 1"),
        format!("version = {long}"),
        format!("version = 1\n[[plugin]]\nname = \"{long}\"\nkind = \"{long}\""),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = read(&folder, "plugins.toml").unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.len() < 1200, "{}", source.len());
        assert!(source.contains("line "), "{source}");
    }
}

/// Control characters of the file reach no terminal.
#[test]
fn texts_of_the_file_are_escaped_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = read(&folder, "plugins.toml").unwrap();
    let odd = "\u{1b}[2J".to_owned() + &"k".repeat(10_000);
    let written = LockEntry {
        signer: Some(SignerId::certificate("https://i", &*odd)),
        file: odd.clone(),
        ..entry(&odd, "1")
    };
    record(&mut lock, written).unwrap();
    let changed = lock.has_change(&entry(&odd, "1"), LockMode::Locked);
    let surplus = lock.check_retain(&[], LockMode::Locked);
    for error in [changed.unwrap_err(), surplus.unwrap_err()] {
        let shown = error.to_string();
        assert!(!shown.contains('\u{1b}') && shown.len() < 4000, "{shown}");
    }
}

/// Each of two configs in a folder changes and removes its own entries only.
#[test]
fn two_configs_share_the_file_and_not_the_entries() {
    let folder = tempfile::tempdir().unwrap();
    let reference = "oci://ghcr.io/acme/echo:1";
    let mut one = read(&folder, "one.toml").unwrap();
    record(&mut one, entry("a", "1")).unwrap();
    record(&mut one, entry("b", "1")).unwrap();
    let mut two = read(&folder, "two.toml").unwrap();
    assert!(two.own("a", REFERENCE).is_none());
    // The same name in another config is another plugin.
    let other = LockEntry {
        reference: "oci://ghcr.io/acme/other:1".to_owned(),
        ..entry("a", "2")
    };
    record(&mut two, other).unwrap();
    two.retain(&["a".to_owned()]).unwrap();
    let mut one = read(&folder, "one.toml").unwrap();
    assert_eq!(one.entries().count(), 3);
    assert_eq!(
        one.entry("a", reference).unwrap().digest,
        Digest::sha256("1")
    );
    one.retain(&[]).unwrap();
    let two = read(&folder, "two.toml").unwrap();
    assert_eq!(two.entries().count(), 1);
    assert_eq!(two.own("a", REFERENCE).unwrap().digest, Digest::sha256("2"));
}

/// An entry that the config no longer has would be removed, which `--locked` and `--frozen` forbid.
#[test]
fn a_surplus_entry_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = read(&folder, "plugins.toml").unwrap();
    for name in ["a", "b"] {
        record(&mut lock, entry(name, "1")).unwrap();
    }
    let both = ["a".to_owned(), "b".to_owned()];
    for (mode, flag) in [
        (LockMode::Locked, "--locked"),
        (LockMode::Frozen, "--frozen"),
    ] {
        lock.check_retain(&both, mode).unwrap();
        let error = lock.check_retain(&both[..1], mode).unwrap_err().to_string();
        assert!(error.contains("`b`") && error.contains(flag), "{error}");
    }
    lock.check_retain(&[], LockMode::Update).unwrap();
    // Entries of other configs do not count.
    let other = read(&folder, "other.toml").unwrap();
    other.check_retain(&[], LockMode::Locked).unwrap();
}

/// Lockfiles of older versions name no config: the entries are used, and stay until they change.
#[test]
fn entries_without_a_config_are_those_of_every_config() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = read(&folder, "plugins.toml").unwrap();
    record(&mut lock, entry("a", "1")).unwrap();
    let text = std::fs::read_to_string(lock.path()).unwrap();
    let old = text.replace("config = \"plugins.toml\"\n", "");
    assert_ne!(old, text);
    std::fs::write(lock.path(), format!("\u{feff}{old}")).unwrap();
    let mut lock = read(&folder, "other.toml").unwrap();
    assert!(!lock.has_change(&entry("a", "1"), LockMode::Locked).unwrap());
    lock.retain(&[]).unwrap();
    assert_eq!(lock.entries().count(), 1);
    record(&mut lock, entry("a", "2")).unwrap();
    let owners: Vec<_> = lock
        .entries()
        .map(|entry| entry.config.as_deref())
        .collect();
    assert_eq!(owners, [Some("other.toml")]);
}

/// A config that is renamed keeps what its plugins were locked to, and one that is copied
/// has entries of its own.
#[test]
fn a_renamed_config_keeps_its_entries() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = read(&folder, "plugins.toml").unwrap();
    record(&mut old, entry("a", "1")).unwrap();
    record(&mut old, entry("b", "1")).unwrap();
    assert!(
        read(&folder, "copy.toml")
            .unwrap()
            .own("a", REFERENCE)
            .is_none()
    );
    std::fs::remove_file(folder.path().join("plugins.toml")).unwrap();
    let mut new = read(&folder, "providers.toml").unwrap();
    assert!(!new.has_change(&entry("a", "1"), LockMode::Locked).unwrap());
    // The entry gets the new name as soon as it may be written.
    assert!(new.has_change(&entry("a", "1"), LockMode::Update).unwrap());
    // A config of a program is no file, and is not renamed.
    let of_program = Lockfile::read(&folder.path().join("program.toml")).unwrap();
    assert!(of_program.own("a", REFERENCE).is_none());
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("x.toml"), "").unwrap();
    let shared = Lockfile::read_at(folder.path().join(NAME), &elsewhere.join("x.toml")).unwrap();
    assert!(shared.own("a", REFERENCE).is_none());
    let other = new.has_change(&entry("a", "2"), LockMode::Locked);
    assert!(other.unwrap_err().to_string().contains("digest"));
    record(&mut new, entry("a", "2")).unwrap();
    let owners = new.entries().map(|entry| (&*entry.name, &entry.config));
    let owners: Vec<_> = owners.map(|(name, it)| (name, it.as_deref())).collect();
    assert_eq!(
        owners,
        [("a", Some("providers.toml")), ("b", Some("plugins.toml"))]
    );
    // Of two that are gone and agree, either is right.
    let mut second = read(&folder, "second.toml").unwrap();
    record(&mut second, entry("b", "1")).unwrap();
    std::fs::remove_file(folder.path().join("second.toml")).unwrap();
    let kept = read(&folder, "providers.toml").unwrap();
    assert_eq!(
        kept.own("b", REFERENCE).unwrap().digest,
        Digest::sha256("1")
    );
    // Of those that differ, none is chosen, but by the reference.
    let other = LockEntry {
        reference: "oci://ghcr.io/acme/other:1".to_owned(),
        ..entry("b", "3")
    };
    let mut third = read(&folder, "third.toml").unwrap();
    record(&mut third, other).unwrap();
    std::fs::remove_file(folder.path().join("third.toml")).unwrap();
    let kept = read(&folder, "providers.toml").unwrap();
    assert!(kept.own("b", "oci://ghcr.io/acme/echo:2").is_none());
    let digest = |reference| kept.own("b", reference).unwrap().digest.clone();
    assert_eq!(digest(REFERENCE), Digest::sha256("1"));
    assert_eq!(digest("oci://ghcr.io/acme/other:1"), Digest::sha256("3"));
}

/// Two configs of one folder with equal names, both renamed: each finds its pins by the reference.
#[test]
fn two_renamed_configs_keep_their_entries() {
    let folder = tempfile::tempdir().unwrap();
    let of_other = |content: &str| LockEntry {
        reference: "oci://ghcr.io/acme/other:1".to_owned(),
        ..entry("a", content)
    };
    for (config, entry) in [("one.toml", entry("a", "1")), ("two.toml", of_other("2"))] {
        record(&mut read(&folder, config).unwrap(), entry).unwrap();
        std::fs::remove_file(folder.path().join(config)).unwrap();
    }
    let mut new = read(&folder, "new.toml").unwrap();
    for entry in [entry("a", "1"), of_other("2")] {
        let found = new.entry("a", &entry.reference).unwrap();
        assert_eq!(found.digest, entry.digest);
        assert!(!new.has_change(&entry, LockMode::Locked).unwrap());
    }
    assert!(new.entry("a", "oci://ghcr.io/acme/third:1").is_none());
    record(&mut new, entry("a", "1")).unwrap();
    let mut configs: Vec<_> = new.entries().map(|entry| entry.config.as_deref()).collect();
    configs.sort_unstable();
    assert_eq!(configs, [Some("new.toml"), Some("two.toml")]);
    // The own entry comes first, and the other config finds the rest.
    assert!(new.entry("a", &of_other("2").reference).is_none());
    let other = read(&folder, "other.toml").unwrap();
    assert!(!other.has_change(&of_other("2"), LockMode::Locked).unwrap());
}

/// The same reference in two renamed configs: one digest serves both, and two digests none.
#[test]
fn renamed_configs_with_one_reference_must_agree_on_the_digest() {
    let folder = tempfile::tempdir().unwrap();
    let left = |entries: &[(&str, &LockEntry)]| {
        for (config, entry) in entries {
            let mut lock = read(&folder, config).unwrap();
            lock.record((*entry).clone(), None).unwrap();
        }
        for (config, _) in entries {
            std::fs::remove_file(folder.path().join(config)).unwrap();
        }
    };
    let signed = LockEntry {
        signer: Some(SignerId::certificate("https://i", "a@example.com")),
        ..entry("a", "1")
    };
    let with_rights = LockEntry {
        granted: AllowConfig::default(),
        ..entry("a", "1")
    };
    left(&[("one.toml", &with_rights), ("two.toml", &signed)]);
    let new = read(&folder, "new.toml").unwrap();
    // The pinned signer stays, and each config finds the entry with its rights.
    assert_eq!(new.entry("a", REFERENCE).unwrap().signer, signed.signer);
    assert!(!new.has_change(&with_rights, LockMode::Locked).unwrap());
    assert!(!new.has_change(&signed, LockMode::Locked).unwrap());
    assert!(new.has_change(&entry("a", "2"), LockMode::Locked).is_err());
    left(&[("three.toml", &entry("a", "2"))]);
    assert!(
        read(&folder, "new.toml")
            .unwrap()
            .entry("a", REFERENCE)
            .is_none()
    );
}

/// CFG-04: as for the config.
#[cfg(unix)]
#[test]
fn a_world_writable_lockfile_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mut lock = read(&folder, "plugins.toml").unwrap();
    record(&mut lock, entry("a", "1")).unwrap();
    assert!(read(&folder, "plugins.toml").unwrap().warning().is_none());
    let mode = std::fs::Permissions::from_mode(0o646);
    std::fs::set_permissions(lock.path(), mode).unwrap();
    let error = read(&folder, "plugins.toml").unwrap_err();
    assert!(
        matches!(error, LockfileError::WritableByAll { .. }),
        "{error}"
    );
}

/// What another process has written since the file was read is not overwritten unseen.
#[test]
fn a_newer_entry_of_another_process_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = read(&folder, "plugins.toml").unwrap();
    record(&mut host, entry("a", "1")).unwrap();
    let mut operator = read(&folder, "plugins.toml").unwrap();
    record(&mut operator, entry("a", "3")).unwrap();
    let error = record(&mut host, entry("a", "2")).unwrap_err();
    assert!(matches!(error, LockfileError::Raced { .. }), "{error}");
    assert_eq!(host.own("a", REFERENCE), Some(&entry("a", "3")));
    // Now it was seen.
    record(&mut host, entry("a", "2")).unwrap();
    let kept = read(&folder, "plugins.toml").unwrap();
    assert_eq!(kept.own("a", REFERENCE), Some(&entry("a", "2")));
}

/// The version is compared with the one that was there when the plugin was resolved, not with one
/// that was read since, and whatever reference it is for.
#[test]
fn an_entry_that_was_read_since_counts_as_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = read(&folder, "plugins.toml").unwrap();
    record(&mut host, entry("a", "1")).unwrap();
    let seen = host.own("a", REFERENCE).cloned();
    let other_reference = LockEntry {
        reference: "oci://ghcr.io/acme/echo:2".to_owned(),
        ..entry("a", "3")
    };
    for newer in [entry("a", "3"), other_reference] {
        let mut operator = read(&folder, "plugins.toml").unwrap();
        record(&mut operator, newer.clone()).unwrap();
        let read = reread(&host.path, host.fingerprint.as_ref())
            .unwrap()
            .unwrap();
        host.take(read);
        let error = host.record(entry("a", "2"), seen.as_ref()).unwrap_err();
        assert!(matches!(error, LockfileError::Raced { .. }), "{error}");
        assert_eq!(host.own("a", REFERENCE), Some(&newer));
    }
}

/// A running host keeps its pins while its config names what another version of it no longer does.
#[test]
fn pins_of_the_config_in_use_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = read(&folder, "plugins.toml").unwrap();
    for name in ["moved", "removed", "updated", "old"] {
        record(&mut host, entry(name, "1")).unwrap();
    }
    let mut operator = read(&folder, "plugins.toml").unwrap();
    operator
        .retain(&["moved".to_owned(), "updated".to_owned()])
        .unwrap();
    record(&mut operator, entry("updated", "2")).unwrap();
    let moved = LockEntry {
        reference: "oci://ghcr.io/acme/echo:2".to_owned(),
        ..entry("moved", "2")
    };
    record(&mut operator, moved).unwrap();
    let read = reread(&host.path, host.fingerprint.as_ref())
        .unwrap()
        .unwrap();
    host.follow(read, |entry| entry.name != "old");
    let assert_pins = |host: &Lockfile| {
        for (name, content) in [("moved", "1"), ("removed", "1"), ("updated", "2")] {
            assert_eq!(host.own(name, REFERENCE), Some(&entry(name, content)));
        }
        assert_eq!(host.own("old", REFERENCE), None);
    };
    assert_pins(&host);
    // Nor does an entry of another plugin change them, or the operator's file.
    record(&mut host, entry("other", "1")).unwrap();
    assert_pins(&host);
    let error = record(&mut host, entry("moved", "3")).unwrap_err();
    assert!(matches!(error, LockfileError::Raced { .. }), "{error:?}");
    assert_pins(&host);
    let now = self::read(&folder, "plugins.toml").unwrap();
    assert_eq!(
        now.own("moved", REFERENCE).unwrap().reference,
        "oci://ghcr.io/acme/echo:2"
    );
    assert_eq!(now.own("removed", REFERENCE), None);
}

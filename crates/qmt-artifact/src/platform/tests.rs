//! The tables of containerd's `platforms` package, as far as a process is concerned.

use super::*;

fn platform(text: &str) -> Platform {
    let mut parts = text.split('/');
    let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
    let mut platform = manifest::platform(os, architecture);
    platform.set_variant(parts.next().map(str::to_owned));
    platform
}

fn host(text: &str) -> HostPlatform {
    HostPlatform::new(&platform(text))
}

fn fits(host_text: &str, entry: &str) -> bool {
    host(host_text).fit(&platform(entry)).is_some()
}

#[test]
fn names_have_one_normal_form() {
    for (name, normal) in [
        ("Linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("macos/aarch64", "darwin/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("linux/arm64/v9.2", "linux/arm64/v9.2"),
    ] {
        assert_eq!(
            text::platform(&normalized(&platform(name))),
            normal,
            "{name}"
        );
    }
}

#[test]
fn a_host_runs_its_own_level_and_those_below() {
    for (host, entry, expected) in [
        ("linux/amd64", "linux/amd64", true),
        ("linux/amd64", "linux/amd64/v1", true),
        ("linux/amd64", "linux/amd64/v2", false),
        ("linux/amd64/v3", "linux/amd64/v2", true),
        ("linux/amd64/v3", "linux/amd64", true),
        ("linux/amd64/v3", "linux/amd64/v4", false),
        ("linux/arm64", "linux/arm64/v8", true),
        ("linux/arm64/v8", "linux/arm64", true),
        ("linux/arm64", "linux/arm64/v9", false),
        ("linux/arm64/v8.2", "linux/arm64/v8.1", true),
        ("linux/arm64/v8.2", "linux/arm64/v8.3", false),
        ("linux/arm64/v8.2", "linux/arm64", true),
        ("linux/arm64/v9", "linux/arm64/v8.5", true),
        ("linux/arm64/v9", "linux/arm64/v8.6", false),
        ("linux/arm64/v9.1", "linux/arm64/v9", true),
        ("linux/arm64/v9.1", "linux/arm64/v8.6", true),
        ("linux/arm/v7", "linux/arm/v6", true),
        ("linux/arm/v7", "linux/arm", true),
        ("linux/arm/v6", "linux/arm/v5", true),
        ("linux/arm/v6", "linux/arm/v7", false),
        ("linux/arm/v5", "linux/arm/v5", true),
        ("linux/amd64", "darwin/amd64", false),
        ("linux/amd64", "linux/arm64", false),
        ("linux/riscv64", "linux/riscv64", true),
        ("linux/amd64/v3", "linux/amd64/vX", false),
    ] {
        assert_eq!(fits(host, entry), expected, "{entry} on {host}");
    }
}

/// Where we differ from containerd on purpose: a process loads no code of another architecture.
#[test]
fn a_process_takes_no_32_bit_code() {
    assert!(!fits("linux/amd64", "linux/386"));
    assert!(!fits("linux/arm64", "linux/arm/v7"));
    assert!(!fits("linux/arm64", "linux/arm"));
}

/// DIG-11: the best usable level wins whatever its place.
#[test]
fn dig_11_the_better_variant_fits_better() {
    let order = |host_text: &str, entries: &[&str]| {
        let host = host(host_text);
        let fit = |entry: &&str| host.fit(&platform(entry)).unwrap();
        entries
            .iter()
            .zip(&entries[1..])
            .for_each(|(better, worse)| {
                assert!(
                    fit(better) > fit(worse),
                    "{better} against {worse} on {host_text}"
                );
            });
    };
    order(
        "linux/amd64/v4",
        &[
            "linux/amd64/v4",
            "linux/amd64/v3",
            "linux/amd64/v2",
            "linux/amd64",
        ],
    );
    order(
        "linux/arm/v7",
        &["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
    );
    order(
        "linux/arm64/v9.1",
        &[
            "linux/arm64/v9.1",
            "linux/arm64/v9",
            "linux/arm64/v8.6",
            "linux/arm64",
        ],
    );
}

/// DIG-11: features are needed, not offered; among fitting entries more of them are better.
#[test]
fn dig_11_os_features_must_all_be_there() {
    let mut plain = manifest::platform("windows", "amd64");
    let host_without = HostPlatform::new(&plain);
    plain.set_os_features(Some(vec!["win32k".to_owned()]));
    let host_with = HostPlatform::new(&plain);
    let bare = manifest::platform("windows", "amd64");
    assert!(host_without.fit(&plain).is_none());
    assert!(host_with.fit(&plain) > host_with.fit(&bare));
    assert!(host_with.fit(&bare).is_some());
}

#[test]
fn os_version_counts_on_windows_only() {
    let fits = |os: &str, host: &str, entry: &str| {
        let mut host_platform = manifest::platform(os, "amd64");
        host_platform.set_os_version(Some(host.to_owned()));
        let mut entry_platform = manifest::platform(os, "amd64");
        entry_platform.set_os_version(Some(entry.to_owned()));
        HostPlatform::new(&host_platform)
            .fit(&entry_platform)
            .is_some()
    };
    assert!(fits("windows", "10.0.17763.1", "10.0.17763.99"));
    assert!(!fits("windows", "10.0.17763", "10.0.14393"));
    assert!(!fits("windows", "10.0.17763", "10.0.20348"));
    assert!(fits("windows", "10.0.22621", "10.0.20348"));
    assert!(!fits("windows", "10.0.20348", "10.0.22621"));
    assert!(!fits("windows", "10.0.22621", "10.0.17763"));
    assert!(!fits("windows", "10.0.17763", "latest"));
    assert!(fits("linux", "5.10", "6.1"));
}

#[test]
fn wasm_platforms() {
    for text in ["wasi/wasm", "wasip1/wasm", "wasip2/wasm", "WASI/Wasm"] {
        assert!(is_wasm(&platform(text)), "{text}");
    }
    for text in ["linux/wasm", "wasi/amd64", "js/wasm", "wasip3/wasm"] {
        assert!(!is_wasm(&platform(text)), "{text}");
    }
    assert!(is_unknown(&platform("unknown/unknown")) && !is_unknown(&platform("linux/unknown")));
}

#[test]
fn the_current_platform_fits_itself() {
    let host = HostPlatform::current();
    assert!(host.fit(host.platform()).is_some(), "{host}");
    let bare = manifest::platform(std::env::consts::OS, std::env::consts::ARCH);
    assert!(host.fit(&bare).is_some(), "{host}");
}

/// What is published for a variant has a host somewhere.
#[test]
fn a_variant_is_known_if_some_host_has_it() {
    let known = |text: &str| unknown_variant(&normalized(&platform(text))).is_none();
    for text in [
        "linux/amd64",
        "linux/amd64/v1",
        "linux/x86_64/V4",
        "linux/arm64",
        "linux/arm64/8",
        "linux/arm64/v8",
        "linux/arm64/v8.6",
        "linux/arm64/v9",
        "linux/arm64/v9.2",
        "linux/arm",
        "linux/armel",
        "linux/arm/v5",
        "linux/arm/8",
        "linux/386/v1",
        "linux/riscv64/rva22u64",
    ] {
        assert!(known(text), "{text}");
        let of_a_host = host(text);
        assert!(
            of_a_host.fit(&platform(text)).is_some(),
            "{text}: no host matches"
        );
    }
    for text in [
        "linux/amd64/v0",
        "linux/amd64/v5",
        "linux/amd64/v99",
        "linux/amd64/2",
        "linux/arm64/v7",
        "linux/arm64/v8.0",
        "linux/arm64/v10",
        "linux/arm64/8.2",
        "linux/arm/v4",
        "linux/arm/v9",
    ] {
        assert!(!known(text), "{text}");
    }
}

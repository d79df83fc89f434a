//! Which crate may depend on which: the pipeline's direction, and the one owner of some libraries.

use cargo_metadata::{Dependency, DependencyKind, Metadata, Package, Target};

use super::Finding;

/// What a member may name of the workspace in its library. In tests, each may name `qmt-testkit`
/// ([`WITHOUT_TESTKIT`] excepted) and itself. `*`: every member.
const MEMBERS: &[(&str, &[&str])] = &[
    ("qmt-oci-ref", &[]),
    ("qmt-storage", &["qmt-oci-ref"]),
    ("qmt-registry", SUPPORT),
    ("qmt-artifact", SUPPORT),
    ("qmt-verify", SUPPORT),
    ("qmt-cache", SUPPORT),
    ("qmt-plugin-sdk-macros", &[]),
    ("qmt-plugin-sdk", &["qmt-plugin-sdk-macros"]),
    (
        "qmt-loader",
        &["qmt-oci-ref", "qmt-storage", "qmt-plugin-sdk"],
    ),
    ("qmt-testkit", SUPPORT),
    (
        "qmt-plugins",
        &[
            "qmt-oci-ref",
            "qmt-storage",
            "qmt-registry",
            "qmt-artifact",
            "qmt-verify",
            "qmt-cache",
            "qmt-loader",
        ],
    ),
    ("qmt-plugins-cli", &["qmt-plugins"]),
    ("qmt-e2e-tests", &["*"]),
    (
        "qmt-interop",
        &["qmt-e2e-tests", "qmt-loader", "qmt-oci-ref", "qmt-testkit"],
    ),
    ("qmt-bench", &["*"]),
    ("querymt-adapter", &["*"]),
    ("xtask", &[]),
];
const SUPPORT: &[&str] = &["qmt-oci-ref", "qmt-storage"];
const WITHOUT_TESTKIT: &[&str] = &[
    "qmt-oci-ref",
    "qmt-storage",
    "qmt-plugin-sdk-macros",
    "qmt-plugin-sdk",
    "xtask",
];

/// The members that may name a library, and those that may in tests (`*`: all). A star at the end
/// of the library's name matches the rest of it.
const LIBRARIES: &[(&str, &[&str], &[&str])] = &[
    ("oci-spec", &["qmt-oci-ref"], &[]),
    (
        "reqwest",
        &["qmt-registry", "qmt-loader", "querymt-adapter"],
        &[],
    ),
    ("sigstore*", &["qmt-verify"], &["qmt-testkit"]),
    ("extism", &["qmt-loader", "qmt-interop", "qmt-bench"], &[]),
    ("extism-convert", &["qmt-loader"], &[]),
    ("extism-pdk", &["qmt-plugin-sdk"], &[]),
    ("linkme", &["qmt-plugin-sdk"], &[]),
    ("libloading", &["qmt-loader"], &[]),
    ("landlock", &["qmt-loader"], &[]),
    ("seccompiler", &["qmt-loader", "qmt-e2e-tests"], &[]),
    (
        "wasmtime*",
        &["qmt-loader", "qmt-interop", "qmt-bench"],
        &[],
    ),
    ("wiggle", &["qmt-loader"], &[]),
    (
        "flate2",
        &["qmt-artifact", "qmt-registry", "qmt-testkit"],
        &["*"],
    ),
    ("zstd", &["qmt-artifact", "qmt-testkit"], &["*"]),
    ("figment", &["qmt-plugins"], &[]),
    ("axum", &["qmt-testkit"], &["*"]),
    ("rcgen", &["qmt-testkit", "qmt-interop"], &["*"]),
    ("clap*", PROGRAMS, &[]),
    ("indicatif", &["qmt-plugins-cli"], &[]),
    ("miette", &["qmt-plugins-cli"], &[]),
    // The errors of a library are typed.
    ("anyhow", PROGRAMS, &["*"]),
];
const PROGRAMS: &[&str] = &[
    "qmt-plugins-cli",
    "qmt-e2e-tests",
    "qmt-interop",
    "qmt-bench",
    "xtask",
];

/// Checks every edge that the members' manifests name.
pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let members: Vec<&str> = metadata
        .packages
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let edges = metadata.packages.iter().flat_map(|package| {
        let dependencies = package.dependencies.iter();
        let dependencies = dependencies.filter(|dependency| is_used(package, dependency));
        dependencies.map(|to| (package.name.as_str(), to.name.as_str(), to.kind))
    });
    edges
        .filter_map(|(from, to, kind)| edge(&members, from, to, kind))
        .collect()
}

/// Whether the crate is built with it. Build dependencies without a build script choose features for
/// others, and nothing else.
pub(super) fn is_used(package: &Package, dependency: &Dependency) -> bool {
    let has_build_script = package.targets.iter().any(Target::is_custom_build);
    dependency.kind != DependencyKind::Build || has_build_script
}

fn edge(members: &[&str], from: &str, to: &str, kind: DependencyKind) -> Option<Finding> {
    let in_tests = kind == DependencyKind::Development;
    let message = if members.contains(&to) {
        inside(from, to, in_tests)?
    } else {
        outside(from, to, in_tests)?
    };
    Some(Finding::error(format!("{from} -> {to}"), message))
}

fn inside(from: &str, to: &str, in_tests: bool) -> Option<String> {
    let Some((_, library)) = MEMBERS.iter().find(|(name, _)| *name == from) else {
        return Some("a new crate: list its edges in xtask/src/tidy/edges.rs".to_owned());
    };
    let allowed = library.contains(&to)
        || library.contains(&"*")
        || in_tests && (to == from || to == "qmt-testkit" && !WITHOUT_TESTKIT.contains(&from));
    (!allowed).then(|| match library {
        [] => "this crate depends on no other member".to_owned(),
        library => format!("this crate depends on {} only", library.join(", ")),
    })
}

fn outside(from: &str, to: &str, in_tests: bool) -> Option<String> {
    let is_it = |library: &str| match library.strip_suffix('*') {
        Some(prefix) => to.starts_with(prefix),
        None => library == to,
    };
    let (_, owners, tests) = LIBRARIES.iter().find(|(library, ..)| is_it(library))?;
    let allowed = owners.contains(&from) || in_tests && (tests.contains(&from) || *tests == ["*"]);
    (!allowed).then(|| format!("only {} may name this library", owners.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DependencyKind::{Development as Dev, Normal};

    fn refused(from: &str, to: &str, kind: DependencyKind) -> bool {
        let members: Vec<&str> = MEMBERS.iter().map(|(name, _)| *name).collect();
        edge(&members, from, to, kind).is_some()
    }

    #[test]
    fn edges_along_the_pipeline_pass() {
        for (from, to, kind) in [
            ("qmt-registry", "qmt-oci-ref", Normal),
            ("qmt-cache", "qmt-storage", Normal),
            ("qmt-registry", "qmt-testkit", Dev),
            ("qmt-registry", "qmt-registry", Dev),
            ("qmt-plugins", "qmt-verify", Normal),
            ("qmt-plugins-cli", "qmt-plugins", Normal),
            ("qmt-loader", "qmt-plugin-sdk", Normal),
            ("qmt-testkit", "qmt-oci-ref", Normal),
            ("qmt-e2e-tests", "qmt-verify", Dev),
            ("qmt-registry", "reqwest", Normal),
            ("qmt-oci-ref", "oci-spec", Normal),
            ("qmt-verify", "sigstore-verify", Normal),
            ("qmt-testkit", "sigstore-verify", Dev),
            ("qmt-registry", "axum", Dev),
            ("xtask", "anyhow", Normal),
        ] {
            assert!(!refused(from, to, kind), "{from} -> {to}");
        }
    }

    #[test]
    fn each_edge_against_it_is_an_error() {
        for (from, to, kind) in [
            ("qmt-verify", "qmt-registry", Normal),
            ("qmt-verify", "qmt-registry", Dev),
            ("qmt-oci-ref", "qmt-cache", Normal),
            ("qmt-oci-ref", "qmt-testkit", Dev),
            ("qmt-cache", "qmt-plugins", Normal),
            ("qmt-storage", "qmt-cache", Normal),
            ("qmt-registry", "qmt-testkit", Normal),
            ("qmt-testkit", "qmt-registry", Dev),
            ("qmt-plugins-cli", "qmt-loader", Normal),
            ("qmt-plugin-sdk", "qmt-oci-ref", Normal),
            ("qmt-plugin-sdk", "qmt-testkit", Dev),
            ("xtask", "qmt-testkit", Normal),
            ("qmt-new", "qmt-oci-ref", Normal),
            ("qmt-plugins", "reqwest", Normal),
            ("qmt-registry", "oci-spec", Normal),
            ("qmt-e2e-tests", "reqwest", Dev),
            ("qmt-plugins", "sigstore-tuf", Normal),
            ("qmt-testkit", "sigstore-verify", Normal),
            ("xtask", "extism", Normal),
            ("qmt-plugins", "libloading", Normal),
            ("qmt-cache", "anyhow", Normal),
            ("qmt-plugins", "clap_complete", Normal),
        ] {
            assert!(refused(from, to, kind), "{from} -> {to}");
        }
    }
}

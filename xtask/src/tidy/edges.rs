//! Which crate may depend on which: the pipeline's direction, and who owns which library.

use std::collections::BTreeSet;

use cargo_metadata::DependencyKind;

use super::Finding;

/// A workspace member and the dependencies that its manifest names.
pub(super) struct Package {
    name: String,
    dependencies: Vec<(String, DependencyKind)>,
}

impl Package {
    /// Every member of the workspace.
    pub(super) fn all(metadata: &cargo_metadata::Metadata) -> Vec<Self> {
        metadata
            .packages
            .iter()
            .map(|package| Self {
                name: package.name.to_string(),
                dependencies: package
                    .dependencies
                    .iter()
                    .map(|dependency| (dependency.name.clone(), dependency.kind))
                    .collect(),
            })
            .collect()
    }
}

const STAGES: &[&str] = &[
    "qmt-registry",
    "qmt-artifact",
    "qmt-verify",
    "qmt-cache",
    "qmt-loader",
];

/// What a member may name of the workspace itself: in its library, and in its tests besides.
struct Inside {
    package: &'static str,
    library: &'static [&'static str],
    tests: &'static [&'static str],
}

const INSIDE: &[Inside] = &[
    Inside {
        package: "qmt-oci-ref",
        library: &[],
        tests: &[],
    },
    Inside {
        package: "qmt-registry",
        library: &["qmt-oci-ref"],
        tests: &["qmt-testkit"],
    },
    Inside {
        package: "qmt-artifact",
        library: &["qmt-oci-ref"],
        tests: &["qmt-testkit"],
    },
    Inside {
        package: "qmt-verify",
        library: &["qmt-oci-ref"],
        tests: &["qmt-testkit"],
    },
    Inside {
        package: "qmt-cache",
        library: &["qmt-oci-ref"],
        tests: &["qmt-testkit"],
    },
    Inside {
        package: "qmt-loader",
        library: &["qmt-oci-ref"],
        tests: &["qmt-testkit"],
    },
    Inside {
        package: "qmt-plugins",
        library: &[
            "qmt-oci-ref",
            "qmt-registry",
            "qmt-artifact",
            "qmt-verify",
            "qmt-cache",
            "qmt-loader",
        ],
        tests: &["qmt-testkit"],
    },
    Inside {
        package: "qmt-plugins-cli",
        library: &["qmt-plugins"],
        tests: &["qmt-testkit"],
    },
    Inside {
        package: "qmt-testkit",
        library: &["qmt-oci-ref"],
        tests: &[],
    },
    Inside {
        package: "xtask",
        library: &["qmt-oci-ref", "qmt-testkit"],
        tests: &[],
    },
];

/// The one crate that names a library; in tests, the others of the list may as well.
struct Owned {
    library: &'static str,
    owners: &'static [&'static str],
    in_tests: &'static [&'static str],
}

const OWNED: &[Owned] = &[
    Owned {
        library: "reqwest",
        owners: &["qmt-registry"],
        in_tests: &[],
    },
    Owned {
        library: "sigstore*",
        owners: &["qmt-verify"],
        in_tests: &["qmt-testkit"],
    },
    Owned {
        library: "extism",
        owners: &["qmt-loader"],
        in_tests: &[],
    },
    Owned {
        library: "libloading",
        owners: &["qmt-loader"],
        in_tests: &[],
    },
    Owned {
        library: "wasmtime",
        owners: &["qmt-loader"],
        in_tests: &[],
    },
    Owned {
        library: "flate2",
        owners: &["qmt-artifact", "qmt-testkit"],
        in_tests: &["*"],
    },
    Owned {
        library: "zstd",
        owners: &["qmt-artifact", "qmt-testkit"],
        in_tests: &["*"],
    },
    Owned {
        library: "figment",
        owners: &["qmt-plugins"],
        in_tests: &[],
    },
    Owned {
        library: "axum",
        owners: &["qmt-testkit"],
        in_tests: &["*"],
    },
    Owned {
        library: "rcgen",
        owners: &["qmt-testkit", "xtask"],
        in_tests: &["*"],
    },
    Owned {
        library: "clap*",
        owners: &["qmt-plugins-cli"],
        in_tests: &[],
    },
    Owned {
        library: "indicatif",
        owners: &["qmt-plugins-cli"],
        in_tests: &[],
    },
    Owned {
        library: "miette",
        owners: &["qmt-plugins-cli"],
        in_tests: &[],
    },
    // A library's errors are typed; only the two programs may lump them together.
    Owned {
        library: "anyhow",
        owners: &["qmt-plugins-cli", "xtask"],
        in_tests: &["*"],
    },
];

/// Judges every edge that the members' manifests name.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let members: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for package in packages {
        for (dependency, kind) in &package.dependencies {
            let in_tests = *kind == DependencyKind::Development;
            if members.contains(dependency.as_str()) {
                findings.extend(inside(&package.name, dependency, in_tests));
            } else {
                findings.extend(outside(&package.name, dependency, in_tests));
            }
        }
    }
    findings
}

fn inside(package: &str, dependency: &str, in_tests: bool) -> Option<Finding> {
    // The crate of end-to-end scenarios joins everything, and nothing depends on it.
    if package == "qmt-e2e-tests" {
        return None;
    }
    let place = format!("{package} -> {dependency}");
    let Some(rule) = INSIDE.iter().find(|rule| rule.package == package) else {
        return Some(Finding::error(
            place,
            "a new crate: state its edges in xtask/src/tidy/edges.rs",
        ));
    };
    let allowed = rule.library.contains(&dependency)
        || in_tests && (rule.tests.contains(&dependency) || dependency == package);
    if allowed {
        return None;
    }
    let message = if STAGES.contains(&package) && STAGES.contains(&dependency) {
        "stage crates never depend on one another; declare a port trait, the facade adapts it"
    } else {
        "this edge goes against the pipeline's direction"
    };
    Some(Finding::error(place, message))
}

fn outside(package: &str, dependency: &str, in_tests: bool) -> Option<Finding> {
    let rule = OWNED
        .iter()
        .find(|rule| match rule.library.strip_suffix('*') {
            Some(prefix) => dependency.starts_with(prefix),
            None => rule.library == dependency,
        })?;
    let allowed = rule.owners.contains(&package)
        || in_tests && (rule.in_tests.contains(&package) || rule.in_tests.contains(&"*"));
    (!allowed).then(|| {
        let owners = rule.owners.join(" and ");
        Finding::error(
            format!("{package} -> {dependency}"),
            format!("only {owners} names it"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(edges: &[(&str, &str, DependencyKind)]) -> Vec<Finding> {
        let mut names: BTreeSet<&str> = INSIDE.iter().map(|rule| rule.package).collect();
        names.insert("qmt-e2e-tests");
        names.extend(edges.iter().map(|(package, ..)| *package));
        let packages: Vec<Package> = names
            .into_iter()
            .map(|name| Package {
                name: name.to_owned(),
                dependencies: edges
                    .iter()
                    .filter(|(package, ..)| *package == name)
                    .map(|(_, dependency, kind)| ((*dependency).to_owned(), *kind))
                    .collect(),
            })
            .collect();
        check(&packages)
    }

    use DependencyKind::{Development as Dev, Normal};

    #[test]
    fn edges_along_the_pipeline_pass() {
        let edges = [
            ("qmt-registry", "qmt-oci-ref", Normal),
            ("qmt-registry", "qmt-testkit", Dev),
            ("qmt-registry", "qmt-registry", Dev),
            ("qmt-plugins", "qmt-verify", Normal),
            ("qmt-plugins-cli", "qmt-plugins", Normal),
            ("qmt-testkit", "qmt-oci-ref", Normal),
            ("qmt-e2e-tests", "qmt-verify", Dev),
            ("qmt-registry", "reqwest", Normal),
            ("qmt-verify", "sigstore-verify", Normal),
            ("qmt-testkit", "sigstore-verify", Dev),
            ("xtask", "anyhow", Normal),
        ];
        assert_eq!(judge(&edges), []);
    }

    #[test]
    fn each_edge_against_it_is_an_error() {
        let edges = [
            ("qmt-verify", "qmt-registry", Normal),
            ("qmt-verify", "qmt-registry", Dev),
            ("qmt-oci-ref", "qmt-cache", Normal),
            ("qmt-oci-ref", "qmt-testkit", Dev),
            ("qmt-cache", "qmt-plugins", Normal),
            ("qmt-registry", "qmt-testkit", Normal),
            ("qmt-testkit", "qmt-registry", Dev),
            ("qmt-plugins-cli", "qmt-loader", Normal),
            ("qmt-new", "qmt-oci-ref", Normal),
            ("qmt-plugins", "reqwest", Normal),
            ("qmt-e2e-tests", "reqwest", Dev),
            ("qmt-plugins", "sigstore-tuf", Normal),
            ("qmt-testkit", "sigstore-verify", Normal),
            ("xtask", "extism", Normal),
            ("qmt-plugins", "libloading", Normal),
            ("qmt-cache", "anyhow", Normal),
            ("qmt-plugins", "clap_complete", Normal),
        ];
        for edge in edges {
            let findings = judge(&[edge]);
            assert_eq!(findings.len(), 1, "{edge:?}: {findings:?}");
            assert_eq!(findings[0].severity, super::super::Severity::Error);
        }
    }

    #[test]
    fn two_stages_are_told_about_ports() {
        let findings = judge(&[("qmt-cache", "qmt-verify", Normal)]);
        assert!(findings[0].message.contains("port trait"), "{findings:?}");
    }
}

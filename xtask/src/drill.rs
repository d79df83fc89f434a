//! `cargo xtask drill`: drills that run with the tests in a short form, in the form of a release.
//!
//! A drill is a test that reads `QMT_DRILL`; it prints a line `drill …` with its counts and fails on
//! any violation.

use anyhow::Context as _;
use xshell::Shell;

use crate::project;

/// One drill and its tests.
struct Drill {
    id: &'static str,
    about: &'static str,
    /// Package and the filter of its test binary `it`.
    tests: &'static [(&'static str, &'static str)],
    /// The profile to build with: an optimised one where the count is large.
    profile: &'static str,
}

const DRILLS: &[Drill] = &[
    Drill {
        id: "F5",
        about: "the connection is cut at every byte of every response: FIN, RST, silence",
        tests: &[("qmt-registry", "drill::cuts")],
        profile: "test",
    },
    Drill {
        id: "F6",
        about: "a bit of every byte of every response is flipped, and many at random",
        tests: &[
            ("qmt-registry", "drill::edits"),
            ("qmt-plugins", "drill::f6"),
        ],
        profile: "test",
    },
    Drill {
        id: "F9",
        about: "redirects of every kind for every kind of request",
        tests: &[("qmt-registry", "drill::matrix")],
        profile: "test",
    },
    Drill {
        id: "F16",
        about: "good signatures with one bit flipped, one value changed, one part of another",
        tests: &[
            ("qmt-verify", "drill::flips"),
            ("qmt-verify", "mutants::no_mutant"),
            ("qmt-verify", "transplants"),
        ],
        profile: "drill",
    },
    Drill {
        id: "F17",
        about: "processes are killed while they refresh the trust root",
        tests: &[("qmt-verify", "tuf_processes")],
        profile: "test",
    },
    Drill {
        id: "F18",
        about: "random Wasm modules are loaded and called",
        tests: &[("qmt-loader", "wasm_random")],
        profile: "drill",
    },
];

/// The ids of all drills.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    DRILLS.iter().map(|drill| drill.id)
}

/// Runs all drills or those of `ids`: every place once, or with the counts of a release.
pub(crate) fn run(long: bool, ids: &[String]) -> anyhow::Result<()> {
    let form = if long { "long" } else { "full" };
    let is_chosen = |drill: &&Drill| ids.is_empty() || ids.iter().any(|id| id == drill.id);
    let sh = project::shell()?;
    let mut failed = Vec::new();
    for drill in DRILLS.iter().filter(is_chosen) {
        println!("{}: {} ({form})", drill.id, drill.about);
        for (package, filter) in drill.tests {
            if let Err(error) = play(&sh, drill.profile, package, filter, form) {
                println!("FAILED  {filter} of {package}: {error:#}");
                failed.push(drill.id);
            }
        }
    }
    failed.dedup();
    anyhow::ensure!(failed.is_empty(), "violated: {}", failed.join(", "));
    Ok(())
}

fn play(sh: &Shell, profile: &str, package: &str, filter: &str, form: &str) -> anyhow::Result<()> {
    let output = project::cargo(
        sh,
        &[
            "test",
            "--quiet",
            "--profile",
            profile,
            "--package",
            package,
        ],
    )
    .args(["--test", "it", filter, "--", "--nocapture"])
    .env("QMT_DRILL", form)
    .env("RUST_BACKTRACE", "0")
    .quiet()
    .ignore_status()
    .output()
    .context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let lines = counts(&said);
    for line in &lines {
        println!("  {line}");
    }
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    // A filter that matches no test passes and prints nothing.
    anyhow::ensure!(!lines.is_empty(), "no test of that name counts anything");
    Ok(())
}

/// The lines of a drill, before which the test harness may have put a mark for each test that ended.
fn counts(said: &str) -> Vec<&str> {
    said.lines()
        .map(|line| line.trim_start_matches(['.', 'F', 'i']))
        .filter(|line| line.starts_with("drill "))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `cargo test --quiet` prints them.
    #[test]
    fn lines_behind_the_marks_of_the_harness_count() {
        let said = "\nrunning 4 tests\ndrill F6 one: 1 case\n..drill F6 two: 2 cases\n.Fi.drill x\n\
                    the drill goes on\n.\n";
        let expected = ["drill F6 one: 1 case", "drill F6 two: 2 cases", "drill x"];
        assert_eq!(counts(said), expected);
    }
}

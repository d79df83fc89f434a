//! `cargo xtask bench`: every figure that the project promises, as a ratio within one run, with the
//! programs of others beside ours. Writes `docs/benchmarks.md`.

mod measure;
pub(crate) mod module;
mod pull;
mod report;
mod stage;
mod start;
mod verify;

use self::report::{Row, Verdict};
use self::stage::Stage;
use crate::project::{self, UsageError};
use crate::suggest;

/// How often each contender runs.
const ROUNDS: usize = 9;
/// The same with `--quick`.
const QUICK_ROUNDS: usize = 3;
/// Where the table goes.
const DOCUMENT: &str = "docs/benchmarks.md";

/// A group of rows.
struct Group {
    name: &'static str,
    run: fn(&Stage, usize) -> anyhow::Result<Vec<Row>>,
}

const GROUPS: &[Group] = &[
    Group {
        name: "pull",
        run: pull::raw,
    },
    Group {
        name: "archive",
        run: pull::archives,
    },
    Group {
        name: "warm",
        run: start::warm,
    },
    Group {
        name: "judge",
        run: |stage, _| verify::judge(stage),
    },
    Group {
        name: "verify",
        run: verify::whole,
    },
    Group {
        name: "load-all",
        run: |stage, _| start::many(stage),
    },
    Group {
        name: "memory",
        run: pull::memory,
    },
    Group {
        name: "herd",
        run: |stage, _| start::herd(stage),
    },
    Group {
        name: "lookup",
        run: |stage, _| start::lookup(stage),
    },
    Group {
        name: "version",
        run: start::version,
    },
    Group {
        name: "vocabulary",
        run: |stage, _| start::vocabulary(stage),
    },
];

/// What a reader must know to judge the table.
const NOTES: &str = include_str!("bench/notes.md");

/// Measures all groups, or those that are named. Only a run of all of them writes the document.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (options, names): (Vec<&String>, Vec<&String>) = arguments
        .iter()
        .partition(|argument| argument.starts_with("--"));
    let (mut rounds, mut build) = (ROUNDS, true);
    for option in options {
        match option.as_str() {
            "--quick" => rounds = QUICK_ROUNDS,
            "--as-built" => build = false,
            other => return Err(UsageError(format!("`bench` takes no `{other}`")).into()),
        }
    }
    check(&names)?;
    let stage = Stage::start(build)?;
    let mut rows = Vec::new();
    for group in GROUPS {
        if !names.is_empty() && !names.iter().any(|name| *name == group.name) {
            continue;
        }
        let measured = (group.run)(&stage, rounds).unwrap_or_else(|error| {
            eprintln!("{}: {error:?}", group.name);
            vec![Row::skipped(group.name, "", format!("{error:#}"))]
        });
        for row in measured {
            println!("{}", row.line());
            rows.push(row);
        }
    }
    let failed = rows.iter().filter(|row| row.verdict == Verdict::Fails);
    println!("bench: {} rows, {} do not hold", rows.len(), failed.count());
    if names.is_empty() {
        let document = report::document(stage.shell(), &rows, NOTES)?;
        let path = project::root().join(DOCUMENT);
        stage.shell().write_file(&path, document)?;
        println!("written: {DOCUMENT}");
    }
    Ok(())
}

fn check(names: &[&String]) -> Result<(), UsageError> {
    let known: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
    for name in names {
        if !known.contains(&name.as_str()) {
            let hint = suggest::nearest(name, &known)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(UsageError(format!("there are no rows `{name}`{hint}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_rows_and_options_are_usage_errors() {
        let error = run(&["pul".to_owned()]).unwrap_err();
        assert!(error.is::<UsageError>());
        assert!(
            error.to_string().contains("did you mean `pull`?"),
            "{error}"
        );
        assert!(run(&["--fast".to_owned()]).unwrap_err().is::<UsageError>());
    }
}

//! `cargo xtask bench`: every figure that the project promises, as a ratio within one run, next to
//! other programs. Writes `docs/benchmarks.md`.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for the terminal: what it prints is its result"
)]

mod calls;
mod isolated;
mod measure;
mod module;
mod pull;
mod report;
mod stage;
mod start;
mod verify;

use clap::Parser;
use clap::builder::PossibleValuesParser;

use self::report::{Row, Verdict};
use self::stage::Stage;

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
    group("pull", pull::raw),
    group("archive", pull::archives),
    group("warm", start::warm),
    group("verify-time", |stage, _| verify::in_process(stage)),
    group("verify", verify::whole),
    group("calls", |stage, _| calls::calls(stage)),
    group("isolated", |stage, _| isolated::calls(stage)),
    group("load-all", |stage, _| start::many(stage)),
    group("memory", pull::memory),
    group("herd", |stage, _| start::herd(stage)),
    group("lookup", |stage, _| start::lookup(stage)),
    group("version", start::version),
    group("vocabulary", |stage, _| start::vocabulary(stage)),
];

const fn group(name: &'static str, run: fn(&Stage, usize) -> anyhow::Result<Vec<Row>>) -> Group {
    Group { name, run }
}

/// What a reader must know to understand the table.
const NOTES: &str = include_str!("notes.md");

/// The figures of the project.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Cli {
    /// Takes each measurement three times
    #[arg(long)]
    quick: bool,
    #[arg(value_name = "ROWS", value_parser = PossibleValuesParser::new(GROUPS.iter().map(|group| group.name)))]
    rows: Vec<String>,
}

/// Measures all groups, or those that are named. Only a run of all of them writes the document.
fn main() -> anyhow::Result<()> {
    let Cli { quick, rows: names } = Cli::parse();
    let rounds = if quick { QUICK_ROUNDS } else { ROUNDS };
    let is_chosen =
        |group: &&Group| names.is_empty() || names.iter().any(|name| name == group.name);
    let stage = Stage::start()?;
    let mut rows = Vec::new();
    for group in GROUPS.iter().filter(is_chosen) {
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
        let document = report::document(&stage.sh, &rows, NOTES)?;
        let path = qmt_e2e_tests::root().join(DOCUMENT);
        stage.sh.write_file(&path, document)?;
        println!("written: {DOCUMENT}");
    }
    Ok(())
}

//! The project's own commands: `cargo xtask COMMAND`, one module per command.
//!
//! What needs the test kit is a program of its own (`tests/e2e`, `tests/interop`, `tests/bench`) that
//! is built and started from here. Exit codes: 0 success, 1 failure, 2 wrong command line.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for the terminal: what it prints is its result"
)]

mod ci;
mod drill;
mod mutants;
mod program;
mod project;
mod readme;
mod test;
mod tidy;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory as _, Parser, Subcommand};

use program::{Ended, Program};

/// The project's own commands.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Publishes, verifies and runs a signed plugin on this machine, and explains each step
    Demo,
    /// Runs all tests and doc tests; needs plain Rust and a C compiler
    Test {
        /// Arguments for `cargo test`
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Runs the cases of fixtures/e2e through the built command, and the example of a host
    E2e {
        /// Runs against registries, builders and cosign, which `cargo xtask tools` installs
        #[arg(long)]
        real: bool,
        /// Cases; with `--real`, parts of the names of what to run
        #[arg(value_name = "CASE|PART")]
        names: Vec<OsString>,
    },
    /// Runs the fault drills at every place and prints their counts
    Drill {
        /// Runs them as often as a release requires
        #[arg(long)]
        long: bool,
        #[arg(value_name = "ID", value_parser = PossibleValuesParser::new(drill::ids()))]
        ids: Vec<String>,
    },
    /// Changes verification and policies one decision at a time; a test must fail each time
    Mutants {
        /// Arguments for `cargo mutants`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Writes fixtures/oci-layouts and fixtures/sigstore again, and builds plugins in every language
    /// whose toolchain is installed
    Fixtures {
        /// Records signatures of cosign instead: fixtures/sigstore/cosign
        #[arg(long)]
        real: bool,
    },
    /// Installs the pinned programs of the real tier into target/tools
    Tools {
        /// Prints which are installed
        #[arg(long)]
        list: bool,
        names: Vec<OsString>,
    },
    /// Measures the command next to other programs; a full run writes docs/benchmarks.md
    Bench {
        /// Takes each measurement three times
        #[arg(long)]
        quick: bool,
        /// Measures what was built last
        #[arg(long)]
        as_built: bool,
        rows: Vec<OsString>,
    },
    /// Checks dependency edges, file sizes, docs, words, `unsafe` and other house rules
    Tidy,
    /// Runs everything that must hold before a change is merged, with times
    Ci {
        /// Prints the names of the steps
        #[arg(long)]
        list: bool,
        #[arg(value_name = "STEP", value_parser = PossibleValuesParser::new(ci::names()))]
        steps: Vec<String>,
    },
}

fn main() -> ExitCode {
    let Some(command) = Cli::parse().command else {
        print!("{}", Cli::command().render_help());
        return ExitCode::SUCCESS;
    };
    let Err(error) = run(command) else {
        return ExitCode::SUCCESS;
    };
    // A program of ours has already explained a wrong command line.
    if error.downcast_ref().is_some_and(Ended::is_usage) {
        return ExitCode::from(2);
    }
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn run(command: Command) -> anyhow::Result<()> {
    let option = |name: &str, given: bool| given.then(|| name.into());
    match command {
        Command::Demo => Program::Demo.run([]),
        Command::Test { arguments } => test::run(&[], &arguments),
        Command::E2e { real: false, names } if names.is_empty() => {
            Program::Cases.run([])?;
            test::example()
        }
        Command::E2e { real: false, names } => Program::Cases.run(names),
        Command::E2e { real: true, names } => {
            Program::Interop.run([OsString::from("real")].into_iter().chain(names))
        }
        Command::Drill { long, ids } => drill::run(long, &ids),
        Command::Mutants { arguments } => mutants::run(&arguments),
        Command::Fixtures { real: false } => Program::Fixtures.run([]),
        Command::Fixtures { real: true } => Program::Interop.run(["record".into()]),
        Command::Tools { list, names } => {
            let arguments = [Some("tools".into()), option("--list", list)];
            Program::Interop.run(arguments.into_iter().flatten().chain(names))
        }
        Command::Bench {
            quick,
            as_built,
            rows,
        } => {
            if !as_built {
                Program::Bench.build()?;
            }
            Program::Bench.start(option("--quick", quick).into_iter().chain(rows))
        }
        Command::Tidy => tidy::run(),
        Command::Ci { list, steps } => ci::run(list, &steps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> clap::Error {
        let line = ["xtask"].iter().chain(arguments);
        Cli::try_parse_from(line).map(|_| ()).unwrap_err()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_misspelt_word_is_a_usage_error_with_the_nearest_one() {
        for (arguments, nearest) in [
            (["tidi", ""].as_slice(), "tidy"),
            (&["ci", "clipy"], "clippy"),
            (&["drill", "F55"], "F5"),
            (&["bench", "--quik"], "--quick"),
        ] {
            let error = refused(arguments);
            assert_eq!(error.exit_code(), 2, "{error}");
            assert!(error.to_string().contains(nearest), "{error}");
        }
        assert_eq!(refused(&["test", "--nextest"]).exit_code(), 2);
    }

    #[test]
    fn help_is_not_an_error() {
        for arguments in [["--help", ""].as_slice(), &["tidy", "--help"]] {
            assert_eq!(refused(arguments).exit_code(), 0);
        }
        assert!(Cli::try_parse_from(["xtask"]).unwrap().command.is_none());
    }
}

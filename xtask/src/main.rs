//! The project's own commands: `cargo xtask COMMAND`, one module per command.
//!
//! Exit codes: 0 all as expected, 1 something failed, 2 the command line was not understood.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for the terminal: what it prints is its result"
)]

mod bench;
mod ci;
mod command;
mod demo;
mod drill;
mod e2e;
mod embedded;
mod fixtures;
mod image;
mod mutants;
mod order;
mod project;
mod readme;
mod suggest;
mod test;
mod tidy;
mod tools;

use std::fmt::Write as _;
use std::process::ExitCode;

use project::UsageError;

/// One entry of the usage text.
struct Command {
    name: &'static str,
    options: &'static str,
    summary: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

/// Every command, in the order in which a newcomer meets them.
const COMMANDS: &[Command] = &[
    Command {
        name: "demo",
        options: "",
        summary: "a signed plugin travels from a registry into a call, told as it happens",
        run: demo::run,
    },
    Command {
        name: "test",
        options: "[-- ARGS]",
        summary: "all tests and doc tests; needs plain Rust and a C compiler",
        run: test::run,
    },
    Command {
        name: "e2e",
        options: "[--real [PART...] | CASE...]",
        summary: "the cases of fixtures/e2e through the built command; --real: against others",
        run: e2e::run,
    },
    Command {
        name: "drill",
        options: "[ID...] [--long]",
        summary: "the fault drills at every place, counted; --long: as often as a release needs",
        run: drill::run,
    },
    Command {
        name: "mutants",
        options: "[-- ARGS]",
        summary: "changes the judge and the policies one decision at a time; a test must fail",
        run: mutants::run,
    },
    Command {
        name: "fixtures",
        options: "[--real]",
        summary: "writes fixtures/oci-layouts and fixtures/sigstore anew; --real: cosign's part",
        run: fixtures::run,
    },
    Command {
        name: "tools",
        options: "[--list | NAME...]",
        summary: "programs of others for the real tier, pinned, into target/tools",
        run: tools::run,
    },
    Command {
        name: "bench",
        options: "[--quick] [--as-built] [ROWS...]",
        summary: "the project's figures beside other programs, into docs/benchmarks.md",
        run: bench::run,
    },
    Command {
        name: "order",
        options: "",
        summary: "which functions the command runs, for the linker to put them together",
        run: order::run,
    },
    Command {
        name: "tidy",
        options: "",
        summary: "dependency edges, file sizes, docs, unsafe, and other house rules",
        run: tidy::run,
    },
    Command {
        name: "ci",
        options: "[--list | STEP...]",
        summary: "everything that must hold before a change is merged, timed",
        run: ci::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<UsageError>() => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> anyhow::Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", usage());
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", usage());
        return Ok(());
    }
    let command = COMMANDS
        .iter()
        .find(|command| command.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
            let hint = match suggest::nearest(name, &names) {
                Some(near) => format!("did you mean `cargo xtask {near}`?"),
                None => "`cargo xtask` lists what there is".to_owned(),
            };
            UsageError(format!("there is no command `{name}`; {hint}"))
        })?;
    if rest
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|a| a == "--help" || a == "-h")
    {
        println!(
            "usage: cargo xtask {} {}\n\n{}",
            command.name, command.options, command.summary
        );
        return Ok(());
    }
    (command.run)(rest)
}

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask COMMAND [OPTIONS]\n\ncommands:\n");
    for Command {
        name,
        options,
        summary,
        ..
    } in COMMANDS
    {
        let call = format!("{name} {options}");
        let _ = writeln!(text, "  {call:<28} {summary}");
    }
    text.push_str("\n`cargo xtask COMMAND --help` shows the options of one command.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_names_every_command() {
        let text = usage();
        for command in COMMANDS {
            assert!(
                text.contains(&format!("  {}", command.name)),
                "{}",
                command.name
            );
        }
    }

    #[test]
    fn an_unknown_command_is_a_usage_error_with_the_nearest_name() {
        let error = dispatch(&["tidi".to_owned()]).unwrap_err();
        assert!(error.is::<UsageError>());
        assert!(
            error
                .to_string()
                .contains("did you mean `cargo xtask tidy`?"),
            "{error}"
        );
        let error = dispatch(&["zzzzzzzz".to_owned()]).unwrap_err();
        assert!(error.is::<UsageError>());
        assert!(!error.to_string().contains("did you mean"), "{error}");
    }

    #[test]
    fn help_is_not_an_error() {
        for arguments in [vec![], vec!["help"], vec!["--help"], vec!["tidy", "--help"]] {
            let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
            assert!(dispatch(&arguments).is_ok(), "{arguments:?}");
        }
    }
}

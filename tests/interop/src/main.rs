//! What `cargo xtask e2e --real`, `tools` and `fixtures --real` start.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "a command for the terminal: what it prints is its result"
)]

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use qmt_interop::{real, sigstore, tools};

/// The command against programs of other projects.
#[derive(Parser)]
#[command(bin_name = "qmt-interop")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the real tier
    Real {
        /// Parts of the names of what to run
        parts: Vec<String>,
    },
    /// Records what cosign signs, and what is verified of it, in fixtures/sigstore/cosign
    Record,
    /// Installs the pinned programs
    Tools {
        /// Prints which are installed
        #[arg(long)]
        list: bool,
        #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(tools::names()))]
        names: Vec<String>,
    },
    /// Prints the required programs that are not installed
    Missing,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Real { parts } => real::run(&parts),
        Command::Record => sigstore::record_fixtures(),
        Command::Tools { list: true, .. } => {
            tools::list();
            Ok(())
        }
        Command::Tools { list: false, names } => tools::install(&names),
        Command::Missing => {
            println!("{}", tools::missing(real::NEEDED).join(", "));
            Ok(())
        }
    }
}

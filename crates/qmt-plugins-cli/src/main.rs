//! The command `qmt-plugins`: pulls, verifies, runs and publishes plugins.
//!
//! The library does the work; this crate has arguments, output and exit codes.
#![forbid(unsafe_code)]

mod args;
mod command;
mod exit;
mod output;
mod progress;
mod session;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    init_log(arguments.global.verbose);
    let output = Output::new(&arguments.global);
    // Hashing, writing, extracting and plugins run on other threads. What remains waits for the
    // network, and a second thread would only pass its bytes on.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(command::run(arguments, &output));
            // A thread of a native plugin that never ends must not keep the process running.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(exit::Failure::other(
            "the runtime could not be started",
            error,
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.code().into()
        }
    }
}

/// Logs to stderr: warnings of libraries with `-v`, more with each repetition.
fn init_log(verbose: u8) {
    let default = match verbose {
        0 => "off",
        1 => "warn",
        2 => "info,qmt_plugins=debug",
        _ => "debug,wasmtime=info,cranelift=info",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("QMT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

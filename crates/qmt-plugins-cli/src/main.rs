//! The command `qmt-plugins`: pulls, verifies, runs and publishes plugins.
//!
//! The library does the work; this crate has arguments, output and exit codes.
#![forbid(unsafe_code)]

mod args;
mod command;
mod exit;
mod limits;
mod output;
mod progress;
mod prompt;
mod session;
mod text;
mod usage;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

#[cfg(unix)]
use rustix::process::Signal;
use tokio::runtime::{Builder, Runtime};
#[cfg(unix)]
use tokio::signal::unix;

use crate::args::{Arguments, Command};
use crate::exit::{Code, Failure};
use crate::output::Output;

/// How long an interrupted command waits for the writers of downloads.
const GRACE: Duration = Duration::from_millis(500);
fn main() -> ExitCode {
    qmt_plugins::loader::native::run_worker_if_asked();
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => return ended(usage::answer(error)),
    };
    init_log(arguments.global.verbose);
    let output = Output::new(&arguments);
    // Hashing, writing, extracting and plugins run on other threads. What remains waits for the
    // network, and a second thread would only pass its bytes on.
    let threads = threads(&arguments.command);
    let checked = limits::check(threads);
    let runtime = checked.and_then(|()| Builder::new_current_thread().enable_all().build());
    let result = match runtime {
        Ok(runtime) => run(runtime, arguments, &output),
        Err(error) => Err(Failure::other(limits::message(threads), error)),
    };
    ended(result.map_err(|failure| output.failure(failure)))
}

/// Returns how many threads a command needs. Each plugin takes two while it is fetched, and by default
/// four are fetched at the same time. A command that fetches one plugin needs two more, and so does one
/// that fetches none.
fn threads(command: &Command) -> usize {
    match command {
        Command::Pull(_)
        | Command::Lock
        | Command::Update(_)
        | Command::Outdated(_)
        | Command::Publish(_)
        | Command::Cache(_) => 8,
        Command::Run(_) | Command::Inspect(_) | Command::Add(_) => 4,
        Command::Verify(_)
        | Command::Why(_)
        | Command::List
        | Command::New(_)
        | Command::Login(_)
        | Command::Logout(_)
        | Command::Trust(_)
        | Command::Config(_)
        | Command::Doctor
        | Command::Completions { .. } => 2,
    }
}

/// Runs the command to its end, or until the user interrupts it.
fn run(runtime: Runtime, arguments: Arguments, output: &Output) -> Result<(), Failure> {
    let result = runtime.block_on(async {
        // The signal of a file that exceeds `ulimit -f` would end the process without a message. With
        // a handler, the write fails instead.
        #[cfg(unix)]
        let _handled = unix::signal(unix::SignalKind::from_raw(Signal::XFSZ.as_raw()));
        tokio::select! {
            result = command::run(arguments, output) => result,
            code = interrupted() => {
                let downloads = output.downloads();
                Err(Failure::Interrupted { downloads, code })
            }
        }
    });
    match &result {
        Err(Failure::Interrupted { downloads, .. }) if !downloads.is_empty() => {
            runtime.shutdown_timeout(GRACE);
        }
        // A thread of a native plugin that never ends must not keep the process running.
        _ => runtime.shutdown_background(),
    }
    result
}

/// Waits until the user or the system asks the command to end.
async fn interrupted() -> Code {
    #[cfg(unix)]
    let terminated = async {
        match unix::signal(unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending();
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => Code::Interrupted,
        Some(()) = terminated => Code::Terminated,
        else => std::future::pending().await,
    }
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    result.map_or_else(|failure| failure.code().into(), |()| ExitCode::SUCCESS)
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
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && output::has_color())
        // A log that can't be written is no reason to stop.
        .log_internal_errors(false)
        .init();
}

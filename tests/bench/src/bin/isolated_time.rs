//! Times calls of an isolated native plugin, next to a round trip over a pair of sockets to a child.
//!
//! Prints a line per figure: its name, and the nanoseconds of the call and of the round trip.
#![forbid(unsafe_code)]

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use qmt_oci_ref::PluginKind;
use qmt_plugins::loader::native::{Isolation, NativeLoader, run_worker_if_asked};
use qmt_plugins::loader::{Artifact, LoadOptions, Loader as _};

/// The argument by which this program answers each message with another one.
const ECHO: &str = "--echo";
/// The bytes of a message: those of a header of the loader.
const MESSAGE: usize = 16;
/// Calls of one series; the least of several series counts.
const CALLS: u32 = 5_000;
const SERIES: usize = 9;

fn main() -> anyhow::Result<()> {
    run_worker_if_asked();
    if std::env::args()
        .nth(1)
        .is_some_and(|argument| argument == ECHO)
    {
        return echo();
    }
    let folder = tempfile::tempdir()?;
    let library = std::fs::read(qmt_testkit::plugins::native_plugin(folder.path())?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut options = LoadOptions::default();
    options.isolation = Isolation::Process;
    let artifact = Artifact::from_bytes(PluginKind::Native, library, "echo");
    let loader = NativeLoader::new(folder.path().join("private"));
    let plugin = runtime.block_on(loader.load(artifact, options))?;

    let (mut socket, theirs) = UnixStream::pair()?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg(ECHO)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    let [mut call, mut blocking, mut pipe] = [u128::MAX; 3];
    for _ in 0..SERIES {
        least(&mut call, || {
            runtime.block_on(async {
                for _ in 0..CALLS {
                    plugin.call("greet", Bytes::new()).await?;
                }
                anyhow::Ok(())
            })
        })?;
        least(&mut blocking, || {
            for _ in 0..CALLS {
                plugin.call_blocking("greet", Bytes::new())?;
            }
            Ok(())
        })?;
        least(&mut pipe, || {
            let mut message = [0; MESSAGE];
            for _ in 0..CALLS {
                socket.write_all(&message)?;
                socket.read_exact(&mut message)?;
            }
            Ok(())
        })?;
    }
    drop(socket);
    child.wait()?;
    let mut out = std::io::stdout();
    writeln!(out, "call {call} {pipe}")?;
    writeln!(out, "blocking {blocking} {pipe}")?;
    Ok(())
}

/// Answers each message on stdin, which is a socket, until its other end is closed.
fn echo() -> anyhow::Result<()> {
    let socket = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?;
    let mut socket = UnixStream::from(socket);
    let mut message = [0; MESSAGE];
    while socket.read_exact(&mut message).is_ok() {
        socket.write_all(&message)?;
    }
    Ok(())
}

/// Times the calls of `work` and keeps the least time of one.
fn least(time: &mut u128, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let start = Instant::now();
    work()?;
    *time = (*time).min((start.elapsed() / CALLS).as_nanos());
    Ok(())
}

//! The worker process of an isolated plugin: it confines itself, opens one library, and makes the
//! calls that the host requests, one after the other.

mod confine;
mod ffi;
#[cfg(any(
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "x86_64"
))]
mod syscalls;

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use qmt_oci_ref::text;
use rustix::fs::FileType;

use super::ffi::{Abi, Answer, Library, Outcome};
use super::frame::{
    self, HELLO_MAX, Header, Hello, Kind, Missing, READ_AT_ONCE, VERSION, WORKER_ARGUMENT,
};
use super::start::{self, Refusal};

/// The first descriptor after the standard streams.
const FIRST: i32 = 3;

/// Whether `main` of this program calls [`run_if_asked`].
static IS_PREPARED: AtomicBool = AtomicBool::new(false);

/// Reports whether this program can be started as a worker.
pub(super) fn is_prepared() -> bool {
    IS_PREPARED.load(Ordering::Relaxed)
}

/// Runs the worker and exits, if the only argument is [`WORKER_ARGUMENT`].
pub(super) fn run_if_asked() {
    IS_PREPARED.store(true, Ordering::Relaxed);
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_none_or(|first| first != WORKER_ARGUMENT)
        || arguments.next().is_some()
    {
        return;
    }
    #[expect(clippy::exit, reason = "the rest of `main` is the host's")]
    std::process::exit(i32::from(run().is_err()));
}

/// Serves the host until it closes its end of the socket.
fn run() -> io::Result<()> {
    let mut missing = Missing::default();
    let closed = ffi::close_from(FIRST);
    missing.unless(closed.is_ok(), Missing::DESCRIPTORS);
    let (mut socket, library) = inherited()?;
    confine::end_with_the_host(&mut missing);
    let hello: Hello = receive_hello(&mut socket)?;
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get());
    if parent.map(i32::cast_unsigned) != Some(hello.host) || hello.version != VERSION {
        return Err(io::Error::other(
            "the host has ended, or has another version",
        ));
    }
    if !confine::is_single_threaded() {
        let refusal = Refusal::Start(
            "the worker process has more than one thread: `run_worker_if_asked` must come first in \
             `main`, outside of any async runtime"
                .to_owned(),
        );
        return refuse(&mut socket, &refusal);
    }
    confine::confine(&hello, &mut missing);
    frame::write(
        &mut socket,
        Kind::Confined,
        missing.0.cast_signed(),
        &[],
        &[],
    )?;
    if hello.required && missing != Missing::default() {
        return Ok(());
    }
    match open(&library, &hello) {
        Err(refusal) => refuse(&mut socket, &refusal),
        Ok((abi, exports)) => {
            let is_listed = exports.is_some();
            let names = exports.unwrap_or_default();
            frame::write(&mut socket, Kind::Ready, is_listed.into(), &[], &names)?;
            serve(&socket, &abi, hello.memory_max)
        }
    }
}

/// Takes the socket and the library from the standard streams, and closes these. Both are files
/// from here on: the filter refuses the system calls of sockets.
fn inherited() -> io::Result<(File, File)> {
    let socket = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let library = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mode = rustix::fs::fstat(&socket)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::Socket {
        return Err(io::Error::other("stdin must be the socket of a host"));
    }
    confine::close_standard_streams()?;
    Ok((socket, library))
}

fn receive_hello(socket: &mut File) -> io::Result<Hello> {
    let header = frame::read(socket)?;
    if header.kind != Kind::Hello || header.len > HELLO_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let body = body(socket, header.len)?;
    Ok(serde_json::from_slice(&body)?)
}

/// Opens the library by its descriptor and starts it.
fn open(library: &File, hello: &Hello) -> Result<(Abi, Option<Vec<u8>>), Refusal> {
    let path = format!("/proc/self/fd/{}", library.as_raw_fd());
    // The causes say which library is missing.
    let opened = Library::open(Path::new(&path))
        .map_err(|error| Refusal::Open(text::messages(&error).join(": ")))?;
    let abi = Abi::find(&Arc::new(opened))
        .ok_or_else(|| Refusal::Start("it does not implement `qmt_plugin.h`".to_owned()))?;
    start::version(&abi)?;
    start::configure(&abi, &hello.config)?;
    let exports = start::exports(&abi)?;
    Ok((abi, exports))
}

fn serve(socket: &File, abi: &Abi, output_max: u64) -> io::Result<()> {
    let mut calls = BufReader::with_capacity(READ_AT_ONCE, socket);
    loop {
        let header = match frame::read(&mut calls) {
            Ok(header) => header,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let body = match body(&mut calls, header.len) {
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                let rest = Read::by_ref(&mut calls).take(header.len);
                io::copy(&mut { rest }, &mut io::sink())?;
                frame::write(&mut &*socket, Kind::OutOfMemory, 0, &[], &[])?;
                continue;
            }
            body => body?,
        };
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let export_len = usize::try_from(header.number).map_err(|_| invalid())?;
        let (export, input) = body.split_at_checked(export_len).ok_or_else(invalid)?;
        let export = str::from_utf8(export).map_err(|_| invalid())?;
        let copied = abi.call_with(export, input, output_max, |answer| match answer.copy() {
            // The host gets it all the same, before the plugin frees it.
            Outcome::OutOfMemory => respond(socket, &answer).map(|()| None),
            outcome => Ok(Some(outcome)),
        })?;
        match copied {
            Some(Outcome::Output(output)) => respond(socket, &Answer::Output(&output))?,
            Some(Outcome::Failed { code, message }) => {
                let message = &message;
                respond(socket, &Answer::Failed { code, message })?;
            }
            Some(Outcome::TooLarge { size }) => respond(socket, &Answer::TooLarge { size })?,
            Some(Outcome::OutOfMemory) | None => {}
        }
    }
}

fn respond(mut socket: &File, answer: &Answer<'_>) -> io::Result<()> {
    let socket = &mut socket;
    match *answer {
        Answer::Output(output) => frame::write(socket, Kind::Output, 0, &[], output),
        Answer::Failed { code, message } => frame::write(socket, Kind::Failed, code, &[], message),
        Answer::TooLarge { size } => {
            socket.write_all(&Header::new(Kind::TooLarge, 0, size).to_bytes())
        }
    }
}

fn refuse(socket: &mut File, refusal: &Refusal) -> io::Result<()> {
    frame::write(socket, Kind::Refused, 0, &[], &serde_json::to_vec(refusal)?)
}

fn body(from: &mut impl Read, len: u64) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    body.try_reserve_exact(len)
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    body.resize(len, 0);
    from.read_exact(&mut body)?;
    Ok(body)
}

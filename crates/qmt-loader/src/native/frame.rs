//! The messages between host and worker over their socket: a header of 16 bytes, and a body.
//!
//! Both run on the same machine, so numbers are in its byte order. The first message has the version,
//! because the worker may be another program than the host. The host trusts no message of a worker:
//! code of the plugin can write to the socket.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version of these messages.
pub(super) const VERSION: u32 = 2;
/// The argument by which a host starts a worker.
pub(super) const WORKER_ARGUMENT: &str = "--qmt-plugin-worker";
/// The bytes of the first message, which holds the plugin's configuration.
pub(super) const HELLO_MAX: u64 = 16 * 1024 * 1024;
/// How many times the first limit of processor time a worker may use in all.
const CPU_TIMES: u64 = 16;

/// The bytes that are read at once: a header with a short body.
pub(super) const READ_AT_ONCE: usize = 16 * 1024;
const HEADER_LEN: usize = 16;
/// A body of at most as many bytes is written together with its header.
const COPIED_MAX: usize = 64 * 1024;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    /// Host: the first message; the body is a [`Hello`] in JSON.
    Hello = 1,
    /// Worker: it is confined, and begins to open the library. The number is [`Missing`].
    Confined,
    /// Worker: it takes calls. The body has the plugin's functions, one a line; the number is 1 if
    /// the plugin listed them.
    Ready,
    /// Worker: the library does not start; the body is a [`super::start::Refusal`] in JSON.
    Refused,
    /// Host: a call. The body is the export, whose length is the number, and the input.
    Call,
    /// Worker: the output.
    Output,
    /// Worker: the plugin's message; the number is its code.
    Failed,
    /// Worker: the output exceeds the limit; the length is its size. No body follows.
    TooLarge,
    /// Worker: there is too little memory for the input of the call. No body follows.
    OutOfMemory,
}

/// The beginning of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) number: i32,
    /// The length of the body in bytes.
    pub(super) len: u64,
}

impl Header {
    pub(super) fn new(kind: Kind, number: i32, len: usize) -> Self {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        Self { kind, number, len }
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let (kind, rest) = bytes.split_at_mut(4);
        let (number, len) = rest.split_at_mut(4);
        kind.copy_from_slice(&(self.kind as u32).to_ne_bytes());
        number.copy_from_slice(&self.number.to_ne_bytes());
        len.copy_from_slice(&self.len.to_ne_bytes());
        bytes
    }

    /// Reads a header; `None` if the kind is unknown.
    pub(super) fn from_bytes(bytes: [u8; HEADER_LEN]) -> Option<Self> {
        let (kind, rest) = bytes.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let kind = u32::from_ne_bytes(*kind);
        let known = [
            Kind::Hello,
            Kind::Confined,
            Kind::Ready,
            Kind::Refused,
            Kind::Call,
            Kind::Output,
            Kind::Failed,
            Kind::TooLarge,
            Kind::OutOfMemory,
        ];
        Some(Self {
            kind: known.into_iter().find(|known| *known as u32 == kind)?,
            number: i32::from_ne_bytes(*number),
            len: u64::from_ne_bytes(*rest.first_chunk()?),
        })
    }
}

/// Writes a message whose body is `head` and `tail`.
pub(super) fn write(
    to: &mut impl Write,
    kind: Kind,
    number: i32,
    head: &[u8],
    tail: &[u8],
) -> io::Result<()> {
    let header = Header::new(kind, number, head.len().saturating_add(tail.len()));
    let mut first = Vec::with_capacity(HEADER_LEN + head.len() + tail.len().min(COPIED_MAX));
    first.extend(header.to_bytes());
    first.extend(head);
    if tail.len() <= COPIED_MAX {
        first.extend(tail);
        return to.write_all(&first);
    }
    to.write_all(&first)?;
    to.write_all(tail)
}

/// Reads the header of a message; an unknown kind is `InvalidData`.
pub(super) fn read(from: &mut impl Read) -> io::Result<Header> {
    let mut bytes = [0; HEADER_LEN];
    from.read_exact(&mut bytes)?;
    Header::from_bytes(bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The first message to a worker. It has no `Debug`: the configuration may hold secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: u32,
    /// The process of the host. A worker with another parent ends, because its host has ended.
    pub(super) host: u32,
    /// Whether the worker ends if parts of the confinement are missing.
    pub(super) required: bool,
    /// The bytes of memory beyond those that the worker has at its start, and of an output.
    pub(super) memory_max: u64,
    /// The bytes of the library, which are mapped in addition.
    pub(super) library_len: u64,
    /// The seconds of processor time; the host raises them while it uses the worker, up to
    /// [`cpu_max`].
    pub(super) cpu_seconds: Option<u64>,
    /// Folders that the plugin may read, and those that it may also write to.
    pub(super) readable: Vec<PathBuf>,
    pub(super) writable: Vec<PathBuf>,
    pub(super) config: BTreeMap<String, String>,
}

/// Returns the hard limit of processor time in seconds, of a worker whose first limit is `first`:
/// code that ignores the signal of the soft limit ends there.
pub(super) fn cpu_max(first: u64) -> u64 {
    let inherited = rustix::process::getrlimit(rustix::process::Resource::Cpu).maximum;
    first
        .saturating_mul(CPU_TIMES)
        .min(inherited.unwrap_or(u64::MAX))
}

/// Parts of the confinement that the kernel lacks, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing(pub(super) u32);

impl Missing {
    pub(super) const FILES: u32 = 1;
    pub(super) const SYSTEM_CALLS: u32 = 1 << 1;
    pub(super) const PRIVILEGES: u32 = 1 << 2;
    pub(super) const LIMITS: u32 = 1 << 3;
    pub(super) const PARENT: u32 = 1 << 4;
    pub(super) const DESCRIPTORS: u32 = 1 << 5;

    const NAMES: [(u32, &'static str); 6] = [
        (Self::FILES, "restriction of files (Landlock, Linux 6.2)"),
        (Self::SYSTEM_CALLS, "filter of system calls (seccomp)"),
        (Self::PRIVILEGES, "removal of privileges"),
        (Self::LIMITS, "resource limits"),
        (Self::PARENT, "end together with the host"),
        (
            Self::DESCRIPTORS,
            "closing of inherited descriptors (Linux 5.9)",
        ),
    ];

    /// Adds `part` unless it holds.
    pub(super) fn unless(&mut self, holds: bool, part: u32) {
        if !holds {
            self.0 |= part;
        }
    }

    /// Returns the names of the missing parts.
    pub(super) fn names(self) -> Vec<&'static str> {
        let missing = Self::NAMES.into_iter().filter(|(bit, _)| self.0 & bit != 0);
        missing.map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_are_written() {
        let header = Header::new(Kind::Failed, -7, 70_000);
        assert_eq!(Header::from_bytes(header.to_bytes()), Some(header));
        for kind in [0_u32, 10, u32::MAX] {
            let mut bytes = header.to_bytes();
            bytes[..4].copy_from_slice(&kind.to_ne_bytes());
            assert_eq!(Header::from_bytes(bytes), None);
        }
    }

    #[test]
    fn missing_parts_have_names() {
        let mut missing = Missing::default();
        missing.unless(true, Missing::PARENT);
        assert!(missing.names().is_empty());
        missing.unless(false, Missing::LIMITS);
        assert_eq!(missing.names(), ["resource limits"]);
        assert_eq!(Missing(u32::MAX).names().len(), 6);
    }
}

//! Writing a file that is going to be durable: large writes, early write-back, one `fsync`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::CacheError;
use crate::fs::sys::{self, Sys};

/// Smaller pieces than this are gathered before they are written, in bytes.
const GATHER: usize = 256 * 1024;

/// How much is written before the kernel is asked to bring it to the disk, in bytes.
const WRITE_BACK: u64 = 8 * 1024 * 1024;

/// An append-only writer over a file of ours.
#[derive(Debug)]
pub(crate) struct Appender {
    sys: Sys,
    file: File,
    path: PathBuf,
    gathered: Vec<u8>,
    /// Bytes in the file, those gathered not counted.
    written: u64,
    /// Up to where write-back was asked for.
    asked: u64,
    /// A write failed: what would follow it would leave a gap.
    is_broken: bool,
}

impl Appender {
    /// Appends to `file`, whose position is at its end, `length`.
    pub(crate) fn new(sys: Sys, file: File, path: &Path, length: u64) -> Self {
        let path = path.to_owned();
        Self {
            sys,
            file,
            path,
            gathered: Vec::new(),
            written: length,
            asked: length,
            is_broken: false,
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes taken so far.
    pub(crate) fn length(&self) -> u64 {
        self.written.saturating_add(self.gathered.len() as u64)
    }

    /// Throws everything away that was written.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.gathered.clear();
        self.file.set_len(0)?;
        io::Seek::rewind(&mut self.file)?;
        self.written = 0;
        self.asked = 0;
        self.is_broken = false;
        Ok(())
    }

    /// Makes the content durable and read-only. A failed `fsync` is final: the kernel may have
    /// dropped the pages, so a second one that succeeds would mean nothing.
    pub(crate) fn seal(&mut self) -> Result<(), CacheError> {
        self.flush_gathered()
            .map_err(CacheError::io("write", &self.path))?;
        sys::make_read_only(&self.file).map_err(CacheError::io("protect", &self.path))?;
        (self.sys.sync)(&self.file).map_err(CacheError::io("flush", &self.path))
    }

    fn flush_gathered(&mut self) -> io::Result<()> {
        let gathered = std::mem::take(&mut self.gathered);
        self.write_through(&gathered)?;
        self.gathered = gathered;
        self.gathered.clear();
        Ok(())
    }

    fn write_through(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.is_broken {
            return Err(self.failed(io::Error::other("an earlier write failed")));
        }
        while !bytes.is_empty() {
            match (self.sys.write)(&self.file, bytes) {
                Ok(0) => return Err(self.failed(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.written = self.written.saturating_add(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        let fresh = self.written.saturating_sub(self.asked);
        if fresh >= WRITE_BACK {
            sys::start_write_back(&self.file, self.asked, fresh);
            self.asked = self.written;
        }
        Ok(())
    }

    /// Names the file: an `io::Error` alone says only "no space left".
    fn failed(&mut self, source: io::Error) -> io::Error {
        self.is_broken = true;
        let kind = source.kind();
        io::Error::new(
            kind,
            CacheError::Io {
                action: "write",
                path: self.path.clone(),
                source,
            },
        )
    }
}

impl Drop for Appender {
    /// What was gathered of a download is kept for the next try, too.
    fn drop(&mut self) {
        let _ = self.flush_gathered();
    }
}

impl Write for Appender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.is_empty() && bytes.len() >= GATHER {
            self.write_through(bytes)?;
            return Ok(bytes.len());
        }
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(GATHER);
        }
        let room = GATHER.saturating_sub(self.gathered.len()).min(bytes.len());
        self.gathered
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        if self.gathered.len() >= GATHER {
            self.flush_gathered()?;
        }
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_gathered()
    }
}

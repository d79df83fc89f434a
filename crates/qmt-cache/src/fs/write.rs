//! Writing a durable file: large writes, early write-back, one `fsync`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::CacheError;
use crate::fs::sys::{self, Sys};

/// Smaller writes are buffered up to this size, in bytes.
const BUFFER: usize = 256 * 1024;

/// How much is written before the kernel is told to start write-back, in bytes.
const WRITE_BACK: u64 = 2 * 1024 * 1024;

/// An append-only writer over a file of the cache.
#[derive(Debug)]
pub(crate) struct Appender {
    sys: Sys,
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    buffered: Vec<u8>,
    /// Bytes in the file, those buffered not counted.
    written: u64,
    /// The offset up to which write-back was started.
    write_back: u64,
    /// A write failed: later writes would leave a gap.
    is_broken: bool,
}

impl Appender {
    /// Appends to `file`, whose position is at its end, `length`.
    pub(crate) fn new(sys: Sys, file: File, path: &Path, length: u64) -> Self {
        Self {
            sys,
            file,
            path: path.to_owned(),
            buffered: Vec::new(),
            written: length,
            write_back: length,
            is_broken: false,
        }
    }

    /// Bytes accepted so far.
    pub(crate) fn length(&self) -> u64 {
        self.written.saturating_add(self.buffered.len() as u64)
    }

    /// Appends `count` zeros, which take no room on the disk.
    pub(crate) fn skip(&mut self, count: u64) -> io::Result<()> {
        self.flush_buffered()?;
        self.written = self.written.saturating_add(count);
        self.write_back = self.written;
        self.file.set_len(self.written)?;
        io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.written))?;
        Ok(())
    }

    /// Discards everything that was written.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.buffered.clear();
        self.file.set_len(0)?;
        io::Seek::rewind(&mut self.file)?;
        self.written = 0;
        self.write_back = 0;
        self.is_broken = false;
        Ok(())
    }

    /// Makes the content durable and read-only. A failed `fsync` is final: the kernel may have
    /// dropped the pages, so a second one that succeeds would mean nothing.
    pub(crate) fn seal(&mut self) -> Result<(), CacheError> {
        self.flush_buffered()
            .map_err(CacheError::written(&self.path))?;
        sys::make_read_only(&self.file).map_err(CacheError::io("protect", &self.path))?;
        (self.sys.sync)(&self.file).map_err(CacheError::io("flush", &self.path))
    }

    fn flush_buffered(&mut self) -> io::Result<()> {
        let buffered = std::mem::take(&mut self.buffered);
        self.write_through(&buffered)?;
        self.buffered = buffered;
        self.buffered.clear();
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
        let fresh = self.written.saturating_sub(self.write_back);
        if fresh >= WRITE_BACK {
            sys::start_write_back(&self.file, self.write_back, fresh);
            self.write_back = self.written;
        }
        Ok(())
    }

    /// Names the file: an `io::Error` alone says only "no space left".
    fn failed(&mut self, source: io::Error) -> io::Error {
        self.is_broken = true;
        io::Error::new(source.kind(), CacheError::io("write", &self.path)(source))
    }
}

impl Drop for Appender {
    /// What was buffered of a download is kept for the next try, too.
    fn drop(&mut self) {
        let _ = self.flush_buffered();
    }
}

impl Write for Appender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffered.is_empty() && bytes.len() >= BUFFER {
            self.write_through(bytes)?;
            return Ok(bytes.len());
        }
        if self.buffered.capacity() == 0 {
            self.buffered.reserve_exact(BUFFER);
        }
        let room = BUFFER.saturating_sub(self.buffered.len()).min(bytes.len());
        self.buffered
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        if self.buffered.len() >= BUFFER {
            self.flush_buffered()?;
        }
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_buffered()
    }
}

//! An open file of a layout.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LayoutError;

/// How much [`LayoutFile::next_chunk`] reads at once, in bytes.
const CHUNK: u64 = 256 * 1024;

/// An open file of a layout, read from its beginning. Its content is not proven.
///
/// It reads by position, so files of one archive can be read at the same time.
#[derive(Debug)]
pub struct LayoutFile {
    path: PathBuf,
    file: Arc<File>,
    start: u64,
    size: u64,
    offset: u64,
}

impl LayoutFile {
    pub(super) fn new(path: PathBuf, file: Arc<File>, start: u64, size: u64) -> Self {
        Self {
            path,
            file,
            start,
            size,
            offset: 0,
        }
    }

    /// Returns its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the path of the file, or of the archive that it is in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Continues reading at `offset` bytes from its beginning.
    pub fn skip_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Reads the next 256 KiB, or what is left of them; `None` at the end.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if it can't be read or was cut short meanwhile.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, LayoutError> {
        let left = self.size.saturating_sub(self.offset).min(CHUNK);
        if left == 0 {
            return Ok(None);
        }
        self.read_exactly(left).map(Some)
    }

    /// Reads the whole file into memory.
    ///
    /// # Errors
    /// [`LayoutError::TooLarge`] if it has more than `limit` bytes, [`LayoutError::Invalid`] if it
    /// can't be read.
    pub fn read_all(mut self, limit: u64) -> Result<Vec<u8>, LayoutError> {
        if self.size > limit {
            let path = self.path;
            return Err(LayoutError::TooLarge { path, limit });
        }
        self.offset = 0;
        self.read_exactly(self.size)
    }

    fn read_exactly(&mut self, length: u64) -> Result<Vec<u8>, LayoutError> {
        let failed = LayoutError::because(&self.path, "it can't be read");
        let length =
            usize::try_from(length).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

impl Read for LayoutFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(self.offset);
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let window = buffer.get_mut(..most).unwrap_or_default();
        let at = self.start.saturating_add(self.offset);
        #[cfg(unix)]
        let count = std::os::unix::fs::FileExt::read_at(&*self.file, window, at)?;
        #[cfg(windows)]
        let count = std::os::windows::fs::FileExt::seek_read(&*self.file, window, at)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}

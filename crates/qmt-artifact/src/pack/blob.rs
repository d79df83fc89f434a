//! The blobs of a packed image: small ones in memory, layers in temporary files.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, DigestAlgorithm, Digester, MediaType};
use tempfile::NamedTempFile;

use crate::error::ArtifactError;

/// How much is read and written at once, in bytes.
pub(super) const BUFFER_BYTES: usize = 128 * 1024;

/// A config or layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PackedBlob {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Bytes),
    File(Arc<NamedTempFile>),
}

impl PackedBlob {
    pub(super) fn in_memory(media_type: &str, content: Vec<u8>) -> Self {
        Self {
            descriptor: Descriptor::of(MediaType::from(media_type), &content),
            content: Content::Memory(content.into()),
        }
    }

    /// Reads the content from `offset` (bytes) on. Readers are independent of each other.
    ///
    /// # Errors
    /// The error of the operating system about the temporary file.
    pub fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        match &self.content {
            Content::Memory(bytes) => {
                let mut reader = io::Cursor::new(bytes.clone());
                reader.set_position(offset);
                Ok(Box::new(reader))
            }
            Content::File(file) => {
                let mut file = file.reopen()?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(Box::new(file))
            }
        }
    }
}

/// A temporary file that is written once, and measured while it is.
pub(super) type Spool = Measured<BufWriter<NamedTempFile>>;

impl Spool {
    pub(super) fn create() -> io::Result<Self> {
        let file = BufWriter::with_capacity(BUFFER_BYTES, NamedTempFile::new()?);
        Ok(Self::new(file))
    }

    /// Turns it into a reader of its content.
    pub(super) fn into_reader(self) -> io::Result<File> {
        let (file, ..) = self.finish();
        let mut file = file.into_inner()?.into_file();
        file.rewind()?;
        Ok(file)
    }

    pub(super) fn into_blob(self, media_type: &str) -> Result<PackedBlob, ArtifactError> {
        let (file, digest, length) = self.finish();
        let file = file.into_inner().map_err(|error| temporary(error.into()))?;
        Ok(PackedBlob {
            descriptor: Descriptor::new(MediaType::from(media_type), digest, length),
            content: Content::File(Arc::new(file)),
        })
    }
}

/// Counts and hashes what passes.
pub(super) struct Measured<W> {
    inner: W,
    digester: Digester,
}

impl<W> Measured<W> {
    pub(super) fn new(inner: W) -> Self {
        Self {
            inner,
            digester: Digester::new(DigestAlgorithm::Sha256),
        }
    }

    /// Bytes written so far.
    pub(super) fn length(&self) -> u64 {
        self.digester.count()
    }

    /// Returns the writer, with the digest and the number of bytes.
    pub(super) fn finish(self) -> (W, Digest, u64) {
        let length = self.length();
        (self.inner, self.digester.finish(), length)
    }
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digester
            .update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The error for a temporary file that cannot be written or read.
pub(super) fn temporary(source: io::Error) -> ArtifactError {
    ArtifactError::TemporaryFile { source }
}

//! A blob on its way in: kept over failures, resumed where it broke off.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use qmt_oci_ref::{Digest, Digester};
use tempfile::TempPath;

use super::store::Store;
use super::sys;
use super::write::Appender;
use crate::CacheError;

/// How much is read between two steps of the hash, in bytes.
const CHUNK: usize = 256 * 1024;

/// The download of one blob. Dropped unfinished, it stays for the next try; only bytes that were
/// proven to be the blob get its name, and only when the artifact is committed.
pub struct PartialBlob {
    digest: Digest,
    /// What was there at the beginning, hashed.
    eaten: Digester,
    content: Content,
    done: Arc<Mutex<Vec<FinishedBlob>>>,
}

/// Where the content lies.
enum Content {
    /// In a file that is being written.
    Growing { out: Appender, place: Place },
    /// In the cache already, whole.
    Kept(File),
}

/// The name of a file in progress.
pub(super) enum Place {
    /// The name under which the next try looks for it. The file is locked while it is open.
    Resumable,
    /// A name that vanishes: somebody else downloads the same blob under the resumable one.
    Temporary(TempPath),
}

/// A blob whose bytes were proven.
pub(super) struct FinishedBlob {
    pub(super) digest: Digest,
    pub(super) state: FinishedState,
}

pub(super) enum FinishedState {
    Fresh { out: Appender, place: Place },
    Kept,
}

impl PartialBlob {
    pub(super) fn open(
        store: &Arc<Store>,
        digest: &Digest,
        done: &Arc<Mutex<Vec<FinishedBlob>>>,
    ) -> Result<Self, CacheError> {
        let done = Arc::clone(done);
        let digest = digest.clone();
        if let Some((file, eaten)) = open_kept(store, &digest)? {
            return Ok(Self {
                digest,
                eaten,
                content: Content::Kept(file),
                done,
            });
        }
        if let Some((out, eaten)) = open_resumable(store, &digest)? {
            let content = Content::Growing {
                out,
                place: Place::Resumable,
            };
            return Ok(Self {
                digest,
                eaten,
                content,
                done,
            });
        }
        let (out, temp) = store.temp_file()?;
        let eaten = Digester::new(digest.algorithm());
        let content = Content::Growing {
            out,
            place: Place::Temporary(temp),
        };
        Ok(Self {
            digest,
            eaten,
            content,
            done,
        })
    }

    /// The blob's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The state of the hash over the bytes that were there when the blob was opened: where the
    /// transfer goes on. Its count is the number of these bytes.
    pub fn digester(&self) -> Digester {
        self.eaten.clone()
    }

    /// Whether the whole blob is in the cache already, so that nothing is to be fetched.
    pub fn is_complete(&self) -> bool {
        matches!(self.content, Content::Kept(_))
    }

    /// Reads the bytes that were there when the blob was opened (as many as
    /// [`PartialBlob::digester`] counts), for who needs the content from its beginning.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn existing(&self) -> io::Result<impl Read + Send + use<>> {
        let file = match &self.content {
            Content::Growing { out, .. } => out.file(),
            Content::Kept(file) => file,
        };
        Ok(Existing {
            file: file.try_clone()?,
            offset: 0,
            left: self.eaten.count(),
        })
    }

    /// Throws away what is there, after a transfer that proved it wrong.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn restart(&mut self) -> io::Result<()> {
        self.eaten = Digester::new(self.digest.algorithm());
        match &mut self.content {
            Content::Growing { out, .. } => out.restart(),
            Content::Kept(_) => Err(refused()),
        }
    }

    /// Removes what is there, so that the next try begins anew.
    pub fn discard(self) {
        if let Content::Growing {
            out,
            place: Place::Resumable,
        } = self.content
        {
            let _ = std::fs::remove_file(out.path());
        }
    }

    /// Hands the blob over to the commit. The caller has streamed it to its end without an error,
    /// which means that its source has proven size and digest over the existing bytes and the
    /// streamed ones. (The cache hashes it again whenever it reads it.)
    ///
    /// # Errors
    /// [`CacheError::SizeMismatch`] if there are not exactly `size` bytes; they are removed then.
    /// [`CacheError::Io`].
    pub fn finish(mut self, size: u64) -> Result<(), CacheError> {
        let actual = match &mut self.content {
            Content::Growing { out, .. } => {
                out.flush().map_err(CacheError::io("write", out.path()))?;
                out.length()
            }
            Content::Kept(_) => self.eaten.count(),
        };
        if actual != size {
            let digest = self.digest.clone();
            self.discard();
            return Err(CacheError::SizeMismatch {
                digest,
                expected: size,
                actual,
            });
        }
        let state = match self.content {
            Content::Growing { out, place } => FinishedState::Fresh { out, place },
            Content::Kept(_) => FinishedState::Kept,
        };
        let finished = FinishedBlob {
            digest: self.digest,
            state,
        };
        self.done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(finished);
        Ok(())
    }
}

impl Write for PartialBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::Growing { out, .. } => out.write(bytes),
            Content::Kept(_) => Err(refused()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.content {
            Content::Growing { out, .. } => out.flush(),
            Content::Kept(_) => Ok(()),
        }
    }
}

impl fmt::Debug for PartialBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartialBlob")
            .field("digest", &self.digest)
            .field("existing", &self.eaten.count())
            .field("complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}

/// The bytes that were there, read by position so that appending is not disturbed.
struct Existing {
    file: File,
    offset: u64,
    left: u64,
}

impl Read for Existing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let window = buffer.get_mut(..most).unwrap_or_default();
        let count = sys::read_at(&self.file, window, self.offset)?;
        self.offset = self.offset.saturating_add(count as u64);
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// The blob that the cache has already, if its bytes are still right.
fn open_kept(store: &Store, digest: &Digest) -> Result<Option<(File, Digester)>, CacheError> {
    let path = store.paths().blob(digest);
    let Some(file) = sys::open_file(&path, 2)? else {
        return Ok(None);
    };
    let eaten = hash(&file, digest).map_err(CacheError::io("read", &path))?;
    if eaten.clone().finish() == *digest {
        return Ok(Some((file, eaten)));
    }
    tracing::warn!(%digest, "dropping a damaged blob of the cache");
    super::blobs::remove(&path)?;
    Ok(None)
}

/// What an earlier try left, or an empty file; `None` if somebody else is writing it.
fn open_resumable(
    store: &Store,
    digest: &Digest,
) -> Result<Option<(Appender, Digester)>, CacheError> {
    let path = store.paths().partial(digest);
    for _ in 0..2 {
        let mut file = match open_own_for_writing(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                super::blobs::remove(&path)?;
                continue;
            }
            Err(error) => return Err(CacheError::io("open", &path)(error)),
        };
        // Without a lock two processes would write into one file.
        if (store.sys().lock)(&file).is_err() || !sys::is_named(&path, &file) {
            return Ok(None);
        }
        let eaten = hash(&file, digest).map_err(CacheError::io("read", &path))?;
        file.seek(io::SeekFrom::Start(eaten.count()))
            .map_err(CacheError::io("read", &path))?;
        let out = Appender::new(store.sys(), file, &path, eaten.count());
        return Ok(Some((out, eaten)));
    }
    Ok(None)
}

fn open_own_for_writing(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        opened => return opened,
    }
    let checked = sys::open_own(path, 1)?;
    options.create_new(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = match options.open(path) {
        // A finished blob (read-only) that was never committed: begin anew.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "is read-only"));
        }
        opened => opened?,
    };
    if sys::is_same_file(&checked, &file) {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "was replaced while it was opened",
        ))
    }
}

fn hash(file: &File, digest: &Digest) -> io::Result<Digester> {
    let mut digester = Digester::new(digest.algorithm());
    let mut buffer = vec![0; CHUNK];
    loop {
        match sys::read_at(file, &mut buffer, digester.count())? {
            0 => return Ok(digester),
            count => digester.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

fn refused() -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        "the blob is in the cache already",
    )
}

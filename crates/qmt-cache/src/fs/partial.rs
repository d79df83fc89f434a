//! The download of a blob: it survives failures and is resumed where it was interrupted.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use qmt_oci_ref::{Digest, Digester};
use tempfile::TempPath;

use super::gc::BLOB_USE_GRAIN;
use super::store::Store;
use super::sys;
use super::write::Appender;
use crate::CacheError;

/// The download of one blob. If it is dropped unfinished, it stays for the next try. Only bytes that
/// were proven to be the blob get its name, and only when the artifact is committed.
pub struct PartialBlob {
    digest: Digest,
    /// The hash over the bytes that existed when it was opened.
    resume_from: Digester,
    /// Whether these bytes are the whole blob.
    is_complete: bool,
    content: Content,
    done: Arc<Mutex<Vec<FinishedBlob>>>,
}

/// Where the content is.
pub(super) enum Content {
    /// In a file that is being written, and is locked while it is open. It has the name under which
    /// the next try looks for it or, where another download of the same blob has that, a temporary
    /// one.
    Growing {
        out: Appender,
        temp: Option<TempPath>,
    },
    /// Complete in the cache already.
    Stored(File),
}

/// A blob whose bytes were proven.
pub(super) struct FinishedBlob {
    pub(super) digest: Digest,
    pub(super) content: Content,
}

impl PartialBlob {
    pub(super) fn open(
        store: &Arc<Store>,
        digest: &Digest,
        done: &Arc<Mutex<Vec<FinishedBlob>>>,
    ) -> Result<Self, CacheError> {
        let (content, resume_from) = if let Some(finished) = reopen(store, digest, done)? {
            finished
        } else if let Some(stored) = open_stored(store, digest)? {
            stored
        } else if let Some(resumable) = open_resumable(store, digest)? {
            resumable
        } else {
            let (out, temp) = store.temp_file()?;
            let (temp, nothing) = (Some(temp), Digester::new(digest.algorithm()));
            (Content::Growing { out, temp }, nothing)
        };
        Ok(Self {
            is_complete: resume_from.clone().finish() == *digest,
            digest: digest.clone(),
            resume_from,
            content,
            done: Arc::clone(done),
        })
    }

    /// Returns the state of the hash over the bytes that existed when the blob was opened, from
    /// which the transfer is resumed. Its count is the number of these bytes.
    pub fn digester(&self) -> Digester {
        self.resume_from.clone()
    }

    /// Reports whether the whole blob is in the cache already, so that nothing need be fetched.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Reads the bytes that existed when the blob was opened (as many as [`PartialBlob::digester`]
    /// counts).
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn existing(&self) -> io::Result<impl Read + Send + use<>> {
        let (file, offset) = (self.content.file().try_clone()?, 0);
        Ok(Existing { file, offset }.take(self.resume_from.count()))
    }

    /// Discards the existing bytes, after a transfer that proved them wrong.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn restart(&mut self) -> io::Result<()> {
        self.resume_from = Digester::new(self.digest.algorithm());
        self.is_complete = false;
        match &mut self.content {
            Content::Growing { out, .. } => out.restart(),
            Content::Stored(_) => Err(refused()),
        }
    }

    /// Removes the download, so that the next try starts from the beginning.
    pub fn discard(self) {
        if let Content::Growing { out, temp: None } = self.content {
            let _ = std::fs::remove_file(&out.path);
        }
    }

    /// Passes the blob to the commit. The caller has streamed it to its end without an error, so its
    /// source has proven size and digest over the existing and the streamed bytes. (The cache
    /// hashes it again at every read.)
    ///
    /// # Errors
    /// [`CacheError::SizeMismatch`] if there are not exactly `size` bytes; they are removed then.
    /// [`CacheError::Io`].
    pub fn finish(mut self, size: u64) -> Result<(), CacheError> {
        let actual = match &mut self.content {
            Content::Growing { out, .. } => {
                out.flush().map_err(CacheError::io("write", &out.path))?;
                out.length()
            }
            Content::Stored(_) => self.resume_from.count(),
        };
        if let Err(error) = CacheError::check_size(&self.digest, size, actual) {
            self.discard();
            return Err(error);
        }
        let finished = FinishedBlob {
            digest: self.digest,
            content: self.content,
        };
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push(finished);
        Ok(())
    }
}

impl Write for PartialBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::Growing { out, .. } if !self.is_complete => out.write(bytes),
            Content::Growing { .. } | Content::Stored(_) => Err(refused()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.content {
            Content::Growing { out, .. } => out.flush(),
            Content::Stored(_) => Ok(()),
        }
    }
}

impl fmt::Debug for PartialBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartialBlob")
            .field("digest", &self.digest)
            .field("existing", &self.resume_from.count())
            .field("complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}

/// The bytes of a file, read by position so that appending is not disturbed.
struct Existing {
    file: File,
    offset: u64,
}

impl Read for Existing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = sys::read_at(&self.file, buffer, self.offset)?;
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}

impl Content {
    fn file(&self) -> &File {
        match self {
            Self::Growing { out, .. } => &out.file,
            Self::Stored(file) => file,
        }
    }
}

/// The blob that the same staging area has finished before, if its bytes are intact: a layer that is
/// read twice is fetched once. It must be finished again.
fn reopen(
    store: &Store,
    digest: &Digest,
    done: &Mutex<Vec<FinishedBlob>>,
) -> Result<Option<(Content, Digester)>, CacheError> {
    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(index) = done.iter().position(|blob| blob.digest == *digest) else {
        return Ok(None);
    };
    let content = done.remove(index).content;
    drop(done);
    let path = store.paths.blob(digest);
    let hashed = sys::hash(content.file(), digest.algorithm(), &path)?;
    let is_intact = hashed.clone().finish() == *digest;
    Ok(is_intact.then_some((content, hashed)))
}

/// The blob that the cache has already, if its bytes are intact.
fn open_stored(store: &Store, digest: &Digest) -> Result<Option<(Content, Digester)>, CacheError> {
    let path = store.paths.blob(digest);
    let Some(file) = sys::open_file(&path, 2)? else {
        return Ok(None);
    };
    let resume_from = sys::hash(&file, digest.algorithm(), &path)?;
    if resume_from.clone().finish() == *digest {
        sys::touch(&file, BLOB_USE_GRAIN);
        return Ok(Some((Content::Stored(file), resume_from)));
    }
    tracing::warn!(%digest, "dropping a damaged blob of the cache");
    sys::remove(&path)?;
    Ok(None)
}

/// What an earlier try left, or an empty file; `None` if another download is writing it.
fn open_resumable(
    store: &Store,
    digest: &Digest,
) -> Result<Option<(Content, Digester)>, CacheError> {
    let path = store.paths.partial(digest);
    for _ in 0..2 {
        let mut file = match open_own_for_writing(&path) {
            Ok(file) => file,
            // Another download has just renamed it: create it again.
            Err(error) if sys::is_absent(&error) => continue,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                sys::remove(&path)?;
                continue;
            }
            Err(error) => return Err(CacheError::io("open", &path)(error)),
        };
        // Without a lock two processes would write into one file.
        if (store.sys.lock)(&file).is_err() || !sys::is_named(&path, &file) {
            return Ok(None);
        }
        let resume_from = sys::hash(&file, digest.algorithm(), &path)?;
        file.seek(io::SeekFrom::Start(resume_from.count()))
            .map_err(CacheError::io("read", &path))?;
        let out = Appender::new(store.sys, file, &path, resume_from.count());
        let content = Content::Growing { out, temp: None };
        return Ok(Some((content, resume_from)));
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
    sys::follow_no_link(&mut options);
    let file = match options.open(path) {
        // A finished blob (read-only) that was never committed: start again.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(sys::invalid("is read-only"));
        }
        opened => opened?,
    };
    if !sys::is_same_file(&checked, &file) {
        return Err(sys::invalid("was replaced while it was opened"));
    }
    Ok(file)
}

fn refused() -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        "the blob is in the cache already",
    )
}

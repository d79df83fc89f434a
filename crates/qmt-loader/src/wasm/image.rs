//! Compiled modules on disk, in a folder that only this user can write to.
//!
//! For each module there is a record, `KEY`, which names its image, `HASH.image`. The key is made of
//! the digest of the module, of all settings of the compiler, and of this crate's version; the hash
//! of the image is keyed with it, so that no record serves for another module, and is checked each
//! time before the image is mapped into memory. Both are BLAKE3, which is faster than SHA-256: an
//! image is hashed at every start.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use blake3::Hasher as Blake3;
use qmt_oci_ref::Digest;
use wasmtime::{Engine, Module};

/// The extension of images.
const IMAGE: &str = "image";
/// Files that were not used for this long are deleted when an image is written: 30 days.
const UNUSED_MAX: Duration = Duration::from_hours(30 * 24);
/// The time of the last use is written at most this often: once a day.
const USED_PRECISION: Duration = Duration::from_hours(24);

/// The folder of images.
#[derive(Clone, Debug)]
pub(super) struct Images {
    folder: PathBuf,
}

/// A module's place in the folder.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    images: &'a Images,
    engine: &'a Engine,
    key: blake3::Hash,
    record: PathBuf,
}

impl Images {
    /// Keeps images in `folder`, which must be private; see [`crate::private::folder`].
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the place of the module with this digest, compiled by `engine`.
    pub(super) fn slot<'a>(&'a self, digest: &Digest, engine: &'a Engine) -> Slot<'a> {
        let mut key = HashKey(Blake3::new());
        key.0.update(digest.to_string().as_bytes());
        key.0.update(env!("CARGO_PKG_VERSION").as_bytes());
        engine.precompile_compatibility_hash().hash(&mut key);
        let key = key.0.finalize();
        Slot {
            images: self,
            engine,
            record: self.folder.join(key.to_string()),
            key,
        }
    }

    fn image(&self, hash: blake3::Hash) -> PathBuf {
        self.folder.join(hash.to_string()).with_extension(IMAGE)
    }

    /// Deletes what was not used for a long time: images of other versions, of plugins that are gone.
    fn delete_unused(&self) -> io::Result<()> {
        let now = SystemTime::now();
        for entry in fs::read_dir(&self.folder)? {
            match delete_if_unused(&entry?, now) {
                // Other processes write and delete here as well.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }
}

fn delete_if_unused(entry: &fs::DirEntry, now: SystemTime) -> io::Result<()> {
    let metadata = entry.metadata()?;
    let unused = now.duration_since(metadata.modified()?).unwrap_or_default();
    if metadata.is_file() && unused > UNUSED_MAX {
        fs::remove_file(entry.path())?;
    }
    Ok(())
}

impl Slot<'_> {
    /// Waits until no other process compiles this module. The lock ends with the returned file.
    pub(super) fn lock(&self) -> io::Result<File> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.record.with_extension("lock"))?;
        file.lock()?;
        Ok(file)
    }

    /// Maps the image, if there is one and it is whole.
    pub(super) fn load(&self) -> Option<Module> {
        match self.read() {
            Ok(module) => module,
            Err(error) => {
                tracing::warn!(record = %self.record.display(), %error, "a compiled module cannot be read; it is compiled again");
                None
            }
        }
    }

    fn read(&self) -> io::Result<Option<Module>> {
        let record = match fs::read_to_string(&self.record) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            record => record?,
        };
        // Only a hash may be joined to the folder.
        let Ok(expected) = blake3::Hash::from_hex(&record) else {
            return Err(io::Error::other("its record is damaged"));
        };
        let path = self.images.image(expected);
        let file = File::open(&path)?;
        if self.hash(&file)? != expected {
            return Err(io::Error::other("its hash is not that of its record"));
        }
        touch(&self.record)?;
        touch(&path)?;
        // SAFETY: the content of the file is what `store` wrote under this key: its hash is in the record,
        // which is in a folder that no other user can write to, and the key of the record says that
        // this engine's settings made it. Images are replaced by new files and never written again.
        #[expect(
            unsafe_code,
            reason = "compiled code can only be mapped by an unsafe function"
        )]
        let module = unsafe { Module::deserialize_open_file(self.engine, file) };
        module.map(Some).map_err(io::Error::other)
    }

    /// Keeps the image of `module`. What goes wrong is logged: the module runs without it.
    pub(super) fn store(&self, module: &Module) {
        let stored = module
            .serialize()
            .map_err(io::Error::other)
            .and_then(|image| self.write(&image));
        if let Err(error) = stored {
            tracing::warn!(folder = %self.images.folder.display(), %error, "a compiled module cannot be kept; it will be compiled again");
        }
    }

    fn write(&self, image: &[u8]) -> io::Result<()> {
        let hash = self.hash(image)?;
        replace(&self.images.image(hash), image)?;
        replace(&self.record, hash.to_string().as_bytes())?;
        self.images.delete_unused()
    }

    /// Hashes an image with the key.
    fn hash(&self, image: impl Read) -> io::Result<blake3::Hash> {
        let mut hasher = Blake3::new_keyed(self.key.as_bytes());
        hasher.update_reader(image)?;
        Ok(hasher.finalize())
    }
}

/// Replaces `path` in one step.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Notes that a file is in use.
fn touch(path: &Path) -> io::Result<()> {
    let now = SystemTime::now();
    let modified = fs::metadata(path)?.modified()?;
    if now
        .duration_since(modified)
        .is_ok_and(|age| age > USED_PRECISION)
    {
        // A folder that cannot be written to serves as well, until another process deletes its files.
        let _ = File::options()
            .append(true)
            .open(path)
            .and_then(|file| file.set_modified(now));
    }
    Ok(())
}

/// Hashes what the engine says of itself.
struct HashKey(Blake3);

impl Hasher for HashKey {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0 // The hash is read from the hasher.
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    /// Files that other processes write meanwhile come and go under names of their own.
    #[test]
    fn deleting_does_not_fail_while_others_write() {
        let home = tempfile::tempdir().unwrap();
        let images = Images::in_folder(home.path().to_owned());
        let done = AtomicBool::new(false);
        let writes = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for name in [b"a", b"b"] {
                let name = blake3::hash(name);
                let (images, done, writes) = (&images, &done, &writes);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        replace(&images.image(name), b"image").unwrap();
                        writes.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let mut result = Ok(());
            while result.is_ok() && writes.load(Ordering::Relaxed) < 10_000 {
                result = images.delete_unused();
            }
            done.store(true, Ordering::Relaxed);
            result.unwrap();
        });
        assert!(images.image(blake3::hash(b"a")).exists());
    }
}

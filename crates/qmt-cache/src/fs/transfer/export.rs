//! Writing images into a layout that appears as a whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use qmt_oci_ref::{Descriptor, Digest, Digester};
use tempfile::NamedTempFile;

use super::{CHUNK, Transferred, invalid};
use crate::CacheError;
use crate::fs::index::{self, Index};
use crate::fs::paths::flat;
use crate::fs::store::{LAYOUT_MARKER, Store};
use crate::fs::{blobs, gc, sealed, sys};

pub(super) fn export(
    store: &Store,
    roots: &[Digest],
    target: &Path,
) -> Result<Transferred, CacheError> {
    let mut report = Transferred::default();
    let listed = index::read(store)?;
    let mut images = Index::default();
    let mut out = Out::create(target)?;
    out.add("oci-layout", LAYOUT_MARKER.len() as u64, LAYOUT_MARKER)?;
    let mut done = BTreeSet::new();
    for root in roots {
        let names: Vec<Descriptor> = listed
            .manifests
            .iter()
            .filter(|image| image.digest() == root)
            .cloned()
            .collect();
        let plain = index::describe(store, root)?.ok_or_else(|| CacheError::Incomplete {
            root: root.clone(),
            missing: root.clone(),
        })?;
        for image in if names.is_empty() { vec![plain] } else { names } {
            images.list(image);
        }
        for blob in closure(store, root)? {
            if done.insert(blob.clone()) {
                report.bytes = report
                    .bytes
                    .saturating_add(out.add_blob(store, root, &blob)?);
                report.blobs = report.blobs.saturating_add(1);
            }
        }
        if let Some(evidence) = blobs::get_evidence(store, root)? {
            let bytes = sealed::seal("evidence", &root.to_string(), &evidence);
            out.add(&signature_name(root), bytes.len() as u64, &*bytes)?;
            report.signatures = report.signatures.saturating_add(1);
        }
        report.images.push(root.clone());
    }
    let bytes = blobs::to_json(&images);
    out.add("index.json", bytes.len() as u64, &*bytes)?;
    out.finish()?;
    Ok(report)
}

/// The blobs of an image that must be there: of an index, the children that are.
fn closure(store: &Store, root: &Digest) -> Result<BTreeSet<Digest>, CacheError> {
    let is_index = |digest: &Digest| -> Result<bool, CacheError> {
        Ok(index::describe(store, digest)?.is_some_and(|found| found.media_type().is_index()))
    };
    let mut needed = BTreeSet::new();
    let mut queue = vec![root.clone()];
    while let Some(digest) = queue.pop() {
        if !needed.insert(digest.clone()) {
            continue;
        }
        let children = gc::children(store, &digest)?;
        let is_sparse = is_index(&digest)?;
        queue.extend(
            children
                .into_iter()
                .filter(|child| !is_sparse || store.paths().blob(child).exists()),
        );
    }
    Ok(needed)
}

/// Where an export goes. Until it is finished it has another name.
enum Out {
    Folder {
        work: tempfile::TempDir,
        target: PathBuf,
    },
    Archive {
        tar: Box<tar::Builder<BufWriter<NamedTempFile>>>,
        target: PathBuf,
    },
}

impl Out {
    fn create(target: &Path) -> Result<Self, CacheError> {
        let absolute = std::path::absolute(target).map_err(CacheError::io("find", target))?;
        let parent = absolute.parent().unwrap_or(&absolute).to_owned();
        let failed = CacheError::io("write to", &parent);
        let target = absolute.clone();
        if absolute
            .extension()
            .is_some_and(|extension| extension == "tar")
        {
            let file = NamedTempFile::new_in(&parent).map_err(failed)?;
            let tar = Box::new(tar::Builder::new(BufWriter::with_capacity(CHUNK, file)));
            return Ok(Self::Archive { tar, target });
        }
        if absolute.exists() {
            return Err(invalid(
                &absolute,
                "the target exists already; name a new folder",
            ));
        }
        let work = tempfile::Builder::new()
            .prefix(".export-")
            .tempdir_in(&parent)
            .map_err(failed)?;
        Ok(Self::Folder { work, target })
    }

    fn add(&mut self, name: &str, size: u64, content: impl Read) -> Result<(), CacheError> {
        match self {
            Self::Folder { work, .. } => {
                let path = work.path().join(name);
                let failed = |error| CacheError::io("write", &path)(error);
                let folder = path.parent().unwrap_or(work.path());
                std::fs::create_dir_all(folder).map_err(failed)?;
                let mut file = File::create_new(&path).map_err(failed)?;
                io::copy(&mut content.take(size), &mut file).map_err(failed)?;
                file.sync_all().map_err(failed)
            }
            Self::Archive { tar, target } => {
                let mut header = tar::Header::new_gnu();
                header.set_size(size);
                header.set_mode(0o644);
                header.set_mtime(0); // The same content gives the same archive.
                tar.append_data(&mut header, name, content.take(size))
                    .map_err(CacheError::io("write", target))
            }
        }
    }

    /// Adds a blob of the cache, hashed on its way. Returns its size in bytes.
    fn add_blob(
        &mut self,
        store: &Store,
        root: &Digest,
        digest: &Digest,
    ) -> Result<u64, CacheError> {
        let incomplete = || CacheError::Incomplete {
            root: root.clone(),
            missing: digest.clone(),
        };
        let path = store.paths().blob(digest);
        let file = sys::open_file(&path, 2)?.ok_or_else(incomplete)?;
        let size = file
            .metadata()
            .map_err(CacheError::io("examine", &path))?
            .len();
        let mut hashing = Hashing {
            file,
            digester: Digester::new(digest.algorithm()),
        };
        let name = format!("blobs/{}/{}", digest.algorithm(), digest.hex());
        self.add(&name, size, &mut hashing)?;
        if hashing.digester.finish() != *digest {
            return Err(incomplete());
        }
        Ok(size)
    }

    fn finish(self) -> Result<(), CacheError> {
        match self {
            Self::Folder { work, target } => {
                let failed = CacheError::io("rename to", &target);
                #[cfg(unix)]
                {
                    // Unlike the cache, an export is there to be handed on.
                    use std::os::unix::fs::PermissionsExt;
                    let open = std::fs::Permissions::from_mode(0o755);
                    std::fs::set_permissions(work.path(), open)
                        .map_err(CacheError::io("write", &target))?;
                }
                std::fs::rename(work.path(), &target).map_err(failed)?;
                let _ = work.keep();
                Ok(())
            }
            Self::Archive { tar, target } => {
                let failed = |error| CacheError::io("write", &target)(error);
                let file = tar.into_inner().map_err(failed)?;
                let file = file
                    .into_inner()
                    .map_err(|error| failed(error.into_error()))?;
                file.as_file().sync_all().map_err(failed)?;
                file.persist(&target).map_err(|error| failed(error.error))?;
                Ok(())
            }
        }
    }
}

/// A file that is hashed while it is read.
struct Hashing {
    file: File,
    digester: Digester,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.digester
            .update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

fn signature_name(subject: &Digest) -> String {
    format!("signatures/{}.json", flat(subject))
}

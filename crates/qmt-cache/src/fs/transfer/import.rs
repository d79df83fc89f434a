//! Taking over a layout that somebody else made.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path};
use std::time::SystemTime;

use qmt_oci_ref::{Digest, Digester, Reference};

use super::{CHUNK, Transferred, invalid};
use crate::CacheError;
use crate::fs::index::{self, INDEX_MAX, Index};
use crate::fs::paths::unflat;
use crate::fs::store::Store;
use crate::fs::{blobs, folder, inspect, sealed, sys};

/// The largest of the layout's own files that is read, in bytes: signature material, as an index
/// may be larger, too.
const OWN_FILE_MAX: u64 = if INDEX_MAX > blobs::EVIDENCE_MAX {
    INDEX_MAX
} else {
    blobs::EVIDENCE_MAX
};

pub(super) fn import(
    store: &Store,
    source: &Path,
    now: SystemTime,
) -> Result<Transferred, CacheError> {
    let mut intake = Intake {
        store,
        source,
        report: Transferred::default(),
        index: None,
        own: Vec::new(),
        is_layout: false,
    };
    if source.is_dir() {
        intake.folder()?;
    } else {
        intake.archive()?;
    }
    intake.finish(now)
}

/// An import in progress.
struct Intake<'a> {
    store: &'a Store,
    source: &'a Path,
    report: Transferred,
    index: Option<Index>,
    /// Signature material, taken over once the images are known.
    own: Vec<(Digest, Vec<u8>)>,
    is_layout: bool,
}

impl Intake<'_> {
    fn folder(&mut self) -> Result<(), CacheError> {
        let mut names = vec!["oci-layout".to_owned(), "index.json".to_owned()];
        let below = |folder: &str| -> Result<Vec<String>, CacheError> {
            let path = self.source.join(folder);
            let is_link = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink());
            if is_link {
                return Err(invalid(&path, "it has a symbolic link in it"));
            }
            let found = inspect::names(&path)?;
            Ok(found
                .into_iter()
                .map(|name| format!("{folder}/{name}"))
                .collect())
        };
        for algorithm in below("blobs")? {
            names.extend(below(&algorithm)?);
        }
        names.extend(below("signatures")?);
        for name in names {
            let path = self.source.join(&name);
            let found = std::fs::symlink_metadata(&path).map_err(CacheError::io("read", &path))?;
            if !found.is_file() {
                return Err(invalid(
                    &path,
                    "it has something else than files and folders in it",
                ));
            }
            let file = File::open(&path).map_err(CacheError::io("read", &path))?;
            self.take(&name, &mut BufReader::new(file))?;
        }
        Ok(())
    }

    fn archive(&mut self) -> Result<(), CacheError> {
        let source = self.source;
        let unreadable = |_: io::Error| invalid(source, "it is neither a folder nor a tar archive");
        let file = File::open(source).map_err(CacheError::io("read", source))?;
        let mut archive = tar::Archive::new(BufReader::with_capacity(CHUNK, file));
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            if !entry.header().entry_type().is_file() {
                continue; // Folders are not needed, links are not followed.
            }
            let name = plain_name(&entry.path().map_err(unreadable)?)
                .ok_or_else(|| invalid(source, "it has names that lead out of it"))?;
            self.take(&name, &mut entry)?;
        }
        Ok(())
    }

    /// Takes over one file.
    fn take(&mut self, name: &str, content: &mut dyn Read) -> Result<(), CacheError> {
        let parts: Vec<&str> = name.split('/').collect();
        match parts.as_slice() {
            ["oci-layout"] => {
                let marker = self.read(content)?;
                let marker: Option<serde_json::Value> = serde_json::from_slice(&marker).ok();
                let version = marker
                    .as_ref()
                    .and_then(|marker| marker.get("imageLayoutVersion"));
                self.is_layout = version.is_some_and(|version| version == "1.0.0");
            }
            ["index.json"] => {
                let bytes = self.read(content)?;
                let index = Index::parse(&bytes)
                    .ok_or_else(|| invalid(self.source, "its `index.json` is malformed"))?;
                self.index = Some(index);
            }
            ["signatures", file] => {
                if let Some(subject) = file.strip_suffix(".json").and_then(unflat) {
                    let bytes = self.read(content)?;
                    self.own.push((subject, bytes));
                }
            }
            ["blobs", algorithm, hex] => {
                if let Ok(digest) = format!("{algorithm}:{hex}").parse() {
                    self.take_blob(&digest, content)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_blob(&mut self, digest: &Digest, content: &mut dyn Read) -> Result<(), CacheError> {
        let (mut out, temp) = self.store.temp_file()?;
        let mut digester = Digester::new(digest.algorithm());
        copy(content, &mut out, &mut digester).map_err(CacheError::io("copy from", self.source))?;
        let size = digester.count();
        let actual = digester.finish();
        if actual != *digest {
            return Err(CacheError::Mismatch {
                expected: digest.clone(),
                actual,
            });
        }
        out.seal()?;
        sys::place(temp, &self.store.paths().blob(digest))?;
        self.report.blobs = self.report.blobs.saturating_add(1);
        self.report.bytes = self.report.bytes.saturating_add(size);
        Ok(())
    }

    fn read(&self, content: &mut dyn Read) -> Result<Vec<u8>, CacheError> {
        let mut bytes = Vec::new();
        content
            .take(OWN_FILE_MAX.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(CacheError::io("read", self.source))?;
        if bytes.len() as u64 > OWN_FILE_MAX {
            return Err(invalid(
                self.source,
                "one of its own files is larger than 32 MiB",
            ));
        }
        Ok(bytes)
    }

    /// Makes the images known, now that their blobs are there.
    fn finish(mut self, now: SystemTime) -> Result<Transferred, CacheError> {
        let Some(index) = self.index.filter(|_| self.is_layout) else {
            return Err(invalid(
                self.source,
                "it lacks `oci-layout` (version 1.0.0) or `index.json`",
            ));
        };
        for folder in inspect::names(&self.store.paths().blobs())? {
            folder::sync(self.store.sys(), &self.store.paths().blobs().join(folder))?;
        }
        for image in &index.manifests {
            let digest = image.digest();
            let is_there = match index::name_of(image).map(str::parse::<Reference>) {
                // A whole reference is a tag of ours; a plain name says nothing about a registry.
                Some(Ok(reference)) if is_whole(index::name_of(image)) => {
                    blobs::set_ref(self.store, &reference, digest, now)?;
                    self.store.paths().blob(digest).exists()
                }
                _ => index::add(self.store, digest, index::name_of(image))?,
            };
            if is_there && !self.report.images.contains(digest) {
                self.report.images.push(digest.clone());
            }
        }
        for (subject, bytes) in std::mem::take(&mut self.own) {
            if let Some(body) = sealed::open("evidence", &subject.to_string(), &bytes) {
                blobs::put_evidence(self.store, &subject, body)?;
                self.report.signatures = self.report.signatures.saturating_add(1);
            }
        }
        Ok(self.report)
    }
}

/// Whether a name is a whole reference rather than a mere tag.
fn is_whole(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.contains('/'))
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, digester: &mut Digester) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                let chunk = buffer.get(..count).unwrap_or_default();
                digester.update(chunk);
                to.write_all(chunk)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A name without `./`; `None` if it is absolute or has `..` in it.
fn plain_name(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            _ => return None,
        }
    }
    Some(parts.join("/"))
}

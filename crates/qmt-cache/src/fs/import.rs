//! Import: what is taken from an image layout, which an attacker may have made.
//!
//! First the images that are complete are listed, by manifests that hash to their digests. Then
//! their blobs and signature material are copied and hashed in a folder of work in progress. Only
//! when all of it is proven, files get their names, and names of images last.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use qmt_oci_ref::{Descriptor, Digest, Digester, Reference, manifest};
use qmt_storage::Layout;

use super::blobs::{self, MANIFEST_MAX};
use super::imported::{name_of, tag_of};
use super::paths::file_name;
use super::store::Store;
use super::temp_folder::{self, TempFolder};
use super::transfer::{IncompleteImage, MergeEvidence, MergedEvidence, TransferReport};
use super::write::Appender;
use super::{evidence, folder, imported, index, refs};
use crate::CacheError;

/// How much is imported at once: 32 GiB.
const TOTAL_MAX: u64 = 32 << 30;
/// Most blobs that are imported at once.
const BLOBS_MAX: usize = 16_384;
const TOO_MANY_BLOBS: &str = "its images have more than 16,384 blobs";
/// Most images of a layout that is imported.
const IMAGES_MAX: usize = 4_096;
/// How deep indexes may be within one another.
pub(super) const DEPTH_MAX: u32 = 4;

/// What is imported.
#[derive(Default)]
struct Plan {
    /// The images that are complete, in their order.
    images: Vec<Descriptor>,
    /// The images that are not.
    incomplete: Vec<IncompleteImage>,
    /// How many entries are about one of them, and are not images to run.
    other_signatures: usize,
    /// The blobs that they need, and their sizes.
    blobs: BTreeMap<Digest, u64>,
    /// The size of the blobs, and of the signature material once that is staged.
    bytes: u64,
}

/// Files that are proven, under temporary names, and the names that they get.
struct Staged {
    folder: TempFolder,
    files: Vec<(PathBuf, PathBuf)>,
}

pub(super) fn import(
    store: &Store,
    source: &Path,
    merge: &MergeEvidence,
) -> Result<TransferReport, CacheError> {
    let layout = Layout::open(source)?;
    let mut plan = Plan::of(&layout)?;
    let mut staged = Staged::new(store)?;
    for (digest, size) in &plan.blobs {
        stage_blob(store, &layout, (digest, *size), &mut staged)?;
    }
    let bytes = plan.bytes;
    let (signatures, unreadable) = stage_evidence(store, &layout, &mut plan, &mut staged, merge)?;
    let mut report = TransferReport {
        blobs: plan.blobs.len(),
        bytes,
        signatures,
        unreadable,
        incomplete: std::mem::take(&mut plan.incomplete),
        other_signatures: plan.other_signatures,
        ..TransferReport::default()
    };
    staged.place(store)?;
    let mut named = BTreeSet::new();
    for image in &plan.images {
        if !report.images.contains(image.digest()) {
            imported::note(store, image.digest())?;
            report.images.push(image.digest().clone());
        }
        if list(store, &plan, image, &mut report.tags)? {
            named.insert(image.digest());
        }
        let tag = tag_of(image).filter(|_| plan.is_ambiguous(image));
        let ambiguous = tag.map(|tag| (tag, image.digest().clone()));
        report.ambiguous.extend(ambiguous);
    }
    let images = report.images.iter();
    let unnamed = images.filter(|image| !named.contains(image));
    report.unnamed = unnamed.cloned().collect();
    Ok(report)
}

impl Plan {
    fn of(layout: &Layout) -> Result<Self, CacheError> {
        let (mut plan, index) = (Self::default(), layout.index()?);
        if index.images().len() > IMAGES_MAX {
            return Err(too_many(layout, "it lists more than 4,096 images"));
        }
        let mut manifests = Manifests {
            layout,
            known: BTreeMap::new(),
            added: BTreeSet::new(),
            lacking: None,
        };
        for image in index.images() {
            if layout.is_about_another(&index, image) {
                plan.other_signatures += 1;
                continue;
            }
            manifests.lacking = None;
            if manifests.has_all_of(image, 1)? {
                manifests.add(key(image, 1), &mut plan.blobs);
                plan.images.push(image.clone());
                plan.check(layout)?;
            } else {
                let image = image.digest().clone();
                let lacking = manifests.lacking.take().unwrap_or_else(|| image.clone());
                plan.incomplete.push(IncompleteImage { image, lacking });
            }
        }
        Ok(plan)
    }

    /// Counts what is imported, and refuses more than the limits.
    fn check(&mut self, layout: &Layout) -> Result<(), CacheError> {
        if self.blobs.len() > BLOBS_MAX {
            return Err(too_many(layout, TOO_MANY_BLOBS));
        }
        self.bytes = self
            .blobs
            .values()
            .fold(0, |all, size| all.saturating_add(*size));
        self.check_bytes(layout)
    }

    fn check_bytes(&self, layout: &Layout) -> Result<(), CacheError> {
        if self.bytes > TOTAL_MAX {
            return Err(too_many(layout, "its images have more than 32 GiB"));
        }
        Ok(())
    }

    /// Reports whether another image of the layout has the same name: other tools might take that.
    fn is_ambiguous(&self, image: &Descriptor) -> bool {
        let name = name_of(image);
        let mut others = self.images.iter();
        name.is_some()
            && others.any(|other| name_of(other) == name && other.digest() != image.digest())
    }
}

/// What the manifests of a layout need, each read once; indexes once at each depth, because what is too
/// deep in one index need not be so in another.
struct Manifests<'a> {
    layout: &'a Layout,
    /// `None`: something that it needs is too deep or not in the layout.
    known: BTreeMap<Key, Option<Required>>,
    /// Those whose blobs were listed.
    added: BTreeSet<Key>,
    /// What the image that was looked at last needs and the layout lacks.
    lacking: Option<Digest>,
}

/// A manifest, or an index at a depth.
type Key = (Digest, Option<u32>);

fn key(image: &Descriptor, depth: u32) -> Key {
    let is_index = manifest::is_index(image.media_type());
    (image.digest().clone(), is_index.then_some(depth))
}

/// What one manifest or index needs.
#[derive(Default)]
struct Required {
    blobs: Vec<(Digest, u64)>,
    manifests: Vec<Key>,
}

impl Manifests<'_> {
    /// Reports whether the layout has all that an image needs: of an index, at least one manifest
    /// with all of its blobs.
    fn has_all_of(&mut self, image: &Descriptor, depth: u32) -> Result<bool, CacheError> {
        if depth > DEPTH_MAX || !blobs::is_in_layout(self.layout, image)? {
            // An index may list what was left out on purpose.
            self.lacking.get_or_insert_with(|| image.digest().clone());
            return Ok(false);
        }
        let key = key(image, depth);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.is_some());
        }
        if self.known.len() >= BLOBS_MAX {
            return Err(too_many(self.layout, TOO_MANY_BLOBS));
        }
        let required = self.required(image, depth)?;
        let has_all = required.is_some();
        self.known.insert(key, required);
        Ok(has_all)
    }

    fn required(&mut self, image: &Descriptor, depth: u32) -> Result<Option<Required>, CacheError> {
        let Some(raw) = self.layout.manifest(image.digest(), MANIFEST_MAX)? else {
            return Ok(None);
        };
        let mut required = Required::default();
        required.blobs.push((image.digest().clone(), image.size()));
        let Some(listed) = blobs::listed(&raw) else {
            return Ok(None);
        };
        for part in listed {
            if raw.is_index() {
                if blobs::is_image(&part) && self.has_all_of(&part, depth + 1)? {
                    required.manifests.push(key(&part, depth + 1));
                }
            } else if blobs::is_in_layout(self.layout, &part)? {
                required.blobs.push((part.digest().clone(), part.size()));
            } else {
                self.lacking = Some(part.digest().clone());
                return Ok(None);
            }
        }
        let is_complete = !raw.is_index() || !required.manifests.is_empty();
        Ok(is_complete.then_some(required))
    }

    /// Adds the blobs of an image of which the layout has all.
    fn add(&mut self, image: Key, blobs: &mut BTreeMap<Digest, u64>) {
        let mut queue = vec![image];
        while let Some(key) = queue.pop() {
            if let Some(Some(required)) = self.known.get(&key)
                && self.added.insert(key)
            {
                blobs.extend(required.blobs.iter().cloned());
                queue.extend(required.manifests.iter().cloned());
            }
        }
    }
}

impl Staged {
    fn new(store: &Store) -> Result<Self, CacheError> {
        // They can be large.
        temp_folder::drop_abandoned(store, temp_folder::IMPORT)?;
        Ok(Self {
            folder: TempFolder::new(store, temp_folder::IMPORT)?,
            files: Vec::new(),
        })
    }

    /// Makes a file that gets the name `target`.
    fn create(&mut self, store: &Store, target: PathBuf) -> Result<Appender, CacheError> {
        let path = self.folder.path().join(self.files.len().to_string());
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path);
        let file = file.map_err(CacheError::io("create", &path))?;
        let out = Appender::new(store.sys, file, &path, 0);
        self.files.push((path, target));
        Ok(out)
    }

    /// Gives all files their names.
    fn place(self, store: &Store) -> Result<(), CacheError> {
        let mut folders = BTreeSet::new();
        for (path, target) in &self.files {
            let failed = CacheError::io("rename to", target);
            std::fs::rename(path, target).map_err(failed)?;
            folders.extend(target.parent().map(Path::to_owned));
        }
        for path in folders {
            folder::sync(store.sys, &path)?;
        }
        Ok(())
    }
}

/// Copies a blob, hashing it.
fn stage_blob(
    store: &Store,
    layout: &Layout,
    (digest, size): (&Digest, u64),
    staged: &mut Staged,
) -> Result<(), CacheError> {
    let Some(mut file) = layout.blob(digest)? else {
        let gone = io::ErrorKind::NotFound.into();
        return Err(CacheError::io("copy from", layout.path())(gone));
    };
    CacheError::check_size(digest, size, file.size())?;
    let mut out = staged.create(store, store.paths.blob(digest))?;
    let mut digester = Digester::new(digest.algorithm());
    while let Some(chunk) = file.next_chunk()? {
        digester.update(&chunk);
        // A sparse file of a few bytes must not fill the disk.
        let written = if chunk.iter().all(|byte| *byte == 0) {
            out.skip(chunk.len() as u64)
        } else {
            out.write_all(&chunk)
        };
        written.map_err(CacheError::written(&out.path))?;
    }
    CacheError::check_digest(digest, digester.finish())?;
    out.seal()
}

/// Copies the signature material of the images that are imported. Returns how many have some, and
/// those whose material can't be read.
fn stage_evidence(
    store: &Store,
    layout: &Layout,
    plan: &mut Plan,
    staged: &mut Staged,
    merge: &MergeEvidence,
) -> Result<(usize, Vec<Digest>), CacheError> {
    let subjects: BTreeSet<_> = plan
        .images
        .iter()
        .map(|image| image.digest().clone())
        .collect();
    let (mut count, mut unreadable) = (0, Vec::new());
    for subject in subjects {
        let name = format!("signatures/{}.json", file_name(&subject));
        let Some(file) = layout.file(&name)? else {
            continue;
        };
        plan.bytes = plan.bytes.saturating_add(file.size());
        plan.check_bytes(layout)?;
        let content = file.read_all(evidence::FILE_MAX)?;
        let Some(content) = evidence::open(&subject, &content) else {
            unreadable.push(subject);
            continue;
        };
        let stored = evidence::get(store, &subject)?;
        let mut has_material = stored.is_some();
        match merge(&subject, stored.as_deref(), content) {
            MergedEvidence::Changed(merged) if merged.len() as u64 <= evidence::EVIDENCE_MAX => {
                let mut out = staged.create(store, store.paths.evidence(&subject))?;
                let written = out.write_all(&evidence::seal(&subject, &merged));
                written.map_err(CacheError::written(&out.path))?;
                out.seal()?;
                has_material = true;
            }
            MergedEvidence::Changed(_) | MergedEvidence::Unreadable => unreadable.push(subject),
            MergedEvidence::Unchanged => {}
        }
        count += usize::from(has_material);
    }
    Ok((count, unreadable))
}

/// Lists an image, whose blobs are in the cache by now, and reports whether a reference leads to it.
/// The tag is left to the caller.
fn list(
    store: &Store,
    plan: &Plan,
    image: &Descriptor,
    tags: &mut Vec<(Reference, Digest)>,
) -> Result<bool, CacheError> {
    let (digest, name) = (image.digest(), name_of(image));
    let name = name.filter(|_| !plan.is_ambiguous(image));
    match tag_of(image).filter(|_| name.is_some()) {
        Some(reference) => {
            match refs::get(store, &reference)? {
                // A layout does not say that the tag still names the image.
                Some((known, resolved_at)) if known == *digest => {
                    refs::set(store, &reference, digest, resolved_at)?;
                }
                _ => {
                    index::add(store, digest, None)?;
                    tags.push((reference, digest.clone()));
                }
            }
            Ok(true)
        }
        None => index::add(store, digest, name).map(|()| false),
    }
}

fn too_many(layout: &Layout, rule: &'static str) -> CacheError {
    CacheError::Import {
        path: layout.path().to_owned(),
        rule,
    }
}

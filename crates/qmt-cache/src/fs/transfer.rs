//! Export and import: images with their signature material, as an OCI image layout that can be
//! verified by itself. For sites without network, and for moving a cache.
//!
//! `signatures/` next to `blobs/` has what was discovered for each image, as in the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use qmt_oci_ref::{Descriptor, Digest, Reference, manifest};
use qmt_storage::{LayoutError, LayoutExport, LayoutIndex};

use super::import::{self, DEPTH_MAX};
use super::paths::file_name;
use super::store::Store;
use super::{FsCache, blobs, evidence, index, sys};
use crate::CacheError;

/// The result of an export or import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferReport {
    /// The digests of the images: of their indexes, or of manifests without one.
    pub images: Vec<Digest>,
    /// The number of blobs.
    pub blobs: usize,
    /// The size of the blobs in bytes.
    pub bytes: u64,
    /// The number of images with signature material.
    pub signatures: usize,
    /// Of an import: the images that were left out.
    pub incomplete: Vec<IncompleteImage>,
    /// Of an import: the images whose signature material can't be read, and was left out.
    pub unreadable: Vec<Digest>,
    /// Of an import: the number of signatures that the layout lists in the form of another tool, which
    /// were left out.
    pub other_signatures: usize,
    /// Of an import: the images that the layout lists without a registry and a repository, so that only
    /// references with their digest lead to them.
    pub unnamed: Vec<Digest>,
    /// Of an import: the tags under which the layout lists more than one image, and the images. None of
    /// them gets the tag.
    pub ambiguous: Vec<(Reference, Digest)>,
    /// Of an import: the tags that do not name the image of the layout in this cache, and that image.
    /// They were left as they are; [`Cache::set_ref`](crate::Cache::set_ref) sets one.
    pub tags: Vec<(Reference, Digest)>,
}

/// An image that an import left out, because the layout lacks a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncompleteImage {
    /// The image.
    pub image: Digest,
    /// The part: a blob, a manifest, or the image itself.
    pub lacking: Digest,
}

/// Merges the signature material of an image that the cache has (if any) and that of a layout.
pub type MergeEvidence = dyn Fn(&Digest, Option<&[u8]>, &[u8]) -> MergedEvidence + Send + Sync;

/// The signature material of an image in the cache and in a layout, merged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergedEvidence {
    /// What is stored from now on.
    Changed(Vec<u8>),
    /// The layout has nothing to add.
    Unchanged,
    /// That of the layout can't be read, or is too much to be kept.
    Unreadable,
}

impl FsCache {
    /// Writes the images `roots` with everything that they need into the OCI image layout
    /// `target`: a tar archive if its name ends in `.tar`, else a new folder. It appears as a
    /// whole or not at all. Of an index, the platforms that the cache has are exported. An image has
    /// the names of the cache and the one that is given here.
    ///
    /// # Errors
    /// [`CacheError::Incomplete`] if a blob is absent or damaged, [`CacheError::Layout`] if the
    /// folder exists or can't be written, [`CacheError::Io`].
    pub async fn export(
        &self,
        roots: Vec<(Digest, Option<Reference>)>,
        target: &Path,
    ) -> Result<TransferReport, CacheError> {
        let target = target.to_owned();
        self.blocking(move |store| export(store, &roots, &target))
            .await
    }

    /// Imports the images of an OCI image layout (folder or uncompressed tar archive) that are
    /// complete in it: blobs, each proven by its name, names, and signature material. Of an index,
    /// one platform is enough. Artifacts are extracted from the blobs at their next use, and
    /// verified then like any other.
    ///
    /// Everything is proven before anything is visible. What the layout says about images that are
    /// not complete in it is ignored, and so are blobs that no image needs. The caller decides about
    /// tags, and `merge` about signature material.
    ///
    /// # Errors
    /// [`CacheError::Mismatch`] or [`CacheError::SizeMismatch`] if a blob is not what its digest
    /// and descriptor say, [`CacheError::TooLarge`] and [`CacheError::Import`] past a limit,
    /// [`CacheError::Layout`], [`CacheError::Io`]. Nothing was imported then.
    pub async fn import(
        &self,
        source: &Path,
        merge: Arc<MergeEvidence>,
    ) -> Result<TransferReport, CacheError> {
        let source = source.to_owned();
        self.blocking(move |store| import::import(store, &source, &*merge))
            .await
    }
}

fn export(
    store: &Store,
    roots: &[(Digest, Option<Reference>)],
    target: &Path,
) -> Result<TransferReport, CacheError> {
    let mut report = TransferReport::default();
    let listed = index::read(store)?;
    let mut images = LayoutIndex::default();
    let mut out = LayoutExport::create(target)?;
    let mut exported = BTreeSet::new();
    for (root, name) in roots {
        // Two plugins may be in one image, and two tags may name it.
        let is_new = !report.images.contains(root);
        if !is_new && name.is_none() {
            continue;
        }
        let plain = index::describe(store, root)?.ok_or_else(|| incomplete(root, root))?;
        let is_named = |image: &&Descriptor| image.digest() == root;
        let named: Vec<_> = listed.images().iter().filter(is_named).cloned().collect();
        if let Some(name) = name {
            images.list(plain, Some(&name.to_string()));
        } else if named.is_empty() {
            images.list(plain, None);
        }
        if !is_new {
            continue;
        }
        for image in named {
            images.list(image, None);
        }
        let mut needed = Needed {
            store,
            root,
            known: BTreeMap::new(),
        };
        for blob in needed.by(root, 1)? {
            if exported.insert(blob.clone()) {
                let size = export_blob(store, &mut out, root, &blob)?;
                report.bytes = report.bytes.saturating_add(size);
                report.blobs += 1;
            }
        }
        if let Some(material) = evidence::get(store, root)? {
            let name = format!("signatures/{}.json", file_name(root));
            out.add(&name, &evidence::seal(root, &material))?;
            report.signatures += 1;
        }
        report.images.push(root.clone());
    }
    out.finish(&images)?;
    Ok(report)
}

/// Lists what an image needs. Each manifest is read once at each depth, because an index can list the
/// same one again and again, and what is too deep in one index need not be so in another.
struct Needed<'a> {
    store: &'a Store,
    root: &'a Digest,
    /// The blobs of each manifest and index at a depth; `None` if one that it needs is too deep or not in
    /// the cache.
    known: BTreeMap<(Digest, u32), Option<BTreeSet<Digest>>>,
}

impl Needed<'_> {
    /// Returns the blobs that the manifest or index `digest` needs, which must all be in the cache: of
    /// an index, those of at least one child.
    fn by(&mut self, digest: &Digest, depth: u32) -> Result<BTreeSet<Digest>, CacheError> {
        let key = (digest.clone(), depth);
        if let Some(known) = self.known.get(&key) {
            return known.clone().ok_or_else(|| self.lacks(digest));
        }
        let needed = self.read(digest, depth);
        if let Ok(_) | Err(CacheError::Incomplete { .. }) = &needed {
            let known = needed.as_ref().ok().cloned();
            self.known.insert(key, known);
        }
        needed
    }

    fn read(&mut self, digest: &Digest, depth: u32) -> Result<BTreeSet<Digest>, CacheError> {
        let described = index::describe(self.store, digest)?;
        let is_index = described.is_some_and(|found| manifest::is_index(found.media_type()));
        let children = blobs::children(self.store, digest)?;
        let children = children.ok_or_else(|| self.lacks(digest))?;
        let mut needed = BTreeSet::from([digest.clone()]);
        let mut missing = None;
        let mut has_child = false;
        let mut listed = BTreeSet::new();
        for child in children {
            // Configs and layers have no children, even where they look like a manifest: the config
            // of an image by docker has the key `config` too.
            let (digest, is_image) = (child.digest(), blobs::is_image(&child));
            if !listed.insert((digest.clone(), is_image)) {
                continue;
            }
            let of_child = if !self.store.paths.blob(digest).exists() || depth > DEPTH_MAX {
                Err(self.lacks(digest))
            } else if is_image {
                self.by(digest, depth + 1)
            } else {
                Ok(BTreeSet::from([digest.clone()]))
            };
            match of_child {
                Ok(mut of_child) => {
                    has_child = true;
                    needed.append(&mut of_child);
                }
                // The cache need not have an index with all platforms.
                Err(error @ CacheError::Incomplete { .. }) if is_index => {
                    missing.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(error) if !has_child => Err(error),
            _ => Ok(needed),
        }
    }

    fn lacks(&self, missing: &Digest) -> CacheError {
        incomplete(self.root, missing)
    }
}

/// Adds a blob of the cache. Returns its size in bytes.
fn export_blob(
    store: &Store,
    out: &mut LayoutExport,
    root: &Digest,
    digest: &Digest,
) -> Result<u64, CacheError> {
    let path = store.paths.blob(digest);
    let file = sys::open_file(&path, 2)?.ok_or_else(|| incomplete(root, digest))?;
    let size = sys::length(&file, &path)?;
    match out.add_blob(digest, size, file) {
        Err(LayoutError::Digest { .. }) => Err(incomplete(root, digest)),
        added => Ok(added.map(|()| size)?),
    }
}

fn incomplete(root: &Digest, missing: &Digest) -> CacheError {
    CacheError::Incomplete {
        root: root.clone(),
        missing: missing.clone(),
    }
}

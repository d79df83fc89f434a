//! Paths below the cache's root. File names are made of digests, never of other names.

use std::path::{Path, PathBuf};

use qmt_oci_ref::{Digest, Reference};

/// The folder of the format that this version writes. Folders of other versions are next to it and
/// are left alone, like everything else in the root.
pub(crate) const LAYOUT: &str = "v1";

/// The paths below one versioned root.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.join(LAYOUT),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folders that must exist, and belong to this user, before anything is read.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let sub = [
            "artifacts",
            "blobs",
            "blobs/sha256",
            "blobs/sha512",
            "refs",
            "signatures",
            "partial",
            "locks",
            "tmp",
        ];
        std::iter::once(self.root.clone())
            .chain(sub.iter().map(|name| self.root.join(name)))
            .collect()
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index.json")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn blob_folder(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str())
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blob_folder(digest).join(digest.hex())
    }

    pub(crate) fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    pub(crate) fn entry(&self, manifest: &Digest) -> PathBuf {
        self.root.join("artifacts").join(file_name(manifest))
    }

    pub(crate) fn record(&self, manifest: &Digest) -> PathBuf {
        self.entry(manifest).join("record.json")
    }

    pub(crate) fn refs(&self) -> PathBuf {
        self.root.join("refs")
    }

    /// By the digest of the reference: on file systems that fold case, `:v1` and `:V1` would
    /// otherwise be one file, and a tag's file could have the name of a repository's folder.
    pub(crate) fn reference(&self, reference: &Reference) -> PathBuf {
        let key = Digest::sha256(reference.to_string());
        self.root.join("refs").join(format!("{}.json", key.hex()))
    }

    /// Made by the first import, because a cache that can only be read has none.
    pub(crate) fn imported(&self) -> PathBuf {
        self.root.join("imported")
    }

    pub(crate) fn signatures(&self) -> PathBuf {
        self.root.join("signatures")
    }

    pub(crate) fn evidence(&self, subject: &Digest) -> PathBuf {
        self.root
            .join("signatures")
            .join(format!("{}.json", file_name(subject)))
    }

    pub(crate) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(crate) fn partial(&self, blob: &Digest) -> PathBuf {
        self.root.join("partial").join(file_name(blob))
    }

    pub(crate) fn lock(&self, manifest: &Digest) -> PathBuf {
        self.root.join("locks").join(file_name(manifest))
    }

    pub(crate) fn index_lock(&self) -> PathBuf {
        self.root.join("locks").join("index")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

/// A digest as one path component (`:` is not allowed on every file system).
pub(crate) fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().as_str(), digest.hex())
}

/// The digest in a name that [`file_name`] made.
pub(crate) fn parse_file_name(name: &str) -> Option<Digest> {
    name.replacen('-', ":", 1).parse().ok()
}

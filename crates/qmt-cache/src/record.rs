//! The record next to each artifact: where the file came from and what it must hash to.

use std::collections::BTreeMap;

use qmt_oci_ref::manifest::platform_json;
use qmt_oci_ref::{Digest, MediaType, Platform, PluginKind};
use serde::{Deserialize, Serialize};

/// The largest record that is read, in bytes. A real one has about 1 KiB.
pub(crate) const RECORD_MAX: u64 = 64 * 1024;

/// The longest file name, in bytes (the limit of common file systems).
const FILE_NAME_MAX: usize = 255;

/// What select and extract recorded about an artifact. It is not trusted: the signature
/// material is verified again at each load whatever [`Record::with_verified`] has recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct Record {
    manifest: Digest,
    root: Digest,
    kind: PluginKind,
    file_name: String,
    file_digest: Digest,
    size: u64,
    verified: bool,
    #[serde(
        default,
        with = "platform_json",
        skip_serializing_if = "Option::is_none"
    )]
    platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest_media_type: Option<MediaType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Digest>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    notes: BTreeMap<String, String>,
}

impl Record {
    /// Creates a record of a file of `size` bytes that was extracted from `manifest`, which `root`
    /// names (the same digest if there is no index). It counts as not verified until
    /// [`Record::with_verified`] says so.
    pub fn new(
        manifest: Digest,
        root: Digest,
        kind: PluginKind,
        file_name: impl Into<String>,
        file_digest: Digest,
        size: u64,
    ) -> Self {
        Self {
            manifest,
            root,
            kind,
            file_name: file_name.into(),
            file_digest,
            size,
            verified: false,
            platform: None,
            manifest_media_type: None,
            reference: None,
            layers: Vec::new(),
            notes: BTreeMap::new(),
        }
    }

    /// Records the platform that the manifest was selected for.
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Records the media type of the manifest.
    pub fn with_manifest_media_type(mut self, media_type: MediaType) -> Self {
        self.manifest_media_type = Some(media_type);
        self
    }

    /// Records whether the root's signature was valid when the artifact was fetched.
    pub fn with_verified(mut self, verified: bool) -> Self {
        self.verified = verified;
        self
    }

    /// Records the reference under which the artifact was requested, for lists.
    pub fn with_reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Stores a small note of the caller (such as the target architecture) under `key`.
    pub fn with_note(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.notes.insert(key.into(), value.into());
        self
    }

    /// The version of the form of records that this crate writes.
    pub const SCHEMA: u32 = 1;

    /// Returns the key of the entry: the digest of the selected manifest, or one derived from it.
    pub fn manifest(&self) -> &Digest {
        &self.manifest
    }

    /// Returns the digest that the reference named: an index, or the manifest itself.
    pub fn root(&self) -> &Digest {
        &self.root
    }

    /// Returns the kind of the plugin.
    pub fn kind(&self) -> PluginKind {
        self.kind
    }

    /// Returns the name of the file inside the entry, one plain path component.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Returns the digest of the extracted file.
    pub fn file_digest(&self) -> &Digest {
        &self.file_digest
    }

    /// Returns the size of the extracted file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the reference under which the artifact was requested.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// Returns the layers that were fetched for it and are stored as blobs.
    pub fn layers(&self) -> &[Digest] {
        &self.layers
    }

    /// Sets the layers whose blobs are stored.
    pub(crate) fn set_layers(&mut self, layers: Vec<Digest>) {
        self.layers = layers;
    }

    /// The rule that the record breaks, if any. Checked before writing and after reading.
    pub(crate) fn broken_rule(&self) -> Option<&'static str> {
        let is_broken = !is_plain_name(&self.file_name);
        is_broken.then_some("names a file that is not one plain path component")
    }
}

/// One path component that no file system reads as something else.
fn is_plain_name(name: &str) -> bool {
    let reserved = name.eq_ignore_ascii_case("record.json");
    let odd = |c: char| {
        c.is_control() || matches!(c, '/' | '\\' | ':' | '"' | '<' | '>' | '|' | '?' | '*')
    };
    !name.is_empty()
        && name.len() <= FILE_NAME_MAX
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && !reserved
        && !name.contains(odd)
}

#[cfg(test)]
mod tests;

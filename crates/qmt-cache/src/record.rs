//! The record beside each artifact: where the file came from and what it must hash to.

use std::collections::BTreeMap;

use qmt_oci_ref::{Digest, MediaType, Platform};
use serde::{Deserialize, Serialize};

/// The largest record that is read, in bytes. A real one has about 1 KiB.
pub(crate) const RECORD_MAX: u64 = 64 * 1024;

/// The longest file name that is kept, in bytes (the limit of common file systems).
const FILE_NAME_MAX: usize = 255;

/// The longest kind that is kept, in bytes.
const KIND_MAX: usize = 32;

/// What select and extract found out about an artifact. It is a note, not a verdict: the signature
/// material is judged again at each load whatever [`Record::is_verified`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    manifest: Digest,
    root: Digest,
    kind: String,
    file_name: String,
    file_digest: Digest,
    size: u64,
    verified: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// A record of the file `file_name` (`file_digest`, `size` bytes, of the kind `kind`) that was
    /// extracted from `manifest`, which `root` names (the same digest if there is no index).
    /// It counts as not verified until [`Record::with_verified`] says so.
    pub fn new(
        manifest: Digest,
        root: Digest,
        kind: impl Into<String>,
        file_name: impl Into<String>,
        file_digest: Digest,
        size: u64,
    ) -> Self {
        Self {
            manifest,
            root,
            kind: kind.into(),
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

    /// Notes the platform that the manifest was selected for.
    #[must_use]
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Notes the media type of the manifest.
    #[must_use]
    pub fn with_manifest_media_type(mut self, media_type: MediaType) -> Self {
        self.manifest_media_type = Some(media_type);
        self
    }

    /// Notes whether the root's signature held when the artifact was fetched.
    #[must_use]
    pub fn with_verified(mut self, verified: bool) -> Self {
        self.verified = verified;
        self
    }

    /// Notes the reference under which the artifact was asked for. For people, in lists.
    #[must_use]
    pub fn with_reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Keeps a small note of the caller (such as the target architecture) under `key`.
    #[must_use]
    pub fn with_note(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.notes.insert(key.into(), value.into());
        self
    }

    /// The layout version of the records that this crate writes.
    pub const SCHEMA: u32 = 1;

    /// The digest of the selected manifest: the key of the entry.
    pub fn manifest(&self) -> &Digest {
        &self.manifest
    }

    /// The digest that the reference named: an index, or the manifest itself.
    pub fn root(&self) -> &Digest {
        &self.root
    }

    /// The kind of the plugin in the caller's words (`wasm`, `native`).
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The name of the file inside the entry, one plain path component.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The digest of the extracted file.
    pub fn file_digest(&self) -> &Digest {
        &self.file_digest
    }

    /// The size of the extracted file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a signature was checked when the artifact was fetched.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// The platform that the manifest was selected for.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// The media type of the manifest.
    pub fn manifest_media_type(&self) -> Option<&MediaType> {
        self.manifest_media_type.as_ref()
    }

    /// The reference under which the artifact was asked for.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// The layers that were fetched for it and are kept as blobs.
    pub fn layers(&self) -> &[Digest] {
        &self.layers
    }

    /// The caller's note under `key`.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.notes.get(key).map(String::as_str)
    }

    /// Names the layers whose blobs are kept; done by the staging area.
    pub(crate) fn set_layers(&mut self, layers: Vec<Digest>) {
        self.layers = layers;
    }

    /// The rule that the record breaks, if any. Asked before writing and after reading.
    pub(crate) fn broken_rule(&self) -> Option<&'static str> {
        if !is_plain_name(&self.file_name) {
            return Some("names a file that is not one plain path component");
        }
        if self.kind.is_empty() || self.kind.len() > KIND_MAX {
            return Some("has a kind that is empty or longer than 32 bytes");
        }
        None
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
mod tests {
    use super::*;

    fn record(name: &str) -> Record {
        let digest = Digest::sha256(b"x");
        Record::new(digest.clone(), digest.clone(), "wasm", name, digest, 1)
    }

    #[test]
    fn plain_names_are_kept() {
        for name in [
            "plugin.wasm",
            "libfoo.so.1",
            "a",
            "Plugin-1_2.dll",
            &"n".repeat(255),
        ] {
            assert_eq!(record(name).broken_rule(), None, "{name}");
        }
    }

    #[test]
    fn names_that_leave_the_folder_or_clash_are_refused() {
        let long = "n".repeat(256);
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "../a",
            "a\\b",
            "c:d",
            "a\0b",
            "record.json",
            "RECORD.json",
            "a\nb",
            "trailing.",
            "trailing ",
            &long,
        ] {
            assert!(record(name).broken_rule().is_some(), "{name:?}");
        }
    }

    #[test]
    fn a_kind_has_1_to_32_bytes() {
        let digest = Digest::sha256(b"x");
        let of = |kind: &str| {
            Record::new(digest.clone(), digest.clone(), kind, "f", digest.clone(), 1).broken_rule()
        };
        assert_eq!(of(&"k".repeat(32)), None);
        assert!(of(&"k".repeat(33)).is_some());
        assert!(of("").is_some());
    }
}

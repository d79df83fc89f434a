//! Selection: which manifest of an image is for this host, what it holds, and which layers to read.
//!
//! Of an index, in this order (DIG-11); the first rule that matches decides:
//!
//! 1. **native**: the entry whose platform fits the host best; among equals the first. Entries of
//!    the index itself come before those of indexes within it.
//! 2. **Wasm**: the first entry for `wasi/wasm`, `wasip1/wasm` or `wasip2/wasm`.
//! 3. **what an entry declares**: the first whose annotation, on the descriptor or on the manifest,
//!    or whose layer media types say Wasm; an entry without platform may say native.
//! 4. **last resort**: the entry whose layers can best hold a plugin, by their media types and titles;
//!    among equals an image before an artifact with a type, such as a bill of materials, then one without
//!    a platform, then the first. It may be built from a Dockerfile with `/plugin.wasm` in it; only Wasm
//!    is taken from an entry for another platform.
//!
//! `kind` in the operator's config disables the rules of the other kind. Attestations are ignored.
//! The manifest is then classified (`image.rs`); the content is checked at extraction. A layer that
//! is Wasm by its media type is the plugin, unless `file` or `kind` in the operator's config leads
//! to another layer (`layers.rs`).

mod config;
mod image;
mod index;
mod layers;

use std::collections::HashMap;

use qmt_oci_ref::manifest::{Document, ManifestError, detect, is_index, is_manifest};
use qmt_oci_ref::{
    Descriptor, Digest, MediaType, PinnedReference, Platform, PluginKind, RawManifest, Registry,
    RegistryError, Repository, text,
};

use self::image::{Image, Reason};
use crate::error::{ArtifactError, at_most};
use crate::file_rule::{FileRule, plain_file};
use crate::limits::SelectLimits;
use crate::platform::HostPlatform;
use crate::problem::Limit;

/// Steps of the trace. An index may hold thousands of entries, each worth a sentence.
const TRACE: usize = 64;

/// What to select from, and for which host.
#[derive(Clone, Debug)]
#[must_use]
pub struct SelectionRequest {
    root: RawManifest,
    host: HostPlatform,
    kind: Option<PluginKind>,
    file: Option<String>,
    limits: SelectLimits,
}

impl SelectionRequest {
    /// Selects from the manifest or index `root` for this host.
    pub fn new(root: RawManifest) -> Self {
        Self {
            root,
            host: HostPlatform::current(),
            kind: None,
            file: None,
            limits: SelectLimits::default(),
        }
    }

    /// Selects for another host.
    pub fn with_host(mut self, host: HostPlatform) -> Self {
        self.host = host;
        self
    }

    /// Allows one kind only; `None` allows both.
    pub fn with_kind(mut self, kind: Option<PluginKind>) -> Self {
        self.kind = kind;
        self
    }

    /// Names the file of the image that is the plugin, or by its digest a layer that is one; `None`
    /// leaves it to [`FileRule`].
    pub fn with_file(mut self, file: Option<String>) -> Self {
        self.file = file;
        self
    }
}

/// What was selected. Made by [`select`] only.
#[derive(Clone, Debug)]
pub struct Selection {
    pub(crate) manifest: Descriptor,
    pub(crate) hint: Option<PluginKind>,
    /// The kind that the content must be of; `None` leaves it to the content.
    pub(crate) required: Option<PluginKind>,
    /// See [`Selection::narrowed_by`].
    pub(crate) narrowed_by: Option<String>,
    pub(crate) layers: Vec<Descriptor>,
    pub(crate) diff_ids: Vec<Digest>,
    /// The titles or digests of Wasm layers that are not read.
    pub(crate) left_out: Vec<String>,
    pub(crate) file: FileRule,
    /// The file to look for where the layer that should be the file is an archive.
    pub(crate) packed_file: FileRule,
    pub(crate) platform: Option<Platform>,
    pub(crate) host: HostPlatform,
    pub(crate) annotations: HashMap<String, String>,
    pub(crate) note: Option<String>,
    pub(crate) trace: Vec<String>,
}

impl Selection {
    /// Returns the descriptor of the manifest that was selected.
    pub fn manifest(&self) -> &Descriptor {
        &self.manifest
    }

    /// Returns the expected kind. Only the content is certain:
    /// [`Extracted::kind`](crate::Extracted::kind).
    pub fn kind_hint(&self) -> Option<PluginKind> {
        self.hint
    }

    /// Returns the layers to read, lowest first.
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// Returns how the plugin's file is found in the layers. A layer that is Wasm by its media type
    /// may still be an archive by its content.
    pub fn file(&self) -> FileRule {
        self.file.clone()
    }

    /// Reports whether the image has Wasm layers that are not read, because the config names
    /// another file or allows native only.
    pub fn leaves_out_wasm(&self) -> bool {
        !self.left_out.is_empty()
    }

    /// Returns what the config and the host require of the plugin's file in addition to the manifest: the
    /// kind, the platform, or both. Two selections of one manifest for the same `file` can lead to
    /// different files only where this differs, so it belongs into the key of a cache.
    pub fn narrowed_by(&self) -> Option<&str> {
        self.narrowed_by.as_deref()
    }

    /// Returns the platform that the image is for, as the index or the config names it.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// Returns the annotations of the manifest.
    pub fn annotations(&self) -> &HashMap<String, String> {
        &self.annotations
    }

    /// Returns why it was selected, one sentence per step. Names in it are cut and escaped.
    pub fn trace(&self) -> &[String] {
        &self.trace
    }
}

/// Selects the manifest for the host, and the layers to read for the plugin's file. Manifests and
/// configs below the root are read from `repository` of `registry`.
///
/// # Errors
/// [`ArtifactError::NoMatch`] where nothing fits, [`ArtifactError::NoImage`] where nothing is
/// listed, [`ArtifactError::KindNotAllowed`] where only the other kind is available,
/// [`ArtifactError::Registry`] where a manifest cannot be read, and one error each for what is
/// malformed, ambiguous or above a limit.
///
/// # Cancel safety
/// Dropping the future abandons the requests under way and nothing else.
pub async fn select(
    request: SelectionRequest,
    registry: &dyn Registry,
    repository: &Repository,
) -> Result<Selection, ArtifactError> {
    let mut request = request;
    if let Some(file) = request.file.take() {
        request.file = Some(plain_file(&file)?.to_owned());
    }
    let mut selector = Selector {
        registry,
        repository,
        request,
        requests: 1, // The root was one.
        attestations: 0,
        unmarked: 0,
        unreadable: 0,
        trace: Vec::new(),
    };
    let root = selector.request.root.descriptor();
    let image = match selector.read(&root, selector.request.root.bytes())? {
        Document::Manifest(manifest) => Image {
            descriptor: root,
            manifest: *manifest,
            reason: Reason::Single,
        },
        Document::Index(index) => selector.choose(*index).await?,
    };
    selector.classify(image).await
}

/// One selection under way.
struct Selector<'a> {
    registry: &'a dyn Registry,
    repository: &'a Repository,
    request: SelectionRequest,
    /// Manifests read so far.
    requests: u64,
    /// Attestations skipped so far.
    attestations: usize,
    /// Those of them that only their platform shows to be attestations.
    unmarked: usize,
    /// Entries that are no usable descriptors.
    unreadable: usize,
    trace: Vec<String>,
}

impl Selector<'_> {
    fn note(&mut self, step: String) {
        if self.trace.len() < TRACE {
            tracing::debug!(%step, "select");
            self.trace.push(step);
        }
    }

    fn allows(&self, kind: PluginKind) -> bool {
        let allowed = self.request.kind;
        allowed.is_none_or(|allowed| allowed == kind)
    }

    /// Requests one more document.
    async fn document(&mut self, descriptor: &Descriptor) -> Result<Document, ArtifactError> {
        self.requests += 1;
        let limits = &self.request.limits;
        let most = limits.manifest_requests;
        at_most(Limit::ManifestRequests, most, self.requests)?;
        let limit = limits.manifest.bytes();
        at_most(Limit::ManifestBytes, limit, descriptor.size())?;
        let pin = PinnedReference::new(self.repository.clone(), descriptor.digest().clone());
        let raw = self.registry.manifest(&pin, limit).await;
        let raw = raw.map_err(|source| ArtifactError::Registry {
            what: "manifest",
            digest: descriptor.digest().clone(),
            platform: Some(self.platform_of(descriptor)),
            source,
        })?;
        check_content(descriptor, raw.bytes())?;
        if index::has_no_media_type(descriptor) {
            return self.read(&raw.descriptor(), raw.bytes());
        }
        self.read(descriptor, raw.bytes())
    }

    /// Returns the platform for which an entry of an index is requested.
    fn platform_of(&self, entry: &Descriptor) -> String {
        let host = &self.request.host;
        let own = entry.platform().filter(|own| host.fit(own).is_some());
        text::platform(own.unwrap_or(host.platform()))
    }

    fn read(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<Document, ArtifactError> {
        let limits = &self.request.limits.manifest;
        let declared = descriptor.media_type();
        // Copies leave docker's name of a form in one place, and OCI's in another.
        let detected = detect(bytes, None).ok();
        let other_name = detected.filter(|detected| is_same_form(declared, detected));
        let read = Document::read(other_name.as_ref().unwrap_or(declared), bytes, limits);
        read.map_err(|source| ArtifactError::Manifest {
            digest: descriptor.digest().clone(),
            source,
        })
    }
}

fn is_same_form(one: &MediaType, other: &MediaType) -> bool {
    (is_manifest(one) && is_manifest(other)) || (is_index(one) && is_index(other))
}

/// Checks that `bytes` are the content of `descriptor`.
fn check_content(descriptor: &Descriptor, bytes: &[u8]) -> Result<(), ArtifactError> {
    let expected = descriptor.digest();
    let actual = Digest::of(expected.algorithm(), bytes);
    let length = bytes.len() as u64;
    if actual != *expected || length != descriptor.size() {
        return Err(ArtifactError::DigestMismatch {
            expected: expected.clone(),
            size: descriptor.size(),
            actual,
            length,
        });
    }
    Ok(())
}

/// The media type decides the form, so the content of a document cannot cause this.
fn wrong_form(descriptor: &Descriptor) -> ArtifactError {
    ArtifactError::Manifest {
        digest: descriptor.digest().clone(),
        source: ManifestError::NotAnImage {
            media_type: descriptor.media_type().clone(),
        },
    }
}

pub(crate) fn unreadable(
    what: &'static str,
    content: &Descriptor,
    source: RegistryError,
) -> ArtifactError {
    ArtifactError::Registry {
        what,
        digest: content.digest().clone(),
        platform: None,
        source,
    }
}

#[cfg(test)]
mod tests;

//! Selection: which manifest of an image is for this host, what it holds, and which layers to read.
//!
//! Of an index, in this order (DIG-11); the first rule that finds something wins:
//!
//! 1. **native**: the entry whose platform fits the host best; among equals the first. Entries of
//!    the index itself come before those of indexes within it.
//! 2. **Wasm**: the first entry for `wasi/wasm`, `wasip1/wasm` or `wasip2/wasm`.
//! 3. **what an entry says of itself**: the first whose annotation, on the descriptor or on the
//!    manifest, or whose layer media types say Wasm; an entry without platform may say native.
//! 4. **last resort**: the first other entry, which may be an image built from a Dockerfile with
//!    `/plugin.wasm` in it; only Wasm is taken from it, unless it names no platform at all.
//!
//! `kind` in the operator's config switches the rules of the other kind off. Attestations are
//! never entries. The manifest then has its say (`image.rs`), and at the end the content.

mod image;
mod index;

use bytes::Bytes;
use qmt_oci_ref::{Annotations, Descriptor, Digest, Platform};

use crate::error::{ArtifactError, Limit, shown};
use crate::extract::limits::SelectLimits;
use crate::kind::{FileRule, PluginKind};
use crate::manifest::{Document, Index, Manifest};
use crate::platform::HostPlatform;
use crate::source::ManifestSource;

/// Steps of the trace. An index may hold thousands of entries, each worth a sentence.
const TRACE: usize = 64;

/// What to select from, for whom.
#[derive(Clone, Debug)]
pub struct SelectionRequest {
    root: Descriptor,
    root_bytes: Bytes,
    host: HostPlatform,
    kind: Option<PluginKind>,
    file: Option<String>,
    limits: SelectLimits,
}

impl SelectionRequest {
    /// Selects from the manifest or index `root`, whose content is `root_bytes`, for this host.
    pub fn new(root: Descriptor, root_bytes: Bytes) -> Self {
        Self {
            root,
            root_bytes,
            host: HostPlatform::current(),
            kind: None,
            file: None,
            limits: SelectLimits::default(),
        }
    }

    /// Selects for another host.
    #[must_use]
    pub fn with_host(mut self, host: HostPlatform) -> Self {
        self.host = host;
        self
    }

    /// Allows one kind only; `None` allows both.
    #[must_use]
    pub fn with_kind(mut self, kind: Option<PluginKind>) -> Self {
        self.kind = kind;
        self
    }

    /// Names the file of the image that is the plugin; `None` leaves it to [`FileRule`].
    #[must_use]
    pub fn with_file(mut self, file: Option<String>) -> Self {
        self.file = file;
        self
    }

    /// Sets limits other than the default ones.
    #[must_use]
    pub fn with_limits(mut self, limits: SelectLimits) -> Self {
        self.limits = limits;
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
    pub(crate) layers: Vec<Descriptor>,
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) config: Option<Descriptor>,
    pub(crate) file: FileRule,
    pub(crate) platform: Option<Platform>,
    pub(crate) host: HostPlatform,
    pub(crate) annotations: Annotations,
    pub(crate) note: Option<String>,
    pub(crate) trace: Vec<String>,
}

impl Selection {
    /// Returns the descriptor of the manifest that was selected.
    pub fn manifest(&self) -> &Descriptor {
        &self.manifest
    }

    /// Returns what the image is expected to be. Only its content tells for sure, which is
    /// [`Extracted::kind`](crate::Extracted::kind).
    pub fn kind_hint(&self) -> Option<PluginKind> {
        self.hint
    }

    /// Returns the layers to read, lowest first.
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// Returns the config of the image, where it is an image config.
    pub fn config(&self) -> Option<&Descriptor> {
        self.config.as_ref()
    }

    /// Returns how the plugin's file is found in the layers.
    pub fn file(&self) -> FileRule {
        self.file.clone()
    }

    /// Returns the platform that the image is for, as the index or the config names it.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// Returns the host's platform that was selected for.
    pub fn host(&self) -> &HostPlatform {
        &self.host
    }

    /// Returns the annotations of the manifest.
    pub fn annotations(&self) -> &Annotations {
        &self.annotations
    }

    /// Returns why it was selected, one sentence per step. Names in it are cut and escaped.
    pub fn trace(&self) -> &[String] {
        &self.trace
    }
}

/// Selects the manifest for the host and says which layers to read for which file.
///
/// # Errors
/// [`ArtifactError::NoMatch`] where nothing fits, [`ArtifactError::KindNotAllowed`] where only the
/// other kind is there, [`ArtifactError::Source`] where a manifest cannot be had, and one error
/// each for what is malformed, ambiguous or too much.
///
/// # Cancel safety
/// Dropping the future abandons the requests under way and nothing else.
pub async fn select(
    request: SelectionRequest,
    source: &dyn ManifestSource,
) -> Result<Selection, ArtifactError> {
    let file = request
        .file
        .as_deref()
        .map(image::checked_file)
        .transpose()?;
    let mut reader = Reader {
        source,
        limits: &request.limits,
        requests: 1, // The root was one.
        host: &request.host,
        kind: request.kind,
        file,
        trace: Vec::new(),
    };
    match Document::parse(&request.root, &request.root_bytes, &request.limits)? {
        Document::Manifest(manifest) => {
            reader
                .image(
                    request.root.clone(),
                    *manifest,
                    image::Reason::Single,
                    &Annotations::new(),
                )
                .await
        }
        Document::Index(index) => {
            let chosen = reader.choose(index).await?;
            let annotations = chosen.annotations;
            reader
                .image(
                    chosen.descriptor,
                    chosen.manifest,
                    chosen.reason,
                    &annotations,
                )
                .await
        }
    }
}

/// One selection under way.
struct Reader<'a> {
    source: &'a dyn ManifestSource,
    limits: &'a SelectLimits,
    requests: u64,
    host: &'a HostPlatform,
    kind: Option<PluginKind>,
    file: Option<String>,
    trace: Vec<String>,
}

impl Reader<'_> {
    fn note(&mut self, step: String) {
        if self.trace.len() < TRACE {
            tracing::debug!(%step, "select");
            self.trace.push(step);
        }
    }

    /// Reads one more document.
    async fn document(&mut self, descriptor: &Descriptor) -> Result<Document, ArtifactError> {
        let limits = self.limits;
        self.requests = self.requests.saturating_add(1);
        if self.requests > limits.manifest_requests {
            return Err(ArtifactError::TooMuch {
                what: Limit::ManifestRequests,
                limit: limits.manifest_requests,
                found: self.requests,
            });
        }
        if descriptor.size() > limits.manifest_bytes {
            return Err(ArtifactError::TooMuch {
                what: Limit::ManifestBytes,
                limit: limits.manifest_bytes,
                found: descriptor.size(),
            });
        }
        let read = self
            .source
            .manifest(descriptor, limits.manifest_bytes)
            .await;
        let bytes = read.map_err(|source| ArtifactError::Source {
            what: "manifest",
            digest: descriptor.digest().clone(),
            source,
        })?;
        Document::parse(descriptor, &bytes, limits)
    }

    async fn manifest(&mut self, descriptor: &Descriptor) -> Result<Manifest, ArtifactError> {
        match self.document(descriptor).await? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(_) => Err(wrong_form(descriptor)),
        }
    }

    async fn index(&mut self, descriptor: &Descriptor) -> Result<Index, ArtifactError> {
        match self.document(descriptor).await? {
            Document::Index(index) => Ok(index),
            Document::Manifest(_) => Err(wrong_form(descriptor)),
        }
    }
}

/// The media type decides the form, so this cannot come about by what a server sends.
fn wrong_form(descriptor: &Descriptor) -> ArtifactError {
    ArtifactError::NotAnImage {
        digest: descriptor.digest().clone(),
        media_type: descriptor.media_type().clone(),
    }
}

/// Reads the plugin type annotation, if there is one.
fn annotated_kind(
    digest: &Digest,
    annotations: &Annotations,
) -> Result<Option<PluginKind>, ArtifactError> {
    let Some(value) = annotations.get(crate::PLUGIN_TYPE_ANNOTATION) else {
        return Ok(None);
    };
    let kind = PluginKind::from_annotation(value);
    kind.map(Some)
        .ok_or_else(|| ArtifactError::UnknownPluginType {
            digest: digest.clone(),
            value: shown(value.as_bytes()),
        })
}

#[cfg(test)]
mod tests;

//! Which entry of an index is selected.

use qmt_oci_ref::manifest::{self, Document};
use qmt_oci_ref::{Descriptor, PluginKind, RegistryErrorKind, text};

use super::config::is_image_type;
use super::image::{Image, Reason};
use super::layers::{Layers, has_wasm_layer};
use super::{Selector, wrong_form};
use crate::error::{ArtifactError, at_most, escaped};
use crate::file_rule::annotated_kind;
use crate::platform::{is_unknown, is_wasm};
use crate::problem::Limit;

/// `BuildKit` marks attestations by this annotation:
/// <https://docs.docker.com/build/metadata/attestations/attestation-storage/>
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const ATTESTATION: &str = "attestation-manifest";
/// How many platforms an error lists.
const LISTED: usize = 32;

/// The entries of an index, sorted by what they point to.
#[derive(Default)]
struct Level {
    images: Vec<Descriptor>,
    indexes: Vec<Descriptor>,
}

impl Selector<'_> {
    /// Selects one entry by the rules of the module above.
    pub(super) async fn choose(&mut self, index: manifest::Index) -> Result<Image, ArtifactError> {
        let native = self.allows(PluginKind::Native);
        let wasm = self.allows(PluginKind::Wasm);
        let mut level = self.sort(index);
        let mut images = Vec::new();
        let mut first_wasm = None;
        let mut depth = 1_u64;
        loop {
            // Wasm is only remembered: an index within may hold native.
            if native && let Some(best) = self.best_native(&level.images) {
                let (entry, host) = (name(&best), &self.request.host);
                self.note(format!("{entry} fits {host}, taken as native"));
                return self.image(best, Reason::Platform).await;
            }
            if wasm && first_wasm.is_none() {
                let mut images = level.images.iter();
                first_wasm = images.find(|image| is_for_wasm(image)).cloned();
            }
            let is_done = !native && first_wasm.is_some();
            images.append(&mut level.images);
            if is_done || level.indexes.is_empty() {
                break;
            }
            depth += 1;
            level = self.descend(&level.indexes, depth).await?;
        }
        if images.is_empty() {
            return Err(ArtifactError::NoImage {
                digest: self.request.root.digest().clone(),
                attestations: self.attestations,
                unmarked: self.unmarked,
                unreadable: self.unreadable,
            });
        }
        if native {
            let available = listed(&images).join(", ");
            self.note(format!("{available}: none fits {}", self.request.host));
        }
        if let Some(first) = first_wasm {
            self.note(format!("{} taken as Wasm", name(&first)));
            return self.image(first, Reason::WasmPlatform).await;
        }
        if wasm {
            self.note("no entry is for wasi/wasm".to_owned());
        }
        self.choose_by_declaration(images).await
    }

    /// Reads the indexes of one level and returns their entries.
    async fn descend(
        &mut self,
        indexes: &[Descriptor],
        depth: u64,
    ) -> Result<Level, ArtifactError> {
        at_most(Limit::IndexDepth, self.request.limits.index_depth, depth)?;
        let mut level = Level::default();
        for descriptor in indexes {
            let Document::Index(index) = self.document(descriptor).await? else {
                return Err(wrong_form(descriptor));
            };
            let mut inner = self.sort(*index);
            level.images.append(&mut inner.images);
            level.indexes.append(&mut inner.indexes);
        }
        Ok(level)
    }

    /// Sorts the entries and drops those that are not images.
    fn sort(&mut self, index: manifest::Index) -> Level {
        let mut level = Level::default();
        let (mut attestations, mut others) = (0_usize, 0_usize);
        let unreadable = index.unreadable();
        self.unreadable = self.unreadable.saturating_add(unreadable);
        self.note_skipped(unreadable, "can't be read", "can't be read");
        for entry in index.into_manifests() {
            if is_attestation(&entry) {
                attestations += 1;
                self.unmarked += usize::from(!is_marked(&entry));
            } else if manifest::is_index(entry.media_type()) {
                level.indexes.push(entry);
            } else if manifest::is_manifest(entry.media_type()) || has_no_media_type(&entry) {
                level.images.push(entry);
            } else {
                others += 1;
            }
        }
        self.attestations = self.attestations.saturating_add(attestations);
        self.note_skipped(attestations, "is an attestation", "are attestations");
        self.note_skipped(others, "has another media type", "have other media types");
        level
    }

    /// Notes the number of entries that are not considered, unless it is zero.
    fn note_skipped(&mut self, count: usize, one: &str, many: &str) {
        match count {
            0 => {}
            1 => self.note(format!("1 entry {one}, skipped")),
            more => self.note(format!("{more} entries {many}, skipped")),
        }
    }

    fn best_native(&self, images: &[Descriptor]) -> Option<Descriptor> {
        let fits = images
            .iter()
            .rev()
            .filter_map(|image| Some((self.request.host.fit(image.platform()?)?, image)));
        // The last of equal maxima is returned, so in reverse the first of the index.
        fits.max_by_key(|(fit, image)| (*fit, image.artifact_type().is_none_or(is_image_type)))
            .map(|(_, image)| image.clone())
    }

    async fn image(
        &mut self,
        descriptor: Descriptor,
        reason: Reason,
    ) -> Result<Image, ArtifactError> {
        let Document::Manifest(manifest) = self.document(&descriptor).await? else {
            return Err(wrong_form(&descriptor));
        };
        Ok(Image {
            descriptor,
            manifest: *manifest,
            reason,
        })
    }

    /// Reads the entries that no platform decides about, for what they declare.
    async fn choose_by_declaration(
        &mut self,
        images: Vec<Descriptor>,
    ) -> Result<Image, ArtifactError> {
        let no_match = ArtifactError::NoMatch {
            host: self.request.host.to_string(),
            kind: self.request.kind,
            available: listed(&images),
            unreadable: self.unreadable,
        };
        let allowed = self.request.kind;
        let (mut last_resort, mut absent) = (None, None);
        let mut without_plugin = Vec::new();
        for descriptor in images {
            let foreign = descriptor.platform().is_some();
            let by_entry = annotated_kind(descriptor.digest(), descriptor.annotations())?;
            // An image for another platform can be Wasm, but never native.
            let can_be = |kind| {
                allowed.is_none_or(|allowed| allowed == kind)
                    && !(foreign && kind == PluginKind::Native)
            };
            if by_entry.is_some_and(|kind| !can_be(kind)) {
                continue; // The manifest cannot change that.
            }
            if self.requests >= self.request.limits.manifest_requests {
                break;
            }
            let image = match self.image(descriptor.clone(), Reason::Declared).await {
                // A cache that is used offline has only the platforms that were used.
                Err(error) if by_entry.is_none() && is_absent(&error) => {
                    self.note(format!("{} is absent, skipped", name(&descriptor)));
                    absent.get_or_insert(error);
                    continue;
                }
                image => image?,
            };
            let digest = image.descriptor.digest();
            let declared = match by_entry {
                Some(kind) => Some(kind),
                None => annotated_kind(digest, image.manifest.annotations())?,
            };
            let by_layer = || has_wasm_layer(&image.manifest).then_some(PluginKind::Wasm);
            match declared.or_else(by_layer) {
                Some(kind) if can_be(kind) => {
                    let name = name(&image.descriptor);
                    self.note(format!("{name} declares that it is {kind}, taken"));
                    return Ok(image);
                }
                None if can_be(PluginKind::Wasm) || can_be(PluginKind::Native) => {
                    let prospect = Prospect::of(&image);
                    if prospect.layers == Layers::Unfit {
                        without_plugin.push(other_content(&image));
                    }
                    let is_better = |(known, _): &(Prospect, Image)| *known < prospect;
                    if last_resort.as_ref().is_none_or(is_better) {
                        last_resort = Some((prospect, image));
                    }
                }
                Some(_) | None => {}
            }
        }
        let Some((prospect, mut image)) = last_resort else {
            return Err(absent.unwrap_or(no_match));
        };
        if prospect.layers == Layers::Unfit {
            // The plugin is most likely in what the cache lacks.
            if let Some(absent) = absent {
                return Err(absent);
            }
            if without_plugin.len() > 1 {
                return Err(ArtifactError::NoPlugin {
                    digest: self.request.root.digest().clone(),
                    entries: without_plugin.into_iter().take(LISTED).collect(),
                });
            }
        }
        image.reason = Reason::LastResort;
        let name = name(&image.descriptor);
        self.note(format!(
            "{name} taken as a last resort: it may hold plugin.wasm"
        ));
        Ok(image)
    }
}

/// How likely an image that declares nothing holds a plugin; greater is better. Among equals the first
/// entry of the index wins.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Prospect {
    layers: Layers,
    /// Whether it is an image, and not an artifact with a type, such as a bill of materials.
    is_image: bool,
    has_no_platform: bool,
}

impl Prospect {
    fn of(image: &Image) -> Self {
        let entry_type = image.descriptor.artifact_type();
        Self {
            layers: Layers::of(&image.manifest),
            is_image: is_image_type(entry_type.unwrap_or(image.manifest.artifact_type())),
            has_no_platform: image.descriptor.platform().is_none(),
        }
    }
}

/// Names an entry without a plugin by what it is instead.
fn other_content(image: &Image) -> String {
    let artifact_type = escaped(image.manifest.artifact_type().as_ref().as_bytes());
    format!("{} (`{artifact_type}`)", name(&image.descriptor))
}

/// Reports whether an entry names no media type. Then the content of the manifest decides.
pub(super) fn has_no_media_type(entry: &Descriptor) -> bool {
    entry.media_type().as_ref().is_empty()
}

/// Reports whether a manifest is absent because the network may not be used. `NotFound` does not
/// count: a registry could otherwise change the selection by withholding a manifest.
fn is_absent(error: &ArtifactError) -> bool {
    matches!(error, ArtifactError::Registry { source, .. }
        if source.kind() == RegistryErrorKind::Offline)
}

fn is_for_wasm(image: &Descriptor) -> bool {
    image.platform().is_some_and(is_wasm)
}

fn is_attestation(entry: &Descriptor) -> bool {
    entry.platform().is_some_and(is_unknown) || is_marked(entry)
}

fn is_marked(entry: &Descriptor) -> bool {
    entry.annotation(REFERENCE_TYPE) == Some(ATTESTATION)
}

/// Names an entry by its platform, or by its digest where it has none.
fn name(entry: &Descriptor) -> String {
    let platform = entry.platform().map(text::platform);
    platform.unwrap_or_else(|| entry.digest().to_string())
}

fn listed(images: &[Descriptor]) -> Vec<String> {
    images.iter().take(LISTED).map(name).collect()
}

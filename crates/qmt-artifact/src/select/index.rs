//! Which entry of an index is taken.

use qmt_oci_ref::{Annotations, Descriptor};

use super::image::{Reason, says_wasm};
use super::{Reader, annotated_kind};
use crate::error::{ArtifactError, Limit};
use crate::kind::PluginKind;
use crate::manifest::{Index, Manifest};
use crate::platform::{is_unknown, is_wasm};

/// By this annotation `BuildKit` marks attestations: <https://docs.docker.com/build/metadata/attestations/attestation-storage/>
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const ATTESTATION: &str = "attestation-manifest";
/// How many platforms an error lists.
const LISTED: usize = 32;

/// The entry that was taken.
pub(super) struct Chosen {
    pub(super) descriptor: Descriptor,
    pub(super) manifest: Manifest,
    pub(super) reason: Reason,
    /// What the entry's descriptor says; the manifest may say more.
    pub(super) annotations: Annotations,
}

/// The entries of an index, sorted into what they point to.
#[derive(Default)]
struct Level {
    images: Vec<Descriptor>,
    indexes: Vec<Descriptor>,
}

impl Reader<'_> {
    /// Takes one entry by the rules of the module above.
    pub(super) async fn choose(&mut self, index: Index) -> Result<Chosen, ArtifactError> {
        let wants = |kind| self.kind.is_none_or(|wanted| wanted == kind);
        let (native, wasm) = (wants(PluginKind::Native), wants(PluginKind::Wasm));
        let mut level = self.sort(index);
        let mut images = Vec::new();
        let mut first_wasm = None;
        let mut depth = 1_u64;
        loop {
            // Wasm is remembered rather than taken: an index within may hold native.
            if native && let Some(chosen) = self.best_native(&level.images) {
                return self.take(chosen, Reason::Platform).await;
            }
            if wasm && first_wasm.is_none() {
                first_wasm = level.images.iter().find(|image| for_wasm(image)).cloned();
            }
            let done = !native && first_wasm.is_some();
            images.append(&mut level.images);
            if done || level.indexes.is_empty() {
                break;
            }
            depth = depth.saturating_add(1);
            level = self.descend(&level.indexes, depth).await?;
        }
        if native {
            let available = listed(&images).join(", ");
            self.note(format!("{available}: none fits {}", self.host));
        }
        if let Some(chosen) = first_wasm {
            return self.take(chosen, Reason::WasmPlatform).await;
        }
        if wasm {
            self.note("no entry is for wasi/wasm".to_owned());
        }
        self.by_itself(images).await
    }

    /// Reads the indexes of one level and returns what they hold.
    async fn descend(
        &mut self,
        indexes: &[Descriptor],
        depth: u64,
    ) -> Result<Level, ArtifactError> {
        let limit = self.limits.index_depth;
        if depth > limit {
            return Err(ArtifactError::TooMuch {
                what: Limit::IndexDepth,
                limit,
                found: depth,
            });
        }
        let mut level = Level::default();
        for descriptor in indexes {
            let index = self.index(descriptor).await?;
            let mut inner = self.sort(index);
            level.images.append(&mut inner.images);
            level.indexes.append(&mut inner.indexes);
        }
        Ok(level)
    }

    /// Sorts the entries and drops those that are no images.
    fn sort(&mut self, index: Index) -> Level {
        let mut level = Level::default();
        let (mut attestations, mut others) = (0_usize, 0_usize);
        for entry in index.manifests {
            if is_attestation(&entry) {
                attestations = attestations.saturating_add(1);
            } else if entry.media_type().is_index() {
                level.indexes.push(entry);
            } else if entry.media_type().is_manifest() {
                level.images.push(entry);
            } else {
                others = others.saturating_add(1);
            }
        }
        for (count, what) in [(attestations, "attestation"), (others, "other media type")] {
            if count > 0 {
                self.note(format!(
                    "skipped for being an {what}: {count} of the entries"
                ));
            }
        }
        level
    }

    fn best_native(&self, images: &[Descriptor]) -> Option<Descriptor> {
        let fits = images
            .iter()
            .rev()
            .filter_map(|image| Some((self.host.fit(image.platform()?)?, image)));
        // The last of equal maxima is returned, so in reverse the first of the index.
        fits.max_by_key(|(fit, _)| *fit)
            .map(|(_, image)| image.clone())
    }

    async fn take(
        &mut self,
        descriptor: Descriptor,
        reason: Reason,
    ) -> Result<Chosen, ArtifactError> {
        let named = platform_of(&descriptor);
        self.note(match reason {
            Reason::Platform => format!("{named} fits {}, taken as native", self.host),
            _ => format!("{named} taken as Wasm"),
        });
        let manifest = self.manifest(&descriptor).await?;
        let annotations = descriptor.annotations().clone();
        Ok(Chosen {
            descriptor,
            manifest,
            reason,
            annotations,
        })
    }

    /// Asks entries whose platform says nothing what they are.
    async fn by_itself(&mut self, images: Vec<Descriptor>) -> Result<Chosen, ArtifactError> {
        let available = listed(&images);
        let mut last_resort = None;
        for descriptor in images {
            let no_match = || ArtifactError::NoMatch {
                host: self.host.to_string(),
                wanted: self.kind,
                available: available.clone(),
            };
            let foreign = descriptor.platform().is_some();
            let digest = descriptor.digest().clone();
            let on_entry = annotated_kind(&digest, descriptor.annotations())?;
            if on_entry == Some(PluginKind::Native) && foreign {
                continue; // Native for another platform: nothing to ask.
            }
            if self.requests >= self.limits.manifest_requests {
                if last_resort.is_some() {
                    break;
                }
                return Err(no_match());
            }
            let named = platform_of(&descriptor);
            let manifest = self.manifest(&descriptor).await?;
            let said = match on_entry {
                Some(kind) => Some(kind),
                None => annotated_kind(&digest, &manifest.annotations)?,
            };
            let said = said.or_else(|| says_wasm(&manifest).then_some(PluginKind::Wasm));
            let allowed = said.is_none_or(|said| self.kind.is_none_or(|kind| kind == said));
            let annotations = descriptor.annotations().clone();
            match said {
                _ if !allowed => {}
                Some(PluginKind::Native) if foreign => {}
                Some(kind) => {
                    self.note(format!("{named} says that it is {kind}, taken"));
                    let reason = Reason::Said { foreign };
                    return Ok(Chosen {
                        descriptor,
                        manifest,
                        reason,
                        annotations,
                    });
                }
                // A foreign image can be Wasm, but never native.
                None if foreign && self.kind == Some(PluginKind::Native) => {}
                None if last_resort.is_none() => {
                    let reason = Reason::LastResort { foreign };
                    last_resort = Some(Chosen {
                        descriptor,
                        manifest,
                        reason,
                        annotations,
                    });
                }
                None => {}
            }
        }
        let chosen = last_resort.ok_or_else(|| ArtifactError::NoMatch {
            host: self.host.to_string(),
            wanted: self.kind,
            available,
        })?;
        let named = platform_of(&chosen.descriptor);
        self.note(format!(
            "{named} taken as a last resort: it may hold plugin.wasm"
        ));
        Ok(chosen)
    }
}

fn for_wasm(image: &Descriptor) -> bool {
    image.platform().is_some_and(is_wasm)
}

fn is_attestation(entry: &Descriptor) -> bool {
    entry.platform().is_some_and(is_unknown)
        || entry
            .annotations()
            .get(REFERENCE_TYPE)
            .is_some_and(|kind| kind == ATTESTATION)
}

fn platform_of(entry: &Descriptor) -> String {
    entry
        .platform()
        .map_or_else(|| entry.digest().to_string(), ToString::to_string)
}

fn listed(images: &[Descriptor]) -> Vec<String> {
    images.iter().take(LISTED).map(platform_of).collect()
}

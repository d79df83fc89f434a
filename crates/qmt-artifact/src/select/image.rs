//! What one manifest holds, and which of its layers are read.

use qmt_oci_ref::manifest::{self, Manifest};
use qmt_oci_ref::{Descriptor, Platform, PluginKind, text};

use super::config::{ImageConfig, is_image_config};
use super::layers::{is_wasm_layer, readable, wasm_names};
use super::{Selection, Selector, check_content, unreadable};
use crate::error::{ArtifactError, at_most};
use crate::extract::candidate::Matcher;
use crate::file_rule::{FileRule, annotated_kind};
use crate::platform::is_wasm;
use crate::problem::Limit;

/// Why a manifest was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is the only one.
    Single,
    /// Its platform fits the host.
    Platform,
    /// Its platform is Wasm.
    WasmPlatform,
    /// It declares its kind.
    Declared,
    /// There is no other.
    LastResort,
}

/// A manifest that was selected.
pub(super) struct Image {
    /// Its entry in the index, or the root itself.
    pub(super) descriptor: Descriptor,
    pub(super) manifest: Manifest,
    pub(super) reason: Reason,
}

/// The kind of an image.
struct Class {
    required: Option<PluginKind>,
    hint: Option<PluginKind>,
    because: &'static str,
    /// Whether the image is for another platform than the host's.
    foreign: bool,
    /// Whether the image requires the same on any host.
    is_by_image: bool,
}

impl Selector<'_> {
    /// Decides the kind of an image, the layers to read and the file to look for.
    pub(super) async fn classify(mut self, image: Image) -> Result<Selection, ArtifactError> {
        let chosen = self.layer_by_digest(&image.manifest)?;
        let is_raw = match &chosen {
            Some(layer) => is_wasm_layer(layer),
            None => self.is_raw(&image.manifest),
        };
        let declared = declared_kind(&image, is_raw)?;
        let Image {
            descriptor,
            manifest,
            reason,
        } = image;
        let has_config = !is_raw && is_image_config(manifest.config());
        let config = if has_config {
            self.config(manifest.config()).await?
        } else {
            ImageConfig::default()
        };
        let has_platform = descriptor.platform().is_some();
        let platform = descriptor.platform().cloned().or(config.platform());
        let class = self.class(declared, is_raw, reason, &descriptor, platform.as_ref())?;
        self.note(match class.required {
            Some(kind) => format!("{}: {kind}", class.because),
            None => class.because.to_owned(),
        });
        let required = class.required.or(self.request.kind);
        let narrowed_by = self.narrowed_by(required, class.is_by_image, platform.as_ref());
        let named = match &chosen {
            Some(_) => None,
            None => self.request.file.clone().map(FileRule::Named),
        };
        let packed_file = named.clone().unwrap_or(FileRule::Wasm);
        let (layers, diff_ids, file) = if is_raw {
            let layer = match chosen {
                Some(layer) => layer,
                None => self.wasm_layer(&descriptor, &manifest)?,
            };
            (vec![layer], Vec::new(), FileRule::Layer)
        } else {
            let file = named.unwrap_or(match required {
                _ if chosen.is_some() => FileRule::Layer,
                Some(PluginKind::Wasm) => FileRule::Wasm,
                Some(PluginKind::Native) => FileRule::Native,
                None => FileRule::Either,
            });
            let matcher = Matcher {
                file: file.clone(),
                required,
                host: self.request.host.clone(),
            };
            let diff_ids = config.into_diff_ids();
            let image = descriptor.digest();
            let (layers, diff_ids) =
                readable(image, &manifest, diff_ids, &matcher, chosen.as_ref())?;
            (layers, diff_ids, file)
        };
        let left_out = if is_raw {
            Vec::new()
        } else {
            wasm_names(&manifest)
        };
        let (count, all) = (layers.len(), manifest.layers().len());
        self.note(match &file {
            FileRule::Layer => "the plugin is a layer of its own".to_owned(),
            file => format!(
                "{file} is looked for in {count} of {}",
                text::counted(all, "layer")
            ),
        });
        let note = if reason == Reason::LastResort && has_platform {
            Some(self.last_resort_note(platform.as_ref()))
        } else {
            let foreign = platform
                .as_ref()
                .filter(|platform| class.foreign && declared.is_none() && !is_wasm(platform));
            let foreign = foreign.map(|platform| {
                let (platform, host) = (text::platform(platform), &self.request.host);
                format!("the image is for {platform}, and this host is {host}")
            });
            let other_use = || other_use(&manifest).map(str::to_owned);
            foreign.or_else(other_use).or_else(|| {
                let is_native = required == Some(PluginKind::Native) && !left_out.is_empty();
                is_native.then(|| format!("Wasm layers are not read: {}", left_out.join(", ")))
            })
        };
        Ok(Selection {
            manifest: descriptor,
            hint: required.or(class.hint),
            required,
            narrowed_by,
            layers,
            diff_ids,
            left_out,
            file,
            packed_file,
            platform,
            host: self.request.host,
            annotations: manifest.annotations().clone(),
            note,
            trace: self.trace,
        })
    }

    /// Decides what the image must be, what it may be, and by which rule. Refuses a kind that
    /// cannot run here or that the config does not allow.
    fn class(
        &self,
        declared: Option<PluginKind>,
        is_raw: bool,
        reason: Reason,
        descriptor: &Descriptor,
        platform: Option<&Platform>,
    ) -> Result<Class, ArtifactError> {
        let has_platform = descriptor.platform().is_some();
        let foreign = match reason {
            Reason::Platform => false,
            Reason::Declared | Reason::LastResort if has_platform => true,
            // The entry names no platform, but the config may.
            Reason::Single | Reason::WasmPlatform | Reason::Declared | Reason::LastResort => {
                platform.is_some_and(|platform| self.request.host.fit(platform).is_none())
            }
        };
        let wasm = Some(PluginKind::Wasm);
        let (required, hint, because) = match (declared, reason) {
            (Some(kind), _) => (Some(kind), None, "an annotation names its kind"),
            _ if is_raw => (wasm, None, "its layer is Wasm"),
            (None, Reason::WasmPlatform) => (wasm, None, "its platform is Wasm"),
            _ if platform.is_some_and(is_wasm) => (wasm, None, "its config's platform is Wasm"),
            // Nothing native of it could run here, but it may be built from a Dockerfile.
            _ if foreign => {
                let because = "its platform is not the host's, so it can only be Wasm";
                (wasm, None, because)
            }
            (None, Reason::Platform) => {
                let because = "its platform is the host's; its content decides";
                (None, Some(PluginKind::Native), because)
            }
            _ => (None, None, "its content decides"),
        };
        let is_certain = declared.is_some() || is_raw;
        let is_by_image =
            is_certain || reason == Reason::WasmPlatform || platform.is_some_and(is_wasm);
        let is_impossible = match required {
            Some(PluginKind::Native) => foreign,
            Some(PluginKind::Wasm) | None => {
                foreign && !is_certain && self.request.kind == Some(PluginKind::Native)
            }
        };
        if is_impossible {
            return Err(ArtifactError::NoMatch {
                host: self.request.host.to_string(),
                kind: self.request.kind,
                available: platform.map(text::platform).into_iter().collect(),
                unreadable: self.unreadable,
            });
        }
        match (required, self.request.kind) {
            (Some(found), Some(allowed)) if found != allowed => {
                Err(ArtifactError::KindNotAllowed {
                    digest: descriptor.digest().clone(),
                    allowed,
                    found,
                    because,
                })
            }
            _ => Ok(Class {
                required,
                hint,
                because,
                foreign,
                is_by_image,
            }),
        }
    }

    /// Returns what [`Selection::narrowed_by`] says. Native code of an image that names a platform is for
    /// that platform; of any other, the host decides which library is taken.
    fn narrowed_by(
        &self,
        required: Option<PluginKind>,
        is_by_image: bool,
        platform: Option<&Platform>,
    ) -> Option<String> {
        let kind = required
            .filter(|_| !is_by_image)
            .map(|kind| kind.to_string());
        let host = match required {
            Some(PluginKind::Wasm) => None,
            Some(PluginKind::Native) | None => platform.is_none().then(|| {
                // Variants have no part in this, and may differ between machines that share a cache.
                let host = self.request.host.platform();
                let host =
                    manifest::platform(&host.os().to_string(), &host.architecture().to_string());
                text::platform(&host)
            }),
        };
        let parts: Vec<_> = kind.into_iter().chain(host).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    async fn config(&self, config: &Descriptor) -> Result<ImageConfig, ArtifactError> {
        let limit = self.request.limits.config_bytes;
        at_most(Limit::ConfigBytes, limit, config.size())?;
        let bytes = self.registry.pull_blob(self.repository, config).await;
        let bytes = bytes.map_err(|source| unreadable("image config", config, source))?;
        check_content(config, &bytes)?;
        ImageConfig::read(config.digest(), &bytes)
    }

    fn last_resort_note(&self, platform: Option<&Platform>) -> String {
        let platform = platform.map(text::platform).unwrap_or_default();
        match self.request.kind {
            Some(PluginKind::Wasm) => format!("nothing is for wasi/wasm, so {platform} was tried"),
            Some(PluginKind::Native) | None => {
                let host = &self.request.host;
                format!("nothing is for {host} or wasi/wasm, so {platform} was tried")
            }
        }
    }
}

/// Says what a manifest is that other programs made for themselves.
fn other_use(manifest: &Manifest) -> Option<&'static str> {
    let mut layers = manifest.layers().iter();
    match manifest.config().media_type().as_ref() {
        "application/vnd.cncf.helm.config.v1+json" => Some("it is a Helm chart"),
        "application/vnd.docker.plugin.v1+json" => Some("it is a plugin of Docker"),
        _ if layers.any(|layer| layer.media_type().as_ref().contains(".nydus.")) => {
            Some("it is an image for Nydus; publish it as an OCI image")
        }
        _ => None,
    }
}

/// Reads the annotations of manifest and entry, which must not contradict each other or the rest.
fn declared_kind(image: &Image, is_raw: bool) -> Result<Option<PluginKind>, ArtifactError> {
    let digest = image.descriptor.digest();
    let by_manifest = annotated_kind(digest, image.manifest.annotations())?;
    let by_entry = annotated_kind(digest, image.descriptor.annotations())?;
    let declared = by_manifest.or(by_entry);
    let contradiction = match declared {
        Some(kind) if by_entry.is_some_and(|by_entry| by_entry != kind) => {
            Some("the index says otherwise")
        }
        Some(PluginKind::Native) if is_raw => Some("its layer is Wasm"),
        Some(PluginKind::Native) if image.reason == Reason::WasmPlatform => {
            Some("its platform is Wasm")
        }
        Some(PluginKind::Native | PluginKind::Wasm) | None => None,
    };
    match (declared, contradiction) {
        (Some(annotation), Some(because)) => Err(ArtifactError::Contradiction {
            digest: digest.clone(),
            annotation,
            because,
        }),
        _ => Ok(declared),
    }
}

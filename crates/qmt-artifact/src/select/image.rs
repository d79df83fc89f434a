//! What one manifest holds, and which of its layers are read.

use qmt_oci_ref::{Annotations, Descriptor, MediaType, Platform};

use super::{Reader, Selection, annotated_kind};
use crate::error::{ArtifactError, Limit, shown};
use crate::extract::encoding::Encoding;
use crate::extract::path::is_plain;
use crate::kind::{FileRule, PluginKind};
use crate::manifest::{ImageConfig, Manifest};
use crate::platform::is_wasm;

/// Layers that are the Wasm file itself.
const WASM_LAYERS: [&str; 4] = [
    "application/vnd.wasm.v1.layer+wasm",
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];
/// Configs that name platform and unpacked layers.
const IMAGE_CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];
/// Artifact clients put the name of a file here.
const TITLE: &str = "org.opencontainers.image.title";

/// Why a manifest was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There was no choice.
    Single,
    /// Its platform fits the host.
    Platform,
    /// Its platform is Wasm.
    WasmPlatform,
    /// It says itself what it is.
    Said { foreign: bool },
    /// Nothing speaks for it, but there is nothing else.
    LastResort { foreign: bool },
}

impl Reader<'_> {
    /// Judges one manifest: its kind, its layers, the file to look for.
    pub(super) async fn image(
        mut self,
        descriptor: Descriptor,
        manifest: Manifest,
        reason: Reason,
        on_entry: &Annotations,
    ) -> Result<Selection, ArtifactError> {
        let digest = descriptor.digest().clone();
        let said = annotated_kind(&digest, &manifest.annotations)?;
        let said_by_entry = annotated_kind(&digest, on_entry)?;
        if let (Some(annotation), Some(other)) = (said, said_by_entry)
            && annotation != other
        {
            let because = "the index says otherwise";
            return Err(ArtifactError::Contradiction {
                digest,
                annotation,
                because,
            });
        }
        let said = said.or(said_by_entry);
        let raw = says_wasm(&manifest);
        if let Some(PluginKind::Native) = said {
            let because = match reason {
                _ if raw => Some("its layer is Wasm"),
                Reason::WasmPlatform => Some("its platform is Wasm"),
                _ => None,
            };
            if let Some(because) = because {
                let annotation = PluginKind::Native;
                return Err(ArtifactError::Contradiction {
                    digest,
                    annotation,
                    because,
                });
            }
        }
        let config = if raw {
            ImageConfig::default()
        } else {
            self.config(&manifest.config).await?
        };
        let has_config = !raw && is_image_config(&manifest.config);
        let platform = descriptor
            .platform()
            .cloned()
            .or_else(|| config.platform.clone());
        let judged = self.judge(said, raw, reason, platform.as_ref());
        let (kind, because) = (judged.required, judged.because);
        if judged.impossible || (kind == Some(PluginKind::Native) && judged.foreign) {
            return Err(ArtifactError::NoMatch {
                host: self.host.to_string(),
                wanted: self.kind,
                available: platform.iter().map(ToString::to_string).collect(),
            });
        }
        if let (Some(found), Some(wanted)) = (kind, self.kind)
            && found != wanted
        {
            return Err(ArtifactError::KindNotAllowed {
                digest,
                wanted,
                found,
                because,
            });
        }
        self.note(format!(
            "{because}{}",
            kind.map_or_else(String::new, |kind| format!(": {kind}"))
        ));
        let required = kind.or(self.kind);
        let (layers, diff_ids, file) = if raw {
            (
                vec![self.wasm_layer(&digest, &manifest)?],
                Vec::new(),
                FileRule::Layer,
            )
        } else {
            let (layers, diff_ids) = archives(&digest, &manifest, config.diff_ids)?;
            let rule = match (self.file.clone(), required) {
                (Some(file), _) => FileRule::Named(file),
                (None, Some(PluginKind::Wasm)) => FileRule::Wasm,
                (None, Some(PluginKind::Native)) => FileRule::Native,
                (None, None) => FileRule::Either,
            };
            (layers, diff_ids, rule)
        };
        self.note(format!(
            "{} of {} layers to read for {file}",
            layers.len(),
            manifest.layers.len()
        ));
        let note = matches!(reason, Reason::LastResort { foreign: true }).then(|| {
            let named = platform
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let wanted = match self.kind {
                Some(PluginKind::Wasm) => "wasi/wasm".to_owned(),
                _ => format!("{} or wasi/wasm", self.host),
            };
            format!("nothing is for {wanted}, so {named} was tried")
        });
        Ok(Selection {
            manifest: descriptor,
            hint: required.or(judged.hint),
            required,
            layers,
            diff_ids,
            config: has_config.then_some(manifest.config),
            file,
            platform,
            host: self.host.clone(),
            annotations: manifest.annotations,
            note,
            trace: self.trace,
        })
    }

    /// Decides what the image must be, what it may be, and by which rule.
    fn judge(
        &self,
        said: Option<PluginKind>,
        raw: bool,
        reason: Reason,
        platform: Option<&Platform>,
    ) -> Judged {
        let foreign = match reason {
            Reason::Platform => false,
            Reason::Said { foreign: true } | Reason::LastResort { foreign: true } => true,
            // The entry names no platform, but the config may.
            _ => platform.is_some_and(|platform| self.host.fit(platform).is_none()),
        };
        let wasm = Some(PluginKind::Wasm);
        let (required, hint, because) = match (said, reason) {
            (Some(kind), _) => (Some(kind), None, "its annotation says so"),
            _ if raw => (wasm, None, "its layer is Wasm"),
            (None, Reason::WasmPlatform) => (wasm, None, "its platform is Wasm"),
            _ if platform.is_some_and(is_wasm) => (wasm, None, "its config's platform is Wasm"),
            // Nothing native of it could run here, but it may be built from a Dockerfile.
            _ if foreign => (
                wasm,
                None,
                "its platform is not the host's, so it can only be Wasm",
            ),
            (None, Reason::Platform) => (
                None,
                Some(PluginKind::Native),
                "its platform is the host's; its content decides",
            ),
            _ => (None, None, "its content decides"),
        };
        let only_native = self.kind == Some(PluginKind::Native);
        let impossible = foreign && said.is_none() && !raw && only_native;
        Judged {
            required,
            hint,
            because,
            foreign,
            impossible,
        }
    }

    /// Reads the config where it is an image config that can say something.
    async fn config(&mut self, config: &Descriptor) -> Result<ImageConfig, ArtifactError> {
        let limit = self.limits.config_bytes;
        if !is_image_config(config) {
            return Ok(ImageConfig::default());
        }
        if config.size() > limit {
            return Err(ArtifactError::TooMuch {
                what: Limit::ConfigBytes,
                limit,
                found: config.size(),
            });
        }
        let read = self.source.config(config, limit).await;
        let bytes = read.map_err(|source| ArtifactError::Source {
            what: "image config",
            digest: config.digest().clone(),
            source,
        })?;
        ImageConfig::parse(config, &bytes, self.limits)
    }

    /// Returns the one Wasm layer: the only one, or the one whose title is the file looked for.
    fn wasm_layer(
        &self,
        digest: &qmt_oci_ref::Digest,
        manifest: &Manifest,
    ) -> Result<Descriptor, ArtifactError> {
        let wasm: Vec<_> = manifest
            .layers
            .iter()
            .filter(|layer| is_wasm_layer(layer))
            .collect();
        if let [only] = wasm.as_slice() {
            return Ok((*only).clone());
        }
        let file = self.file.as_deref().unwrap_or("plugin.wasm");
        let titled = |layer: &&&Descriptor| {
            layer
                .annotations()
                .get(TITLE)
                .is_some_and(|title| title == file)
        };
        let mut named = wasm.iter().filter(titled);
        match (named.next(), named.next()) {
            (Some(one), None) => Ok((*one).clone()),
            _ => Err(ArtifactError::SeveralLayers {
                digest: digest.clone(),
                titles: wasm.iter().map(|layer| title(layer)).collect(),
            }),
        }
    }
}

struct Judged {
    required: Option<PluginKind>,
    hint: Option<PluginKind>,
    because: &'static str,
    foreign: bool,
    impossible: bool,
}

/// Takes over the operator's `file`, if it is a plain relative path.
pub(super) fn checked_file(file: &str) -> Result<String, ArtifactError> {
    if is_plain(file.as_bytes()) {
        return Ok(file.to_owned());
    }
    Err(ArtifactError::FileName {
        file: shown(file.as_bytes()),
    })
}

/// Reports whether a layer of the manifest is Wasm by its media type.
pub(super) fn says_wasm(manifest: &Manifest) -> bool {
    manifest.layers.iter().any(is_wasm_layer)
}

fn is_wasm_layer(layer: &Descriptor) -> bool {
    WASM_LAYERS.contains(&layer.media_type().as_str())
}

/// Returns the archives among the layers, lowest first, and what each unpacks to if the config
/// says so.
fn archives(
    digest: &qmt_oci_ref::Digest,
    manifest: &Manifest,
    diff_ids: Vec<qmt_oci_ref::Digest>,
) -> Result<(Vec<Descriptor>, Vec<qmt_oci_ref::Digest>), ArtifactError> {
    let is_archive = |layer: &Descriptor| Encoding::of_media_type(layer.media_type()).is_some();
    let layers: Vec<_> = manifest
        .layers
        .iter()
        .filter(|layer| is_archive(layer))
        .cloned()
        .collect();
    if layers.is_empty() {
        let media_types = manifest.layers.iter().take(16).map(Descriptor::media_type);
        return Err(ArtifactError::NoLayer {
            digest: digest.clone(),
            media_types: media_types.map(MediaType::to_string).collect(),
        });
    }
    if diff_ids.is_empty() {
        return Ok((layers, diff_ids));
    }
    if diff_ids.len() != manifest.layers.len() {
        return Err(ArtifactError::DiffIdCount {
            digest: digest.clone(),
            diff_ids: diff_ids.len(),
            layers: manifest.layers.len(),
        });
    }
    let of_archives = manifest
        .layers
        .iter()
        .zip(diff_ids)
        .filter(|(layer, _)| is_archive(layer));
    let diff_ids = of_archives.map(|(_, diff_id)| diff_id).collect();
    Ok((layers, diff_ids))
}

fn is_image_config(config: &Descriptor) -> bool {
    // `{}` is what artifact clients send where there is nothing to say.
    IMAGE_CONFIGS.contains(&config.media_type().as_str()) && config.size() > 2
}

fn title(layer: &Descriptor) -> String {
    let title = layer
        .annotations()
        .get(TITLE)
        .map(|title| shown(title.as_bytes()));
    title.unwrap_or_else(|| layer.digest().to_string())
}

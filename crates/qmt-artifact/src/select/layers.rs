//! Which layers of a manifest are read: one that is Wasm by its media type, or those that can hold
//! the plugin.

use std::collections::BTreeSet;

use qmt_oci_ref::manifest::Manifest;
use qmt_oci_ref::{Descriptor, Digest, MediaType, PluginKind};

use super::Selector;
use crate::error::{ArtifactError, escaped};
use crate::extract::candidate::{Matcher, looks_like_plugin};
use crate::extract::encoding::{Encoding, is_encrypted, is_untyped};
use crate::extract::file::path_of_title;
use crate::extract::{LISTED, TITLE};
use crate::file_rule::FileRule;

/// Layers that are the Wasm file itself.
const WASM_LAYERS: [&str; 4] = [
    "application/vnd.wasm.v1.layer+wasm",
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];

impl Selector<'_> {
    /// Reports whether the plugin is a Wasm layer. It is, if the manifest has one, unless the
    /// config names another layer by its title, or a file or kind that only other layers can hold.
    pub(super) fn is_raw(&self, manifest: &Manifest) -> bool {
        if !has_wasm_layer(manifest) {
            return false;
        }
        let mut others = manifest
            .layers()
            .iter()
            .filter(|layer| !is_wasm_layer(layer));
        let Some(file) = &self.request.file else {
            let is_native = self.request.kind == Some(PluginKind::Native);
            return !(is_native && others.any(|layer| can_hold(layer, false)));
        };
        match titled(manifest, file).as_slice() {
            // A layer with another title is another file, unless it is an archive.
            [] => !others.any(|layer| {
                let is_archive = Encoding::of_media_type(layer.media_type()).is_some();
                is_archive || (layer.annotation(TITLE).is_none() && can_hold(layer, false))
            }),
            named => named.iter().any(|layer| is_wasm_layer(layer)),
        }
    }

    /// Returns the layer that the `file` of the config names by its digest; `None` if it is a path.
    pub(super) fn layer_by_digest(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<Descriptor>, ArtifactError> {
        let file = self.request.file.as_deref();
        let Some(digest) = file.and_then(|file| file.parse::<Digest>().ok()) else {
            return Ok(None);
        };
        let mut layers = manifest.layers().iter();
        match layers.find(|layer| *layer.digest() == digest) {
            Some(layer) => Ok(Some(layer.clone())),
            None => Err(no_file(&digest.to_string(), wasm_names(manifest))),
        }
    }

    /// Returns the one Wasm layer: the one whose title is the file looked for, or the only one. If
    /// the config names the file, the only one must not have another title.
    pub(super) fn wasm_layer(
        &self,
        image: &Descriptor,
        manifest: &Manifest,
    ) -> Result<Descriptor, ArtifactError> {
        let layers = manifest.layers().iter();
        let wasm = distinct(layers.filter(|layer| is_wasm_layer(layer)).collect());
        let file = self.request.file.as_deref();
        let named = match file {
            Some(file) => titled(manifest, file),
            None if wasm.len() == 1 => wasm.clone(),
            None => {
                let mut named = titled(manifest, "plugin.wasm");
                named.retain(|layer| is_wasm_layer(layer));
                named
            }
        };
        let is_titled = |layer: &&Descriptor| layer.annotation(TITLE).is_some();
        match (named.as_slice(), wasm.as_slice(), file) {
            ([one], _, _) => Ok((*one).clone()),
            ([first, ..], _, Some(_)) => Err(ArtifactError::SameTitle {
                digest: image.digest().clone(),
                title: name(first),
            }),
            ([], all, Some(file)) if all.iter().all(is_titled) => {
                let titles = manifest.layers().iter().take(LISTED).map(name);
                Err(no_file(file, titles.collect()))
            }
            ([], [only], _) => Ok((*only).clone()),
            _ => Err(ArtifactError::SeveralFiles {
                names: wasm_names(manifest),
            }),
        }
    }
}

/// Reports whether a layer of the manifest is Wasm by its media type.
pub(super) fn has_wasm_layer(manifest: &Manifest) -> bool {
    manifest.layers().iter().any(is_wasm_layer)
}

/// Returns the titles of the Wasm layers, or the digests of those without one, for messages.
pub(super) fn wasm_names(manifest: &Manifest) -> Vec<String> {
    let layers = manifest.layers().iter();
    let wasm = distinct(layers.filter(|layer| is_wasm_layer(layer)).collect());
    wasm.into_iter().take(LISTED).map(name).collect()
}

/// Removes layers of the same content as an earlier one: a manifest may list a blob twice.
fn distinct(mut layers: Vec<&Descriptor>) -> Vec<&Descriptor> {
    let mut digests = BTreeSet::new();
    layers.retain(|layer| digests.insert(layer.digest()));
    layers
}

fn no_file(file: &str, titles: Vec<String>) -> ArtifactError {
    ArtifactError::NoFile {
        looked_for: FileRule::Named(file.to_owned()).to_string(),
        similar: Vec::new(),
        others: Vec::new(),
        titles,
        note: None,
    }
}

pub(super) fn is_wasm_layer(layer: &Descriptor) -> bool {
    let media_type = layer.media_type().as_ref();
    WASM_LAYERS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(media_type))
}

/// Returns the layers whose title is `file`.
fn titled<'a>(manifest: &'a Manifest, file: &str) -> Vec<&'a Descriptor> {
    let is_named = |layer: &&Descriptor| {
        let title = layer.annotation(TITLE).and_then(path_of_title);
        title.as_deref() == Some(file.as_bytes())
    };
    distinct(manifest.layers().iter().filter(is_named).collect())
}

/// Returns the layers that can hold a plugin by their media type or title, lowest first, and what
/// each unpacks to if the config says so. Wasm layers are not among them. `chosen` is the only one, if the
/// config names a layer by its digest.
pub(super) fn readable(
    digest: &Digest,
    manifest: &Manifest,
    diff_ids: Vec<Digest>,
    matcher: &Matcher,
    chosen: Option<&Descriptor>,
) -> Result<(Vec<Descriptor>, Vec<Digest>), ArtifactError> {
    let all = manifest.layers();
    let is_named = |title: &str| matcher.rank_of_title(title).is_some();
    let is_readable = |layer: &&Descriptor| {
        if let Some(chosen) = chosen {
            return layer.digest() == chosen.digest();
        }
        let is_named = layer.annotation(TITLE).is_some_and(is_named);
        !is_wasm_layer(layer) && (is_named || can_hold(layer, all.len() == 1))
    };
    // An encrypted layer can hide what the layers below it hold.
    if all.iter().any(|layer| is_encrypted(layer.media_type())) {
        let digest = digest.clone();
        return Err(ArtifactError::Encrypted { digest });
    }
    let layers: Vec<_> = all.iter().filter(is_readable).cloned().collect();
    if layers.is_empty() {
        let media_types = all.iter().map(|layer| shown(layer.media_type()));
        return Err(ArtifactError::NoLayer {
            digest: digest.clone(),
            media_types: media_types.take(LISTED).collect(),
        });
    }
    if !diff_ids.is_empty() && diff_ids.len() != all.len() {
        return Err(ArtifactError::DiffIdCount {
            digest: digest.clone(),
            diff_ids: diff_ids.len(),
            layers: all.len(),
        });
    }
    let of_all = all.iter().zip(diff_ids);
    let of_readable = of_all.filter(|(layer, _)| is_readable(layer));
    let diff_ids = of_readable.map(|(_, diff_id)| diff_id).collect();
    Ok((layers, diff_ids))
}

/// Reports whether a layer can hold a plugin by its media type or title. The content decides about
/// a layer that says it is Wasm, and about the only one.
fn can_hold(layer: &Descriptor, is_only: bool) -> bool {
    let media_type = layer.media_type();
    let name = media_type.as_ref().to_ascii_lowercase();
    let title = layer.annotation(TITLE);
    (is_only && name.starts_with("application/") && !name.ends_with("json"))
        || name.ends_with("+wasm")
        || Encoding::of_media_type(media_type).is_some()
        || is_untyped(media_type)
        || title.is_some_and(|title| looks_like_plugin(title.as_bytes()))
}

/// What the media types and titles of an image's layers say about a plugin in them; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layers {
    /// None can hold one.
    Unfit,
    /// One can, but its media type or its title is that of something else.
    Doubtful,
    /// One is an archive, or has the name of a plugin.
    Fit,
}

impl Layers {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let layers = manifest.layers();
        let of = layers.iter().map(|layer| {
            let title = layer.annotation(TITLE);
            let is_file = title.is_some_and(|title| !looks_like_plugin(title.as_bytes()));
            match (can_hold(layer, false), can_hold(layer, layers.len() == 1)) {
                (true, _) if !is_file => Self::Fit,
                (false, false) => Self::Unfit,
                _ => Self::Doubtful,
            }
        });
        of.max().unwrap_or(Self::Unfit)
    }
}

fn shown(media_type: &MediaType) -> String {
    match media_type.as_ref() {
        "" => "no media type".to_owned(),
        named => named.to_owned(),
    }
}

/// Names a layer in messages.
fn name(layer: &Descriptor) -> String {
    let title = layer.annotation(TITLE);
    title.map_or_else(
        || layer.digest().to_string(),
        |title| escaped(title.as_bytes()),
    )
}

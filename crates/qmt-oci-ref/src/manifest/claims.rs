//! Claims: a list of referrers, or a manifest of signatures, read as far as it can be read.
//!
//! Nothing relies on what such a document says: a referrer is read by its digest and names its
//! subject itself, and a signature is verified as a whole. So one odd entry, which any publisher
//! can add, must not hide the others, and no field may take more memory than its limit.
//! Documents whose content is relied on are read by [`Document`](super::Document).

#[macro_use]
mod values;

use std::collections::HashMap;
use std::fmt;

use oci_spec::image::MediaType;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use self::values::{Loose, Scalar};
use super::ManifestError;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::text::without_byte_order_mark;

/// Most bytes that an annotation takes in memory in addition to its characters.
const ANNOTATION_OVERHEAD: usize = 128;

/// How much of a document is held. Nothing beyond is stored while it is read.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "the reader's parameters")]
pub struct ClaimLimits {
    /// Most entries of a list.
    pub entries: usize,
    /// Most bytes in memory of the annotations of one entry; an entry with more has none.
    pub annotations_each: usize,
    /// Most bytes in memory of all annotations.
    pub annotations_all: usize,
    /// The names of the annotations that are held; others are skipped. `None` holds all.
    pub annotation_names: Option<&'static [&'static str]>,
}

impl ClaimLimits {
    /// Returns limits that hold no list and no annotations.
    pub fn nothing() -> Self {
        Self {
            entries: 0,
            annotations_each: 0,
            annotations_all: 0,
            annotation_names: Some(&[]),
        }
    }
}

/// What a document claims. Fields of another form than expected count as missing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Claims {
    /// The media type that it gives itself.
    pub media_type: Option<MediaType>,
    /// The artifact type.
    pub artifact_type: Option<MediaType>,
    /// The media type of the config.
    pub config_type: Option<MediaType>,
    /// The digest of the manifest that it refers to.
    pub subject: Option<Digest>,
    /// The annotations of the document itself, within the limits of an entry.
    pub annotations: HashMap<String, String>,
    /// The entries of an index; `null` is an empty list.
    pub manifests: Option<ClaimedEntries>,
    /// The layers of a manifest; `null` is an empty list.
    pub layers: Option<ClaimedEntries>,
}

/// A list, as far as it was read.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ClaimedEntries {
    /// The first entries, in their order, each as read or as the rule that it breaks.
    pub read: Vec<Result<ClaimedEntry, &'static str>>,
    /// How many entries the list has.
    pub count: usize,
    /// What the annotations of the entries take in memory, in bytes.
    pub annotation_bytes: usize,
}

/// An entry whose digest can be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimedEntry {
    /// The descriptor. A missing size is zero, a missing media type is empty.
    pub descriptor: Descriptor,
    /// Whether its annotations were over a limit and were left out.
    pub lacks_annotations: bool,
}

impl Claims {
    /// Reads what can be read of `bytes`.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Json`] if it is not a JSON object, or has a list twice.
    pub fn read(bytes: &[u8], limits: ClaimLimits) -> Result<Self, ManifestError> {
        let bytes = without_byte_order_mark(bytes);
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let mut left = Left {
            limits,
            annotations: limits.annotations_all,
        };
        let claims = deserializer.deserialize_map(DocumentVisitor(&mut left))?;
        deserializer.end()?;
        Ok(claims)
    }

    /// Reports whether the document is an index: by its media type, else by its fields.
    pub fn is_index(&self) -> bool {
        match &self.media_type {
            Some(media_type) => super::is_index(media_type),
            None => self.manifests.is_some() && self.layers.is_none() && self.config_type.is_none(),
        }
    }
}

/// The limits, and what is left of those of the whole document.
struct Left {
    limits: ClaimLimits,
    annotations: usize,
}

struct DocumentVisitor<'a>(&'a mut Left);

impl<'de> Visitor<'de> for DocumentVisitor<'_> {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut claims = Claims::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "mediaType" => claims.media_type = map.next_value_seed(Scalar)?.media_type(),
                "artifactType" => claims.artifact_type = map.next_value_seed(Scalar)?.media_type(),
                "config" => {
                    let config = map.next_value_seed(Entry(self.0))?;
                    claims.config_type = config.ok().and_then(|config| config.media_type());
                }
                "subject" => {
                    let subject = map.next_value_seed(Entry(self.0))?;
                    claims.subject = subject.ok().map(|one| one.descriptor.digest().clone());
                }
                "annotations" => {
                    claims.annotations = map.next_value_seed(AnnotationsOf(self.0))?.held;
                }
                "manifests" => {
                    let list = map.next_value_seed(List(self.0))?;
                    once(&mut claims.manifests, list)?;
                }
                "layers" => {
                    let list = map.next_value_seed(List(self.0))?;
                    once(&mut claims.layers, list)?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(claims)
    }
}

impl ClaimedEntry {
    fn media_type(&self) -> Option<MediaType> {
        let media_type = self.descriptor.media_type();
        (!media_type.as_ref().is_empty()).then(|| media_type.clone())
    }
}

fn once<E: serde::de::Error>(
    field: &mut Option<ClaimedEntries>,
    list: Option<ClaimedEntries>,
) -> Result<(), E> {
    if field.is_some() {
        return Err(E::custom("a list occurs twice"));
    }
    *field = list;
    Ok(())
}

/// A list of entries; `None` for any other form but `null`.
struct List<'a>(&'a mut Left);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Option<ClaimedEntries>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Option<ClaimedEntries>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = ClaimedEntries::default();
        let before = self.0.annotations;
        while entries.read.len() < self.0.limits.entries
            && let Some(entry) = list.next_element_seed(Entry(self.0))?
        {
            entries.read.push(entry);
        }
        entries.annotation_bytes = before.saturating_sub(self.0.annotations);
        entries.count = entries.read.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            entries.count = entries.count.saturating_add(1);
        }
        Ok(Some(entries))
    }

    otherwise!(Some(ClaimedEntries::default()); null);
    otherwise!(None; scalars number text object);
}

/// One entry, or the rule that it breaks.
struct Entry<'a>(&'a mut Left);

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = Result<ClaimedEntry, &'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = Result<ClaimedEntry, &'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a descriptor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut media_type, mut digest, mut size, mut artifact_type) = (None, None, None, None);
        let mut annotations = None;
        let mut is_ambiguous = false;
        while let Some(name) = map.next_key::<String>()? {
            let field: &mut Option<Loose> = match name.as_str() {
                "mediaType" => &mut media_type,
                "digest" => &mut digest,
                "size" => &mut size,
                "artifactType" => &mut artifact_type,
                "annotations" => {
                    let read = map.next_value_seed(AnnotationsOf(self.0))?;
                    is_ambiguous |= annotations.replace(read).is_some();
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            is_ambiguous |= field.replace(map.next_value_seed(Scalar)?).is_some();
        }
        let annotations = annotations.unwrap_or_default();
        if is_ambiguous || annotations.is_ambiguous {
            return Ok(Err("an entry has a field twice"));
        }
        let Some(Loose::Text(digest)) = digest else {
            return Ok(Err("an entry has no digest"));
        };
        let Ok(digest) = digest.parse::<Digest>() else {
            return Ok(Err(
                "an entry has a digest that is malformed or of an unknown algorithm",
            ));
        };
        let size = match size {
            Some(Loose::Number(size)) => size,
            _ => 0,
        };
        let named = |field: Option<Loose>| field.and_then(|field| field.media_type());
        let media_type = named(media_type).unwrap_or(MediaType::from(""));
        let mut descriptor = Descriptor::new(media_type, digest, size);
        if let Some(artifact_type) = named(artifact_type) {
            descriptor = descriptor.with_artifact_type(artifact_type);
        }
        descriptor.set_annotations(annotations.held);
        Ok(Ok(ClaimedEntry {
            descriptor,
            lacks_annotations: annotations.is_over,
        }))
    }

    otherwise!(Err("an entry is not an object"); null scalars number text list);
}

/// Annotations within the limits; values that are not texts are left out.
struct AnnotationsOf<'a>(&'a mut Left);

#[derive(Default)]
struct HeldAnnotations {
    held: HashMap<String, String>,
    is_over: bool,
    is_ambiguous: bool,
}

impl<'de> DeserializeSeed<'de> for AnnotationsOf<'_> {
    type Value = HeldAnnotations;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnnotationsOf<'_> {
    type Value = HeldAnnotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeldAnnotations, A::Error> {
        let mut annotations = HeldAnnotations::default();
        let ClaimLimits {
            annotations_each,
            annotation_names,
            ..
        } = self.0.limits;
        let most = annotations_each.min(self.0.annotations);
        let mut bytes = 0_usize;
        while let Some(name) = map.next_key::<String>()? {
            if annotation_names.is_some_and(|names| !names.contains(&name.as_str())) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Loose::Text(value) = map.next_value_seed(Scalar)? else {
                continue;
            };
            if annotations.is_over {
                continue;
            }
            let own = name.len().saturating_add(value.len());
            bytes = bytes
                .saturating_add(own)
                .saturating_add(ANNOTATION_OVERHEAD);
            if bytes > most {
                annotations.is_over = true;
                annotations.held = HashMap::new();
                continue;
            }
            annotations.is_ambiguous |= annotations.held.insert(name, value).is_some();
        }
        if !annotations.is_over {
            self.0.annotations = self.0.annotations.saturating_sub(bytes);
        }
        Ok(annotations)
    }

    otherwise!(HeldAnnotations::default(); null scalars number text list);
}

#[cfg(test)]
mod tests;

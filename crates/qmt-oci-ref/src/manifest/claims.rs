//! Claims: a list of referrers, or a manifest of signatures, read as far as it can be read.
//!
//! Nothing relies on what such a document says: a referrer is read by its digest and names its
//! subject itself, and a signature is verified as a whole. So one odd entry, which any publisher
//! can add, must not hide the others, and no field may take more memory than its limit.
//! Documents whose content is relied on are read by [`Document`](super::Document).

use std::collections::{HashMap, VecDeque};
use std::fmt;

use oci_spec::image::MediaType;
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::ManifestError;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::text::{self, without_byte_order_mark};

/// Most bytes of a media type, as RFC 6838 limits its two parts.
const TYPE_BYTES_MAX: usize = 255;
/// Most bytes that an annotation takes in memory in addition to its characters.
const ANNOTATION_OVERHEAD: usize = 128;

/// How much of a document is held. Nothing beyond is stored while it is read.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "the reader's parameters")]
pub struct ClaimLimits {
    /// Most entries of a list: the first ones of an index, the last ones of a manifest, because
    /// signatures are appended to it.
    pub entries: usize,
    /// Whether one half of these are the last ones of an index: a flood is added at one end.
    pub both_ends: bool,
    /// Most bytes in memory of the annotations of one entry; an entry with more has none.
    pub annotations_each: usize,
    /// Most bytes in memory of all annotations.
    pub annotations_all: usize,
    /// The names of the annotations that are held; others are skipped. `None` holds all.
    pub annotation_names: Option<&'static [&'static str]>,
}

impl ClaimLimits {
    /// Most bytes in memory of the annotations of one referrer in a list: 4 KiB.
    pub const REFERRER_ANNOTATIONS: usize = 4 << 10;
    /// Most bytes in memory of the annotations of all referrers in a list: 2 MiB.
    pub const REFERRERS_ANNOTATIONS: usize = 2 << 20;

    /// Returns limits that hold no list and no annotations.
    pub fn nothing() -> Self {
        Self {
            entries: 0,
            both_ends: false,
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
    /// The entries within the limits, in their order, each as read or as the rule that it breaks.
    pub read: Vec<Result<ClaimedEntry, &'static str>>,
    /// How many entries before all of these were not read.
    pub skipped: usize,
    /// How many entries the list has.
    pub count: usize,
    /// Whether the list is `null`.
    pub is_null: bool,
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
    /// [`ManifestError::Json`] if it is not a JSON object, or has a field twice.
    pub fn read(bytes: &[u8], limits: ClaimLimits) -> Result<Self, ManifestError> {
        // Bytes that are not UTF-8 are replaced, so that only the values that contain them are misread.
        let text = String::from_utf8_lossy(without_byte_order_mark(bytes));
        let document: Document<'_> = serde_json::from_str(&text)?;
        if !is_object(&text) {
            return Err(serde_json::Error::custom("it is not a JSON object").into());
        }
        let mut reader = Reader {
            limits,
            left: limits.annotations_all,
        };
        let of_index = if limits.both_ends {
            Part::Ends
        } else {
            Part::First
        };
        Ok(Self {
            media_type: media_type(document.media_type),
            artifact_type: media_type(document.artifact_type),
            manifests: reader.list(document.manifests, of_index),
            layers: reader.list(document.layers, Part::Last),
            annotations: reader.annotations(document.annotations).held,
            config_type: document.config.and_then(|config| {
                let entry = serde_json::from_str::<Entry<'_>>(config.get());
                media_type(entry.ok()?.media_type)
            }),
            subject: document
                .subject
                .and_then(|subject| Some(reader.entry(subject).ok()?.descriptor.digest().clone())),
        })
    }

    /// Reports whether the document is an index: by its media type, else by its fields.
    pub fn is_index(&self) -> bool {
        match &self.media_type {
            Some(media_type) => super::is_index(media_type),
            None => self.manifests.is_some() && self.layers.is_none() && self.config_type.is_none(),
        }
    }
}

/// A value that is read later; `None` if it is missing or `null`.
type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Document<'a> {
    media_type: Raw<'a>,
    artifact_type: Raw<'a>,
    config: Raw<'a>,
    subject: Raw<'a>,
    annotations: Raw<'a>,
    #[serde(default, deserialize_with = "with_null")]
    manifests: Raw<'a>,
    #[serde(default, deserialize_with = "with_null")]
    layers: Raw<'a>,
}

/// A descriptor. Serde refuses a field that occurs twice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Entry<'a> {
    media_type: Raw<'a>,
    digest: Raw<'a>,
    size: Raw<'a>,
    artifact_type: Raw<'a>,
    annotations: Raw<'a>,
}

/// Keeps `null` apart from a missing field.
fn with_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Raw<'de>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Returns a value of the expected form; `None` for any other.
fn value<T: DeserializeOwned>(raw: Raw<'_>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

fn media_type(raw: Raw<'_>) -> Option<MediaType> {
    let text: String = value(raw)?;
    let is_type = !text.is_empty() && text.len() <= TYPE_BYTES_MAX;
    is_type.then(|| text::media_type(&text))
}

/// Serde takes a list for a structure as well.
fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

struct Reader {
    limits: ClaimLimits,
    /// What is left of the bytes of all annotations.
    left: usize,
}

impl Reader {
    /// Reads a list of entries; `None` for any other form but `null`.
    fn list(&mut self, raw: Raw<'_>, part: Part) -> Option<ClaimedEntries> {
        let raw = raw?;
        if raw.get() == "null" {
            return Some(ClaimedEntries {
                is_null: true,
                ..ClaimedEntries::default()
            });
        }
        let mut json = serde_json::Deserializer::from_str(raw.get());
        let most = self.limits.entries;
        let (held, count) = json.deserialize_seq(Hold { most, part }).ok()?;
        let before = self.left;
        let skipped = match part {
            Part::First | Part::Ends => 0,
            Part::Last => count.saturating_sub(held.len()),
        };
        let read = held.into_iter().map(|entry| self.entry(entry)).collect();
        Some(ClaimedEntries {
            read,
            skipped,
            count,
            is_null: false,
            annotation_bytes: before.saturating_sub(self.left),
        })
    }

    /// Reads an entry, or returns the rule that it breaks.
    fn entry(&mut self, raw: &RawValue) -> Result<ClaimedEntry, &'static str> {
        if !is_object(raw.get()) {
            return Err("an entry is not an object");
        }
        let entry = serde_json::from_str::<Entry<'_>>(raw.get());
        let entry = entry.map_err(|_| "an entry has a field twice")?;
        let digest: String = value(entry.digest).ok_or("an entry has no digest")?;
        let digest: Digest = digest
            .parse()
            .map_err(|_| "an entry has a digest that is malformed or of an unknown algorithm")?;
        let annotations = self.annotations(entry.annotations);
        if annotations.is_ambiguous {
            return Err("an entry has an annotation twice");
        }
        let named = media_type(entry.media_type).unwrap_or(MediaType::from(""));
        let size = value(entry.size).unwrap_or_default();
        let mut descriptor = Descriptor::new(named, digest, size);
        if let Some(artifact_type) = media_type(entry.artifact_type) {
            descriptor = descriptor.with_artifact_type(artifact_type);
        }
        descriptor.set_annotations(annotations.held);
        Ok(ClaimedEntry {
            descriptor,
            lacks_annotations: annotations.is_over,
        })
    }

    /// Reads annotations within the limits; values that are not texts are left out.
    fn annotations(&mut self, raw: Raw<'_>) -> HeldAnnotations {
        let mut held = HeldAnnotations {
            names: self.limits.annotation_names,
            most: self.limits.annotations_each.min(self.left),
            ..HeldAnnotations::default()
        };
        if let Some(raw) = raw {
            let mut json = serde_json::Deserializer::from_str(raw.get());
            // Anything but an object counts as no annotations.
            let _ = json.deserialize_map(&mut held);
        }
        if !held.is_over {
            self.left = self.left.saturating_sub(held.bytes);
        }
        held
    }
}

/// Which entries of a long list are held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    /// As many of the first as of the last ones.
    Ends,
    Last,
}

/// Takes some entries of a list, and counts all.
struct Hold {
    most: usize,
    part: Part,
}

impl<'de> Visitor<'de> for Hold {
    type Value = (VecDeque<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let most_first = match self.part {
            Part::First => self.most,
            Part::Ends => self.most.div_ceil(2),
            Part::Last => 0,
        };
        let (mut first, mut last) = (VecDeque::new(), VecDeque::new());
        let mut count = 0_usize;
        while let Some(entry) = list.next_element::<&RawValue>()? {
            count = count.saturating_add(1);
            if first.len() < most_first {
                first.push_back(entry);
                continue;
            }
            let has_room = first.len().saturating_add(last.len()) < self.most;
            if has_room || last.pop_front().is_some() {
                last.push_back(entry);
            }
        }
        first.append(&mut last);
        Ok((first, count))
    }
}

#[derive(Default)]
struct HeldAnnotations {
    names: Option<&'static [&'static str]>,
    /// Most bytes in memory.
    most: usize,
    bytes: usize,
    held: HashMap<String, String>,
    is_over: bool,
    is_ambiguous: bool,
}

impl<'de> Visitor<'de> for &mut HeldAnnotations {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
            let is_named = |names: &[&str]| names.contains(&name.as_str());
            if self.is_over || !self.names.is_none_or(is_named) {
                continue;
            }
            let Some(value) = value::<String>(Some(raw)) else {
                continue;
            };
            let own = name.len().saturating_add(value.len());
            self.bytes = self
                .bytes
                .saturating_add(own.saturating_add(ANNOTATION_OVERHEAD));
            if self.bytes > self.most {
                self.is_over = true;
                self.held = HashMap::new();
                continue;
            }
            self.is_ambiguous |= self.held.insert(name, value).is_some();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

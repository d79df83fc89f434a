//! Descriptors: what points from one piece of content to another.
//!
//! Spec: <https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md>

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::media_type::MediaType;
use crate::platform::Platform;

/// Annotations by name.
pub type Annotations = BTreeMap<String, String>;

/// Points to content: its media type, its digest and its size in bytes.
///
/// In JSON it has the OCI form. `urls` and `data` are ignored on purpose: content comes from the
/// registry alone and is proven by its digest. A key that stands twice is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    media_type: MediaType,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<MediaType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(
        default,
        skip_serializing_if = "Annotations::is_empty",
        deserialize_with = "annotations_without_duplicates"
    )]
    annotations: Annotations,
}

impl Descriptor {
    /// Points to content of `size` bytes.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        let annotations = Annotations::new();
        Self {
            media_type,
            digest,
            size,
            artifact_type: None,
            platform: None,
            annotations,
        }
    }

    /// Points to `content` by its SHA-256 digest.
    pub fn of(media_type: MediaType, content: &[u8]) -> Self {
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        Self::new(media_type, Digest::sha256(content), size)
    }

    /// Adds an annotation.
    #[must_use]
    pub fn with_annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }

    /// Adds the platform.
    #[must_use]
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Adds the artifact type.
    #[must_use]
    pub fn with_artifact_type(mut self, artifact_type: MediaType) -> Self {
        self.artifact_type = Some(artifact_type);
        self
    }

    /// Returns the media type of the content.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Returns the digest of the content.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the size of the content in bytes. It is a claim until the content is proven.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the artifact type, where the content is a manifest that has one.
    pub fn artifact_type(&self) -> Option<&MediaType> {
        self.artifact_type.as_ref()
    }

    /// Returns the platform, where the content is for one.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// Returns the annotations.
    pub fn annotations(&self) -> &Annotations {
        &self.annotations
    }
}

/// Reads a map of strings in which no key may stand twice; `null` counts as empty.
fn annotations_without_duplicates<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Annotations, D::Error> {
    struct Strict;

    impl<'de> Visitor<'de> for Strict {
        type Value = Annotations;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of strings")
        }

        fn visit_unit<E>(self) -> Result<Annotations, E> {
            Ok(Annotations::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
            let mut annotations = Annotations::new();
            while let Some((name, value)) = map.next_entry::<String, String>()? {
                if annotations.insert(name, value).is_some() {
                    return Err(A::Error::custom("an annotation stands twice"));
                }
            }
            Ok(annotations)
        }
    }

    deserializer.deserialize_any(Strict)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(extra: &str) -> Result<Descriptor, serde_json::Error> {
        serde_json::from_str(&format!(
            r#"{{"mediaType":"application/wasm","digest":"{DIGEST}","size":3{extra}}}"#
        ))
    }

    #[test]
    fn the_oci_form_comes_back_unchanged() {
        let text = format!(
            r#"{{"mediaType":"a/b","digest":"{DIGEST}","size":3,"artifactType":"c/d","platform":{{"architecture":"arm","os":"linux","variant":"v7"}},"annotations":{{"k":"v"}}}}"#
        );
        let descriptor: Descriptor = serde_json::from_str(&text).unwrap();
        assert_eq!(descriptor.platform().unwrap().to_string(), "linux/arm/v7");
        assert_eq!(serde_json::to_string(&descriptor).unwrap(), text);
    }

    /// DIG-13: foreign URLs and embedded data are not even read.
    #[test]
    fn urls_and_data_are_ignored() {
        let descriptor = parse(r#","urls":["http://evil.example/x"],"data":"AAAA""#).unwrap();
        assert_eq!(descriptor, parse("").unwrap());
    }

    /// DIG-05, DIG-08: a key given twice, a negative, huge or missing size.
    #[test]
    fn ambiguous_descriptors_are_refused() {
        assert!(parse(r#","annotations":{"a":"1","b":"2"}"#).is_ok());
        for extra in [
            r#","size":4"#,
            r#","digest":"x""#,
            r#","annotations":{"a":"1","a":"2"}"#,
            r#","annotations":{"a":"1","\u0061":"2"}"#,
            r#","annotations":{"a":1}"#,
        ] {
            assert!(parse(extra).is_err(), "{extra} was accepted");
        }
        for size in ["-1", "18446744073709551616", "1e3", "\"3\"", "null"] {
            let text = format!(r#"{{"mediaType":"a/b","digest":"{DIGEST}","size":{size}}}"#);
            assert!(
                serde_json::from_str::<Descriptor>(&text).is_err(),
                "{size} was accepted"
            );
        }
        let without = format!(r#"{{"mediaType":"a/b","digest":"{DIGEST}"}}"#);
        assert!(serde_json::from_str::<Descriptor>(&without).is_err());
    }
}

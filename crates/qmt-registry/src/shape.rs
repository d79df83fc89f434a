//! What a manifest says that it is, held against what its server says (CVE-2021-41190).
//!
//! The bytes of a manifest are signed, its `Content-Type` is not: one document that is a manifest
//! under one type and an index under another would be two things under one digest.

use std::collections::HashSet;
use std::fmt;

use qmt_oci_ref::MediaType;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::RegistryError;

/// The names in a manifest or an index, and the type that it says it has.
struct Shape {
    media_type: Option<String>,
    names: HashSet<String>,
}

impl Shape {
    fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

/// Finds the one media type that the content of `what` and its `Content-Type` agree on.
///
/// # Errors
///
/// [`RegistryError::NotAManifest`] and [`RegistryError::MediaTypeMismatch`].
pub(crate) fn agreed_media_type(
    what: &str,
    content: &[u8],
    header: Option<&MediaType>,
) -> Result<MediaType, RegistryError> {
    let refuse = |fault, source| {
        Err(RegistryError::NotAManifest {
            what: what.to_owned(),
            fault,
            source,
        })
    };
    let shape: Shape = match serde_json::from_slice(content) {
        Ok(shape) => shape,
        Err(cause) => return refuse("it is not a JSON object of that kind", Some(cause)),
    };
    if shape.has("manifests")
        && (shape.has("layers") || shape.has("config") || shape.has("fsLayers"))
    {
        return refuse("it is an index and a manifest at once", None);
    }
    if shape.has("fsLayers") {
        return refuse(
            "docker's schema 1 is not supported, rebuild the image",
            None,
        );
    }
    let is_index = shape.has("manifests");
    if !is_index && !shape.has("config") && !shape.has("layers") {
        return refuse("it has neither `manifests` nor `config` and `layers`", None);
    }
    // What the fields say, where no media type says it.
    let by_shape = MediaType::new(if is_index {
        MediaType::OCI_INDEX
    } else {
        MediaType::OCI_MANIFEST
    });
    let header = header.filter(|header| !is_generic(header));
    let body = shape.media_type.as_deref().map(MediaType::new);
    let agreed = match (header, body) {
        (Some(header), Some(body)) if *header != body => {
            let header = header.clone();
            return Err(RegistryError::MediaTypeMismatch {
                what: what.to_owned(),
                header,
                body,
            });
        }
        // Docker's manifests carry their type always; only OCI ones may leave it out.
        (Some(header), None) if *header != by_shape => {
            let (header, body) = (header.clone(), by_shape);
            return Err(RegistryError::MediaTypeMismatch {
                what: what.to_owned(),
                header,
                body,
            });
        }
        (_, Some(body)) => body,
        (_, None) => by_shape.clone(),
    };
    if !(agreed.is_index() || agreed.is_manifest()) {
        return refuse("its media type is none of an image manifest or index", None);
    }
    if agreed.is_index() != is_index {
        let (header, body) = (agreed, by_shape);
        return Err(RegistryError::MediaTypeMismatch {
            what: what.to_owned(),
            header,
            body,
        });
    }
    Ok(agreed)
}

/// Types that static file servers send, which claim nothing.
fn is_generic(media_type: &MediaType) -> bool {
    matches!(
        media_type.as_str(),
        "" | "application/octet-stream" | "application/json" | "binary/octet-stream" | "text/plain"
    )
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a manifest or an index")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut media_type = None;
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "mediaType" {
                media_type = Some(map.next_value()?);
            } else {
                map.next_value::<Strict>()?;
            }
            once(&mut names, name)?;
        }
        Ok(Shape { media_type, names })
    }
}

/// Any value, read to its end and thrown away. Unlike serde's `IgnoredAny` it refuses what other
/// readers may read differently: names that occur twice, and strings that are no Unicode.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strict, A::Error> {
        while list.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<Strict>()?;
            once(&mut names, name)?;
        }
        Ok(Strict)
    }
}

fn once<E: serde::de::Error>(names: &mut HashSet<String>, name: String) -> Result<(), E> {
    if names.insert(name) {
        Ok(())
    } else {
        Err(E::custom("a name occurs twice in an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

    fn agreed(content: &str, header: &str) -> Result<MediaType, RegistryError> {
        let header = MediaType::new(header);
        agreed_media_type("a.example/b:c", content.as_bytes(), Some(&header))
    }

    fn typed(content: &str, media_type: &str) -> String {
        content.replacen('{', &format!(r#"{{"mediaType":"{media_type}","#), 1)
    }

    #[test]
    fn agreement_is_accepted() {
        for (content, media_type) in [
            (MANIFEST, MediaType::OCI_MANIFEST),
            (MANIFEST, MediaType::DOCKER_MANIFEST),
            (INDEX, MediaType::OCI_INDEX),
            (INDEX, MediaType::DOCKER_MANIFEST_LIST),
        ] {
            let content = typed(content, media_type);
            assert_eq!(agreed(&content, media_type).unwrap(), media_type);
            assert_eq!(
                agreed(&content, "application/octet-stream").unwrap(),
                media_type
            );
            assert_eq!(
                agreed_media_type("x", content.as_bytes(), None).unwrap(),
                media_type,
                "no header at all"
            );
        }
        // OCI documents may leave their type out; the fields decide.
        assert_eq!(
            agreed(MANIFEST, MediaType::OCI_MANIFEST).unwrap(),
            MediaType::OCI_MANIFEST
        );
        assert_eq!(
            agreed(INDEX, "application/json").unwrap(),
            MediaType::OCI_INDEX
        );
    }

    /// DIG-04: one digest, two meanings: none of these is let through.
    #[test]
    fn ambiguity_is_refused() {
        for both in [
            r#"{"manifests":[],"layers":[]}"#,
            r#"{"manifests":[],"config":{}}"#,
            r#"{"manifests":[],"fsLayers":[]}"#,
        ] {
            for header in [MediaType::OCI_INDEX, MediaType::OCI_MANIFEST] {
                let error = agreed(both, header).unwrap_err();
                assert!(
                    matches!(error, RegistryError::NotAManifest { .. }),
                    "{both}: {error:?}"
                );
            }
        }
        for (content, header) in [
            (
                typed(MANIFEST, MediaType::OCI_MANIFEST),
                MediaType::DOCKER_MANIFEST,
            ),
            (
                typed(MANIFEST, MediaType::OCI_MANIFEST),
                MediaType::OCI_INDEX,
            ),
            (
                typed(INDEX, MediaType::OCI_MANIFEST),
                MediaType::OCI_MANIFEST,
            ),
            (MANIFEST.to_owned(), MediaType::OCI_INDEX),
            (MANIFEST.to_owned(), MediaType::DOCKER_MANIFEST),
            (INDEX.to_owned(), MediaType::OCI_MANIFEST),
        ] {
            let error = agreed(&content, header).unwrap_err();
            assert!(
                matches!(error, RegistryError::MediaTypeMismatch { .. }),
                "{content}: {error:?}"
            );
        }
    }

    /// DIG-05: what two readers could read differently is not read.
    #[test]
    fn odd_json_is_refused() {
        for odd in [
            r#"{"config":{},"layers":[],"layers":[]}"#,
            r#"{"config":{},"layers":[],"\u006cayers":[]}"#,
            r#"{"config":{},"layers":[{"digest":1,"digest":2}]}"#,
            r#"{"config":{},"layers":[],"n":1e400}"#,
            "{\"config\":{},\"layers\":[]} x",
            "\u{feff}{\"config\":{},\"layers\":[]}",
            r#"{"config":{},"layers":[],"n":NaN}"#,
            r#"{"config":{},"layers":[],"s":"\ud800"}"#,
            "[]",
            "{}",
            "",
        ] {
            let error = agreed(odd, MediaType::OCI_MANIFEST).unwrap_err();
            assert!(
                matches!(error, RegistryError::NotAManifest { .. }),
                "{odd}: {error:?}"
            );
        }
        let deep = format!(r#"{{"config":{},"layers":[]}}"#, "[".repeat(100_000));
        assert!(agreed(&deep, MediaType::OCI_MANIFEST).is_err());
    }

    #[test]
    fn schema_1_and_other_types_are_refused() {
        assert!(agreed(r#"{"schemaVersion":1,"fsLayers":[]}"#, "application/json").is_err());
        assert!(agreed(&typed(MANIFEST, "text/html"), "text/html").is_err());
    }
}

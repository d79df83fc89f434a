//! The media type of a manifest of which only the bytes were kept.

use qmt_oci_ref::MediaType;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    media_type: Option<MediaType>,
    #[serde(default)]
    manifests: Option<IgnoredAny>,
}

/// Reads the media type that the content itself names; where it names none, `manifests` makes it
/// an index. Whoever parses the content judges it strictly.
pub(crate) fn media_type_of(bytes: &[u8]) -> MediaType {
    match serde_json::from_slice::<Head>(bytes) {
        Ok(Head {
            media_type: Some(media_type),
            ..
        }) => media_type,
        Ok(Head {
            manifests: Some(_), ..
        }) => MediaType::new(MediaType::OCI_INDEX),
        _ => MediaType::new(MediaType::OCI_MANIFEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_tells() {
        assert!(media_type_of(br#"{"manifests":[]}"#).is_index());
        assert!(media_type_of(br#"{"layers":[]}"#).is_manifest());
        let docker = format!(r#"{{"mediaType":"{}"}}"#, MediaType::DOCKER_MANIFEST_LIST);
        assert_eq!(
            media_type_of(docker.as_bytes()),
            MediaType::DOCKER_MANIFEST_LIST
        );
        assert!(media_type_of(b"no json").is_manifest());
    }
}

//! An optional platform in the JSON form of the specification (`os.version`), for fields with
//! `#[serde(with = "qmt_oci_ref::manifest::platform_json")]`.

use oci_spec::image::Platform;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::descriptor::JsonPlatform;

/// Writes the platform.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(
    platform: &Option<Platform>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let platform = platform.as_ref().map(JsonPlatform::from);
    platform.serialize(serializer)
}

/// Reads the platform, with odd characters in it escaped.
///
/// # Errors
///
/// Those of the deserializer.
pub fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Platform>, D::Error> {
    let platform = Option::<JsonPlatform>::deserialize(deserializer)?;
    Ok(platform.and_then(JsonPlatform::into_platform))
}

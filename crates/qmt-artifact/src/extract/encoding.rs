//! How a layer is encoded: its media type says so, and its first bytes decide, as in docker and
//! containerd.

use qmt_oci_ref::MediaType;

use crate::problem::LayerProblem;

/// How a layer's archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

/// Bytes that [`Encoding::of_content`] looks at.
pub(super) const MAGIC_BYTES: usize = 8;

/// Media types that say nothing about a layer, or only how it is packed. Clients set them where the
/// publisher names no type.
const UNTYPED: [&str; 11] = [
    "",
    "application/octet-stream",
    "binary/octet-stream",
    "application/tar",
    "application/x-tar",
    "application/tar+gzip",
    "application/x-tar+gzip",
    "application/gzip",
    "application/x-gzip",
    "application/zstd",
    "application/tar+zstd",
];

/// How the media types of archives end, after a dot or a plus.
const ARCHIVE_ENDS: [(&str, Encoding); 5] = [
    ("tar", Encoding::Plain),
    ("tar+gzip", Encoding::Gzip),
    ("tar.gzip", Encoding::Gzip),
    ("tar+zstd", Encoding::Zstd),
    ("tar.zstd", Encoding::Zstd),
];

/// Reports whether a layer is encrypted by its media type.
/// See <https://github.com/containers/ocicrypt/blob/main/docs/spec.md>
pub(crate) fn is_encrypted(media_type: &MediaType) -> bool {
    lower(media_type).ends_with("+encrypted")
}

/// Reports whether the content alone can say what a layer of this type is.
pub(crate) fn is_untyped(media_type: &MediaType) -> bool {
    UNTYPED.contains(&&*lower(media_type))
}

/// Media types ignore case: <https://www.rfc-editor.org/rfc/rfc6838#section-4.2>
fn lower(media_type: &MediaType) -> String {
    media_type.as_ref().to_ascii_lowercase()
}

impl Encoding {
    /// Returns the encoding that the media type of an archive layer names; `None`: it is not an
    /// archive. The end of the type says so, whatever is packed: layers of OCI and docker, those that
    /// may not be distributed, and archives of other tools.
    pub(crate) fn of_media_type(media_type: &MediaType) -> Option<Self> {
        let (media_type, mut ends) = (lower(media_type), ARCHIVE_ENDS.iter());
        let (_, encoding) = ends.find(|(end, _)| {
            let name = media_type.strip_suffix(end);
            name.is_some_and(|name| name.ends_with(['.', '+']))
        })?;
        Some(*encoding)
    }

    /// Returns the encoding that the first bytes of a layer show.
    pub(super) fn of_content(magic: &[u8]) -> Result<Self, LayerProblem> {
        match magic {
            // An empty layer is not an archive, not even one without entries.
            [] => Err(LayerProblem::Truncated),
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or a skippable frame before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
                Err(LayerProblem::UnsupportedEncoding { found: "xz" })
            }
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => {
                Err(LayerProblem::UnsupportedEncoding { found: "bzip2" })
            }
            _ => Ok(Self::Plain),
        }
    }

    /// Names a file that is encoded like this.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "a tar archive",
            Self::Gzip => "a gzip file",
            Self::Zstd => "a zstd file",
        }
    }
}

/// Bytes that [`zstd_window`] looks at.
pub(super) const ZSTD_HEADER_BYTES: usize = 18;

/// Returns the size in bytes of the window that the header of a zstd frame names.
/// See <https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1>
pub(super) fn zstd_window(header: &[u8]) -> Option<u64> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = header else {
        return None;
    };
    let is_single_segment = descriptor & 0x20 != 0;
    if !is_single_segment {
        let window = rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment is its own window.
    let dictionary_id = [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let content = rest.get(*dictionary_id..)?;
    Some(match descriptor >> 6 {
        0 => u64::from(*content.first()?),
        1 => u64::from(u16::from_le_bytes(*content.first_chunk()?)) + 256,
        2 => u64::from(u32::from_le_bytes(*content.first_chunk()?)),
        _ => u64::from_le_bytes(*content.first_chunk()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_by_their_media_type() {
        use Encoding::{Gzip, Plain, Zstd};
        for (media_type, expected) in [
            ("application/vnd.oci.image.layer.v1.tar", Some(Plain)),
            ("application/vnd.oci.image.layer.v1.tar+gzip", Some(Gzip)),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Some(Zstd)),
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                Some(Gzip),
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                Some(Gzip),
            ),
            (
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                Some(Gzip),
            ),
            ("application/vnd.cncf.flux.content.v1.tar+gzip", Some(Gzip)),
            ("application/vnd.acme.plugin+tar", Some(Plain)),
            ("Application/Vnd.OCI.Image.Layer.v1.TAR+GZip", Some(Gzip)),
            (
                "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                None,
            ),
            ("application/tar+gzip", None),
            ("application/vnd.acme.avatar", None),
            ("application/wasm", None),
            ("tar", None),
        ] {
            let found = Encoding::of_media_type(&MediaType::from(media_type));
            assert_eq!(found, expected, "{media_type}");
        }
    }
}

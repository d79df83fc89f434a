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

/// Reports whether the content alone can say what a layer of this type is.
pub(crate) fn is_untyped(media_type: &MediaType) -> bool {
    UNTYPED.contains(&media_type.as_ref())
}

impl Encoding {
    /// Returns the encoding that the media type of an archive layer names; `None`: it is not an archive.
    pub(crate) fn of_media_type(media_type: &MediaType) -> Option<Self> {
        match media_type.as_ref() {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Some(Self::Plain),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(Self::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Self::Zstd),
            _ => None,
        }
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

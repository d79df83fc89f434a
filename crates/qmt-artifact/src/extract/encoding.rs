//! How a layer is encoded, by its media type, and whether its bytes agree.

use qmt_oci_ref::MediaType;

use crate::problem::LayerProblem;

/// How a layer's archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

/// Bytes that [`Encoding::check`] looks at.
pub(super) const MAGIC_BYTES: usize = 8;

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

    /// Compares the encoding with the layer's first bytes.
    pub(super) fn check(self, magic: &[u8]) -> Result<(), LayerProblem> {
        let found = match magic {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A frame, or a skippable frame before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        };
        if found.unwrap_or(Self::Plain) == self {
            return match magic {
                // An empty layer is not an archive, not even one without entries.
                [] => Err(LayerProblem::Truncated),
                _ => Ok(()),
            };
        }
        let found = match found {
            Some(encoding) => encoding.name(),
            None if magic.is_empty() => "nothing",
            None => "not compressed that way",
        };
        Err(LayerProblem::WrongEncoding {
            promised: self.name(),
            found,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "a plain tar archive",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

//! Layers: content, and the media type that is claimed for it.

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, MediaType};

use super::archive::{Archive, gzip, zstd};

/// One layer of an image.
#[derive(Clone, Debug)]
pub struct Layer {
    oci: String,
    docker: String,
    bytes: Bytes,
    diff_id: Digest,
    annotations: Vec<(String, String)>,
}

impl Layer {
    /// Any bytes under any media type.
    pub fn raw(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            oci: media_type.to_owned(),
            docker: media_type.to_owned(),
            diff_id: Digest::sha256(&bytes),
            bytes,
            annotations: Vec::new(),
        }
    }

    /// A tar archive.
    pub fn tar(archive: &Archive) -> Self {
        let tar = archive.tar();
        Self {
            docker: "application/vnd.docker.image.rootfs.diff.tar".to_owned(),
            ..Self::raw("application/vnd.oci.image.layer.v1.tar", tar)
        }
    }

    /// A tar archive, compressed with gzip.
    pub fn tar_gzip(archive: &Archive) -> Self {
        let tar = archive.tar();
        Self {
            docker: "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned(),
            diff_id: Digest::sha256(&tar),
            ..Self::raw("application/vnd.oci.image.layer.v1.tar+gzip", gzip(&tar))
        }
    }

    /// A tar archive, compressed with zstd.
    pub fn tar_zstd(archive: &Archive) -> Self {
        let tar = archive.tar();
        Self {
            docker: "application/vnd.docker.image.rootfs.diff.tar.zstd".to_owned(),
            diff_id: Digest::sha256(&tar),
            ..Self::raw("application/vnd.oci.image.layer.v1.tar+zstd", zstd(&tar))
        }
    }

    /// Claims another media type for the same bytes.
    #[must_use]
    pub fn claimed_as(mut self, media_type: &str) -> Self {
        media_type.clone_into(&mut self.oci);
        media_type.clone_into(&mut self.docker);
        self
    }

    /// Claims another digest of the uncompressed content in the image's config.
    #[must_use]
    pub fn claimed_diff_id(mut self, diff_id: Digest) -> Self {
        self.diff_id = diff_id;
        self
    }

    /// Adds an annotation to the layer's descriptor.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The layer as it is transferred.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The digest of the uncompressed content.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    pub(super) fn descriptor(&self, docker: bool) -> Descriptor {
        let media_type = if docker { &self.docker } else { &self.oci };
        let descriptor = Descriptor::of(MediaType::from(media_type.as_str()), &self.bytes);
        self.annotations
            .iter()
            .fold(descriptor, |descriptor, (name, value)| {
                descriptor.with_annotation(name.clone(), value.clone())
            })
    }
}

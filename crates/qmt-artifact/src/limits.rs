//! How much of an image is read.

use std::time::Duration;

use qmt_oci_ref::manifest::ManifestLimits;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// How much selection reads.
#[derive(Clone, Debug)]
pub(crate) struct SelectLimits {
    pub(crate) manifest: ManifestLimits,
    pub(crate) config_bytes: u64,
    /// Manifests read for one selection, the root included.
    pub(crate) manifest_requests: u64,
    pub(crate) index_depth: u64,
}

/// How much extraction reads and writes, and how long it takes: at most 65,536 entries of archives,
/// names of 4 KiB, 20 times the size of a layer and 16 MiB, and 15 minutes, download included.
#[derive(Clone, Debug)]
pub struct ExtractLimits {
    pub(crate) wasm_bytes: u64,
    pub(crate) archive_bytes: u64,
    pub(crate) unpacked_bytes: u64,
    /// How many times a layer may grow by decompression, beyond the slack.
    pub(crate) ratio: u64,
    pub(crate) ratio_slack_bytes: u64,
    /// Extension headers included.
    pub(crate) entries: u64,
    pub(crate) name_bytes: u64,
    pub(crate) pax_bytes: u64,
    pub(crate) gzip_members: u64,
    pub(crate) zstd_window_log: u32,
    pub(crate) time: Duration,
}

impl Default for SelectLimits {
    fn default() -> Self {
        Self {
            manifest: ManifestLimits::default(),
            config_bytes: 4 * MIB,
            manifest_requests: 8,
            index_depth: 2,
        }
    }
}

impl Default for ExtractLimits {
    fn default() -> Self {
        Self {
            wasm_bytes: 64 * MIB,
            archive_bytes: 256 * MIB,
            unpacked_bytes: 512 * MIB,
            ratio: 20,
            ratio_slack_bytes: 16 * MIB,
            entries: 65_536,
            name_bytes: 4 * KIB,
            pax_bytes: 64 * KIB,
            // eStargz makes one or more for each file.
            gzip_members: 131_072,
            // 32 MiB, which the decoder then needs. `zstd -19` needs 8 MiB; `--ultra -21` and
            // `--long=27` are refused.
            zstd_window_log: 25,
            time: Duration::from_mins(15),
        }
    }
}

impl ExtractLimits {
    /// Returns how many bytes a layer of `size` bytes may unpack to, by its ratio.
    pub(crate) fn by_ratio(&self, size: u64) -> u64 {
        size.saturating_mul(self.ratio)
            .saturating_add(self.ratio_slack_bytes)
    }

    /// Sets three sizes in bytes, up or down: of a raw Wasm layer (default: 64 MiB), of an archive as
    /// transferred (256 MiB) and of what all layers unpack to (512 MiB).
    ///
    /// It is meant for `max_artifact_size` of the operator's config. The other limits are fixed.
    #[must_use]
    pub fn with_artifact_bytes(mut self, most: u64) -> Self {
        self.wasm_bytes = most;
        self.archive_bytes = most;
        self.unpacked_bytes = most;
        self
    }
}

#[cfg(test)]
mod tests;

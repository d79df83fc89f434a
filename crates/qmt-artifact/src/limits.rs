//! How much of an image is read. [`ExtractLimits::with_artifact_bytes`] is for the operator's own
//! config.

use std::time::Duration;

use qmt_oci_ref::manifest::ManifestLimits;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// A zstd window that is accepted however little a layer may unpack to.
const ZSTD_WINDOW_MIN: u64 = 32 * MIB;

/// How much selection reads.
#[derive(Clone, Debug)]
pub(crate) struct SelectLimits {
    pub(crate) manifest: ManifestLimits,
    pub(crate) config_bytes: u64,
    pub(crate) manifest_requests: u64,
    pub(crate) index_depth: u64,
}

/// How much extraction reads and writes, and how long it takes.
#[derive(Clone, Debug)]
pub struct ExtractLimits {
    pub(crate) wasm_bytes: u64,
    pub(crate) archive_bytes: u64,
    pub(crate) unpacked_bytes: u64,
    pub(crate) ratio: u64,
    pub(crate) ratio_slack_bytes: u64,
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
            // 128 MiB, the default of the program `zstd`: `--ultra -22` and `--long=27`.
            zstd_window_log: 27,
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

    /// Returns the size in bytes that no layer may exceed.
    pub fn largest_layer(&self) -> u64 {
        self.archive_bytes
    }

    /// Returns the base-2 logarithm of the largest zstd window, which the decoder reserves: no more
    /// than layers may unpack to, but at least the minimum, because the windows of small layers are
    /// often larger than their content.
    pub(crate) fn window_log(&self) -> u32 {
        let useful = self.unpacked_bytes.max(ZSTD_WINDOW_MIN).ilog2();
        useful.min(self.zstd_window_log)
    }

    /// Sets three sizes in bytes, up or down: of a raw Wasm layer, of an archive and of what all
    /// layers unpack to.
    ///
    /// It is the only way to raise a limit, meant for `max_artifact_size` of the operator's config.
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

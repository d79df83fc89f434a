//! Layers that are files: a Wasm layer, or one with a title as artifact clients push it: `oras push
//! REF plugin.wasm README.md` calls each of them a plain tar archive. A title is compared like the
//! name of an archive's entry, and is never used as a path either.

use qmt_oci_ref::{Digest, DigestAlgorithm, Digester, PluginKind};

use super::archive::starts_archive;
use super::candidate::{Content, Matcher, Rank};
use super::decode::Chunks;
use super::extraction::{Chosen, Extraction, LayerTask, note};
use super::failure::Failure;
use super::path::is_plain;
use crate::error::{ArtifactError, at_most};
use crate::file_rule::FileRule;
use crate::problem::Limit;
use crate::sniff::{SNIFF_BYTES, Sniffed, sniff};

impl Matcher {
    /// Returns the rank of a layer with this title, if the title names a plugin.
    pub(super) fn rank_of_title(&self, title: &str) -> Option<Rank> {
        let title = title.as_bytes();
        is_plain(title).then(|| self.rank(title)).flatten()
    }
}

/// Distinguishes a file from an archive by its first bytes, whatever its media type.
pub(super) fn is_file(prefix: &[u8]) -> bool {
    match sniff(prefix) {
        // Text may be the name of an archive's first entry.
        None | Some(Sniffed::WasmText) => !starts_archive(prefix),
        Some(_) => true,
    }
}

impl Extraction {
    /// Takes a Wasm layer as the file.
    pub(super) fn read_raw(&mut self, mut chunks: Chunks, task: &LayerTask) -> Result<(), Failure> {
        let content = self.matcher.identify(Rank::Own, chunks.peek(SNIFF_BYTES)?);
        let content = content.map_err(|problem| {
            let file = "the layer".to_owned();
            ArtifactError::Content { file, problem }
        })?;
        self.choose_layer(chunks, task, Rank::Own, b"plugin.wasm", content)
    }

    /// Takes a layer with a title as the file, if its title is better than what was chosen so far.
    pub(super) fn read_titled(
        &mut self,
        mut chunks: Chunks,
        task: &LayerTask,
        title: &str,
    ) -> Result<(), Failure> {
        let prefix = chunks.peek(SNIFF_BYTES)?;
        let rank = match self.matcher.rank_of_title(title) {
            Some(rank) => rank,
            // A Wasm module that is the only layer may have any title.
            None if self.allows_any_title(task) && prefix.starts_with(b"\0asm") => Rank::Wasm,
            None => {
                note(&mut self.other_titles, title.as_bytes());
                return Ok(());
            }
        };
        let Some(content) = self.consider(title.as_bytes(), rank, prefix)? else {
            return Ok(());
        };
        let (what, limit) = match content.kind {
            PluginKind::Wasm => (Limit::WasmBytes, self.limits.wasm_bytes),
            PluginKind::Native => (Limit::UnpackedBytes, self.limits.unpacked_bytes),
        };
        at_most(what, limit, task.layer.size())?;
        self.choose_layer(chunks, task, rank, title.as_bytes(), content)
    }

    fn choose_layer(
        &mut self,
        chunks: Chunks,
        task: &LayerTask,
        rank: Rank,
        path: &[u8],
        content: Content,
    ) -> Result<(), Failure> {
        self.replace()?;
        self.chosen = Some(Chosen {
            rank,
            path: path.to_vec(),
            content,
            digest: self.write_layer(chunks, task.layer.digest())?,
            size: task.layer.size(),
        });
        Ok(())
    }

    /// Writes a whole layer to the sink unless the sink has it already, and returns its SHA-256
    /// digest, which the registry's stream proves where the layer is named by it.
    fn write_layer(&mut self, mut chunks: Chunks, layer: &Digest) -> Result<Digest, Failure> {
        let is_sha256 = layer.algorithm() == DigestAlgorithm::Sha256;
        if is_sha256 && self.sink.has_layer() {
            return Ok(layer.clone());
        }
        let mut digester = (!is_sha256).then(|| Digester::new(DigestAlgorithm::Sha256));
        loop {
            let bytes = chunks.take()?;
            if bytes.is_empty() {
                break;
            }
            if let Some(digester) = &mut digester {
                digester.update(&bytes);
            }
            self.sink.write_all(&bytes).map_err(Failure::sink)?;
        }
        self.sink.flush().map_err(Failure::sink)?;
        Ok(digester.map_or_else(|| layer.clone(), Digester::finish))
    }

    fn allows_any_title(&self, task: &LayerTask) -> bool {
        task.is_only_layer && matches!(self.matcher.file, FileRule::Wasm | FileRule::Either)
    }
}

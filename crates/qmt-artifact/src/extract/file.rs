//! Layers that are files: a Wasm layer, or one as artifact clients push it: `oras push REF
//! plugin.wasm README.md` calls each of them a plain tar archive and gives it a title, `regctl
//! artifact put` calls it `application/octet-stream`. A title is compared like the name of an
//! archive's entry, and is never used as a path either.

use qmt_oci_ref::{Descriptor, Digest, DigestAlgorithm, Digester, PluginKind};

use super::archive::{has_magic, starts_archive};
use super::candidate::{Content, Matcher, Rank};
use super::decode::Chunks;
use super::encoding::Encoding;
use super::extraction::{Chosen, Extraction, note};
use super::failure::Failure;
use super::path::{is_plain, normalized, split};
use crate::error::{ArtifactError, at_most, escaped};
use crate::file_rule::FileRule;
use crate::problem::{ContentProblem, LayerProblem, Limit};
use crate::sniff::{SNIFF_BYTES, Sniffed, sniff};

/// How one layer is read.
pub(super) struct LayerTask {
    pub(super) layer: Descriptor,
    pub(super) promise: Promise,
    pub(super) diff_id: Option<Digest>,
    /// The file to look for in a layer that is an archive although it should be the file.
    pub(super) packed_file: FileRule,
    /// The title of a layer that may be a file although its media type is an archive's: artifact
    /// clients call any file `…layer.v1.tar` by default.
    pub(super) title: Option<String>,
    pub(super) is_only_layer: bool,
    /// Whether the image does not list what its layers unpack to, so that they need not be those of a
    /// file system. Of several such layers, one that is not an archive is skipped.
    pub(super) is_of_artifact: bool,
}

/// What the media type of a layer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// The layer is the file itself. Without a title, the content may say otherwise.
    File,
    /// It is an archive. How that is encoded is shown by its first bytes.
    Archive(Encoding),
    /// Nothing.
    Nothing,
}

impl Matcher {
    /// Returns the rank of a layer with this title, if the title names a plugin.
    pub(crate) fn rank_of_title(&self, title: &str) -> Option<Rank> {
        self.rank(&path_of_title(title)?)
    }

    /// Reports whether the last part of a title with folders names a plugin, as in
    /// `target/plugin.wasm`.
    fn names_in_folder(&self, title: &str) -> bool {
        let path = path_of_title(title);
        path.is_some_and(|path| self.rank(split(&path).1).is_some())
    }
}

/// Returns the path that a title means, if all readers agree about it.
pub(crate) fn path_of_title(title: &str) -> Option<Vec<u8>> {
    normalized(title.as_bytes()).filter(|path| is_plain(path))
}

impl LayerTask {
    /// Reports whether the layer may be a file of any content.
    pub(super) fn may_be_file(&self) -> bool {
        !matches!(self.promise, Promise::Archive(_)) || self.title.is_some()
    }

    /// Distinguishes a file from an archive by its first bytes.
    pub(super) fn is_file(&self, prefix: &[u8]) -> bool {
        // Text may be the name of an archive's first entry.
        let is_known = !matches!(sniff(prefix), None | Some(Sniffed::WasmText));
        match (is_known, self.may_be_file()) {
            (true, true) => true,
            (false, false) => {
                let is_optional = self.is_of_artifact && !self.is_only_layer;
                is_optional && !starts_archive(prefix) && !has_magic(prefix)
            }
            (true, false) | (false, true) => !starts_archive(prefix),
        }
    }

    /// Refuses what is neither what the media type promises nor an archive.
    pub(super) fn check_promise(&self, prefix: &[u8]) -> Result<(), LayerProblem> {
        match self.promise {
            Promise::Archive(promised @ (Encoding::Gzip | Encoding::Zstd))
                if !starts_archive(prefix) =>
            {
                let promised = promised.name();
                Err(LayerProblem::WrongEncoding { promised })
            }
            _ => Ok(()),
        }
    }

    /// Returns the name of the layer for messages.
    fn name(&self) -> String {
        let digest = || self.layer.digest().to_string();
        self.title.clone().unwrap_or_else(digest)
    }
}

impl Extraction {
    /// Takes a Wasm layer as the file, or reads it as the archive that it is, unless a title says
    /// that it is the file.
    pub(super) fn read_raw(&mut self, mut chunks: Chunks, task: &LayerTask) -> Result<(), Failure> {
        let prefix = chunks.peek(SNIFF_BYTES)?;
        let problem = match self.matcher.identify(Rank::Own, prefix) {
            Ok(content) => {
                return self.choose_layer(chunks, task, Rank::Own, b"plugin.wasm", content);
            }
            Err(problem) => problem,
        };
        let may_be_archive =
            task.title.is_none() && matches!(problem, ContentProblem::Packed { .. });
        if may_be_archive && let Ok(encoding) = Encoding::of_content(prefix) {
            let limit = self.limits.archive_bytes;
            at_most(Limit::ArchiveBytes, limit, task.layer.size())?;
            let mut unpacked = self.unpack(chunks, encoding, task)?;
            if starts_archive(&unpacked.peek(SNIFF_BYTES)?) {
                self.matcher.file = task.packed_file.clone();
                return self.read_archive(unpacked);
            }
        }
        let file = escaped(task.name().as_bytes());
        Err(ArtifactError::Content { file, problem }.into())
    }

    /// Takes a layer as the file, if its title or its content is better than what was chosen so far.
    pub(super) fn read_file(
        &mut self,
        mut chunks: Chunks,
        task: &LayerTask,
    ) -> Result<(), Failure> {
        let name = task.name();
        let Some(rank) = self.rank_of_layer(task, task.title.as_deref()) else {
            note(&mut self.other_titles, name.as_bytes());
            return Ok(());
        };
        let chosen = self.chosen.as_ref().map(|chosen| &*chosen.path);
        if task.title.is_none() && chosen == Some(name.as_bytes()) {
            return Ok(()); // The manifest lists this blob twice.
        }
        let content = self.consider(name.as_bytes(), rank, chunks.peek(SNIFF_BYTES)?)?;
        let Some(content) = content else {
            if rank == Rank::AnyLayer {
                note(&mut self.other_titles, name.as_bytes());
            }
            return Ok(());
        };
        let (what, limit) = match content.kind {
            PluginKind::Wasm => (Limit::WasmBytes, self.limits.wasm_bytes),
            PluginKind::Native => (Limit::UnpackedBytes, self.limits.unpacked_bytes),
        };
        at_most(what, limit, task.layer.size())?;
        self.choose_layer(chunks, task, rank, name.as_bytes(), content)
    }

    /// Notes a compressed layer that is not an archive. It is an error if it was looked for by its
    /// title, or if nothing else is the plugin.
    pub(super) fn refuse_packed(
        &mut self,
        task: &LayerTask,
        format: &'static str,
    ) -> Result<(), Failure> {
        let name = task.name();
        let bare = task.title.as_deref();
        let bare = bare.map(|title| title.rsplit_once('.').map_or(title, |(bare, _)| bare));
        let rank = self.rank_of_layer(task, task.title.as_deref());
        let Some(rank) = rank.or_else(|| self.rank_of_layer(task, bare)) else {
            note(&mut self.other_titles, name.as_bytes());
            return Ok(());
        };
        let (file, problem) = (escaped(name.as_bytes()), ContentProblem::Packed { format });
        if rank.must_fit() {
            return Err(ArtifactError::Content { file, problem }.into());
        }
        self.rejected.get_or_insert((file, problem));
        Ok(())
    }

    /// Returns the rank of a layer that is a file, by its title. Where the title does not say, or
    /// there is no other layer, the content does.
    fn rank_of_layer(&self, task: &LayerTask, title: Option<&str>) -> Option<Rank> {
        let by_title = title.and_then(|title| self.matcher.rank_of_title(title));
        let is_named = matches!(self.matcher.file, FileRule::Layer | FileRule::Named(_));
        let by_content = || {
            let in_folder = |title| self.matcher.names_in_folder(title);
            let is_open = task.is_only_layer || title.is_none_or(in_folder);
            (is_open && !is_named).then_some(Rank::AnyLayer)
        };
        by_title.or_else(by_content)
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
            digest: self.write_layer(chunks, task)?,
            size: task.layer.size(),
        });
        Ok(())
    }

    /// Writes a whole layer to the sink unless the sink has it already, and returns its SHA-256
    /// digest, which the registry's stream proves where the layer is named by it.
    fn write_layer(&mut self, mut chunks: Chunks, task: &LayerTask) -> Result<Digest, Failure> {
        let layer = task.layer.digest();
        let is_sha256 = layer.algorithm() == DigestAlgorithm::Sha256;
        let diff_id = task.diff_id.as_ref();
        let is_known = diff_id.is_none_or(|id| id.algorithm() == layer.algorithm());
        if is_sha256 && is_known && self.sink.has_layer() {
            // The layer is the file, so that both have its digest.
            if let Some(diff_id) = diff_id {
                LayerProblem::check_diff_id(diff_id, layer.clone())?;
            }
            return Ok(layer.clone());
        }
        let mut digester = (!is_sha256).then(|| Digester::new(DigestAlgorithm::Sha256));
        let mut unpacked = diff_id.map(|diff_id| (diff_id, Digester::new(diff_id.algorithm())));
        loop {
            let bytes = chunks.take()?;
            if bytes.is_empty() {
                break;
            }
            for digester in digester
                .iter_mut()
                .chain(unpacked.as_mut().map(|(_, it)| it))
            {
                digester.update(&bytes);
            }
            self.sink.write_all(&bytes).map_err(Failure::sink)?;
        }
        self.sink.flush().map_err(Failure::sink)?;
        if let Some((expected, digester)) = unpacked {
            LayerProblem::check_diff_id(expected, digester.finish())?;
        }
        Ok(digester.map_or_else(|| layer.clone(), Digester::finish))
    }
}

//! Extraction: takes one file out of the layers, in one pass, while they arrive.
//!
//! The asynchronous side reads a layer and sends its chunks through one short channel to one
//! blocking task that decompresses, hashes and writes. Nothing of a layer is kept but the chunks in
//! flight, no tree is unpacked, and no name from an archive is ever used as a path.
//!
//! Layers are read from the top down and only as far as required: the topmost layer that holds a
//! plugin under a known name ends the search. Of an artifact whose layers are files with titles,
//! the one with the title that is looked for comes first (`file.rs`). A layer is read twice only if
//! the plugin in it is a hard link (`link.rs`).

mod archive;
pub(crate) mod candidate;
mod decode;
pub(crate) mod encoding;
mod extraction;
mod failure;
pub(crate) mod file;
mod link;
pub(crate) mod path;
mod whiteout;

use std::any::Any;
use std::collections::BTreeMap;
use std::{fmt, io};

use futures_util::StreamExt as _;
use qmt_oci_ref::{BlobStream, Descriptor, Digest, Digester, PluginKind, Registry, Repository};
use tokio::sync::mpsc;

use self::candidate::Matcher;
pub use self::candidate::kind_of;
use self::decode::{Chunks, Deadline};
use self::encoding::Encoding;
use self::extraction::{Chosen, Extraction};
use self::failure::Failure;
use self::file::{LayerTask, Promise};
use crate::error::{ArtifactError, at_most, escaped};
use crate::file_rule::FileRule;
use crate::limits::ExtractLimits;
use crate::problem::{LayerProblem, Limit};
use crate::select::{Selection, unreadable};
use crate::sniff::NativeFormat;

/// Chunks that may wait for the blocking task.
const WAITING: usize = 3;
/// How many names an error lists.
pub(crate) const LISTED: usize = 16;
/// Artifact clients put the name of a file here.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";

/// Receives the extracted file. [`Extracted::into_sink`] returns it after success; it is dropped
/// after a failure and must leave nothing behind then.
pub trait ExtractSink: io::Write + Send + Any {
    /// Discards what was written, because a better file was found.
    ///
    /// # Errors
    /// The error of the operating system.
    fn restart(&mut self) -> io::Result<()>;

    /// Reports whether a layer that is the plugin's file itself is stored by the registry given to
    /// [`extract`]. Such a layer is not written to the sink; only its first bytes are checked. A file
    /// out of an archive is written, also where the media type of the archive says Wasm.
    fn has_layer(&self) -> bool {
        false
    }
}

/// In memory, for small files and tests.
impl ExtractSink for Vec<u8> {
    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

/// A file that was extracted. Its content was identified, and hashed while it was written.
pub struct Extracted {
    file: Chosen,
    sink: Box<dyn ExtractSink>,
}

impl Extracted {
    /// Returns what the content is.
    pub fn kind(&self) -> PluginKind {
        self.file.content.kind
    }

    /// Returns a name for the file: `plugin.wasm`, `plugin.so`, `plugin.dylib` or `plugin.dll`. It
    /// is never taken from the image.
    pub fn file_name(&self) -> &str {
        let format = self.file.content.format;
        format.map_or("plugin.wasm", NativeFormat::file_name)
    }

    /// Returns the SHA-256 digest of the file.
    pub fn digest(&self) -> &Digest {
        &self.file.digest
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// Returns the architecture that native code is for, named as in a platform.
    pub fn architecture(&self) -> Option<&str> {
        self.file.content.architecture.as_deref()
    }

    /// Returns the sink that holds the file.
    pub fn into_sink(self) -> Box<dyn ExtractSink> {
        self.sink
    }
}

impl fmt::Debug for Extracted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extracted")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Takes the plugin's file out of the layers of `selection`, read from `repository` of `registry`,
/// and writes it to `sink`. A layer in which the file is a hard link is read from `registry` twice.
///
/// Must run in a Tokio runtime with its timer on; decompression and writing run on its blocking
/// threads.
///
/// # Errors
/// [`ArtifactError::Registry`] where a layer cannot be read or is not what its digest names,
/// [`ArtifactError::Layer`] where it is malformed, [`ArtifactError::Content`] where the file is not
/// a plugin of the required kind, [`ArtifactError::NoFile`] and [`ArtifactError::SeveralFiles`]
/// where there is not exactly one, [`ArtifactError::LimitExceeded`] and
/// [`ArtifactError::TimedOut`] past a limit.
///
/// # Cancel safety
/// Dropping the future ends the blocking task at its next read and drops the sink.
pub async fn extract(
    selection: &Selection,
    registry: &dyn Registry,
    repository: &Repository,
    sink: Box<dyn ExtractSink>,
    limits: &ExtractLimits,
) -> Result<Extracted, ArtifactError> {
    let run = async {
        let deadline = Deadline::new(limits);
        let matcher = Matcher {
            file: selection.file.clone(),
            required: selection.required,
            host: selection.host.clone(),
        };
        let order = order(selection, &matcher)?;
        let mut extraction = Extraction::new(matcher, sink, limits);
        if selection.required != Some(PluginKind::Native) {
            extraction.other_titles.clone_from(&selection.left_out);
        }
        for (position, layer) in order {
            // Twice at most, also from a registry that sends something else the second time.
            for _ in 0..2 {
                let task = task(selection, position, layer, limits)?;
                let start = Digester::new(layer.digest().algorithm());
                let stream = registry.blob(repository, layer, start).await;
                let stream = stream.map_err(|source| unreadable("layer", layer, source))?;
                extraction = read_layer(extraction, task, stream, layer, deadline).await?;
                if extraction.link.is_none() {
                    break;
                }
            }
            if extraction.is_done() {
                break;
            }
        }
        extraction.finish(selection.note.clone())
    };
    let seconds = limits.time.as_secs();
    let run = tokio::time::timeout(limits.time, run).await;
    let (file, sink) = run.unwrap_or(Err(ArtifactError::TimedOut { seconds }))?;
    Ok(Extracted { file, sink })
}

/// Feeds one layer to a blocking task, and reads its stream to the end even if the task requires
/// no more of it: the stream proves the digest, and bytes that were changed in transfer would
/// otherwise be reported as a defect of the layer.
async fn read_layer(
    mut extraction: Extraction,
    task: LayerTask,
    mut stream: BlobStream,
    layer: &Descriptor,
    deadline: Deadline,
) -> Result<Extraction, ArtifactError> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let mut worker = tokio::task::spawn_blocking(move || {
        let result = extraction.read(Chunks::new(receiver, deadline), &task);
        (extraction, result)
    });
    let mut ended = None;
    // Takes the sender along: after an error, the task finds its channel closed.
    let feeding = async {
        let sender = sender;
        let mut received: u64 = 0;
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                task = &mut worker, if ended.is_none() => {
                    let is_final = !matches!(task, Ok((_, Ok(()) | Err(Failure::Layer(_)))));
                    ended = Some(task);
                    if is_final {
                        return Ok(());
                    }
                    continue;
                }
            };
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(|source| unreadable("layer", layer, source))?;
            received = received.saturating_add(chunk.len() as u64);
            if received > layer.size() {
                return Err(wrong_size(layer, received));
            }
            if !chunk.is_empty() && ended.is_none() {
                // A closed channel means that the task has ended, which the next turn notices.
                let _ = sender.send(chunk).await;
            }
        }
        if received < layer.size() {
            return Err(wrong_size(layer, received));
        }
        if ended.is_none() {
            let _ = sender.send(bytes::Bytes::new()).await; // The end, see `Chunks`.
        }
        Ok(())
    };
    let fed = feeding.await;
    // Also after an error: until the task has ended, it writes to the sink.
    let task = match ended {
        Some(task) => task,
        None => worker.await,
    };
    fed?;
    let (extraction, result) = task.map_err(|_| ArtifactError::Aborted)?;
    result.map_err(|failure| failure.into_error(layer.digest()))?;
    Ok(extraction)
}

/// Returns the layers in the order in which they are read: from the top down, but of an artifact's
/// files first those whose title is looked for.
fn order<'a>(
    selection: &'a Selection,
    matcher: &Matcher,
) -> Result<Vec<(usize, &'a Descriptor)>, ArtifactError> {
    let mut order: Vec<_> = selection.layers.iter().enumerate().rev().collect();
    if !is_artifact(selection) {
        return Ok(order);
    }
    let rank = |layer: &Descriptor| matcher.rank_of_title(title(layer)?);
    let mut titles = BTreeMap::new();
    for (_, layer) in &order {
        let path = title(layer).and_then(file::path_of_title);
        if rank(layer).is_some()
            && let Some(other) = titles.insert(path, layer.digest())
            && other != layer.digest()
        {
            let duplicate = title(layer).unwrap_or_default();
            return Err(ArtifactError::SameTitle {
                digest: selection.manifest.digest().clone(),
                title: escaped(duplicate.as_bytes()),
            });
        }
    }
    // `None` is the least, and would come first.
    order.sort_by_key(|(_, layer)| rank(layer).map_or((true, None), |rank| (false, Some(rank))));
    Ok(order)
}

/// Reports whether the layers are an artifact's files rather than the layers of a file system:
/// builders give no titles, and list what each layer unpacks to.
fn is_artifact(selection: &Selection) -> bool {
    let all_titled = || selection.layers.iter().all(|layer| title(layer).is_some());
    selection.diff_ids.is_empty() && all_titled()
}

fn title(layer: &Descriptor) -> Option<&str> {
    layer.annotation(TITLE)
}

/// Decides how one layer is read, and refuses it if its size is above the limit.
fn task(
    selection: &Selection,
    position: usize,
    layer: &Descriptor,
    limits: &ExtractLimits,
) -> Result<LayerTask, ArtifactError> {
    let promise = if selection.file == FileRule::Layer {
        at_most(Limit::WasmBytes, limits.wasm_bytes, layer.size())?;
        Promise::File
    } else {
        at_most(Limit::ArchiveBytes, limits.archive_bytes, layer.size())?;
        let encoding = Encoding::of_media_type(layer.media_type());
        encoding.map_or(Promise::Nothing, Promise::Archive)
    };
    let is_named = |title: &str| match &selection.file {
        FileRule::Named(file) => file::path_of_title(title).as_deref() == Some(file.as_bytes()),
        _ => false,
    };
    let counts =
        |title: &&str| promise == Promise::Nothing || is_artifact(selection) || is_named(title);
    let title = title(layer).filter(counts);
    Ok(LayerTask {
        layer: layer.clone(),
        promise,
        diff_id: selection.diff_ids.get(position).cloned(),
        packed_file: selection.packed_file.clone(),
        title: title.map(str::to_owned),
        is_only_layer: selection.layers.len() == 1,
        is_of_artifact: selection.diff_ids.is_empty(),
    })
}

fn wrong_size(layer: &Descriptor, actual: u64) -> ArtifactError {
    let expected = layer.size();
    Failure::Layer(LayerProblem::Size { expected, actual }).into_error(layer.digest())
}

#[cfg(test)]
mod tests;

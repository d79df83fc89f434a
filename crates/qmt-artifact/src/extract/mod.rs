//! Extraction: one file out of the layers, in one pass, while they arrive.
//!
//! The asynchronous side reads a layer and hands its chunks through a short channel to a blocking
//! thread that decompresses, hashes and writes. Nothing of a layer is kept but the chunk in hand,
//! no tree is unpacked, and no name from an archive is ever used as a path.
//!
//! Layers are read from the top down and only as far as needed: the topmost layer that holds a
//! plugin under a known name ends the search. Of an artifact whose layers are files with titles,
//! the one with the title that is looked for comes first (`layer/titled.rs`).

mod decode;
pub(crate) mod encoding;
mod failure;
mod hidden;
mod layer;
pub(crate) mod limits;
pub(crate) mod path;
pub(crate) mod rule;
mod tar;

use std::any::Any;
use std::collections::BTreeSet;
use std::time::Instant;
use std::{fmt, io};

use futures_util::StreamExt as _;
use qmt_oci_ref::{Descriptor, Digest};
use tokio::sync::mpsc::{self, Sender};

use self::decode::{Chunks, Message};
use self::encoding::Encoding;
use self::failure::Failure;
use self::layer::{Extraction, Rest, Task};
use self::limits::ExtractLimits;
use self::rule::Rule;
use crate::error::{ArtifactError, LayerProblem, Limit, shown};
use crate::kind::{FileRule, PluginKind};
use crate::select::Selection;
use crate::source::{LayerSource, LayerStream};

/// Chunks that may wait for the blocking side.
const WAITING: usize = 3;
/// How many names an error lists.
const LISTED: usize = 16;
/// Artifact clients put the name of a file here.
const TITLE: &str = "org.opencontainers.image.title";

/// Where the extracted file goes. It is handed back by [`Extracted::into_sink`] when all is well,
/// and dropped when it is not: a sink must leave nothing behind then.
pub trait ExtractSink: io::Write + Send + Any {
    /// Throws away what was written, because a better file was found.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn restart(&mut self) -> io::Result<()>;

    /// Reports whether a layer that is the plugin's file itself reaches its place without this
    /// sink: its source keeps what it streams. Such a layer is not written here, and only its first
    /// bytes are looked at.
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

/// A file that was extracted: its content was judged, and hashed while it was written.
pub struct Extracted {
    kind: PluginKind,
    file_name: String,
    digest: Digest,
    size: u64,
    architecture: Option<String>,
    sink: Box<dyn ExtractSink>,
}

impl Extracted {
    /// Returns what the content is.
    pub fn kind(&self) -> PluginKind {
        self.kind
    }

    /// Returns a name for the file: `plugin.wasm`, `plugin.so`, `plugin.dylib` or `plugin.dll`. It
    /// is ours and never taken from the image.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Returns the SHA-256 digest of the file.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the architecture that native code is for, named as in a platform.
    pub fn architecture(&self) -> Option<&str> {
        self.architecture.as_deref()
    }

    /// Returns the sink that holds the file.
    pub fn into_sink(self) -> Box<dyn ExtractSink> {
        self.sink
    }
}

impl fmt::Debug for Extracted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extracted")
            .field("kind", &self.kind)
            .field("file_name", &self.file_name)
            .field("digest", &self.digest)
            .field("size", &self.size)
            .field("architecture", &self.architecture)
            .finish_non_exhaustive()
    }
}

/// Takes the plugin's file out of the layers of `selection` and writes it to `sink`.
///
/// Must run in a Tokio runtime with its timer on; the work is done on its blocking threads.
///
/// # Errors
/// [`ArtifactError::Source`] where a layer cannot be had or is not what its digest says,
/// [`ArtifactError::Layer`] where it is malformed, [`ArtifactError::Content`] where the file is not
/// what it is about to be called, [`ArtifactError::NoFile`] and
/// [`ArtifactError::SeveralLibraries`] where there is none or no single one,
/// [`ArtifactError::OtherFiles`] and [`ArtifactError::SameTitle`] likewise for files with titles,
/// [`ArtifactError::TooMuch`] and [`ArtifactError::TimedOut`] past a limit.
///
/// # Cancel safety
/// Dropping the future ends the blocking side at its next read and drops the sink.
pub async fn extract(
    selection: &Selection,
    layers: &dyn LayerSource,
    sink: Box<dyn ExtractSink>,
    limits: &ExtractLimits,
) -> Result<Extracted, ArtifactError> {
    let deadline = Instant::now().checked_add(limits.time);
    let deadline = deadline.unwrap_or_else(Instant::now);
    let run = run(selection, layers, sink, limits, deadline);
    let seconds = limits.time.as_secs();
    tokio::time::timeout(limits.time, run)
        .await
        .unwrap_or(Err(ArtifactError::TimedOut { seconds }))
}

async fn run(
    selection: &Selection,
    layers: &dyn LayerSource,
    sink: Box<dyn ExtractSink>,
    limits: &ExtractLimits,
    deadline: Instant,
) -> Result<Extracted, ArtifactError> {
    let host = selection.host.clone();
    let rule = Rule::new(selection.file.clone(), selection.required, host);
    let order = order(selection, &rule)?;
    let mut extraction = Extraction::new(rule, sink, limits);
    for (nth, layer) in order {
        let task = task(selection, nth, layer, limits)?;
        let stream = layers
            .layer(layer)
            .await
            .map_err(|source| unread(layer, source))?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let chunks = Chunks::new(receiver, deadline, limits);
        let worker = tokio::task::spawn_blocking(move || {
            let result = extraction.read(chunks, &task);
            (extraction, result)
        });
        let fed = feed(stream, sender, layer).await;
        // The worker ends in any case: its channel is closed by now.
        let (returned, result) = worker.await.map_err(|_| ArtifactError::Aborted)?;
        conclude(fed?, result, layer).await?;
        extraction = returned;
        if extraction.is_settled() {
            break;
        }
    }
    let (taken, sink) = extraction.finish(selection.note.clone())?;
    let extension = taken
        .judged
        .format
        .map_or("wasm", crate::NativeFormat::extension);
    Ok(Extracted {
        kind: taken.judged.kind,
        file_name: format!("plugin.{extension}"),
        digest: taken.digest,
        size: taken.size,
        architecture: taken.judged.architecture,
        sink,
    })
}

/// Says in which order layers are read: from the top down, but of an artifact's files first those
/// whose title is looked for.
fn order<'a>(
    selection: &'a Selection,
    rule: &Rule,
) -> Result<Vec<(usize, &'a Descriptor)>, ArtifactError> {
    let mut order: Vec<_> = selection.layers.iter().enumerate().rev().collect();
    if !is_artifact(selection) {
        return Ok(order);
    }
    let class = |layer: &Descriptor| rule.class_of_title(title(layer)?);
    let mut titles = BTreeSet::new();
    for (_, layer) in &order {
        if class(layer).is_some() && !titles.insert(title(layer)) {
            let twice = title(layer).unwrap_or_default();
            return Err(ArtifactError::SameTitle {
                digest: selection.manifest.digest().clone(),
                title: shown(twice.as_bytes()),
            });
        }
    }
    // `None` is the least, and would come first.
    order.sort_by_key(|(_, layer)| class(layer).map_or((true, None), |class| (false, Some(class))));
    Ok(order)
}

/// Reports whether the layers are an artifact's files rather than the layers of a file system:
/// builders give no titles, and list what each layer unpacks to.
fn is_artifact(selection: &Selection) -> bool {
    let all_titled = || selection.layers.iter().all(|layer| title(layer).is_some());
    selection.diff_ids.is_empty() && all_titled()
}

fn title(layer: &Descriptor) -> Option<&str> {
    layer.annotations().get(TITLE).map(String::as_str)
}

/// Says how one layer is read, and refuses it if it is too large to begin with.
fn task(
    selection: &Selection,
    nth: usize,
    layer: &Descriptor,
    limits: &ExtractLimits,
) -> Result<Task, ArtifactError> {
    let encoding = match selection.file {
        FileRule::Layer => None,
        _ => Some(Encoding::of_media_type(layer.media_type()).unwrap_or(Encoding::Plain)),
    };
    let (what, limit) = match encoding {
        None => (Limit::WasmBytes, limits.wasm_bytes),
        Some(_) => (Limit::ArchiveBytes, limits.archive_bytes),
    };
    if layer.size() > limit {
        return Err(ArtifactError::TooMuch {
            what,
            limit,
            found: layer.size(),
        });
    }
    let named = |title: &&str| matches!(&selection.file, FileRule::Named(file) if file == title);
    let title = title(layer).filter(|title| is_artifact(selection) || named(title));
    Ok(Task {
        size: layer.size(),
        encoding,
        diff_id: selection.diff_ids.get(nth).cloned(),
        proven: layer.digest().clone(),
        title: title.map(str::to_owned),
        alone: selection.layers.len() == 1,
    })
}

/// How the asynchronous side of a layer ended.
enum Fed {
    /// All of it was handed over.
    All,
    /// The blocking side wanted no more; so many bytes are still to come.
    Refused(LayerStream, u64),
}

/// Hands a layer's chunks to the blocking side.
async fn feed(
    mut stream: LayerStream,
    sender: Sender<Message>,
    layer: &Descriptor,
) -> Result<Fed, ArtifactError> {
    let mut left = layer.size();
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            () = sender.closed() => return Ok(Fed::Refused(stream, left)),
        };
        let Some(chunk) = next else {
            break;
        };
        let chunk = chunk.map_err(|source| unread(layer, source))?;
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        left = left
            .checked_sub(length)
            .ok_or_else(|| wrong_size(layer, left, length))?;
        if !chunk.is_empty() && sender.send(Message::Chunk(chunk)).await.is_err() {
            return Ok(Fed::Refused(stream, left));
        }
    }
    if left > 0 {
        return Err(wrong_size(layer, left, 0));
    }
    // A worker that is gone by now has its reason, which counts more than the end.
    let _ = sender.send(Message::End).await;
    Ok(Fed::All)
}

/// Weighs the verdicts of both sides. Damage on the way would look like a bad archive, so the
/// source, which proves the digest, is heard to its end before the archive is blamed.
async fn conclude(
    fed: Fed,
    result: Result<Rest, Failure>,
    layer: &Descriptor,
) -> Result<(), ArtifactError> {
    match (result, fed) {
        (Ok(_), Fed::All) => Ok(()),
        (Ok(Rest::Proof), Fed::Refused(stream, left)) => hear_out(stream, left, layer).await,
        // Nothing is taken from a layer that was not proven to its end.
        (Ok(Rest::Nothing), Fed::Refused(..)) => Err(ArtifactError::Aborted),
        (Err(failure), fed) => {
            if let Fed::Refused(stream, left) = fed
                && failure.may_be_the_transfers()
            {
                hear_out(stream, left, layer).await?;
            }
            Err(failure.into_error(layer.digest()))
        }
    }
}

/// Lets the source go through the `left` bytes that nobody else wants, and say whether all are right.
async fn hear_out(
    mut stream: LayerStream,
    mut left: u64,
    layer: &Descriptor,
) -> Result<(), ArtifactError> {
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|source| unread(layer, source))?;
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        left = left
            .checked_sub(length)
            .ok_or_else(|| wrong_size(layer, left, length))?;
    }
    if left > 0 {
        return Err(wrong_size(layer, left, 0));
    }
    Ok(())
}

fn unread(layer: &Descriptor, source: crate::error::BoxError) -> ArtifactError {
    ArtifactError::Source {
        what: "layer",
        digest: layer.digest().clone(),
        source,
    }
}

fn wrong_size(layer: &Descriptor, left: u64, more: u64) -> ArtifactError {
    let expected = layer.size();
    let actual = expected.saturating_sub(left).saturating_add(more);
    let source = LayerProblem::Size { expected, actual };
    ArtifactError::Layer {
        layer: layer.digest().clone(),
        source,
    }
}

#[cfg(test)]
mod tests;

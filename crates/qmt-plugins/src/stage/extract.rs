//! **fetch** and **extract**: layers → the one file that is the plugin, in one pass.
//!
//! The two are one step, because nothing is read twice: a layer is hashed, kept, unpacked and
//! searched while it arrives. See `adapter/layers.rs` for the fetching half.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use qmt_artifact::{ExtractSink, FileRule, PluginKind};
use qmt_cache::{Record, Staging};
use qmt_oci_ref::Digest;

use super::resolve::Pinned;
use super::select::Selected;
use super::{Context, Request};
use crate::adapter::RegistryLayers;
use crate::error::Error;
use crate::events::Stage;

/// How often a download begins anew: each time one mirror less is asked.
const TRIES_MAX: usize = 8;

/// A file in the staging area, without a name yet, and what it is.
#[derive(Debug)]
pub(crate) struct Extracted {
    staging: Staging,
    kind: PluginKind,
    file_name: String,
    digest: Digest,
    size: u64,
}

impl Extracted {
    /// Hands over what the cache needs to give the file its name.
    pub(super) fn into_parts(self, pinned: &Pinned, selected: &Selected) -> (Staging, Record) {
        let record = Record::new(
            selected.key().clone(),
            pinned.digest().clone(),
            self.kind.to_string(),
            self.file_name,
            self.digest,
            self.size,
        )
        .with_manifest_media_type(selected.selection().manifest().media_type().clone())
        .with_note(
            "manifest",
            selected.selection().manifest().digest().to_string(),
        );
        let record = match selected.selection().platform() {
            Some(platform) => record.with_platform(platform.clone()),
            None => record,
        };
        (self.staging, record)
    }
}

/// Streams the layers through the extraction into `staging`.
pub(crate) async fn extract(
    context: &Context,
    request: &Request,
    pinned: &Pinned,
    selected: &Selected,
    staging: Staging,
) -> Result<Extracted, Error> {
    context.need_network(request, "the plugin")?;
    context.reporter.started(Stage::Fetch);
    let selection = selected.selection();
    let total = selection
        .layers()
        .iter()
        .fold(0u64, |sum, layer| sum.saturating_add(layer.size()));
    let staging = Arc::new(Mutex::new(staging));
    let mut tries = 0;
    let extracted = loop {
        tries += 1;
        let layers = RegistryLayers::new(
            &*context.registry,
            pinned.pin().repository(),
            Arc::clone(&staging),
            total,
            context.reporter.clone(),
        );
        let sink: Box<dyn ExtractSink> = if selection.file() == FileRule::Layer {
            // The layer is the file: the partial blob becomes the artifact, nothing is written twice.
            Box::new(Unwritten)
        } else {
            Box::new(Sink(Arc::clone(&staging)))
        };
        match qmt_artifact::extract(selection, &layers, sink, &context.limits).await {
            Ok(extracted) => break extracted,
            // An earlier run's rest or a mirror was wrong. It is gone now: again from the first byte.
            Err(_) if layers.is_tainted() && tries < TRIES_MAX => {
                context
                    .reporter
                    .warning("what came so far was not what was asked for; starting over");
                restart(&staging).map_err(|source| context.artifact_io(pinned, source))?;
            }
            Err(source) => {
                let reference = pinned.pin().to_string();
                return Err(Error::Artifact {
                    plugin: context.plugin(),
                    reference,
                    source,
                });
            }
        }
    };
    let (kind, digest, size) = (
        extracted.kind(),
        extracted.digest().clone(),
        extracted.size(),
    );
    let file_name = extracted.file_name().to_owned();
    drop(extracted); // It holds the sink, and that the staging area.
    let staging = Arc::into_inner(staging).ok_or_else(|| {
        context.artifact_io(pinned, io::Error::other("the staging area is still in use"))
    })?;
    let staging = staging.into_inner().unwrap_or_else(PoisonError::into_inner);
    context.reporter.finished(
        Stage::Fetch,
        format!("{file_name}, {kind}, {size} bytes, {digest}"),
    );
    Ok(Extracted {
        staging,
        kind,
        file_name,
        digest,
        size,
    })
}

impl Context {
    fn artifact_io(&self, pinned: &Pinned, source: io::Error) -> Error {
        let path = std::path::PathBuf::from(pinned.pin().to_string());
        Error::File {
            plugin: self.plugin(),
            path,
            source,
        }
    }
}

fn restart(staging: &Mutex<Staging>) -> io::Result<()> {
    staging
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .restart()
}

/// Writes the extracted file into the staging area.
struct Sink(Arc<Mutex<Staging>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .flush()
    }
}

impl ExtractSink for Sink {
    fn restart(&mut self) -> io::Result<()> {
        restart(&self.0)
    }
}

/// For a layer that is the file: the partial blob holds it already.
struct Unwritten;

impl Write for Unwritten {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ExtractSink for Unwritten {
    fn restart(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn has_layer(&self) -> bool {
        true
    }
}

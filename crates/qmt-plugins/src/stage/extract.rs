//! **fetch** and **extract**: layers → the one file that is the plugin.
//!
//! The two are one step: a layer is hashed, stored, unpacked and searched while it arrives. Only
//! where the plugin is a hard link, its layer is read again. `caching/layers.rs` is the fetching
//! half.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use qmt_artifact::{ExtractSink, FileRule};
use qmt_cache::{Record, Staging};
use qmt_oci_ref::Descriptor;
use qmt_oci_ref::text::counted;

use super::select::Selected;
use super::verify::Verified;
use super::{Context, StageError};
use crate::caching::ResumingLayers;
use crate::events::Stage;

/// How often a download starts from the beginning, after wrong content of a mirror, which is not
/// asked again, or of a transfer that broke off.
const ATTEMPTS_MAX: usize = 8;

/// A plugin's file in the staging area, which has no name in the cache yet.
#[derive(Debug)]
pub(crate) struct Extracted {
    selected: Selected,
    staging: Staging,
    record: Record,
}

impl Extracted {
    pub(super) fn selected(&self) -> &Selected {
        &self.selected
    }

    /// Returns the staging area, and the record that the cache stores with the file.
    pub(super) fn into_parts(self) -> (Staging, Record, Verified) {
        (self.staging, self.record, self.selected.into_verified())
    }
}

/// Streams the selected layers through the extraction into `staging`.
pub(crate) async fn extract(
    context: &Context,
    selected: Selected,
    staging: Staging,
) -> Result<Extracted, StageError> {
    context.reporter.started(Stage::Fetch);
    let selection = selected.selection();
    let sizes = selection.layers().iter().map(Descriptor::size);
    let total = sizes.fold(0, u64::saturating_add);
    let repository = selected.verified().resolved().pin().repository();
    let staging = Arc::new(Mutex::new(staging));
    let mut attempts = 1;
    let extracted = loop {
        let layers = ResumingLayers::new(
            &context.registry,
            Arc::clone(&staging),
            total,
            context.reporter.clone(),
        );
        let sink = Box::new(StagingSink {
            staging: Arc::clone(&staging),
            has_layer: selection.file() == FileRule::Layer,
        });
        let limits = &context.limits;
        match qmt_artifact::extract(selection, &layers, repository, sink, limits).await {
            Ok(extracted) => break extracted,
            Err(_) if layers.is_tainted() && attempts < ATTEMPTS_MAX => {
                attempts += 1;
                context
                    .reporter
                    .warning("the content did not match its digest; downloading it again");
                restart(&staging).map_err(stopped)?;
            }
            Err(error) => return Err(StageError::Extract(error)),
        }
    };
    let (kind, size) = (extracted.kind(), extracted.size());
    let (file_name, digest) = (extracted.file_name().to_owned(), extracted.digest().clone());
    drop(extracted); // Its sink shares the staging area.
    let staging = Arc::into_inner(staging)
        .ok_or_else(|| stopped(io::Error::other("the staging area is still in use")))?;
    context.reporter.finished(
        Stage::Fetch,
        format!("{file_name}, {kind}, {}, {digest}", counted(size, "byte")),
    );
    let manifest = selection.manifest();
    let root = selected.verified().resolved().pin().digest().clone();
    let key = selected.key().clone();
    let mut record = Record::new(key, root, kind, file_name, digest, size)
        .with_manifest_media_type(manifest.media_type().clone())
        .with_note("manifest", manifest.digest().to_string());
    if let Some(platform) = selection.platform() {
        record = record.with_platform(platform.clone());
    }
    Ok(Extracted {
        staging: staging.into_inner().unwrap_or_else(PoisonError::into_inner),
        selected,
        record,
    })
}

fn stopped(source: io::Error) -> StageError {
    let doing = "extracting";
    StageError::Stopped { doing, source }
}

fn restart(staging: &Mutex<Staging>) -> io::Result<()> {
    let mut staging = staging.lock().unwrap_or_else(PoisonError::into_inner);
    staging.restart()
}

/// Writes the extracted file to the staging area.
struct StagingSink {
    staging: Arc<Mutex<Staging>>,
    /// A layer that is the file itself is not written: its partial blob becomes the artifact.
    has_layer: bool,
}

impl Write for StagingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        staging.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        staging.flush()
    }
}

impl ExtractSink for StagingSink {
    fn restart(&mut self) -> io::Result<()> {
        restart(&self.staging)
    }

    fn has_layer(&self) -> bool {
        self.has_layer
    }
}

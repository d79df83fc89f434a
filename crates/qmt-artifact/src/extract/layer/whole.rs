//! A layer that is the plugin's file itself.

use qmt_oci_ref::{Digest, DigestAlgorithm, Digester};

use super::{Extraction, Rest, Taken, Task};
use crate::error::ArtifactError;
use crate::extract::decode::Chunks;
use crate::extract::failure::Failure;
use crate::extract::rule::Class;
use crate::sniff::SNIFF_BYTES;

impl Extraction {
    /// Takes a whole layer as the file. Its bytes are hashed by the source already.
    pub(super) fn read_file(&mut self, mut chunks: Chunks, task: &Task) -> Result<Rest, Failure> {
        let judged = self.rule.judge_layer(chunks.peek(SNIFF_BYTES)?);
        let judged = judged.map_err(|found| {
            Failure::Other(ArtifactError::Content {
                file: "the layer".to_owned(),
                found,
            })
        })?;
        self.clear()?;
        let (digest, rest) = self.take_layer(chunks, task)?;
        let (path, size) = (b"plugin.wasm".to_vec(), task.size);
        self.taken = Some(Taken {
            class: Class::Own,
            path,
            judged,
            digest,
            size,
        });
        Ok(rest)
    }

    /// Leaves a whole layer to the sink, and returns the file's digest.
    pub(super) fn take_layer(
        &mut self,
        chunks: Chunks,
        task: &Task,
    ) -> Result<(Digest, Rest), Failure> {
        let is_hashed = task.proven.algorithm() == DigestAlgorithm::Sha256;
        if is_hashed && self.sink.has_layer() {
            return Ok((task.proven.clone(), Rest::Proof));
        }
        let digester = (!is_hashed).then(|| Digester::new(DigestAlgorithm::Sha256));
        let digest = self.write_layer(chunks, digester)?;
        Ok((digest.unwrap_or_else(|| task.proven.clone()), Rest::Nothing))
    }

    /// Writes what is left of a layer, and returns its digest where it is to be computed.
    fn write_layer(
        &mut self,
        mut chunks: Chunks,
        mut digester: Option<Digester>,
    ) -> Result<Option<Digest>, Failure> {
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
        Ok(digester.map(Digester::finish))
    }
}

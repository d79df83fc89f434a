//! From the bytes of a layer, as they arrive, to the bytes of its archive, counted and hashed.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use flate2::bufread::GzDecoder;
use qmt_oci_ref::{Digest, Digester};
use tokio::sync::mpsc::Receiver;

use super::encoding::{Encoding, ZSTD_HEADER_BYTES, zstd_window};
use super::failure::Failure;
use crate::error::{ArtifactError, at_most};
use crate::limits::ExtractLimits;
use crate::problem::{LayerProblem, Limit};

/// When an extraction must be done.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    seconds: u64,
}

impl Deadline {
    pub(super) fn new(limits: &ExtractLimits) -> Self {
        let now = Instant::now();
        Self {
            at: now.checked_add(limits.time).unwrap_or(now),
            seconds: limits.time.as_secs(),
        }
    }

    fn check(self) -> Result<(), Failure> {
        if Instant::now() >= self.at {
            let seconds = self.seconds;
            return Err(ArtifactError::TimedOut { seconds }.into());
        }
        Ok(())
    }
}

/// The layer as it is transferred: a blocking reader over the channel, in which an empty chunk
/// marks the end. A channel that closes without it was abandoned.
pub(super) struct Chunks {
    channel: Receiver<Bytes>,
    current: Bytes,
    is_ended: bool,
    deadline: Deadline,
}

impl Chunks {
    pub(super) fn new(channel: Receiver<Bytes>, deadline: Deadline) -> Self {
        Self {
            channel,
            current: Bytes::new(),
            is_ended: false,
            deadline,
        }
    }

    /// Takes the next bytes; empty at the end of the layer.
    pub(super) fn take(&mut self) -> Result<Bytes, Failure> {
        self.fill()?;
        Ok(std::mem::take(&mut self.current))
    }

    /// Returns at least `count` bytes without taking them, or all that are left.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8], Failure> {
        self.fill()?;
        if self.current.len() < count && !self.is_ended {
            let mut joined = BytesMut::from(self.current.as_ref());
            while joined.len() < count && !self.is_ended {
                self.receive()?;
                joined.extend_from_slice(&self.current);
            }
            self.current = joined.freeze();
        }
        Ok(&self.current)
    }

    fn fill(&mut self) -> Result<(), Failure> {
        if self.current.is_empty() && !self.is_ended {
            self.receive()?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Failure> {
        self.deadline.check()?;
        let chunk = self.channel.blocking_recv();
        self.current = chunk.ok_or(Failure::Other(ArtifactError::Aborted))?;
        self.is_ended = self.current.is_empty();
        Ok(())
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let count = self.current.len().min(buffer.len());
        if let Some(target) = buffer.get_mut(..count) {
            self.current.copy_to_slice(target);
        }
        Ok(count)
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill()?;
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count.min(self.current.len()));
    }
}

/// How far a layer was decompressed, and whether it ended. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Position(Rc<Cell<Reached>>);

#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    count: u64,
    /// The position after the last byte that is not zero.
    data_end: u64,
    is_ended: bool,
}

impl Position {
    /// Notes what was read next; nothing at the end.
    fn advance(&self, bytes: &[u8]) {
        let mut reached = self.0.get();
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            reached.data_end = reached.count.saturating_add(last as u64 + 1);
        }
        reached.count = reached.count.saturating_add(bytes.len() as u64);
        reached.is_ended = bytes.is_empty();
        self.0.set(reached);
    }

    fn count(&self) -> u64 {
        self.0.get().count
    }

    /// Reports whether the layer has ended after `end` bytes of entries, with nothing but zeros and
    /// the rest of a block behind them.
    pub(super) fn has_only_padding_after(&self, end: u64) -> bool {
        let reached = self.0.get();
        let block_end = end.checked_next_multiple_of(BLOCK);
        reached.is_ended
            && reached.count >= end
            && block_end.is_some_and(|block_end| reached.data_end <= block_end)
    }
}

/// Bytes of a block of a tar archive.
const BLOCK: u64 = 512;

/// The decompressed layer, bounded in size and ratio, and hashed if the config names its digest.
pub(super) struct Unpacked {
    decoder: Box<dyn Read>,
    position: Position,
    deadline: Deadline,
    /// At most so many bytes, and which limit that is.
    limit: (u64, Limit),
    diff_id: Option<(Digest, Digester)>,
}

impl Unpacked {
    /// Decodes `chunks`, a layer of `size` bytes, after other layers unpacked to `before` bytes.
    pub(super) fn new(
        chunks: Chunks,
        encoding: Encoding,
        size: u64,
        before: u64,
        diff_id: Option<&Digest>,
        limits: &ExtractLimits,
    ) -> Result<Self, Failure> {
        let remaining = limits.unpacked_bytes.saturating_sub(before);
        let by_ratio = limits.by_ratio(size);
        let limit = if by_ratio < remaining {
            (by_ratio, Limit::Ratio)
        } else {
            (remaining, Limit::UnpackedBytes)
        };
        Ok(Self {
            deadline: chunks.deadline,
            decoder: decoder(chunks, encoding, limits)?,
            position: Position::default(),
            limit,
            diff_id: diff_id.map(|digest| (digest.clone(), Digester::new(digest.algorithm()))),
        })
    }

    /// Returns how far it is read, also later.
    pub(super) fn position(&self) -> Position {
        self.position.clone()
    }

    /// Returns the first `count` bytes without taking them, or all if there are fewer.
    pub(super) fn peek(&mut self, count: usize) -> Result<Bytes, Failure> {
        let mut decoder = std::mem::replace(&mut self.decoder, Box::new(io::empty()));
        let mut start = Vec::new();
        decoder
            .by_ref()
            .take(count as u64)
            .read_to_end(&mut start)?;
        let start = Bytes::from(start);
        self.decoder = Box::new(start.clone().reader().chain(decoder));
        Ok(start)
    }

    /// Reads to the end of the layer, whose checksums then held, compares its digest with the one
    /// of the image config, and returns its size in bytes.
    pub(super) fn finish(mut self) -> Result<u64, Failure> {
        io::copy(&mut self, &mut io::sink())?;
        if let Some((expected, digester)) = self.diff_id {
            LayerProblem::check_diff_id(&expected, digester.finish())?;
        }
        Ok(self.position.count())
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0); // Not the end of a gzip member.
        }
        self.deadline.check()?;
        let count = self.decoder.read(buffer).map_err(Failure::from)?;
        let read = buffer.get(..count).unwrap_or_default();
        self.position.advance(read);
        let (limit, what) = self.limit;
        at_most(what, limit, self.position.count()).map_err(Failure::from)?;
        if let Some((_, digester)) = &mut self.diff_id {
            digester.update(read);
        }
        Ok(count)
    }
}

fn decoder(
    mut chunks: Chunks,
    encoding: Encoding,
    limits: &ExtractLimits,
) -> Result<Box<dyn Read>, Failure> {
    Ok(match encoding {
        Encoding::Plain => Box::new(chunks),
        Encoding::Gzip => Box::new(Members {
            current: Some(Box::new(GzDecoder::new(chunks))),
            count: 1,
            limit: limits.gzip_members,
        }),
        Encoding::Zstd => {
            let window_log = limits.window_log();
            // The decoder refuses later frames with larger windows, in words of its own.
            let window = zstd_window(chunks.peek(ZSTD_HEADER_BYTES)?).unwrap_or_default();
            let limit = 1 << window_log;
            if window > limit {
                return Err(LayerProblem::ZstdWindow { window, limit }.into());
            }
            let mut decoder = zstd::stream::read::Decoder::with_buffer(chunks)?;
            decoder.window_log_max(window_log)?;
            Box::new(decoder)
        }
    })
}

/// How a gzip member begins.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A gzip file: one member after the other, counted. Anything after the last is an error, except
/// for zeros, which fill a block.
struct Members {
    current: Option<Box<GzDecoder<Chunks>>>,
    count: u64,
    limit: u64,
}

impl Read for Members {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut current) = self.current.take() {
            let count = current.read(buffer)?;
            if count > 0 {
                self.current = Some(current);
                return Ok(count);
            }
            let mut chunks = current.into_inner();
            match chunks.fill_buf()?.first() {
                None => break,
                Some(0) => {
                    check_zeros(chunks)?;
                    break;
                }
                Some(_) => {}
            }
            // Fewer bytes are a member that is cut short.
            let start = chunks.peek(GZIP_MAGIC.len())?;
            if !GZIP_MAGIC.starts_with(start.get(..GZIP_MAGIC.len()).unwrap_or(start)) {
                let problem = "data after the last gzip member, which is not another one";
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            self.count = self.count.saturating_add(1);
            at_most(Limit::GzipMembers, self.limit, self.count).map_err(Failure::from)?;
            self.current = Some(Box::new(GzDecoder::new(chunks)));
        }
        Ok(0)
    }
}

/// Reads to the end of the layer, whose size is limited, and checks that it is zeros only.
fn check_zeros(mut chunks: Chunks) -> io::Result<()> {
    loop {
        let bytes = chunks.fill_buf()?;
        if bytes.iter().any(|byte| *byte != 0) {
            let problem = "data after the zeros that follow the last gzip member";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let count = bytes.len();
        if count == 0 {
            return Ok(());
        }
        chunks.consume(count);
    }
}

//! From the bytes of a layer, as they arrive, to the bytes of its archive, counted and hashed.

use std::io::{self, BufRead, Read};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use flate2::bufread::GzDecoder;
use qmt_oci_ref::{Digest, Digester};
use tokio::sync::mpsc::Receiver;

use super::encoding::{Encoding, MAGIC_BYTES};
use super::failure::Failure;
use super::limits::ExtractLimits;
use crate::error::{ArtifactError, LayerProblem, Limit};

/// Bytes that are decompressed, hashed and written in one go.
const BUFFER_BYTES: usize = 256 * 1024;

/// What the asynchronous side sends. A channel that closes without `End` was given up.
pub(super) enum Message {
    Chunk(Bytes),
    End,
}

/// The layer as it is transferred: a blocking reader over the channel.
pub(super) struct Chunks {
    channel: Receiver<Message>,
    current: Bytes,
    ended: bool,
    deadline: Instant,
    seconds: u64,
}

impl Chunks {
    pub(super) fn new(
        channel: Receiver<Message>,
        deadline: Instant,
        limits: &ExtractLimits,
    ) -> Self {
        let seconds = limits.time.as_secs();
        Self {
            channel,
            current: Bytes::new(),
            ended: false,
            deadline,
            seconds,
        }
    }

    /// Returns the next bytes without taking them; empty at the end of the layer.
    pub(super) fn fill(&mut self) -> Result<&Bytes, Failure> {
        while self.current.is_empty() && !self.ended {
            self.receive()?;
        }
        Ok(&self.current)
    }

    /// Takes the next bytes; empty at the end of the layer.
    pub(super) fn take(&mut self) -> Result<Bytes, Failure> {
        self.fill()?;
        Ok(std::mem::take(&mut self.current))
    }

    /// Returns at least `count` bytes without taking them, or all there are.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8], Failure> {
        self.fill()?;
        if self.current.len() < count && !self.ended {
            let mut joined = BytesMut::from(self.current.as_ref());
            while joined.len() < count && !self.ended {
                self.current = Bytes::new();
                self.receive()?;
                joined.extend_from_slice(&self.current);
            }
            self.current = joined.freeze();
        }
        Ok(&self.current)
    }

    fn receive(&mut self) -> Result<(), Failure> {
        self.check_time()?;
        match self.channel.blocking_recv() {
            Some(Message::Chunk(bytes)) => self.current = bytes,
            Some(Message::End) => self.ended = true,
            None => return Err(Failure::Other(ArtifactError::Aborted)),
        }
        Ok(())
    }

    fn check_time(&self) -> Result<(), Failure> {
        if Instant::now() >= self.deadline {
            return Err(Failure::Other(ArtifactError::TimedOut {
                seconds: self.seconds,
            }));
        }
        Ok(())
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill()?;
        let count = available.len().min(buffer.len());
        let (from, to) = (available.get(..count), buffer.get_mut(..count));
        if let (Some(from), Some(to)) = (from, to) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.fill()?)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count.min(self.current.len()));
    }
}

/// The decompressed layer, bounded in size and ratio, and hashed if the config names its digest.
pub(super) struct Unpacked {
    decoder: Decoder,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    ended: bool,
    count: u64,
    /// At most so many bytes, and which limit that is.
    limit: (u64, Limit),
    diff_id: Option<(Digest, Digester)>,
}

impl Unpacked {
    /// Decodes `chunks`, a layer of `size` bytes, of which all layers have unpacked `before` bytes.
    pub(super) fn new(
        mut chunks: Chunks,
        encoding: Encoding,
        size: u64,
        before: u64,
        diff_id: Option<&Digest>,
        limits: &ExtractLimits,
    ) -> Result<Self, Failure> {
        encoding.check(chunks.peek(MAGIC_BYTES)?)?;
        let left = limits.unpacked_bytes.saturating_sub(before);
        let by_ratio = size
            .saturating_mul(limits.ratio)
            .saturating_add(limits.ratio_slack_bytes);
        let limit = if by_ratio < left {
            (by_ratio, Limit::Ratio)
        } else {
            (left, Limit::UnpackedBytes)
        };
        Ok(Self {
            decoder: Decoder::new(chunks, encoding, limits)?,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            ended: false,
            count: 0,
            limit,
            diff_id: diff_id.map(|digest| (digest.clone(), Digester::new(digest.algorithm()))),
        })
    }

    /// Returns the next bytes without taking them; empty at the end of the layer, whose checksums
    /// then held.
    pub(super) fn fill(&mut self) -> Result<&[u8], Failure> {
        if self.start == self.end && !self.ended {
            self.refill()?;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Returns how many bytes came out of the decoder.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Compares the digest of everything that came out with the one of the image config.
    pub(super) fn check_diff_id(&mut self) -> Result<(), Failure> {
        let Some((expected, digester)) = self.diff_id.take() else {
            return Ok(());
        };
        let actual = digester.finish();
        if actual != expected {
            return Err(LayerProblem::DiffId { expected, actual }.into());
        }
        Ok(())
    }

    fn refill(&mut self) -> Result<(), Failure> {
        (self.start, self.end) = (0, 0);
        // Decoders return little at a time; one full buffer makes one hash and one write.
        while let Some(room) = self
            .buffer
            .get_mut(self.end..)
            .filter(|room| !room.is_empty())
        {
            let count = self.decoder.read(room)?;
            if count == 0 {
                self.ended = true;
                break;
            }
            self.end = self.end.saturating_add(count);
        }
        self.decoder.chunks().map_or(Ok(()), Chunks::check_time)?;
        self.count = self
            .count
            .saturating_add(u64::try_from(self.end).unwrap_or(u64::MAX));
        let (limit, what) = self.limit;
        if self.count > limit {
            return Err(Failure::too_much(what, limit, self.count));
        }
        if let Some((_, digester)) = &mut self.diff_id {
            digester.update(self.buffer.get(..self.end).unwrap_or_default());
        }
        Ok(())
    }
}

enum Decoder {
    Plain(Chunks),
    Gzip(Members),
    Zstd(Box<zstd::stream::read::Decoder<'static, Chunks>>),
}

impl Decoder {
    fn new(chunks: Chunks, encoding: Encoding, limits: &ExtractLimits) -> Result<Self, Failure> {
        Ok(match encoding {
            Encoding::Plain => Self::Plain(chunks),
            Encoding::Gzip => Self::Gzip(Members {
                current: Some(Box::new(GzDecoder::new(chunks))),
                count: 1,
                limit: limits.gzip_members,
            }),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(chunks)?;
                decoder.window_log_max(limits.zstd_window_log)?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(chunks) => chunks.read(buffer),
            Self::Gzip(members) => members.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }

    fn chunks(&self) -> Option<&Chunks> {
        match self {
            Self::Plain(chunks) => Some(chunks),
            Self::Gzip(members) => members.current.as_ref().map(|current| current.get_ref()),
            Self::Zstd(decoder) => Some(decoder.get_ref()),
        }
    }
}

/// A gzip file: one member after the other, counted. Anything behind the last is an error.
struct Members {
    current: Option<Box<GzDecoder<Chunks>>>,
    count: u64,
    limit: u64,
}

impl Members {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut current) = self.current.take() {
            let count = current.read(buffer)?;
            if count > 0 {
                self.current = Some(current);
                return Ok(count);
            }
            let mut chunks = current.into_inner();
            if chunks.fill()?.is_empty() {
                break;
            }
            self.count = self.count.saturating_add(1);
            if self.count > self.limit {
                return Err(Failure::too_much(Limit::GzipMembers, self.limit, self.count).into());
            }
            self.current = Some(Box::new(GzDecoder::new(chunks)));
        }
        Ok(0)
    }
}

//! An HTTP/2 server that answers its first request well or with a flood of frames.
//!
//! Frames are written byte by byte: a library that serves HTTP/2 refuses to send such things.
//! Spec: <https://www.rfc-editor.org/rfc/rfc9113#section-4>,
//! <https://www.rfc-editor.org/rfc/rfc7541#section-6>

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use qmt_oci_ref::manifest::OCI_MANIFEST;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::thread::{Bound, Running};
use super::tls::{self, Certificates, TlsOptions};
use crate::error::TestkitError;

const PREFACE_BYTES: usize = 24;
/// The largest payload of a frame that each receiver has to take, in bytes.
const PAYLOAD_MAX: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// A header line that enters the table of lines: a literal with incremental indexing.
const ADDED: u8 = 0x40;
/// The line that was added last, by its place in the table: 62.
const FIRST_ADDED: u8 = 0xbe;
/// `:status: 200`, by its place in the table: 8.
const STATUS_200: u8 = 0x88;

/// What a [`FloodServer`] answers with. Floods go on until the client closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flood {
    /// Nothing of the kind: a good answer with the server's body.
    None,
    /// A head that never ends: `CONTINUATION` frames full of header lines.
    Continuation,
    /// `CONTINUATION` frames with nothing in them.
    EmptyContinuation,
    /// A head of 100,000 short header lines that does end.
    HeaderLines,
    /// A head of 16 KiB that unpacks to more than 60 MiB, by naming one long line again and again.
    Compressed,
    /// A good head, then `DATA` frames with nothing in them.
    EmptyData,
    /// A good head, then `DATA` frames of padding and nothing else.
    PaddedData,
    /// `PING` frames, each of which wants an answer.
    Pings,
    /// `SETTINGS` frames, each of which wants an answer.
    Settings,
    /// Streams that are promised and taken back.
    Promises,
}

impl Flood {
    /// All that are none of the good ones.
    pub const ALL: [Self; 9] = [
        Self::Continuation,
        Self::EmptyContinuation,
        Self::HeaderLines,
        Self::Compressed,
        Self::EmptyData,
        Self::PaddedData,
        Self::Pings,
        Self::Settings,
        Self::Promises,
    ];
}

/// A server that speaks HTTP/2 over TLS and answers every request with one [`Flood`].
pub struct FloodServer {
    running: Running,
    certificates: Certificates,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    bytes: AtomicU64,
}

impl FloodServer {
    /// Starts a server on a free port of 127.0.0.1. The body belongs to [`Flood::None`]; its media
    /// type is that of an OCI manifest.
    ///
    /// # Errors
    ///
    /// [`Bind`](TestkitError::Bind) if no port is free, [`Tls`](TestkitError::Tls) if no certificate
    /// can be made.
    pub fn start(flood: Flood, body: impl Into<Bytes>) -> Result<Self, TestkitError> {
        let (acceptor, certificates) = tls::make(&TlsOptions::new().http2())?;
        let body = body.into();
        let counts = Arc::new(Counts::default());
        let bound = Bound::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let counting = Arc::clone(&counts);
        let running = bound.run(move |listener| async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, body) = (acceptor.clone(), body.clone());
                let counts = Arc::clone(&counting);
                counts.connections.fetch_add(1, Ordering::SeqCst);
                // The client is allowed, and expected, to hang up in the midst of it.
                tokio::spawn(async move {
                    let _ = serve(acceptor, stream, flood, body, &counts.bytes).await;
                });
            }
        })?;
        Ok(Self {
            running,
            certificates,
            counts,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// The certificates that belong to it.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Bytes of answers that clients took so far.
    pub fn sent(&self) -> u64 {
        self.counts.bytes.load(Ordering::SeqCst)
    }

    /// Connections that were made to it so far.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for FloodServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FloodServer")
            .field("address", &self.address())
            .field("sent", &self.sent())
            .finish_non_exhaustive()
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: tokio::net::TcpStream,
    flood: Flood,
    body: Bytes,
    count: &AtomicU64,
) -> io::Result<()> {
    let (mut reader, writer) = tokio::io::split(acceptor.accept(stream).await?);
    let mut answer = Answer { writer, count };
    reader.read_exact(&mut [0; PREFACE_BYTES]).await?;
    answer.frame(SETTINGS, 0, 0, &[]).await?;
    let stream = first_request(&mut reader).await?;
    answer.frame(SETTINGS, ACK, 0, &[]).await?;
    // What the client goes on saying is read, so that it is never held up.
    let drain = async { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await };
    let flooding = answer.give(flood, stream, &body);
    tokio::select! {
        ended = flooding => ended?,
        drained = drain => drop(drained?),
    }
    Ok(())
}

/// Reads frames up to the first request and returns the number of its stream.
async fn first_request(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<u32> {
    loop {
        // Three bytes of length and one of kind, one of flags, four of the stream's number.
        let head = reader.read_u32().await?;
        let (length, kind) = (head >> 8, head & 0xff);
        let _flags = reader.read_u8().await?;
        let stream = reader.read_u32().await?;
        let mut payload = (&mut *reader).take(length.into());
        tokio::io::copy(&mut payload, &mut tokio::io::sink()).await?;
        if kind == u32::from(HEADERS) {
            return Ok(stream);
        }
    }
}

struct Answer<'a, W> {
    writer: W,
    count: &'a AtomicU64,
}

impl<W: AsyncWrite + Unpin> Answer<'_, W> {
    async fn give(&mut self, flood: Flood, stream: u32, body: &Bytes) -> io::Result<()> {
        match flood {
            Flood::None => {
                self.frame(HEADERS, END_HEADERS, stream, &head()).await?;
                for chunk in body.chunks(PAYLOAD_MAX) {
                    self.frame(DATA, 0, stream, chunk).await?;
                }
                self.frame(DATA, END_STREAM, stream, &[]).await?;
                self.writer.flush().await?;
                // The client hangs up when it has what it wants.
                std::future::pending().await
            }
            Flood::Continuation => {
                self.frame(HEADERS, 0, stream, &head()).await?;
                let lines = line("x", &"y".repeat(100)).repeat(150);
                self.endless(CONTINUATION, 0, stream, &lines).await
            }
            Flood::EmptyContinuation => {
                self.frame(HEADERS, 0, stream, &head()).await?;
                self.endless(CONTINUATION, 0, stream, &[]).await
            }
            Flood::HeaderLines => {
                let block = line("x", "y").repeat(100_000);
                self.head_in_parts(stream, &block).await
            }
            Flood::Compressed => {
                // The line is put into the table (6.2.1) and named by one byte from then on (6.1).
                let mut block = vec![ADDED];
                block.extend(text("x"));
                block.extend(text(&"y".repeat(4_000)));
                block.extend(std::iter::repeat_n(FIRST_ADDED, PAYLOAD_MAX));
                self.head_in_parts(stream, &block).await
            }
            Flood::EmptyData => {
                self.frame(HEADERS, END_HEADERS, stream, &head()).await?;
                self.endless(DATA, 0, stream, &[]).await
            }
            Flood::PaddedData => {
                self.frame(HEADERS, END_HEADERS, stream, &head()).await?;
                let padding = [&[255u8][..], &[0; 255]].concat();
                self.endless(DATA, PADDED, stream, &padding).await
            }
            Flood::Pings => self.endless(PING, 0, 0, &[0; 8]).await,
            Flood::Settings => self.endless(SETTINGS, 0, 0, &[]).await,
            Flood::Promises => self.promises(stream).await,
        }
    }

    /// A head with `block` after the lines of a good one, and no more.
    async fn head_in_parts(&mut self, stream: u32, block: &[u8]) -> io::Result<()> {
        self.frame(HEADERS, 0, stream, &head()).await?;
        for part in block.chunks(PAYLOAD_MAX) {
            self.frame(CONTINUATION, 0, stream, part).await?;
        }
        self.frame(CONTINUATION, END_HEADERS, stream, &[]).await?;
        self.frame(DATA, END_STREAM, stream, &[]).await?;
        self.writer.flush().await?;
        std::future::pending().await
    }

    async fn promises(&mut self, stream: u32) -> io::Result<()> {
        let mut promised: u32 = 2;
        loop {
            let mut payload = promised.to_be_bytes().to_vec();
            payload.extend([0x82, 0x84, 0x87]);
            payload.extend([0x41]);
            payload.extend(text("localhost"));
            self.frame(PUSH_PROMISE, END_HEADERS, stream, &payload)
                .await?;
            self.frame(RESET, 0, promised, &8u32.to_be_bytes()).await?;
            promised = promised.wrapping_add(2) & 0x7fff_fffe;
        }
    }

    async fn endless(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        loop {
            self.frame(kind, flags, stream, payload).await?;
        }
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let [_, length @ ..] = length.to_be_bytes();
        let mut frame = length.to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.writer.write_all(&frame).await?;
        let sent = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        self.count.fetch_add(sent, Ordering::SeqCst);
        Ok(())
    }
}

/// The header block of a successful response: `:status: 200` by its index in the static table, and
/// the content type.
fn head() -> Vec<u8> {
    let mut block = vec![STATUS_200];
    block.extend(line("content-type", OCI_MANIFEST));
    block
}

/// A line that enters no table (6.2.2).
fn line(name: &str, value: &str) -> Vec<u8> {
    let mut line = vec![0];
    line.extend(text(name));
    line.extend(text(value));
    line
}

/// A text with its length before it (5.2), not compressed.
fn text(text: &str) -> Vec<u8> {
    const PREFIX: usize = 127;
    let mut coded = Vec::new();
    let mut rest = text.len();
    if rest < PREFIX {
        coded.push(u8::try_from(rest).unwrap_or_default());
    } else {
        coded.push(127);
        rest -= PREFIX;
        while rest >= 128 {
            coded.push(0x80 | u8::try_from(rest % 128).unwrap_or_default());
            rest /= 128;
        }
        coded.push(u8::try_from(rest).unwrap_or_default());
    }
    coded.extend(text.as_bytes());
    coded
}

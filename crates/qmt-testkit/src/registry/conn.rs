//! Connections that can be broken on purpose: cut, reset, or answered with raw bytes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use bytes::{Buf as _, Bytes};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long to wait after a failed `accept`, so that an exhausted process does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a request handler can do to the connection below it.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// Counted from 0 per server.
    pub(crate) id: u64,
    raw: Mutex<Option<Bytes>>,
    reset: AtomicBool,
    flushes: AtomicU64,
    waker: AtomicWaker,
}

impl Control {
    /// Sends `bytes` in place of the answer, then closes.
    pub(crate) fn answer_raw(&self, bytes: Bytes) {
        *self.raw.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
    }

    /// Closes with a TCP reset in place of a FIN.
    pub(crate) fn reset_on_close(&self) {
        self.reset.store(true, Ordering::SeqCst);
    }

    /// How often everything that was written so far has reached the operating system.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::SeqCst)
    }

    /// Registers the task to be woken at the next flush.
    pub(crate) fn wake_at_flush(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }
}

/// Gives handlers the [`Control`] of their connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(crate) Arc<Control>);

impl Connected<IncomingStream<'_, Acceptor>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Acceptor>) -> Self {
        Self(Arc::clone(&stream.io().control))
    }
}

/// Accepts plain or TLS connections. The TLS handshake runs with the connection, not here, so that
/// a client that stalls in it does not delay other clients.
pub(crate) struct Acceptor {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    accepted: u64,
}

impl Acceptor {
    pub(crate) fn new(listener: TcpListener, tls: Option<TlsAcceptor>) -> Self {
        Self {
            listener,
            tls,
            accepted: 0,
        }
    }
}

impl Listener for Acceptor {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let _ = stream.set_nodelay(true);
                    let control = Arc::new(Control {
                        id: self.accepted,
                        ..Control::default()
                    });
                    self.accepted += 1;
                    let io = match &self.tls {
                        Some(tls) => Io::Handshake(Box::new(tls.accept(stream))),
                        None => Io::Plain(stream),
                    };
                    return (Connection { io, control }, address);
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One accepted connection.
pub(crate) struct Connection {
    io: Io,
    control: Arc<Control>,
}

enum Io {
    Plain(TcpStream),
    Handshake(Box<tokio_rustls::Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
    Failed,
}

impl Connection {
    /// Finishes the handshake, if there is one.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Io::Handshake(accept) = &mut self.io {
            match ready!(Pin::new(accept.as_mut()).poll(cx)) {
                Ok(stream) => self.io = Io::Tls(Box::new(stream)),
                Err(error) => {
                    self.io = Io::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_io(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
            Io::Handshake(_) | Io::Failed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush_io(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Io::Handshake(_) | Io::Failed => Poll::Ready(Ok(())),
        }
    }

    /// Writes what [`Control::answer_raw`] left, then fails, which closes the connection.
    fn poll_raw(&mut self, cx: &mut Context<'_>, mut raw: Bytes) -> Poll<io::Result<usize>> {
        while !raw.is_empty() {
            match self.poll_write_io(cx, &raw) {
                Poll::Ready(Ok(written)) => raw.advance(written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.control.answer_raw(raw);
                    return Poll::Pending;
                }
            }
        }
        // An empty rest stays behind: a pending flush comes back here.
        self.control.answer_raw(Bytes::new());
        ready!(self.poll_flush_io(cx))?;
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_ready(cx))?;
        match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Io::Handshake(_) | Io::Failed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_ready(cx))?;
        let raw = this
            .control
            .raw
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match raw {
            Some(raw) => this.poll_raw(cx, raw),
            None => this.poll_write_io(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_flush_io(cx))?;
        this.control.flushes.fetch_add(1, Ordering::SeqCst);
        this.control.waker.wake();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Io::Handshake(_) | Io::Failed => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.control.reset.load(Ordering::SeqCst) {
            let stream = match &self.io {
                Io::Plain(stream) => Some(stream),
                Io::Tls(stream) => Some(stream.get_ref().0),
                Io::Handshake(_) | Io::Failed => None,
            };
            if let Some(stream) = stream {
                let _ = stream.set_zero_linger();
            }
        }
    }
}

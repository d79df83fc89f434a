//! A forward proxy: passes plain requests on and tunnels the rest.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use super::log::{Log, LoggedRequest};
use super::thread::{Bound, Running};
use crate::error::TestkitError;

/// Largest head of a request, in bytes.
const HEAD_MAX_BYTES: usize = 64 * 1024;

/// An HTTP proxy, as `HTTP_PROXY` and `HTTPS_PROXY` name one.
///
/// Its log holds for each connection the first request as it came to the proxy: the target is a
/// whole URL or, for `CONNECT`, host and port, and the status is 200 where it was passed on, whatever
/// the origin answered.
pub struct ProxyServer {
    running: Running,
    log: Arc<Log>,
}

impl ProxyServer {
    /// Starts a proxy on a free port of 127.0.0.1 that is open to all.
    ///
    /// # Errors
    ///
    /// [`Bind`](TestkitError::Bind) if no port is free.
    pub fn start() -> Result<Self, TestkitError> {
        Self::with(None)
    }

    /// Starts a proxy that asks for user name and password.
    ///
    /// # Errors
    ///
    /// [`Bind`](TestkitError::Bind) if no port is free.
    pub fn start_with_password(username: &str, password: &str) -> Result<Self, TestkitError> {
        let credentials = STANDARD.encode(format!("{username}:{password}"));
        Self::with(Some(format!("Basic {credentials}")))
    }

    fn with(authorization: Option<String>) -> Result<Self, TestkitError> {
        let log = Arc::new(Log::default());
        let state = Arc::new(State {
            log: Arc::clone(&log),
            authorization,
            connections: AtomicU64::new(0),
        });
        let bound = Bound::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let running = bound.run(move |listener| async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    // A connection that breaks is the business of its two ends.
                    let _ = state.serve(client).await;
                });
            }
        })?;
        Ok(Self { running, log })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// The URL, `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.running.address())
    }

    /// The first request of each connection so far.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.log.all()
    }
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyServer")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

struct State {
    log: Arc<Log>,
    authorization: Option<String>,
    connections: AtomicU64,
}

impl State {
    async fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let (head, rest) = read_head(&mut client).await?;
        let Some(request) = self.parse(&head) else {
            return refuse(&mut client, "400 Bad Request", "").await;
        };
        let (method, target) = (request.method.clone(), request.target.clone());
        let allowed = self
            .authorization
            .as_deref()
            .is_none_or(|expected| request.header("proxy-authorization") == Some(expected));
        let place = self.log.push(request);
        if !allowed {
            self.log.finish(place, 0, Some(407));
            let challenge = "proxy-authenticate: Basic realm=\"testkit\"\r\n";
            let status = "407 Proxy Authentication Required";
            return refuse(&mut client, status, challenge).await;
        }
        let (authority, path) = match target.strip_prefix("http://") {
            Some(rest) => rest
                .find('/')
                .map_or((rest, "/"), |slash| rest.split_at(slash)),
            None if method == Method::CONNECT => (target.as_str(), ""),
            None => return refuse(&mut client, "400 Bad Request", "").await,
        };
        let authority = if authority.contains(':') {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let Ok(mut origin) = TcpStream::connect(&authority).await else {
            self.log.finish(place, 0, Some(502));
            return refuse(&mut client, "502 Bad Gateway", "").await;
        };
        if method == Method::CONNECT {
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?;
        } else {
            origin.write_all(&origin_head(&method, path, &head)).await?;
        }
        self.log.finish(place, 0, Some(200));
        origin.write_all(&rest).await?;
        copy_bidirectional(&mut client, &mut origin).await?;
        Ok(())
    }

    fn parse(&self, head: &[u8]) -> Option<LoggedRequest> {
        let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let first = std::str::from_utf8(lines.next()?).ok()?;
        let mut words = first.split(' ');
        let method = words.next()?.parse().ok()?;
        let target = words.next()?.to_owned();
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(header) {
            headers.append(name, value);
        }
        Some(LoggedRequest {
            method,
            target,
            version: Version::HTTP_11,
            headers,
            body_len: 0,
            status: None,
            connection: self.connections.fetch_add(1, Ordering::SeqCst),
            at: Instant::now(),
        })
    }
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    let value = value.get(1..)?.trim_ascii();
    Some((
        HeaderName::from_bytes(name).ok()?,
        HeaderValue::from_bytes(value).ok()?,
    ))
}

/// Reads up to the empty line. What came after it is returned apart.
async fn read_head(client: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            return Ok((head, rest));
        }
        if head.len() > HEAD_MAX_BYTES || client.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The head for the origin: no URL, nothing that is for the proxy, and one request per connection,
/// because what follows is not looked at.
fn origin_head(method: &Method, path: &str, head: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n").into_bytes();
    for line in head
        .split(|byte| *byte == b'\n')
        .skip(1)
        .map(<[u8]>::trim_ascii)
    {
        let name = line
            .split(|byte| *byte == b':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        if !line.is_empty() && !name.starts_with(b"proxy-") && name != b"connection" {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

async fn refuse(client: &mut TcpStream, status: &str, header: &str) -> io::Result<()> {
    let answer =
        format!("HTTP/1.1 {status}\r\n{header}content-length: 0\r\nconnection: close\r\n\r\n");
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}

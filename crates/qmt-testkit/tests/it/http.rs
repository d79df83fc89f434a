//! An HTTP client that hides nothing: one request, one connection, and all that came back.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a silent server is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How the connection ended: `None` is an orderly end.
    pub(crate) error: Option<ErrorKind>,
    /// Whether the body was as long as announced.
    pub(crate) complete: bool,
    /// Everything, as received.
    pub(crate) raw: Vec<u8>,
}

impl Reply {
    /// The values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = |key: &str| key.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(|(key, _)| same(key))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The one value of a header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands {} times", all.len());
        all.first().copied().unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The code of the first error in the spec's form.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        assert!(json["errors"][0]["message"].is_string(), "{json}");
        json["errors"][0]["code"]
            .as_str()
            .expect("a code")
            .to_owned()
    }
}

/// A request in the making.
pub(crate) struct Request {
    address: SocketAddr,
    head: String,
    body: Vec<u8>,
    patience: Duration,
}

pub(crate) fn request(address: SocketAddr, method: &str, target: &str) -> Request {
    let head = format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    Request {
        address,
        head,
        body: Vec::new(),
        patience: PATIENCE,
    }
}

pub(crate) fn get(address: SocketAddr, target: &str) -> Reply {
    request(address, "GET", target).send()
}

pub(crate) fn head(address: SocketAddr, target: &str) -> Reply {
    request(address, "HEAD", target).send()
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head = format!("{}{name}: {value}\r\n", self.head);
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(crate) fn send(self) -> Reply {
        let len = self.body.len();
        self.send_claiming(len)
    }

    /// Sends another `Content-Length` than the body's and then only the body.
    pub(crate) fn send_claiming(self, len: usize) -> Reply {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        stream
            .set_read_timeout(Some(self.patience))
            .expect("a time-out");
        let head_request = self.head.starts_with("HEAD ");
        let mut bytes = self.head.into_bytes();
        if len > 0 || !bytes.starts_with(b"GET ") {
            bytes.extend_from_slice(format!("content-length: {len}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        // A server that breaks off does not read all of it.
        let _ = stream.write_all(&bytes);
        if len > self.body.len() {
            stream
                .shutdown(std::net::Shutdown::Write)
                .expect("half closed");
        }
        read(&mut stream, head_request)
    }
}

/// Reads an answer from any stream.
pub(crate) fn read(stream: &mut impl Read, head_request: bool) -> Reply {
    let mut raw = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let error = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break None,
            Ok(len) => raw.extend_from_slice(&buffer[..len]),
            Err(error) => break Some(error.kind()),
        }
    };
    parse(raw, error, head_request)
}

fn parse(raw: Vec<u8>, error: Option<ErrorKind>, head_request: bool) -> Reply {
    let Some(end) = raw.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Reply {
            status: 0,
            headers: Vec::new(),
            body: Vec::new(),
            error,
            complete: false,
            raw,
        };
    };
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|s| s.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let value = |name: &str| {
        headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let rest = raw[end + 4..].to_vec();
    let (body, complete) = if value("transfer-encoding").is_some() {
        unchunk(&rest)
    } else {
        let len = value("content-length").and_then(|len| len.parse::<usize>().ok());
        let complete = head_request || len.is_none_or(|len| len == rest.len());
        (rest, complete)
    };
    Reply {
        status: status.unwrap_or(0),
        headers,
        body,
        error,
        complete,
        raw,
    }
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&rest[..end]).expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        if rest.len() < size + 2 {
            body.extend_from_slice(rest);
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

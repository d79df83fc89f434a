//! A small HTTP server on loopback, for the services that the programs of the real tier expect, and
//! the one request that tells whether such a program is up.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use qmt_testkit::KeyPair;
use serde_json::{Value, json};

/// More than any precertificate or token request has.
const BODY_MAX: usize = 1 << 20;
/// How long the other side may take for a request or an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request, with the names of its headers in lower case.
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// The status and the JSON of an answer.
pub(super) struct Answer(pub(super) &'static str, pub(super) String);

impl Answer {
    pub(super) fn ok(json: &impl ToString) -> Self {
        Self("200 OK", json.to_string())
    }

    pub(super) fn not_found() -> Self {
        Self("404 Not Found", "{}".to_owned())
    }
}

/// Serves until it is dropped. Each connection has a thread, since clients open some to no purpose.
pub(super) struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a listener: its address is known before the first response.
    pub(super) fn start(
        listener: TcpListener,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let answer = Arc::new(answer);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let answer = Arc::clone(&answer);
                // A client that goes away does not end the server.
                std::thread::spawn(move || stream.and_then(|stream| serve(&stream, &*answer)));
            }
        });
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A signed JSON web token.
pub(super) fn jwt(key: &KeyPair, algorithm: &str, key_id: &str, claims: &Value) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT", "kid": key_id });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Seconds since the epoch.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// A listener on a free port of loopback.
pub(super) fn listen() -> std::io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0))
}

/// The status that `GET path` is answered with, if a server answers.
pub(super) fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}

fn serve(stream: &TcpStream, answer: &impl Fn(&Request) -> Answer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split(' ').map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        headers: BTreeMap::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            let name = name.to_ascii_lowercase();
            request.headers.insert(name, value.trim().to_owned());
        }
    }
    let length = request.headers.get("content-length");
    let length: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
    let Answer(status, body) = if length > BODY_MAX {
        Answer("413 Content Too Large", "{}".to_owned())
    } else {
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
        answer(&request)
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_whole_and_the_answer_too() {
        let server = Server::start(listen().unwrap(), |request| {
            let named = request.headers.get("x-name").cloned().unwrap_or_default();
            let body = String::from_utf8_lossy(&request.body).into_owned();
            Answer::ok(&format!(
                "{} {} {named} {body}",
                request.method, request.target
            ))
        })
        .unwrap();
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(
            stream,
            "POST /a?b HTTP/1.1\r\nX-Name: c\r\nContent-Length: 2\r\n\r\nhi"
        )
        .unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        assert!(said.ends_with("\r\n\r\nPOST /a?b c hi"), "{said}");
        assert_eq!(status(server.address, "/"), Some(200));
    }

    #[test]
    fn without_a_server_there_is_no_status() {
        let address = listen().unwrap().local_addr().unwrap();
        let server = Server::start(listen().unwrap(), |_| Answer::not_found()).unwrap();
        assert_eq!(status(server.address, "/"), Some(404));
        assert_eq!(status(address, "/"), None);
    }
}

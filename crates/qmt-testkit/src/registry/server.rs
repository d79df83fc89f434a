//! One listening server: a thread of its own, a log, faults, and a service that answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method};
use tokio_rustls::TlsAcceptor;

use super::conn::{Acceptor, Control, Peer};
use super::deliver;
use super::fault::{Cut, Delivery, Effect, HeaderEdit};
use super::log::{Log, LoggedRequest};
use super::script::Faults;
use super::thread::{Bound, Running};
use crate::error::TestkitError;

/// A request, read whole.
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// False where the connection broke off within the body.
    pub(crate) complete: bool,
}

impl Received {
    /// The first header of that name as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The values of a query parameter, decoded.
    pub(crate) fn parameters(&self, name: &str) -> Vec<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }

    /// The first value of a query parameter, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).into_iter().next()
    }
}

/// What answers requests. It runs on the server's thread and must not block.
pub(crate) type Service = Arc<dyn Fn(&Received) -> Response + Send + Sync>;

/// A server that is running. It stops when it is dropped, its connections with it.
///
/// It has its own thread and runtime: tests may block theirs, or have none.
pub(crate) struct Server {
    running: Running,
    tls: bool,
    shared: Arc<Shared>,
}

/// What the server's thread and its owner share.
#[derive(Default)]
struct Shared {
    log: Log,
    faults: Faults,
}

impl Server {
    /// Starts to listen. Port 0 is a free port.
    pub(crate) fn start(
        bind: SocketAddr,
        tls: Option<TlsAcceptor>,
        service: impl FnOnce(SocketAddr) -> Service,
    ) -> Result<Self, TestkitError> {
        let bound = Bound::new(bind)?;
        let shared = Arc::new(Shared::default());
        let state = State {
            shared: Arc::clone(&shared),
            service: service(bound.address()),
        };
        let encrypted = tls.is_some();
        let running = bound.run(move |listener| async move {
            let app = Router::new()
                .fallback(
                    move |ConnectInfo(peer): ConnectInfo<Peer>, request: Request| {
                        answer(state.clone(), peer, request)
                    },
                )
                .into_make_service_with_connect_info::<Peer>();
            let _ = axum::serve(Acceptor::new(listener, tls), app).await;
        })?;
        Ok(Self {
            running,
            tls: encrypted,
            shared,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// The origin, as `http://127.0.0.1:5000`.
    pub(crate) fn url(&self) -> String {
        format!(
            "{}://{}",
            if self.tls { "https" } else { "http" },
            self.running.address()
        )
    }

    pub(crate) fn log(&self) -> &Log {
        &self.shared.log
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.shared.faults
    }
}

#[derive(Clone)]
struct State {
    shared: Arc<Shared>,
    service: Service,
}

/// Logs the request, applies the fault that is scripted for it, and calls the service.
async fn answer(state: State, peer: Peer, request: Request) -> Response {
    let Peer(control) = peer;
    let (head, body) = request.into_parts();
    let entry = LoggedRequest {
        method: head.method.clone(),
        target: head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned(),
        version: head.version,
        headers: head.headers.clone(),
        body_len: 0,
        status: None,
        connection: control.id,
        at: Instant::now(),
    };
    let mut effect = state.shared.faults.strike(&entry).unwrap_or_default();
    if let Some(origin) = &effect.redirect_origin
        && let Ok(location) = HeaderValue::from_str(&format!("{origin}{}", entry.target))
    {
        effect.headers.push(HeaderEdit::Set(LOCATION, location));
    }
    let place = state.shared.log.push(entry);
    if let Some(gate) = &effect.gate {
        gate.pass().await;
    }

    if let Some(delay) = effect.delay {
        pause(delay).await;
    }
    if let Some((bytes, how)) = effect.raw {
        return close(&control, bytes, how);
    }
    let limit = effect.request_cut.map(|(after, _)| after);
    let (body, complete) = read_body(body, limit).await;
    let received = Received {
        method: head.method,
        path: decode_path(head.uri.path()),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
        complete,
    };
    let body_len = received.body.len() as u64;
    let response = match effect.status {
        Some(status) => deliver::bare(status),
        None => (state.service)(&received),
    };
    if let Some((_, how)) = effect.request_cut {
        state.shared.log.finish(place, body_len, None);
        return close(&control, Bytes::new(), Some(how));
    }
    let response = deliver::apply(&effect, response, &received.method, control).await;
    state
        .shared
        .log
        .finish(place, body_len, Some(response.status().as_u16()));
    response
}

/// Sleeps; the longest time that there is means for ever.
pub(super) async fn pause(time: Duration) {
    if time == Duration::MAX {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(time).await;
}

/// Ends the connection after `bytes`; the response that is returned never reaches the client.
fn close(control: &Control, bytes: Bytes, how: Option<Cut>) -> Response {
    if how == Some(Cut::Reset) {
        control.reset_on_close();
    }
    control.answer_raw(bytes);
    Response::new(Body::empty())
}

/// Reads a body to its end, or to `limit` bytes. Returns false where it did not get to the end.
async fn read_body(body: Body, limit: Option<u64>) -> (Bytes, bool) {
    let limit = limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX);
    let mut stream = body.into_data_stream();
    let mut read = BytesMut::new();
    while read.len() < limit {
        match stream.next().await {
            Some(Ok(chunk)) => read.extend_from_slice(&chunk),
            Some(Err(_)) => return (read.freeze(), false),
            None => return (read.freeze(), true),
        }
    }
    read.truncate(limit);
    (read.freeze(), false)
}

/// Decodes `%XX` in a path. What is not a valid escape stays as it is.
fn decode_path(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| path.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

impl Effect {
    /// Whether the answer goes out as the service gave it.
    pub(super) fn is_none(&self) -> bool {
        self.headers.is_empty()
            && self.body.is_none()
            && self.content_length.is_none()
            && matches!(self.delivery, Delivery::Whole)
    }
}

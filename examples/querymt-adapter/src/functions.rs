//! The six functions that plugins of the host import from `extism:host/user`.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use qmt_oci_ref::text::escape;
use qmt_plugins::loader::wasm::{HostCall, HostFunction};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What one call of a plugin may do and has open. The caller hands it in with the call, so that calls
/// at the same time share nothing.
pub(crate) struct Session {
    /// Where HTTP requests may go.
    pub(crate) hosts: Arc<[String]>,
    /// Receives the parts of an answer.
    pub(crate) parts: Option<UnboundedSender<Bytes>>,
    /// The responses that are being read, by their numbers.
    pub(crate) streams: Mutex<HashMap<u64, BoxStream<'static, reqwest::Result<Bytes>>>>,
}

impl Session {
    fn of(call: &HostCall) -> Result<&Self, BoxError> {
        let session = call.context().get();
        session.ok_or_else(|| "only calls of a provider may use this function".into())
    }
}

#[derive(Deserialize)]
struct Request {
    #[serde(with = "http_serde_ext::request")]
    req: http::Request<Vec<u8>>,
}

#[derive(Serialize)]
struct Response {
    #[serde(with = "http_serde_ext::response")]
    resp: http::Response<Vec<u8>>,
}

#[derive(Deserialize)]
struct LogRecord {
    level: usize,
    target: String,
    message: String,
}

/// The bytes of a response that a plugin gets at once: 50 MiB.
const BODY_MAX: usize = 50 * 1024 * 1024;

/// Why a server's response is missing.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("`{0}` is not an allowed host")]
    Forbidden(String),
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the response has more than {BODY_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Failed(#[from] reqwest::Error),
}

impl Missing {
    /// Makes the response that the plugin gets instead.
    fn response(&self) -> http::Result<http::Response<Vec<u8>>> {
        let status = match self {
            Self::Forbidden(_) => 403,
            Self::Cancelled => 499,
            Self::TooLarge => 502,
            Self::Failed(_) => 500,
        };
        let response = http::Response::builder().status(status);
        response.body(self.to_string().into_bytes())
    }
}

/// Returns the functions. All plugins share them, because each call brings its own [`Session`].
pub(crate) fn all() -> Result<Vec<HostFunction>, reqwest::Error> {
    // Plugins follow redirects themselves: the next host may be one that they may not reach.
    let no_redirect = reqwest::redirect::Policy::none();
    let client = reqwest::Client::builder().redirect(no_redirect).build()?;
    let for_streams = client.clone();
    Ok(vec![
        HostFunction::json("qmt_http_request", move |call, request: Request| {
            let resp = exchange(call, &client, request.req).or_else(|error| error.response())?;
            Ok(Response { resp })
        }),
        HostFunction::json("qmt_http_stream_open", move |call, request: Request| {
            let response = send(call, &for_streams, request.req)?.error_for_status()?;
            let mut streams = Session::of(call)?.streams.blocking_lock();
            let stream: u64 = streams.keys().max().unwrap_or(&0) + 1;
            streams.insert(stream, response.bytes_stream().boxed());
            Ok(stream)
        }),
        HostFunction::with_call("qmt_http_stream_next", |call, stream| {
            next_chunk(call, serde_json::from_slice(&stream)?)
        }),
        HostFunction::json("qmt_http_stream_close", |call, stream: u64| {
            drop(Session::of(call)?.streams.blocking_lock().remove(&stream));
            Ok(())
        })
        .without_result(),
        HostFunction::with_call("qmt_yield_chunk", |call, part| {
            if let Some(parts) = &Session::of(call)?.parts {
                parts.send(part)?;
            }
            Ok(Bytes::new())
        })
        .without_result(),
        HostFunction::json("qmt_log", |call, record: LogRecord| {
            log(call.plugin(), record.level, &record.target, &record.message);
            Ok(())
        })
        .without_result(),
    ])
}

/// Writes what a plugin logs into the host's log. Levels are those of the crate `log`.
pub(crate) fn log(plugin: &str, level: usize, target: &str, message: &str) {
    // Control characters would reach the terminal.
    let (target, message) = (escape(target), escape(message));
    match level {
        1 => tracing::error!(plugin, target, "{message}"),
        2 => tracing::warn!(plugin, target, "{message}"),
        3 => tracing::info!(plugin, target, "{message}"),
        4 => tracing::debug!(plugin, target, "{message}"),
        _ => tracing::trace!(plugin, target, "{message}"),
    }
}

/// Waits for `work` as long as the caller waits for the call. Functions of the host may block.
fn wait<T>(call: &HostCall, work: impl Future<Output = T>) -> Result<T, Missing> {
    tokio::runtime::Handle::current().block_on(async {
        tokio::select! {
            biased;
            () = call.cancelled() => Err(Missing::Cancelled),
            done = work => Ok(done),
        }
    })
}

fn send(
    call: &HostCall,
    client: &reqwest::Client,
    request: http::Request<Vec<u8>>,
) -> Result<reqwest::Response, Missing> {
    let host = request.uri().host().unwrap_or_default();
    let is_host = |allowed: &String| allowed.eq_ignore_ascii_case(host);
    if !Session::of(call).is_ok_and(|session| session.hosts.iter().any(is_host)) {
        return Err(Missing::Forbidden(host.to_owned()));
    }
    Ok(wait(call, client.execute(request.try_into()?))??)
}

fn exchange(
    call: &HostCall,
    client: &reqwest::Client,
    request: http::Request<Vec<u8>>,
) -> Result<http::Response<Vec<u8>>, Missing> {
    let mut response = send(call, client, request)?;
    let mut body = Vec::new();
    while let Some(chunk) = wait(call, response.chunk())?? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(Missing::TooLarge);
        }
        body.extend(chunk);
    }
    let (status, headers) = (response.status(), response.headers().clone());
    let mut whole = http::Response::new(body);
    (*whole.status_mut(), *whole.headers_mut()) = (status, headers);
    Ok(whole)
}

/// Returns the next bytes of a stream; at its end, no bytes.
fn next_chunk(call: &HostCall, stream: u64) -> Result<Bytes, BoxError> {
    let streams = &Session::of(call)?.streams;
    let Some(mut chunks) = streams.blocking_lock().remove(&stream) else {
        return Ok(Bytes::new());
    };
    while let Some(chunk) = wait(call, chunks.next())? {
        let chunk = chunk?;
        // An empty chunk would be the end.
        if !chunk.is_empty() {
            streams.blocking_lock().insert(stream, chunks);
            return Ok(chunk);
        }
    }
    Ok(Bytes::new())
}

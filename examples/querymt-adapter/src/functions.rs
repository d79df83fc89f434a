//! The six functions that plugins of the host import from `extism:host/user`.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use qmt_plugins::loader::wasm::{HostCall, HostFunction};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Chunks = BoxStream<'static, reqwest::Result<Bytes>>;

/// What one call of a plugin may do and has open. The caller hands it in with the call, so that calls
/// at the same time share nothing.
pub(crate) struct Session {
    /// Where HTTP requests may go.
    pub(crate) hosts: Arc<[String]>,
    /// Who receives the parts of an answer.
    pub(crate) parts: Option<UnboundedSender<Bytes>>,
    pub(crate) streams: Mutex<HashMap<u64, Chunks>>,
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

/// Returns the functions. All plugins share them, because each call brings its own [`Session`].
pub(crate) fn all() -> Result<Vec<HostFunction>, reqwest::Error> {
    // Plugins follow redirects themselves: the next host may be one that they may not reach.
    let no_redirect = reqwest::redirect::Policy::none();
    let client = reqwest::Client::builder().redirect(no_redirect).build()?;
    let for_streams = client.clone();
    Ok(vec![
        HostFunction::json(
            "qmt_http_request",
            move |call, request: Request| match send(call, &client, request.req)
                .and_then(|response| whole(call, response))
            {
                Ok(resp) | Err(resp) => Ok(Response { resp }),
            },
        ),
        HostFunction::json("qmt_http_stream_open", move |call, request: Request| {
            match send(call, &for_streams, request.req) {
                Ok(response) => {
                    let chunks = response.error_for_status()?.bytes_stream().boxed();
                    let mut streams = streams(call)?;
                    let stream = streams.keys().max().unwrap_or(&0) + 1;
                    streams.insert(stream, chunks);
                    Ok(stream)
                }
                // Plugins take the number 0 for a stream that was cancelled.
                Err(_) if call.is_cancelled() => Ok(0),
                Err(refusal) => Err(String::from_utf8_lossy(refusal.body()).into()),
            }
        }),
        HostFunction::with_call("qmt_http_stream_next", |call, stream| {
            next_chunk(call, serde_json::from_slice(&stream)?)
        }),
        HostFunction::json("qmt_http_stream_close", |call, stream: u64| {
            drop(streams(call)?.remove(&stream));
            Ok(())
        })
        .without_result(),
        HostFunction::with_call("qmt_yield_chunk", |call, part| {
            if let Some(parts) = &session(call)?.parts {
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
    match level {
        1 => tracing::error!(plugin, target, "{message}"),
        2 => tracing::warn!(plugin, target, "{message}"),
        3 => tracing::info!(plugin, target, "{message}"),
        4 => tracing::debug!(plugin, target, "{message}"),
        _ => tracing::trace!(plugin, target, "{message}"),
    }
}

/// Makes what plugins get where there is no response of a server.
fn answer(status: u16, text: impl Into<String>) -> http::Response<Vec<u8>> {
    let mut response = http::Response::new(text.into().into_bytes());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}

fn cancelled() -> http::Response<Vec<u8>> {
    answer(499, "cancelled")
}

fn failed(error: &reqwest::Error) -> http::Response<Vec<u8>> {
    answer(500, error.to_string())
}

fn session(call: &HostCall) -> Result<&Session, BoxError> {
    let session = call.context().get::<Session>();
    session.ok_or_else(|| "only calls of a provider may use this function".into())
}

fn streams(call: &HostCall) -> Result<MutexGuard<'_, HashMap<u64, Chunks>>, BoxError> {
    let streams = &session(call)?.streams;
    Ok(streams.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Waits for `work` as long as the caller waits for the call. Functions of the host may block.
fn wait<T>(call: &HostCall, work: impl Future<Output = T>) -> Option<T> {
    tokio::runtime::Handle::current().block_on(async {
        tokio::select! {
            biased;
            () = call.cancelled() => None,
            done = work => Some(done),
        }
    })
}

fn send(
    call: &HostCall,
    client: &reqwest::Client,
    request: http::Request<Vec<u8>>,
) -> Result<reqwest::Response, http::Response<Vec<u8>>> {
    let host = request.uri().host().unwrap_or_default();
    let hosts = session(call)
        .map(|session| &*session.hosts)
        .unwrap_or_default();
    if !hosts
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(host))
    {
        let text = format!("`{host}` is not an allowed host");
        return Err(answer(403, text));
    }
    let request = reqwest::Request::try_from(request).map_err(|error| failed(&error))?;
    let response = wait(call, client.execute(request)).ok_or_else(cancelled)?;
    response.map_err(|error| failed(&error))
}

fn whole(
    call: &HostCall,
    response: reqwest::Response,
) -> Result<http::Response<Vec<u8>>, http::Response<Vec<u8>>> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = wait(call, response.bytes()).ok_or_else(cancelled)?;
    let mut whole = http::Response::new(body.map_err(|error| failed(&error))?.to_vec());
    (*whole.status_mut(), *whole.headers_mut()) = (status, headers);
    Ok(whole)
}

/// Returns the next bytes of a stream; none at its end, and when the call was cancelled.
fn next_chunk(call: &HostCall, stream: u64) -> Result<Bytes, BoxError> {
    let Some(mut chunks) = streams(call)?.remove(&stream) else {
        return Ok(Bytes::new());
    };
    // No bytes would be the end.
    while let Some(chunk) = wait(call, chunks.next()).flatten() {
        let chunk = chunk?;
        if !chunk.is_empty() {
            streams(call)?.insert(stream, chunks);
            return Ok(chunk);
        }
    }
    Ok(Bytes::new())
}

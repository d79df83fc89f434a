//! How an answer leaves the server: falsified, cut, slowed down or without end.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use super::conn::Control;
use super::fault::{BodyEdit, Cut, Delivery, Effect, HeaderEdit};
use super::server::pause;

/// Most bytes of an answer that a fault looks at. Answers of this server are in memory anyway.
const BODY_LIMIT: usize = usize::MAX;

/// An answer without headers or body.
pub(super) fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Changes `response` as the fault says, and makes HEAD answers bodiless.
pub(super) async fn apply(
    effect: &Effect,
    response: Response,
    method: &Method,
    control: Arc<Control>,
) -> Response {
    if effect.is_none() && method != Method::HEAD {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // The bodies of this server's answers never fail.
    let mut body = axum::body::to_bytes(body, BODY_LIMIT)
        .await
        .unwrap_or_default();
    let mut endless = None;
    match &effect.body {
        None => {}
        Some(BodyEdit::Replace(bytes)) => body = bytes.clone(),
        Some(BodyEdit::FlipBit(bit)) => body = flipped(&body, *bit),
        Some(BodyEdit::Truncate(len)) => {
            body.truncate(usize::try_from(*len).unwrap_or(usize::MAX));
        }
        Some(BodyEdit::Append(bytes)) => body = [body, bytes.clone()].concat().into(),
        Some(BodyEdit::Endless(chunk)) => endless = Some(chunk.clone()),
    }
    if endless.is_some() {
        head.headers.remove(CONTENT_LENGTH);
    } else if effect.body.is_some() || head.headers.contains_key(CONTENT_LENGTH) {
        head.headers
            .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    if let Some(len) = effect.content_length {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
    edit_headers(&mut head.headers, &effect.headers);
    if method == Method::HEAD {
        if !head.headers.contains_key(CONTENT_LENGTH) {
            head.headers
                .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        return Response::from_parts(head, Body::empty());
    }
    let body = match endless {
        Some(chunk) => repeat(chunk, effect.delivery),
        None => delivered(body, effect, control),
    };
    Response::from_parts(head, body)
}

fn edit_headers(headers: &mut HeaderMap, edits: &[HeaderEdit]) {
    for edit in edits {
        match edit {
            HeaderEdit::Set(name, value) => {
                headers.insert(name, value.clone());
            }
            HeaderEdit::Append(name, value) => {
                headers.append(name, value.clone());
            }
            HeaderEdit::Remove(name) => {
                headers.remove(name);
            }
        }
    }
}

fn flipped(body: &Bytes, bit: u64) -> Bytes {
    let mut bytes = body.to_vec();
    if let Some(byte) = usize::try_from(bit / 8)
        .ok()
        .and_then(|at| bytes.get_mut(at))
    {
        *byte ^= 1 << (bit % 8);
    }
    bytes.into()
}

fn delivered(body: Bytes, effect: &Effect, control: Arc<Control>) -> Body {
    let claimed = effect.content_length;
    match effect.delivery {
        // The HTTP layer does not flush a body that is shorter than announced.
        Delivery::Whole if claimed > Some(body.len() as u64) => cut(body, Cut::Fin, control),
        // A length that is a lie must not be compared with the true one by the HTTP layer.
        Delivery::Whole if claimed.is_some() => {
            Body::from_stream(stream::iter([Ok::<_, io::Error>(body)]))
        }
        Delivery::Whole => Body::from(body),
        Delivery::Cut(after, how) => cut(prefix(body, after), how, control),
        Delivery::Slow(chunk, time) => {
            Body::from_stream(stream::unfold(body, move |mut rest| async move {
                if rest.is_empty() {
                    return None;
                }
                let piece = rest.split_to(chunk.min(rest.len()));
                pause(time).await;
                Some((Ok::<_, io::Error>(piece), rest))
            }))
        }
        Delivery::Stall(after) => Body::from_stream(stream::unfold(
            Some(prefix(body, after)),
            |piece| async move {
                match piece {
                    Some(piece) => Some((Ok::<_, io::Error>(piece), None)),
                    None => std::future::pending().await,
                }
            },
        )),
    }
}

fn repeat(chunk: Bytes, delivery: Delivery) -> Body {
    let time = match delivery {
        Delivery::Slow(_, time) => Some(time),
        _ => None,
    };
    Body::from_stream(stream::unfold(chunk, move |chunk| async move {
        if let Some(time) = time {
            pause(time).await;
        }
        Some((Ok::<_, io::Error>(chunk.clone()), chunk))
    }))
}

fn prefix(mut body: Bytes, len: u64) -> Bytes {
    body.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    body
}

/// Sends `body`, waits until the operating system has it, then breaks the connection.
fn cut(body: Bytes, how: Cut, control: Arc<Control>) -> Body {
    Body::from_stream(stream::unfold(Some(body), move |state| {
        let control = Arc::clone(&control);
        async move {
            match state {
                Some(piece) if !piece.is_empty() => Some((Ok(piece), Some(Bytes::new()))),
                _ => {
                    flushed(&control).await;
                    if how == Cut::Reset {
                        control.reset_on_close();
                    }
                    let end = io::Error::from(io::ErrorKind::ConnectionAborted);
                    Some((Err(end), None))
                }
            }
        }
    }))
}

/// Waits for one flush that begins after this was called: the HTTP layer flushes when its body has
/// nothing to give, which is just now.
async fn flushed(control: &Control) {
    let before = control.flushes();
    poll_fn(|cx| {
        control.wake_at_flush(cx);
        if control.flushes() > before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

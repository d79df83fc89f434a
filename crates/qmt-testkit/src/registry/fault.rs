//! Faults: which requests go wrong, and how.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::gate::Gate;
use super::log::LoggedRequest;
use super::script::glob;

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// An orderly TCP FIN: the client sees the end of the stream.
    Fin,
    /// A TCP reset: the client sees an error, and may lose bytes that were on their way.
    Reset,
}

/// Most headers that are added to a true answer.
const HEADERS_MAX: usize = 10_000;

type Predicate = Arc<dyn Fn(&LoggedRequest) -> bool + Send + Sync>;

/// One scripted misbehaviour: a matcher (method, path, which of the matching requests) and what
/// happens to the requests that it picks.
///
/// Without [`once`](Self::once), [`times`](Self::times) or [`nth`](Self::nth) it strikes at every
/// matching request. Several effects may be combined: status, headers, body and delivery are
/// separate. Where no status is given, the server's true answer is the starting point, so a fault
/// can falsify one header of a real answer. Of several faults that match, the one that was added
/// first and is not used up strikes.
///
/// ```
/// use qmt_testkit::{Cut, Fault};
/// // The first download of a blob breaks off after 1000 bytes; the next one works.
/// let cut = Fault::on("GET", "/v2/*/blobs/*").once().cut(1000, Cut::Reset);
/// // Every manifest request is answered with 503 and a hint when to come back.
/// let busy = Fault::on("*", "/v2/*/manifests/*").respond(503).header("retry-after", "1");
/// ```
#[derive(Clone)]
pub struct Fault {
    method: Option<Method>,
    pattern: String,
    predicate: Option<Predicate>,
    pub(super) skip: u64,
    pub(super) times: u64,
    pub(super) effect: Effect,
}

/// What a fault does. Every part is independent of the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Effect {
    pub(super) status: Option<StatusCode>,
    pub(super) headers: Vec<HeaderEdit>,
    pub(super) body: Option<BodyEdit>,
    pub(super) content_length: Option<u64>,
    pub(super) delay: Option<Duration>,
    pub(super) gate: Option<Gate>,
    pub(super) redirect_origin: Option<String>,
    pub(super) delivery: Delivery,
    pub(super) raw: Option<(Bytes, Option<Cut>)>,
    pub(super) request_cut: Option<(u64, Cut)>,
}

#[derive(Clone, Debug)]
pub(super) enum HeaderEdit {
    Set(HeaderName, HeaderValue),
    Append(HeaderName, HeaderValue),
    Remove(HeaderName),
}

#[derive(Clone, Debug)]
pub(super) enum BodyEdit {
    Replace(Bytes),
    FlipBit(u64),
    Truncate(u64),
    Append(Bytes),
    Endless(Bytes),
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Delivery {
    #[default]
    Whole,
    Cut(u64, Cut),
    Slow(usize, Duration),
    Stall(u64),
}

impl Fault {
    /// Picks requests by method (`"*"` is any) and path. In the pattern `*` matches any run of
    /// characters, `/` too; a pattern with a `?` is compared with path and query, one without with
    /// the path alone.
    ///
    /// # Panics
    ///
    /// If `method` is not an HTTP method: the script itself is wrong.
    pub fn on(method: &str, pattern: impl Into<String>) -> Self {
        let method = (method != "*").then(|| {
            Method::from_bytes(method.as_bytes())
                .unwrap_or_else(|_| panic!("`{method}` is not an HTTP method"))
        });
        Self {
            method,
            pattern: pattern.into(),
            predicate: None,
            skip: 0,
            times: u64::MAX,
            effect: Effect::default(),
        }
    }

    /// Narrows the matcher by looking at the whole request, its headers for example.
    #[must_use]
    pub fn when(mut self, test: impl Fn(&LoggedRequest) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Some(Arc::new(test));
        self
    }

    /// Strikes at the first matching request only.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Strikes at the first `times` matching requests.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Strikes at the `nth` matching request only, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.skip = nth.saturating_sub(1);
        self.times = 1;
        self
    }

    /// Lets the first `skip` matching requests pass.
    #[must_use]
    pub fn skip(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Answers with `status` and an empty body, without asking the server.
    ///
    /// # Panics
    ///
    /// If `status` is not between 100 and 999.
    #[must_use]
    pub fn respond(mut self, status: u16) -> Self {
        self.effect.status = Some(
            StatusCode::from_u16(status)
                .unwrap_or_else(|_| panic!("{status} is not an HTTP status")),
        );
        self
    }

    /// Answers with a redirect of `status` to `location`.
    #[must_use]
    pub fn redirect(self, status: u16, location: &str) -> Self {
        self.respond(status).header("location", location)
    }

    /// Answers with a redirect of `status` to the same path and query on another origin, such as
    /// `http://127.0.0.1:5000`.
    #[must_use]
    pub fn redirect_to_origin(mut self, status: u16, origin: impl Into<String>) -> Self {
        self = self.respond(status);
        self.effect.redirect_origin = Some(origin.into());
        self
    }

    /// Sets a header of the answer, replacing what the server gave. Values may be any bytes that
    /// HTTP allows.
    ///
    /// # Panics
    ///
    /// If name or value cannot be a header; use [`raw`](Self::raw) to send such.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.effect
            .headers
            .push(HeaderEdit::Set(header_name(name), header_value(value)));
        self
    }

    /// Adds a header to the existing ones.
    ///
    /// # Panics
    ///
    /// As [`header`](Self::header).
    #[must_use]
    pub fn add_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.effect
            .headers
            .push(HeaderEdit::Append(header_name(name), header_value(value)));
        self
    }

    /// Removes a header.
    ///
    /// # Panics
    ///
    /// If `name` is not a header name.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.effect
            .headers
            .push(HeaderEdit::Remove(header_name(name)));
        self
    }

    /// Adds `count` headers of `size` bytes each. Above about 100 headers most clients give up. Above
    /// 10,000, more than an HTTP library can hold, nothing of the true answer is sent but the flood.
    #[must_use]
    pub fn header_flood(mut self, count: usize, size: usize) -> Self {
        let value = "f".repeat(size);
        if count > HEADERS_MAX {
            let mut answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n".to_owned();
            for number in 0..count {
                answer = answer + "x-flood-" + &number.to_string() + ": " + &value + "\r\n";
            }
            return self.raw(answer + "\r\n");
        }
        for number in 0..count {
            self = self.add_header(&format!("x-flood-{number}"), &value);
        }
        self
    }

    /// Replaces the body of the answer. `Content-Length` follows.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.effect.body = Some(BodyEdit::Replace(body.into()));
        self
    }

    /// Flips one bit of the body, counted from the lowest bit of the first byte. A body that is
    /// shorter stays as it is.
    #[must_use]
    pub fn flip_bit(mut self, bit: u64) -> Self {
        self.effect.body = Some(BodyEdit::FlipBit(bit));
        self
    }

    /// Leaves only the first `len` bytes of the body. `Content-Length` follows: the answer is well
    /// formed but short. To break off a transfer, use [`cut`](Self::cut).
    #[must_use]
    pub fn truncate(mut self, len: u64) -> Self {
        self.effect.body = Some(BodyEdit::Truncate(len));
        self
    }

    /// Adds bytes at the end of the body. `Content-Length` follows.
    #[must_use]
    pub fn append(mut self, bytes: impl Into<Bytes>) -> Self {
        self.effect.body = Some(BodyEdit::Append(bytes.into()));
        self
    }

    /// Sends `chunk` again and again, without end and without `Content-Length`.
    #[must_use]
    pub fn endless(mut self, chunk: impl Into<Bytes>) -> Self {
        self.effect.body = Some(BodyEdit::Endless(chunk.into()));
        self
    }

    /// Claims `len` as `Content-Length`, whatever the body is. A body that is longer is cut there
    /// by the HTTP layer, a shorter one ends with the connection.
    #[must_use]
    pub fn content_length(mut self, len: u64) -> Self {
        self.effect.content_length = Some(len);
        self
    }

    /// Waits before the answer begins.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.effect.delay = Some(delay);
        self
    }

    /// Waits until the gate is opened: tests decide who is answered when, without sleeping.
    #[must_use]
    pub fn hold(mut self, gate: &Gate) -> Self {
        self.effect.gate = Some(gate.clone());
        self
    }

    /// Never answers: the connection stays open in silence until the client or the server ends.
    #[must_use]
    pub fn stall(self) -> Self {
        self.delay(Duration::MAX)
    }

    /// Sends `after` bytes of the body, then nothing more, on an open connection.
    #[must_use]
    pub fn stall_after(mut self, after: u64) -> Self {
        self.effect.delivery = Delivery::Stall(after);
        self
    }

    /// Sends the head and `after` bytes of the body, then ends the connection.
    #[must_use]
    pub fn cut(mut self, after: u64, how: Cut) -> Self {
        self.effect.delivery = Delivery::Cut(after, how);
        self
    }

    /// Sends the body in pieces of `chunk` bytes (at least 1) with a `pause` after each.
    #[must_use]
    pub fn slow(mut self, chunk: usize, pause: Duration) -> Self {
        self.effect.delivery = Delivery::Slow(chunk.max(1), pause);
        self
    }

    /// Ends the connection without any answer. The server does not see the request.
    #[must_use]
    pub fn drop_connection(mut self, how: Cut) -> Self {
        self.effect.raw = Some((Bytes::new(), Some(how)));
        self
    }

    /// Reads `after` bytes of the request's body, lets the server handle what came, and ends the
    /// connection without an answer: an upload that breaks off.
    #[must_use]
    pub fn cut_request(mut self, after: u64, how: Cut) -> Self {
        self.effect.request_cut = Some((after, how));
        self
    }

    /// Sends these very bytes in place of an HTTP answer, then closes. For what a well-behaved
    /// HTTP library does not send: broken status lines, header bytes that are not allowed.
    #[must_use]
    pub fn raw(mut self, bytes: impl Into<Bytes>) -> Self {
        self.effect.raw = Some((bytes.into(), None));
        self
    }

    pub(super) fn matches(&self, request: &LoggedRequest) -> bool {
        let text = if self.pattern.contains('?') {
            &request.target
        } else {
            request.path()
        };
        self.method
            .as_ref()
            .is_none_or(|method| *method == request.method)
            && glob(self.pattern.as_bytes(), text.as_bytes())
            && self.predicate.as_ref().is_none_or(|test| test(request))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("method", &self.method)
            .field("pattern", &self.pattern)
            .field("skip", &self.skip)
            .field("times", &self.times)
            .field("effect", &self.effect)
            .finish_non_exhaustive()
    }
}

fn header_name(name: &str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes())
        .unwrap_or_else(|_| panic!("`{name}` is not a header name"))
}

fn header_value(value: impl AsRef<[u8]>) -> HeaderValue {
    HeaderValue::from_bytes(value.as_ref())
        .unwrap_or_else(|_| panic!("the value holds bytes that no header may hold"))
}

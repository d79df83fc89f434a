//! Content that is served whole or in part.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};

/// Answers with `content`, or with the part that the `Range` header `range` asks for. The body is
/// empty where no byte of that part exists (416).
pub(super) fn respond(content: Bytes, range: Option<&str>) -> Response {
    let total = content.len();
    let (status, body, content_range) =
        match range.map_or(Range::Whole, |text| parse_range(text, total)) {
            Range::Whole => (StatusCode::OK, content, None),
            Range::Part(from, to) => (
                StatusCode::PARTIAL_CONTENT,
                content.slice(from..=to),
                Some(format!("bytes {from}-{to}/{total}")),
            ),
            Range::Unsatisfiable => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                Bytes::new(),
                Some(format!("bytes */{total}")),
            ),
        };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        "content-type",
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert("content-length", HeaderValue::from(body.len()));
    if let Some(Ok(value)) = content_range.map(HeaderValue::try_from) {
        headers.insert("content-range", value);
    }
    *response.body_mut() = Body::from(body);
    response
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// First and last byte.
    Part(usize, usize),
    Unsatisfiable,
}

/// Reads a `Range` header. Several ranges at once, other units and malformed values are answered
/// with the whole content, as RFC 9110 allows; `first-last` in the wrong order is refused.
fn parse_range(text: &str, total: usize) -> Range {
    let Some((first, last)) = text
        .strip_prefix("bytes=")
        .and_then(|part| part.split_once('-'))
    else {
        return Range::Whole;
    };
    let end = total.saturating_sub(1);
    let (from, to) = match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.min(end)),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, end),
        (Err(_), Ok(0)) if first.trim().is_empty() => return Range::Unsatisfiable,
        (Err(_), Ok(count)) if first.trim().is_empty() => (total.saturating_sub(count), end),
        _ => return Range::Whole,
    };
    if from > to || from >= total {
        Range::Unsatisfiable
    } else {
        Range::Part(from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, total, range) in [
            ("bytes=0-0", 10, Range::Part(0, 0)),
            ("bytes=2-5", 10, Range::Part(2, 5)),
            ("bytes=2-", 10, Range::Part(2, 9)),
            ("bytes=-3", 10, Range::Part(7, 9)),
            ("bytes=-30", 10, Range::Part(0, 9)),
            ("bytes=8-30", 10, Range::Part(8, 9)),
            ("bytes=9-9", 10, Range::Part(9, 9)),
            ("bytes=10-10", 10, Range::Unsatisfiable),
            ("bytes=5-2", 10, Range::Unsatisfiable),
            ("bytes=-0", 10, Range::Unsatisfiable),
            ("bytes=0-0", 0, Range::Unsatisfiable),
            ("bytes=0-1,3-4", 10, Range::Whole),
            ("lines=1-2", 10, Range::Whole),
            ("bytes=x", 10, Range::Whole),
        ] {
            assert_eq!(parse_range(text, total), range, "{text} of {total}");
        }
    }
}

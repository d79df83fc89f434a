//! Tests of upload sessions.

use http::HeaderValue;

use super::*;

#[test]
fn acknowledged_ranges_are_read() {
    let read = |text: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static(text));
        stored(&headers)
    };
    assert_eq!(read("0-9"), Some(10));
    assert_eq!(read("bytes=0-9"), Some(10));
    assert_eq!(read("0-0"), Some(0));
    for wrong in ["", "1-9", "0--1", "0-x", "9"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

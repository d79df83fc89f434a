//! What `Content-Range` may say.

use super::content_range;

#[test]
fn content_ranges_are_read_strictly() {
    assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
    assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
    for wrong in [
        "",
        "bytes 5-9",
        "bytes 9-5/10",
        "bytes 5-10/10",
        "items 5-9/10",
        "bytes -9/10",
    ] {
        assert_eq!(content_range(wrong), None, "{wrong}");
    }
}

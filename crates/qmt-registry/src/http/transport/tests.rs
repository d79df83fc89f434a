//! Heads at their limits, parts of uploads.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::request::{check_head, part};
use crate::limits::Limits;
use crate::writer::BlobContent as _;

/// LIM-03: 100 lines and 64 KiB of names and values, and one past each.
#[test]
fn lim_03_a_head_at_the_limit_and_past_it() {
    let url = Url::parse("https://r.example/v2/").unwrap();
    let head = |lines: usize, bytes: usize| {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(&vec![b'v'; bytes / lines - 3]).unwrap();
        for line in 0..lines {
            let name = HeaderName::from_bytes(format!("x{line:02}").as_bytes()).unwrap();
            headers.append(name, value.clone());
        }
        // The remainder of the division.
        let rest = vec![b'v'; bytes / lines - 3 + bytes % lines];
        headers.insert("x00", HeaderValue::from_bytes(&rest).unwrap());
        check_head(&headers, &Limits::default(), &url).map_err(|error| error.to_string())
    };
    head(100, 5_000).unwrap();
    let error = head(101, 5_000).unwrap_err();
    assert!(error.ends_with("has more than 100 lines"), "{error}");
    head(100, 65_536).unwrap();
    let error = head(100, 65_537).unwrap_err();
    assert!(error.ends_with("has more than 65536 bytes"), "{error}");
}

#[tokio::test]
async fn a_part_has_exactly_its_length() {
    let content = Bytes::from_static(b"0123456789");
    let take = |offset, length| {
        let content = content.clone();
        async move {
            let parts: Vec<Bytes> = part(content.open(offset).await.unwrap(), length)
                .try_collect()
                .await?;
            Ok::<_, super::failure::UnreadableContent>(parts.concat())
        }
    };
    assert_eq!(take(0, 10).await.unwrap(), b"0123456789");
    assert_eq!(take(3, 4).await.unwrap(), b"3456");
    assert_eq!(take(10, 0).await.unwrap(), b"");
    assert!(take(8, 3).await.is_err());
}

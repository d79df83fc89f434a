//! Tests of the errors and manifests of registries.

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("`a.example` is down")]
struct Down(#[source] std::io::Error);

#[test]
fn an_error_shows_what_the_implementation_said() {
    let down = Down(std::io::ErrorKind::ConnectionRefused.into());
    let kind = RegistryErrorKind::Network { retryable: true };
    let error = RegistryError::new(kind, down);
    assert_eq!(error.to_string(), "`a.example` is down");
    let cause = error.source().unwrap();
    assert!(cause.is::<std::io::Error>());
    assert!(error.downcast_ref::<Down>().is_some());
    assert!(error.is_network() && error.is_retryable() && !error.is_not_found());
}

#[test]
fn a_blob_is_pulled_whole() {
    let blob = Descriptor::of(MediaType::ImageLayer, b"content");
    let mut registry = MockRegistry::new();
    registry.expect_blob().returning(|_, _, resume_from| {
        assert_eq!(resume_from.count(), 0);
        let chunks = [&b"con"[..], b"tent"].map(|chunk| Ok(Bytes::from_static(chunk)));
        Ok(Box::pin(futures_util::stream::iter(chunks)))
    });
    let repository = "a.example/b".parse().unwrap();
    let pulled = futures_util::FutureExt::now_or_never(registry.pull_blob(&repository, &blob));
    assert_eq!(pulled.unwrap().unwrap(), "content");
}

/// The error carries the part of the list that was read, which can be taken once.
#[test]
fn an_error_carries_what_was_listed() {
    let error = || RegistryError::new(RegistryErrorKind::Content, "one entry is odd");
    assert_eq!(error().take_listed(), None);
    let mut partial = error().with_listed(vec![Descriptor::of(MediaType::EmptyJSON, b"{}")]);
    assert_eq!(
        partial.clone().take_listed().map(|listed| listed.len()),
        Some(1)
    );
    assert_eq!(partial.take_listed().map(|listed| listed.len()), Some(1));
    assert_eq!(partial.take_listed(), None);
    assert_eq!(partial.to_string(), "one entry is odd");
}

//! The bridge between the stream and the blocking side: failures, lies, and giving up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use qmt_oci_ref::{MockRegistry, RegistryError, RegistryErrorKind};

fn mock(items: Vec<Result<Bytes, &'static str>>) -> MockRegistry {
    let error = |text: &'static str| RegistryError::new(RegistryErrorKind::Content, text);
    let mut mock = MockRegistry::new();
    mock.expect_blob().times(1).return_once(move |_, _, _| {
        let items = items.into_iter().map(move |item| item.map_err(error));
        Ok(Box::pin(stream::iter(items)))
    });
    mock
}

async fn extract_from(mock: MockRegistry, image: &Image) -> Result<Extracted, ArtifactError> {
    extract_to(mock, image, Box::new(Vec::new())).await
}

async fn extract_to(
    mock: MockRegistry,
    image: &Image,
    sink: Box<dyn ExtractSink>,
) -> Result<Extracted, ArtifactError> {
    extract(&image.selection, &mock, &repository(), sink, &image.limits).await
}

fn image() -> (Image, Vec<u8>) {
    let packed = gzip(&archive("plugin.wasm", &module()));
    (
        Image::new(FileRule::Wasm, &[(GZIP, packed.clone())]),
        packed,
    )
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "an item of a stream that may fail"
)]
fn chunk(bytes: &[u8]) -> Result<Bytes, &'static str> {
    Ok(Bytes::copy_from_slice(bytes))
}

#[tokio::test]
async fn empty_chunks_are_nothing() {
    let (image, packed) = image();
    let (left, right) = packed.split_at(9);
    let items = vec![
        chunk(b""),
        chunk(left),
        chunk(b""),
        chunk(b""),
        chunk(right),
        chunk(b""),
    ];
    let extracted = extract_from(mock(items), &image).await.unwrap();
    assert_eq!(extracted.digest(), &Digest::sha256(module()));
}

/// F5 in short: a layer that breaks off at any place is the source's error.
#[tokio::test]
async fn a_source_that_fails_is_to_blame() {
    let (image, packed) = image();
    for length in [0, 1, 8, 100, packed.len() - 1, packed.len()] {
        let items = vec![chunk(&packed[..length]), Err("connection reset")];
        let error = extract_from(mock(items), &image).await.unwrap_err();
        let source = matches!(error, ArtifactError::Registry { what: "layer", .. });
        assert!(source, "after {length} bytes: {error:?}");
    }
}

/// F6 in short: bytes that were changed on the way look like a bad archive; the source, which
/// proves the digest at the end, is heard first.
#[tokio::test]
async fn damage_on_the_way_is_the_sources_error() {
    let (image, packed) = image();
    for at in [0, 1, 3, 20, packed.len() / 2, packed.len() - 8] {
        let mut changed = packed.clone();
        changed[at] ^= 0x40;
        let mut items: Vec<_> = changed.chunks(100).map(chunk).collect();
        items.push(Err("content hashes to another digest"));
        let error = extract_from(mock(items), &image).await.unwrap_err();
        assert!(
            matches!(error, ArtifactError::Registry { .. }),
            "byte {at}: {error:?}"
        );
    }
}

/// DIG-08: a layer is as long as its descriptor says.
#[tokio::test]
async fn dig_08_another_length_is_refused() {
    for rule in [FileRule::Layer, FileRule::Wasm] {
        let bytes = match rule {
            FileRule::Layer => module(),
            _ => archive("plugin.wasm", &module()),
        };
        let image = Image::new(rule, &[(TAR, bytes.clone())]);
        let longer = vec![chunk(&bytes), chunk(&[0; 512])];
        let shorter = vec![chunk(&bytes[..bytes.len() - 512])];
        for items in [longer, shorter, vec![]] {
            let error = extract_from(mock(items), &image).await.unwrap_err();
            let size = matches!(
                error,
                ArtifactError::Layer {
                    source: LayerProblem::Size { .. },
                    ..
                }
            );
            assert!(size, "{error:?}");
        }
        assert!(
            extract_from(mock(vec![chunk(&bytes)]), &image)
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn an_endless_layer_is_stopped() {
    let image = Image::new(FileRule::Layer, &[(WASM, module())]);
    let mut mock = MockRegistry::new();
    mock.expect_blob().return_once(|_, _, _| {
        let first = stream::iter([Ok(Bytes::from(module()))]);
        Ok(Box::pin(first.chain(stream::repeat_with(|| {
            Ok(Bytes::from_static(&[0; 4_096]))
        }))))
    });
    let error = extract_from(mock, &image).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Layer { .. }), "{error:?}");
}

/// A sink that tells when it is dropped, and fails on demand.
struct Watched {
    dropped: Arc<AtomicBool>,
    fails: bool,
}

impl io::Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.fails {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ExtractSink for Watched {
    fn restart(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_sink_that_fails_is_to_blame() {
    for (rule, media_type, bytes) in [
        (FileRule::Layer, WASM, module()),
        (FileRule::Wasm, TAR, archive("plugin.wasm", &module())),
    ] {
        let image = Image::new(rule, &[(media_type, bytes.clone())]);
        let dropped = Arc::new(AtomicBool::new(false));
        let sink = Box::new(Watched {
            dropped: dropped.clone(),
            fails: true,
        });
        let source = mock(vec![chunk(&bytes)]);
        let error = extract_to(source, &image, sink).await.unwrap_err();
        match error {
            ArtifactError::Sink { source } => assert_eq!(source.kind(), io::ErrorKind::StorageFull),
            error => panic!("{error:?}"),
        }
        assert!(dropped.load(Ordering::SeqCst));
    }
}

/// Giving up ends the blocking side too, and with it the sink.
#[tokio::test]
async fn a_dropped_extraction_lets_go_of_its_sink() {
    let (mut image, _) = image();
    image.layers.stall_after = Some(1);
    let dropped = Arc::new(AtomicBool::new(false));
    let sink = Box::new(Watched {
        dropped: dropped.clone(),
        fails: false,
    });
    let running = image.extract_to(sink);
    let given_up = tokio::time::timeout(Duration::from_millis(50), running).await;
    assert!(given_up.is_err());
    for _ in 0..200 {
        if dropped.load(Ordering::SeqCst) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the sink is still held");
}

/// A sink that buffers is flushed when the file is complete.
#[tokio::test]
async fn the_sink_is_flushed() {
    struct Buffered(io::BufWriter<Shared>);

    impl io::Write for Buffered {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    impl ExtractSink for Buffered {
        fn restart(&mut self) -> io::Result<()> {
            self.0.flush()?;
            self.0.get_mut().restart()
        }
    }

    for (rule, media_type, bytes) in [
        (FileRule::Layer, WASM, module()),
        (FileRule::Wasm, TAR, archive("plugin.wasm", &module())),
    ] {
        let image = Image::new(rule, &[(media_type, bytes.clone())]);
        let seen = Shared::default();
        let sink = Box::new(Buffered(io::BufWriter::with_capacity(
            1 << 20,
            seen.clone(),
        )));
        let source = mock(vec![chunk(&bytes)]);
        let extracted = extract_to(source, &image, sink).await.unwrap();
        assert_eq!(*seen.0.lock().unwrap(), module());
        drop(extracted);
    }
}

/// The sink that comes back is the one that went in, under its own type.
#[tokio::test]
async fn the_sink_comes_back() {
    let (image, packed) = image();
    let extracted = extract_from(mock(vec![chunk(&packed)]), &image)
        .await
        .unwrap();
    let sink: Box<dyn Any> = extracted.into_sink();
    assert_eq!(*sink.downcast::<Vec<u8>>().unwrap(), module());
}

/// A sink whose source keeps layers that are files; nothing may be written to it.
struct Elsewhere;

impl io::Write for Elsewhere {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("the layer is kept by its source")
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ExtractSink for Elsewhere {
    fn restart(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn has_layer(&self) -> bool {
        true
    }
}

/// DIG-08, F5: a layer that is not needed whole is still proven to its end.
#[tokio::test]
async fn dig_08_a_layer_that_is_kept_elsewhere_is_heard_to_its_end() {
    let bytes = [module(), vec![0; 3 * crate::sniff::SNIFF_BYTES]].concat();
    let image = Image::new(FileRule::Layer, &[(WASM, bytes.clone())]);
    let chunks = || bytes.chunks(1000).map(chunk).collect::<Vec<_>>();
    let run = async |items| extract_to(mock(items), &image, Box::new(Elsewhere)).await;
    let extracted = run(chunks()).await.unwrap();
    assert_eq!(extracted.digest(), &Digest::sha256(&bytes));
    assert_eq!(extracted.size(), bytes.len() as u64);

    let mut wrong = chunks();
    wrong.push(Err("content hashes to another digest"));
    let error = run(wrong).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Registry { .. }), "{error:?}");
    let (mut longer, mut shorter) = (chunks(), chunks());
    longer.push(chunk(b"x"));
    shorter.pop();
    for items in [longer, shorter] {
        let error = run(items).await.unwrap_err();
        let size = matches!(
            error,
            ArtifactError::Layer {
                source: LayerProblem::Size { .. },
                ..
            }
        );
        assert!(size, "{error:?}");
    }
}

/// TAR-13: the diff id of a layer that is the file itself is its own digest.
#[tokio::test]
async fn tar_13_the_diff_id_of_a_layer_that_is_kept_elsewhere_is_checked() {
    let bytes = [module(), vec![0; 3 * crate::sniff::SNIFF_BYTES]].concat();
    let mut image = Image::new(FileRule::Layer, &[(WASM, bytes.clone())]);
    let run = async |image: &Image| {
        extract_to(mock(vec![chunk(&bytes)]), image, Box::new(Elsewhere)).await
    };
    image.selection.diff_ids = vec![Digest::sha256(&bytes)];
    run(&image).await.unwrap();
    image.selection.diff_ids = vec![Digest::sha256(b"another")];
    let error = run(&image).await.unwrap_err();
    let is_diff_id = matches!(
        error,
        ArtifactError::Layer {
            source: LayerProblem::DiffId { .. },
            ..
        }
    );
    assert!(is_diff_id, "{error:?}");
}

#[tokio::test]
async fn a_layer_that_is_kept_elsewhere_is_still_looked_at() {
    let image = Image::new(FileRule::Layer, &[(WASM, b"#!/bin/sh".to_vec())]);
    let source = mock(vec![chunk(b"#!/bin/sh")]);
    let error = extract_to(source, &image, Box::new(Elsewhere)).await;
    assert!(matches!(error, Err(ArtifactError::Content { .. })));
}

/// The facade tries again with the same staging area, so a failed attempt must not write to it.
#[tokio::test]
async fn after_an_error_nothing_is_written() {
    use std::sync::atomic::AtomicUsize;
    struct Slow(Arc<AtomicUsize>, Arc<AtomicBool>);
    impl io::Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            std::thread::sleep(Duration::from_millis(30));
            self.0.fetch_add(bytes.len(), Ordering::SeqCst);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl ExtractSink for Slow {
        fn restart(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Drop for Slow {
        fn drop(&mut self) {
            self.1.store(true, Ordering::SeqCst);
        }
    }
    let content = [module(), vec![0; 4 << 20]].concat();
    let bytes = archive("plugin.wasm", &content);
    let image = Image::new(FileRule::Wasm, &[(TAR, bytes.clone())]);
    let (count, dropped) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut items: Vec<_> = bytes.chunks(256 * 1024).map(chunk).collect();
    items.push(Err("digest mismatch"));
    let sink = Box::new(Slow(count.clone(), dropped.clone()));
    extract_to(mock(items), &image, sink).await.unwrap_err();
    let (at_return, was_dropped) = (count.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst));
    tokio::time::sleep(Duration::from_millis(800)).await;
    let later = count.load(Ordering::SeqCst);
    assert!(
        was_dropped && later == at_return,
        "dropped: {was_dropped}, {at_return} bytes at the return, {later} later"
    );
}

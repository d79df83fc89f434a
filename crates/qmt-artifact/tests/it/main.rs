//! What holds for the process as a whole, so in a process of its own: memory.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "the helpers belong to tests, where unwrapping is the assertion"
)]

use std::io::{self, Write};
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use qmt_artifact::{
    ArtifactError, ExtractLimits, ExtractSink, Extracted, HostPlatform, Selection,
    SelectionRequest, extract, select,
};
use qmt_oci_ref::manifest::Referrers;
use qmt_oci_ref::{
    BlobStream, Descriptor, Digest, Digester, MediaType, MockRegistry, PinnedReference,
    RawManifest, Reference, Registry, RegistryError, Repository, manifest,
};

const MIB: u64 = 1 << 20;
const CHUNK: usize = 64 << 10;

/// One at a time: what is measured is the process's.
static ALONE: Mutex<()> = Mutex::new(());

/// A layer that is made while it is read.
struct Generated {
    head: Vec<u8>,
    /// Repeated up to the size.
    body: Bytes,
    size: u64,
    tail: Vec<u8>,
}

impl Generated {
    fn stream(&self) -> impl futures_util::Stream<Item = Bytes> + Send + 'static {
        let rest = self.size - self.head.len() as u64 - self.tail.len() as u64;
        let whole = rest / self.body.len() as u64;
        let part = usize::try_from(rest % self.body.len() as u64).unwrap();
        let (body, last) = (self.body.clone(), self.body.slice(..part));
        stream::iter([Bytes::from(self.head.clone())])
            .chain(stream::iter((0..whole).map(move |_| body.clone())))
            .chain(stream::iter([last, Bytes::from(self.tail.clone())]))
    }
}

#[async_trait]
impl Registry for Generated {
    async fn resolve(&self, _: &Reference) -> Result<RawManifest, RegistryError> {
        panic!("only blobs are read")
    }

    async fn manifest(&self, _: &PinnedReference, _: u64) -> Result<RawManifest, RegistryError> {
        panic!("only blobs are read")
    }

    async fn blob(
        &self,
        _: &Repository,
        _: &Descriptor,
        _: Digester,
    ) -> Result<BlobStream, RegistryError> {
        // A copy of each chunk, as a network would make it.
        Ok(Box::pin(
            self.stream()
                .map(|chunk| Ok(Bytes::copy_from_slice(&chunk))),
        ))
    }

    async fn referrers(&self, _: &PinnedReference) -> Result<Referrers, RegistryError> {
        panic!("only blobs are read")
    }
}

fn repository() -> Repository {
    "registry.example/plugin".parse().unwrap()
}

/// Counts and forgets.
#[derive(Default)]
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ExtractSink for Count {
    fn restart(&mut self) -> io::Result<()> {
        self.0 = 0;
        Ok(())
    }
}

async fn selection(layer_type: &str, size: u64) -> Selection {
    let digest = Digest::sha256(b"not checked here");
    let content = serde_json::json!({
        "schemaVersion": 2,
        "config": Descriptor::of(MediaType::EmptyJSON, b"{}"),
        "layers": [Descriptor::new(MediaType::from(layer_type), digest, size)],
    });
    let bytes = Bytes::from(serde_json::to_vec(&content).unwrap());
    let root = RawManifest::new(MediaType::ImageManifest, bytes);
    let host = HostPlatform::new(&manifest::platform("linux", "amd64"));
    let request = SelectionRequest::new(root).with_host(host);
    select(request, &MockRegistry::new(), &repository())
        .await
        .unwrap()
}

async fn run(layer_type: &str, layer: &Generated) -> Result<Extracted, ArtifactError> {
    let selection = selection(layer_type, layer.size).await;
    let limits = ExtractLimits::default().with_artifact_bytes(4 << 30);
    let sink = Box::new(Count::default());
    extract(&selection, layer, &repository(), sink, &limits).await
}

/// Reads the peak of the process's memory in bytes, after setting it back.
fn peak(work: impl FnOnce()) -> u64 {
    let field = |name: &str| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    };
    // 5 sets the peak back; where that is forbidden, the test is only stricter.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = field("VmRSS:");
    work();
    field("VmHWM:").saturating_sub(before)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(work)
}

/// Design §9: memory is the same for 64 MiB and for 512 MiB of layer.
#[test]
fn memory_does_not_grow_with_the_layer() {
    let _alone = ALONE.lock().unwrap();
    for size in [64 * MIB, 512 * MIB] {
        let layer = Generated {
            head: b"\0asm\x01\0\0\0".to_vec(),
            body: Bytes::from(vec![7; CHUNK]),
            size,
            tail: Vec::new(),
        };
        let peak = peak(|| {
            let extracted = block_on(run("application/wasm", &layer)).unwrap();
            assert_eq!(extracted.size(), size);
        });
        assert!(peak < 8 * MIB, "{} KiB for {} MiB", peak >> 10, size >> 20);
    }
}

/// The same for an archive: its file is written as it is unpacked.
#[test]
fn memory_does_not_grow_with_the_archive() {
    let _alone = ALONE.lock().unwrap();
    let file_size = 256 * MIB;
    let mut header = tar::Header::new_ustar();
    header.set_path("plugin.wasm").unwrap();
    header.set_size(file_size);
    header.set_mode(0o644);
    header.set_cksum();
    let layer = Generated {
        head: [header.as_bytes().as_slice(), b"\0asm\x01\0\0\0"].concat(),
        body: Bytes::from(vec![7; CHUNK]),
        size: 512 + file_size + 1024,
        tail: vec![0; 1024],
    };
    let peak = peak(|| {
        let extracted = block_on(run("application/vnd.oci.image.layer.v1.tar", &layer)).unwrap();
        assert_eq!(extracted.size(), file_size);
    });
    assert!(peak < 8 * MIB, "{} KiB", peak >> 10);
}

/// TAR-11: a zstd frame needs its window and at most 32 MiB more, and a bomb in it ends at the ratio.
#[test]
fn tar_11_a_bomb_needs_little_memory() {
    let _alone = ALONE.lock().unwrap();
    for (window_log, noise, limit) in [(25, 4 * MIB, 64 * MIB), (27, 8 * MIB, 160 * MIB)] {
        let body = bomb(window_log, noise);
        let size = body.len() as u64;
        let layer = Generated {
            head: Vec::new(),
            body,
            size,
            tail: Vec::new(),
        };
        let peak = peak(|| {
            let error =
                block_on(run("application/vnd.oci.image.layer.v1.tar+zstd", &layer)).unwrap_err();
            assert!(
                matches!(error, ArtifactError::LimitExceeded { .. }),
                "{error:?}"
            );
        });
        assert!(peak < limit, "{window_log}: {} MiB", peak >> 20);
    }
}

/// An archive of zeros: the ratio lets a window be filled that is at most 20 times the noise.
fn bomb(window_log: u32, noise: u64) -> Bytes {
    use zstd::stream::write::Encoder;
    let mut header = tar::Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_size(256 * MIB);
    header.set_cksum();
    let mut encoder = Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.write_all(header.as_bytes()).unwrap();
    // What does not compress first: so much that the ratio lets the whole window be filled.
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(usize::try_from(noise).unwrap())
    .collect();
    encoder.write_all(&noise).unwrap();
    for _ in 0..252 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    Bytes::from(encoder.finish().unwrap())
}

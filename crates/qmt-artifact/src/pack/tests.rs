//! What is packed is reproducible, has the documented form, and is what selection takes.

mod refusals;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, UNIX_EPOCH};

use qmt_oci_ref::Digest;
use qmt_oci_ref::manifest::platform;
use serde_json::{Value, json};

use super::*;
use crate::problem::ContentProblem;
use crate::tests::{TestRegistry, repository};
use crate::{ExtractLimits, SelectionRequest, extract, select};

const CREATED_AT: Duration = Duration::from_hours(474_780);
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Files to pack, in a folder of their own.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        files.write("p.wasm", MODULE);
        files.write("amd64.so", &elf(object::elf::EM_X86_64));
        files.write("arm64.so", &elf(object::elf::EM_AARCH64));
        files
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn all(&self) -> PackRequest {
        request()
            .with_wasm(self.path("p.wasm"))
            .with_native(platform("linux", "arm64"), self.path("arm64.so"))
            .with_native(platform("linux", "amd64"), self.path("amd64.so"))
    }
}

fn elf(machine: u16) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(object::elf::ET_DYN.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    bytes.extend([0; 5_000]);
    bytes
}

fn request() -> PackRequest {
    PackRequest::new(UNIX_EPOCH + CREATED_AT)
        .with_title("echo")
        .with_version("1.2.3")
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

impl PackedBlob {
    fn content(&self) -> Bytes {
        let mut content = Vec::new();
        let mut reader = self.open(0).unwrap();
        reader.read_to_end(&mut content).unwrap();
        content.into()
    }
}

impl PackedImage {
    fn blob(&self, digest: &str) -> &PackedBlob {
        self.blobs
            .iter()
            .find(|blob| blob.descriptor.digest().to_string() == digest)
            .unwrap()
    }
}

/// The very bytes of the form that QueryMT publishes: any change of them is a change of format.
#[test]
fn a_wasm_image_has_the_documented_bytes() {
    let files = Files::new();
    let image = pack(&request().with_wasm(files.path("p.wasm"))).unwrap();
    let [manifest] = image.manifests.as_slice() else {
        panic!("{:?}", image.manifests);
    };
    assert_eq!(&image.root, manifest);
    let layer = Digest::sha256(MODULE);
    let config = format!(
        r#"{{"created":"2024-02-29T12:00:00Z","architecture":"wasm","os":"wasip1","layerDigests":["{layer}"]}}"#
    );
    let config_digest = Digest::sha256(&config);
    let expected = format!(
        concat!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
            r#""config":{{"mediaType":"application/vnd.wasm.v1.config+json","digest":"{}","size":{}}},"#,
            r#""layers":[{{"mediaType":"application/vnd.wasm.v1.layer+wasm","digest":"{}","size":8,"#,
            r#""annotations":{{"org.opencontainers.image.title":"plugin.wasm"}}}}],"#,
            r#""annotations":{{"mt.query.plugin.type":"extism","#,
            r#""org.opencontainers.image.created":"2024-02-29T12:00:00Z","#,
            r#""org.opencontainers.image.title":"echo","org.opencontainers.image.version":"1.2.3"}}}}"#,
        ),
        config_digest,
        config.len(),
        layer,
    );
    assert_eq!(std::str::from_utf8(manifest.bytes()).unwrap(), expected);
    assert_eq!(image.blob(&config_digest.to_string()).content(), config);
    assert_eq!(image.blob(&layer.to_string()).content(), MODULE);
    assert_eq!(image.blobs.len(), 2);
}

#[test]
fn a_native_image_is_a_plain_oci_image() {
    let files = Files::new();
    let platform = platform("linux", "amd64");
    let image = pack(&request().with_native(platform, files.path("amd64.so"))).unwrap();
    let manifest = parsed(image.manifests[0].bytes());
    assert_eq!(manifest["layers"][0]["mediaType"], TAR_GZIP_LAYER);
    assert_eq!(manifest["config"]["mediaType"], IMAGE_CONFIG);
    assert_eq!(manifest["annotations"]["mt.query.plugin.type"], "native");
    let layer = image.blob(manifest["layers"][0]["digest"].as_str().unwrap());
    let mut archive = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(layer.open(0).unwrap());
    decoder.read_to_end(&mut archive).unwrap();
    let config = image.blob(manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(
        parsed(&config.content()),
        json!({
            "created": "2024-02-29T12:00:00Z", "os": "linux", "architecture": "amd64", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [Digest::sha256(&archive)]},
        })
    );
    let mut archive = ::tar::Archive::new(archive.as_slice());
    let mut entries = archive.entries().unwrap();
    let entry = entries.next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap().to_str(), Some("plugin.so"));
    let header = entry.header();
    assert_eq!((header.mode().unwrap(), header.uid().unwrap()), (0o755, 0));
    assert_eq!(header.mtime().unwrap(), 1_709_208_000);
    assert!(entries.next().is_none());
}

#[test]
fn several_files_make_an_index() {
    let files = Files::new();
    let image = pack(&files.all().with_annotation("k", "v")).unwrap();
    assert_eq!(image.manifests.len(), 4);
    assert_eq!(image.manifests.last(), Some(&image.root));
    assert!(image.root.is_index());
    let index = parsed(image.root.bytes());
    let platforms: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let platform = &entry["platform"];
            format!("{}/{}", platform["os"], platform["architecture"]).replace('"', "")
        })
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64", "wasi/wasm"]);
    assert_eq!(index["annotations"]["k"], "v");
    assert_eq!(
        index["manifests"][2]["annotations"]["mt.query.plugin.type"],
        "extism"
    );
    for manifest in &image.manifests {
        assert_eq!(parsed(manifest.bytes())["annotations"]["k"], "v");
    }
}

#[test]
fn the_same_input_gives_the_same_digest() {
    let files = Files::new();
    let first = pack(&files.all()).unwrap();
    // Another order, another folder, another time of the files themselves.
    let elsewhere = Files::new();
    let again = request()
        .with_native(platform("linux", "x86_64"), elsewhere.path("amd64.so"))
        .with_native(platform("linux", "aarch64"), elsewhere.path("arm64.so"))
        .with_wasm(elsewhere.path("p.wasm"));
    assert_eq!(pack(&again).unwrap().root, first.root);
    let mut later = files.all();
    later.created += Duration::from_secs(1);
    assert_ne!(pack(&later).unwrap().root, first.root);
    let mut same_second = files.all();
    same_second.created += Duration::from_millis(999);
    assert_eq!(pack(&same_second).unwrap().root, first.root);
}

/// Pushes an image to a registry in memory.
fn pushed(image: &PackedImage) -> TestRegistry {
    let registry = TestRegistry::default();
    for manifest in &image.manifests {
        registry.put(manifest.digest().clone(), manifest.bytes().clone());
    }
    for blob in &image.blobs {
        registry.put(blob.descriptor.digest().clone(), blob.content());
    }
    registry
}

/// The way back: each host gets the file that was packed for it.
#[tokio::test]
async fn what_was_packed_is_selected_and_extracted() {
    let files = Files::new();
    let image = pack(&files.all()).unwrap();
    let (registry, repository) = (pushed(&image), repository());
    for (host, kind, expected, name) in [
        (
            ("linux", "amd64"),
            None,
            elf(object::elf::EM_X86_64),
            "plugin.so",
        ),
        (
            ("linux", "arm64"),
            None,
            elf(object::elf::EM_AARCH64),
            "plugin.so",
        ),
        (("darwin", "arm64"), None, MODULE.to_vec(), "plugin.wasm"),
        (
            ("linux", "amd64"),
            Some(PluginKind::Wasm),
            MODULE.to_vec(),
            "plugin.wasm",
        ),
    ] {
        let request = SelectionRequest::new(image.root.clone())
            .with_host(HostPlatform::new(&platform(host.0, host.1)))
            .with_kind(kind);
        let selection = select(request, &registry, &repository).await.unwrap();
        let limits = ExtractLimits::default();
        let extracted = extract(
            &selection,
            &registry,
            &repository,
            Box::new(Vec::new()),
            &limits,
        )
        .await
        .unwrap();
        assert_eq!(extracted.file_name(), name, "{host:?}");
        assert_eq!(extracted.digest(), &Digest::sha256(&expected), "{host:?}");
    }
}

#[test]
fn each_file_is_what_it_is_packed_as() {
    let files = Files::new();
    files.write("component.wasm", b"\0asm\x0d\0\x01\0");
    files.write("empty", b"");
    let amd64 = || platform("linux", "amd64");
    for (request, expected) in [
        (
            request().with_wasm(files.path("component.wasm")),
            ContentProblem::Component,
        ),
        (
            request().with_wasm(files.path("empty")),
            ContentProblem::Empty,
        ),
        (
            request().with_wasm(files.path("amd64.so")),
            ContentProblem::NativeNotWasm {
                format: NativeFormat::Elf,
            },
        ),
        (
            request().with_native(amd64(), files.path("p.wasm")),
            ContentProblem::WasmNotNative,
        ),
        (
            request().with_native(amd64(), files.path("arm64.so")),
            ContentProblem::Foreign {
                format: NativeFormat::Elf,
                found: "arm64".to_owned(),
                host: "linux/amd64".to_owned(),
            },
        ),
    ] {
        match pack(&request).unwrap_err() {
            ArtifactError::Content { problem, .. } => assert_eq!(problem, expected),
            error => panic!("{error:?}"),
        }
    }
    let missing = pack(&request().with_wasm(files.path("missing"))).unwrap_err();
    assert!(
        matches!(missing, ArtifactError::ReadFile { .. }),
        "{missing:?}"
    );
}

/// A push that broke off goes on in the midst, whatever another reader does.
#[test]
fn a_blob_is_read_from_any_place() {
    let files = Files::new();
    let image = pack(&files.all()).unwrap();
    for blob in &image.blobs {
        let whole = blob.content();
        for offset in [0, 1, whole.len() - 1, whole.len(), whole.len() + 1] {
            let mut rest = Vec::new();
            let mut reader = blob.open(u64::try_from(offset).unwrap()).unwrap();
            reader.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, whole.get(offset..).unwrap_or_default(), "{offset}");
        }
    }
}

#[test]
fn no_blob_is_there_twice() {
    let files = Files::new();
    let image = pack(&files.all()).unwrap();
    let mut seen = BTreeSet::new();
    for blob in &image.blobs {
        assert_eq!(Digest::sha256(blob.content()), *blob.descriptor.digest());
        assert!(seen.insert(blob.descriptor.digest().to_string()));
    }
    assert_eq!(image.blobs.len(), 6);
}

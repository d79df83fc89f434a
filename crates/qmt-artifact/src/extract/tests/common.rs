//! Layers in memory, and the builders of good and bad archives.

use super::*;

pub(super) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(super) const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(super) const WASM: &str = "application/vnd.wasm.v1.layer+wasm";

/// An image whose layers are given lowest first.
pub(super) struct Image {
    pub(super) selection: Selection,
    pub(super) layers: TestRegistry,
    pub(super) limits: ExtractLimits,
}

impl Image {
    pub(super) fn new(file: FileRule, layers: &[(&str, Vec<u8>)]) -> Self {
        // In chunks of a few bytes, as a slow network would send them.
        let registry = TestRegistry {
            chunk: 700,
            ..TestRegistry::default()
        };
        let mut descriptors = Vec::new();
        for (media_type, bytes) in layers {
            let descriptor = Descriptor::of(MediaType::from(*media_type), bytes);
            registry.put(descriptor.digest().clone(), bytes.clone());
            descriptors.push(descriptor);
        }
        let selection = Selection {
            manifest: Descriptor::of(MediaType::ImageManifest, b"{}"),
            hint: None,
            required: None,
            narrowed_by: None,
            layers: descriptors,
            diff_ids: Vec::new(),
            left_out: Vec::new(),
            file,
            packed_file: FileRule::Wasm,
            platform: None,
            host: HostPlatform::new(&platform("linux", "amd64")),
            annotations: std::collections::HashMap::new(),
            note: None,
            trace: Vec::new(),
        };
        Self {
            selection,
            layers: registry,
            limits: ExtractLimits::default(),
        }
    }

    pub(super) fn tar(file: FileRule, archive: Vec<u8>) -> Self {
        Self::new(file, &[(TAR, archive)])
    }

    pub(super) fn with_chunk(mut self, chunk: usize) -> Self {
        self.layers.chunk = chunk;
        self
    }

    pub(super) fn with_limits(mut self, limits: ExtractLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Extracts on a runtime of its own.
    pub(super) fn extract(&self) -> Result<(Extracted, Vec<u8>), ArtifactError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(self.extract_here())
    }

    pub(super) async fn extract_here(&self) -> Result<(Extracted, Vec<u8>), ArtifactError> {
        let sink = Box::new(Shared::default());
        let seen = sink.clone();
        let extracted = self.extract_to(sink).await?;
        let bytes = seen.0.lock().unwrap().clone();
        assert_eq!(extracted.digest(), &Digest::sha256(&bytes));
        assert_eq!(extracted.size(), bytes.len() as u64);
        Ok((extracted, bytes))
    }

    pub(super) async fn extract_to(
        &self,
        sink: Box<dyn ExtractSink>,
    ) -> Result<Extracted, ArtifactError> {
        let (registry, repository) = (&self.layers, repository());
        extract(&self.selection, registry, &repository, sink, &self.limits).await
    }

    pub(super) fn error(&self) -> ArtifactError {
        match self.extract() {
            Ok((extracted, _)) => panic!("{extracted:?} was extracted"),
            Err(error) => error,
        }
    }

    /// Returns what is wrong with the one layer.
    pub(super) fn problem(&self) -> LayerProblem {
        match self.error() {
            ArtifactError::Layer { source, .. } => source,
            error => panic!("{error:?} blames no layer"),
        }
    }
}

/// A sink whose bytes can be looked at from outside.
#[derive(Clone, Default)]
pub(super) struct Shared(pub(super) std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ExtractSink for Shared {
    fn restart(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().clear();
        Ok(())
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 3).unwrap()
}

/// A small module with a body that does not compress.
pub(super) fn module() -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    let mut state = 1_u32;
    module.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(5_000),
    );
    module
}

/// The header of an ELF shared library for `machine`, and some body.
pub(super) fn elf(machine: u16, file_type: u16) -> Vec<u8> {
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend(file_type.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend([7; 3_000]);
    elf
}

pub(super) fn library() -> Vec<u8> {
    elf(object::elf::EM_X86_64, object::elf::ET_DYN)
}

/// Builds archives header by header, so that bad ones can be built too.
#[derive(Clone, Debug, Default)]
pub(super) struct Archive(pub(super) Vec<u8>);

impl Archive {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds an entry with a ustar header; the name is written as it is.
    pub(super) fn entry(self, kind: u8, name: impl AsRef<[u8]>, content: &[u8]) -> Self {
        self.header(kind, name, content.len() as u64, |_| {})
            .content(content)
    }

    pub(super) fn file(self, name: impl AsRef<[u8]>, content: &[u8]) -> Self {
        self.entry(b'0', name, content)
    }

    pub(super) fn link(self, kind: u8, name: impl AsRef<[u8]>, target: &str) -> Self {
        self.header(kind, name, 0, |header| {
            header.set_link_name_literal(target).unwrap();
        })
    }

    /// Adds a header alone, changed by `change` before its checksum is set.
    pub(super) fn header(
        mut self,
        kind: u8,
        name: impl AsRef<[u8]>,
        size: u64,
        change: impl FnOnce(&mut ::tar::Header),
    ) -> Self {
        let mut header = ::tar::Header::new_ustar();
        let name = name.as_ref();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(::tar::EntryType::new(kind));
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    /// Adds content, padded to a whole block.
    pub(super) fn content(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        let padded = self.0.len().next_multiple_of(512);
        self.0.resize(padded, 0);
        self
    }

    pub(super) fn pax(self, records: &[(&str, &str)]) -> Self {
        let content: Vec<u8> = records
            .iter()
            .flat_map(|(key, value)| record(key, value))
            .collect();
        self.entry(b'x', "PaxHeaders/x", &content)
    }

    /// Adds a header with GNU magic.
    pub(super) fn gnu(self, kind: u8, name: impl AsRef<[u8]>, content: &[u8]) -> Self {
        self.header(kind, name, content.len() as u64, gnu_magic)
            .content(content)
    }

    pub(super) fn done(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(super) fn gnu_magic(header: &mut ::tar::Header) {
    header.as_mut_bytes()[257..265].copy_from_slice(b"ustar  \0");
}

/// One PAX record with its length in front.
pub(super) fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

/// An archive of one file.
pub(super) fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    Archive::new().file(name, content).done()
}

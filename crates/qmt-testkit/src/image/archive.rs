//! Tar archives, entry by entry and byte by byte: what no well-behaved archiver writes, too.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Size of a tar block, in bytes.
const BLOCK: usize = 512;
/// Longest name that fits into a header without extension, in bytes.
const NAME: usize = 100;
/// Level at which layers are compressed with zstd.
const ZSTD_LEVEL: i32 = 3;

/// One entry of a tar archive. Every header field can be set, to values that lie, too.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TarEntry {
    /// The name; at most 100 bytes of it fit.
    pub name: Vec<u8>,
    /// The `prefix` field of a ustar header; at most 155 bytes of it fit.
    pub prefix: Vec<u8>,
    /// The permission bits.
    pub mode: u64,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// The time of the last change, in seconds.
    pub mtime: u64,
    /// The type: `b'0'` file, `b'1'` hard link, `b'2'` symbolic link, `b'3'` character device,
    /// `b'4'` block device, `b'5'` directory, `b'6'` FIFO, and the extensions.
    pub kind: u8,
    /// The target of a link; at most 100 bytes of it fit.
    pub link: Vec<u8>,
    /// The magic with the version: ustar by default.
    pub magic: [u8; 8],
    /// What the header claims as size in bytes; `None` is the true length of the content.
    pub size: Option<u64>,
    /// The raw size field, for what is not a number; it overrides [`size`](Self::size).
    pub size_field: Option<[u8; 12]>,
    /// The checksum; `None` is the right one.
    pub checksum: Option<u32>,
    /// What follows the header, filled up with zeros to whole blocks.
    pub content: Bytes,
}

impl TarEntry {
    /// A file with mode 0644.
    pub fn file(name: impl AsRef<[u8]>, content: impl Into<Bytes>) -> Self {
        Self {
            content: content.into(),
            ..Self::of_kind(b'0', name)
        }
    }

    /// An entry of another kind, without content.
    pub fn of_kind(kind: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            prefix: Vec::new(),
            mode: if kind == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            mtime: 0,
            kind,
            link: Vec::new(),
            magic: *b"ustar\x0000",
            size: None,
            size_field: None,
            checksum: None,
            content: Bytes::new(),
        }
    }

    /// A symbolic link.
    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self {
            link: target.as_ref().to_vec(),
            ..Self::of_kind(b'2', name)
        }
    }

    /// A hard link.
    pub fn hardlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self {
            link: target.as_ref().to_vec(),
            ..Self::of_kind(b'1', name)
        }
    }

    /// A PAX header for the entry that follows, or for all (`global`).
    pub fn pax<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        global: bool,
        records: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            content.extend(pax_record(key.as_ref(), value.as_ref()));
        }
        let kind = if global { b'g' } else { b'x' };
        Self {
            content: content.into(),
            ..Self::of_kind(kind, "PaxHeaders/entry")
        }
    }

    /// A GNU long name for the entry that follows.
    pub fn gnu_long_name(name: impl AsRef<[u8]>) -> Self {
        let content = [name.as_ref(), b"\0"].concat();
        Self {
            content: content.into(),
            magic: *b"ustar  \0",
            ..Self::of_kind(b'L', "././@LongLink")
        }
    }

    /// The header and the content, in whole blocks.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = [0_u8; BLOCK];
        put(&mut header, 0, NAME, &self.name);
        put(
            &mut header,
            100,
            8,
            format!("{:07o}\0", self.mode & 0o777_7777).as_bytes(),
        );
        put(
            &mut header,
            108,
            8,
            format!("{:07o}\0", self.uid & 0o777_7777).as_bytes(),
        );
        put(
            &mut header,
            116,
            8,
            format!("{:07o}\0", self.gid & 0o777_7777).as_bytes(),
        );
        let size = self.size.unwrap_or(self.content.len() as u64);
        put(
            &mut header,
            124,
            12,
            &self.size_field.unwrap_or_else(|| number(size)),
        );
        put(&mut header, 136, 12, &number(self.mtime));
        put(&mut header, 156, 1, &[self.kind]);
        put(&mut header, 157, NAME, &self.link);
        put(&mut header, 257, 8, &self.magic);
        put(&mut header, 345, 155, &self.prefix);
        put(&mut header, 148, 8, b"        ");
        let sum = header.iter().map(|byte| u32::from(*byte)).sum();
        let sum = self.checksum.unwrap_or(sum);
        put(&mut header, 148, 8, format!("{sum:06o}\0 ").as_bytes());
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(&self.content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }
}

/// A tar archive in the making.
///
/// ```
/// use qmt_testkit::{Archive, TarEntry};
/// let hostile = Archive::new()
///     .entry(TarEntry::symlink("lib", "/etc"))
///     .file("lib/plugin.wasm", b"\0asm\x01\0\0\0".as_slice())
///     .gzip();
/// assert_eq!(&hostile[..2], [0x1f, 0x8b]);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Archive {
    bytes: Vec<u8>,
    open_end: bool,
}

impl Archive {
    /// An archive without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with mode 0644. A name of more than 100 bytes gets a PAX header.
    pub fn file(self, name: impl AsRef<[u8]>, content: impl Into<Bytes>) -> Self {
        let name = name.as_ref();
        let archive = if name.len() > NAME {
            self.entry(TarEntry::pax(false, [("path", name)]))
        } else {
            self
        };
        archive.entry(TarEntry::file(name, content))
    }

    /// Adds a directory.
    pub fn directory(self, name: impl AsRef<[u8]>) -> Self {
        self.entry(TarEntry::of_kind(b'5', name))
    }

    /// Adds the whiteout that hides `path` of the layers below.
    pub fn whiteout(self, path: &str) -> Self {
        let (folder, name) = path.rsplit_once('/').map_or(("", path), |(f, n)| (f, n));
        let slash = if folder.is_empty() { "" } else { "/" };
        self.file(format!("{folder}{slash}.wh.{name}"), Bytes::new())
    }

    /// Adds the whiteout that hides all of `folder` of the layers below; `""` is the root.
    pub fn opaque(self, folder: &str) -> Self {
        let slash = if folder.is_empty() { "" } else { "/" };
        self.file(format!("{folder}{slash}.wh..wh..opq"), Bytes::new())
    }

    /// Adds an entry.
    pub fn entry(self, entry: impl std::borrow::Borrow<TarEntry>) -> Self {
        self.raw(entry.borrow().to_bytes())
    }

    /// Adds bytes as they are.
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(bytes.as_ref());
        self
    }

    /// Leaves out the two zero blocks at the end.
    pub fn without_end(mut self) -> Self {
        self.open_end = true;
        self
    }

    /// The archive, not compressed.
    pub fn tar(&self) -> Bytes {
        let mut bytes = self.bytes.clone();
        if !self.open_end {
            bytes.resize(bytes.len() + 2 * BLOCK, 0);
        }
        bytes.into()
    }

    /// The archive, compressed with gzip. The same entries make the same bytes.
    pub fn gzip(&self) -> Bytes {
        gzip(&self.tar())
    }

    /// The archive, compressed with zstd.
    pub fn zstd(&self) -> Bytes {
        zstd(&self.tar())
    }
}

/// Compresses with gzip, without a time stamp.
pub(super) fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .unwrap_or_else(|_| unreachable!("writing into memory does not fail"))
        .into()
}

/// Compresses with zstd.
pub(super) fn zstd(bytes: &[u8]) -> Bytes {
    zstd::encode_all(bytes, ZSTD_LEVEL)
        .unwrap_or_else(|_| unreachable!("reading and writing memory does not fail"))
        .into()
}

/// Writes as much of `value` as fits.
fn put(header: &mut [u8; BLOCK], at: usize, len: usize, value: &[u8]) {
    for (field, byte) in header.iter_mut().skip(at).take(len).zip(value) {
        *field = *byte;
    }
}

/// A number of 12 bytes: octal digits, or base 256 where they do not suffice.
fn number(value: u64) -> [u8; 12] {
    let mut field = [0_u8; 12];
    let text = format!("{value:011o}\0");
    if text.len() == field.len() {
        field.copy_from_slice(text.as_bytes());
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
    field
}

/// `<length> <key>=<value>\n`, where the length counts itself.
fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    [len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Reads an archive with an independent implementation.
    fn read(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut archive = tar::Archive::new(bytes);
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.push((entry.path_bytes().into_owned(), content));
        }
        found
    }

    #[test]
    fn an_independent_reader_finds_what_was_written() {
        let long = "d/".repeat(80) + "plugin.wasm";
        let archive = Archive::new()
            .directory("dir")
            .file("dir/a", b"one".as_slice())
            .file(&long, vec![7_u8; 600])
            .entry(TarEntry::gnu_long_name("gnu"))
            .file("ignored", b"two".as_slice())
            .whiteout("dir/gone")
            .opaque("dir");
        let found = read(&archive.tar());
        let names: Vec<_> = found
            .iter()
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect();
        assert_eq!(
            names,
            [
                "dir",
                "dir/a",
                &long,
                "gnu",
                "dir/.wh.gone",
                "dir/.wh..wh..opq"
            ]
        );
        assert_eq!(found[1].1, b"one");
        assert_eq!(found[2].1, vec![7_u8; 600]);

        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(archive.gzip().as_ref())
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, archive.tar());
        assert_eq!(
            zstd::decode_all(archive.zstd().as_ref()).unwrap(),
            archive.tar()
        );
    }

    #[test]
    fn a_header_may_lie() {
        let mut entry = TarEntry::file("a", b"four".as_slice());
        entry.size = Some(u64::MAX);
        let bytes = entry.to_bytes();
        assert_eq!(
            &bytes[124..136],
            b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"
        );
        entry.size_field = Some(*b"not a number");
        assert_eq!(&entry.to_bytes()[124..136], b"not a number");
        entry.checksum = Some(0);
        assert_eq!(&entry.to_bytes()[148..156], b"000000\0 ");
    }

    #[test]
    fn a_pax_length_counts_its_own_digits() {
        assert_eq!(pax_record(b"a", b"b"), b"6 a=b\n");
        let record = pax_record(b"path", &[b'x'; 90]);
        assert!(
            record.starts_with(b"99 path=x"),
            "{}",
            String::from_utf8_lossy(&record)
        );
        assert_eq!(record.len(), 99);
        let record = pax_record(b"path", &[b'x'; 91]);
        assert!(record.starts_with(b"101 path=x"));
        assert_eq!(record.len(), 101);
    }

    #[test]
    fn without_end_there_are_no_zero_blocks() {
        let archive = Archive::new().file("a", b"x".as_slice());
        assert_eq!(archive.tar().len(), 4 * BLOCK);
        assert_eq!(archive.without_end().tar().len(), 2 * BLOCK);
    }
}

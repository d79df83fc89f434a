//! The header block of an entry, field by field.

use tar::{EntryType, Header};

use super::EntryKind;

/// Checks the header's checksum and returns its size. Only octal digits are taken: the base-256
/// form is for sizes beyond our limits, and readers differ about anything else.
pub(super) fn checked_size(header: &Header) -> Result<u64, &'static str> {
    let bytes = header.as_bytes();
    let (before, field_and_after) = bytes.split_at(148);
    let after = field_and_after.get(8..).unwrap_or_default();
    let sum: u32 = before
        .iter()
        .chain(after)
        .map(|byte| u32::from(*byte))
        .sum();
    if header.cksum().ok() != Some(sum.saturating_add(8 * u32::from(b' '))) {
        return Err("a header's checksum is wrong");
    }
    let field = bytes.get(124..136).unwrap_or_default();
    octal(field).ok_or("a size is not octal")
}

/// Reports whether an archive can start with `prefix`: a header, or the zeros that end one.
pub(in crate::extract) fn starts_archive(prefix: &[u8]) -> bool {
    let Some(block) = prefix.first_chunk::<512>() else {
        return false;
    };
    block.iter().all(|byte| *byte == 0) || checked_size(Header::from_byte_slice(block)).is_ok()
}

fn octal(field: &[u8]) -> Option<u64> {
    let field = field.trim_ascii_start();
    let end = field
        .iter()
        .position(|byte| matches!(byte, 0 | b' '))
        .unwrap_or(field.len());
    let (digits, rest) = field.split_at_checked(end)?;
    if !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(u64::from(digit))
    })
}

pub(super) fn kind_of(header: &Header) -> EntryKind {
    match header.entry_type().as_byte() {
        0 | b'0' => EntryKind::File,
        b'1' => EntryKind::Other("a hard link"),
        b'2' => EntryKind::Other("a symbolic link"),
        b'3' => EntryKind::Other("a character device"),
        b'4' => EntryKind::Other("a block device"),
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Other("a FIFO"),
        b'7' => EntryKind::Other("a contiguous file"),
        b'S' => EntryKind::Other("a sparse file"),
        b'M' => EntryKind::Other("a part of a multi-volume file"),
        _ => EntryKind::Other("an entry of an unknown type"),
    }
}

pub(super) fn has_no_content(entry_type: EntryType, kind: EntryKind) -> bool {
    kind == EntryKind::Directory || matches!(entry_type.as_byte(), b'1'..=b'6')
}

pub(super) fn is_known(header: &Header) -> bool {
    header.as_ustar().is_some() || header.as_gnu().is_some()
}

pub(super) fn is_extended(header: &Header) -> bool {
    header.as_gnu().is_some_and(tar::GnuHeader::is_extended)
}

/// Reports whether there is something where a ustar header has the front part of its name.
pub(super) fn has_prefix(header: &Header) -> bool {
    header
        .as_bytes()
        .get(345..500)
        .is_some_and(|prefix| !is_zero(prefix))
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

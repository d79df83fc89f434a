//! Names of archive entries: which path a name means, and which names are refused.
//!
//! Nothing is ever written under a name from an archive; names are compared only. So it is enough
//! that every reader would take a name for the same path.

/// Longest `file` of the config, in bytes.
const FILE_BYTES: usize = 4096;

/// Reports whether `path` is a plain relative path: UTF-8, parts joined by `/`, none of them empty,
/// `.` or `..`, and nothing in it that another operating system takes for something else.
pub(crate) fn is_plain(path: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(path) else {
        return false;
    };
    path.len() <= FILE_BYTES
        && !text.contains(|character: char| character == '\\' || character.is_control())
        && !has_drive(path)
        && path.split(|byte| *byte == b'/').all(is_part)
}

/// Returns the path that an entry's name means, or `None` if readers differ about it.
///
/// A layer is unpacked below a root, so an absolute name means the same as a relative one. Empty
/// parts and `.` mean nothing to any reader, except for `.` at the end, which only names a folder.
/// The root itself is the empty path.
pub(crate) fn normalized(name: &[u8]) -> Option<Vec<u8>> {
    let parts = name.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !matches!(*part, b"" | b".")).collect();
    let path = parts.join(&b'/');
    let names_folder = name.ends_with(b"/.") && !path.is_empty();
    let plain = !name.is_empty()
        && !names_folder
        && !path.contains(&b'\\')
        && !path.contains(&0)
        && !has_drive(&path)
        && parts.iter().all(|part| is_part(part));
    plain.then_some(path)
}

/// Returns the path that the most lenient reader would make of a name: `\` is `/`, drives, empty
/// and `.` parts don't count, `..` goes up but never above the root.
pub(crate) fn lenient(name: &[u8]) -> Vec<u8> {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = match name {
        [_, _, rest @ ..] if has_drive(name) => rest,
        name => name,
    };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| matches!(byte, b'/' | b'\\')) {
        match part {
            b"" | b"." | b"?" => {}
            b".." => {
                parts.pop();
            }
            part if has_drive(part) && part.len() == 2 => {}
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// Splits a path into the folder, which is empty at the root, and the last part.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// Lists the folders above `path`, from the nearest to the topmost, without the root.
pub(crate) fn folders(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(split(path).0), |folder| Some(split(folder).0))
        .take_while(|folder| !folder.is_empty())
}

/// Reports whether a file system that ignores case or normalises Unicode takes two paths for one.
pub(crate) fn collide(left: &[u8], right: &[u8]) -> bool {
    if left.is_ascii() && right.is_ascii() {
        return left.eq_ignore_ascii_case(right);
    }
    match (std::str::from_utf8(left), std::str::from_utf8(right)) {
        (Ok(left), Ok(right)) => folded(left) == folded(right),
        _ => false,
    }
}

/// Decomposes and folds the case, by way of upper case: `ſ` and `S` are `s`, `K` (Kelvin) is `k`.
fn folded(text: &str) -> String {
    let normalizer = icu_normalizer::DecomposingNormalizerBorrowed::new_nfd();
    let normal = normalizer.normalize(text);
    let upper: String = normal.chars().flat_map(char::to_uppercase).collect();
    let folded: String = upper.chars().flat_map(char::to_lowercase).collect();
    normalizer.normalize(&folded).into_owned()
}

fn is_part(part: &[u8]) -> bool {
    !matches!(part, b"" | b"." | b"..")
}

/// Reports whether a path starts with a Windows drive, `C:`.
fn has_drive(path: &[u8]) -> bool {
    matches!(path, [letter, b':', ..] if letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests;

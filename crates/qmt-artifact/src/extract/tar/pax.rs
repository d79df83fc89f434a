//! PAX extended headers: what they say about the entry that follows.
//!
//! See <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_03>.

/// What we need of an extended header.
#[derive(Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) sparse: bool,
}

impl Pax {
    /// Reads records of the form `length key=value\n`, each complete and each key once.
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, &'static str> {
        let mut pax = Self::default();
        let mut keys = std::collections::HashSet::new();
        if records.is_empty() {
            return Err("a PAX header is empty");
        }
        while !records.is_empty() {
            let (key, value) = record(&mut records).ok_or("a PAX record is malformed")?;
            if !keys.insert(key) {
                return Err("a PAX key stands twice");
            }
            match key {
                b"path" => {
                    if value.is_empty() || value.contains(&0) {
                        return Err("a PAX path is empty or holds NUL");
                    }
                    pax.path = Some(value.to_vec());
                }
                b"size" => pax.size = Some(decimal(value).ok_or("a PAX size is no number")?),
                b"linkpath" if value.is_empty() || value.contains(&0) => {
                    return Err("a PAX link path is empty or holds NUL");
                }
                key if key.starts_with(b"GNU.sparse.") => pax.sparse = true,
                _ => {}
            }
        }
        Ok(pax)
    }
}

/// Takes one record off the front.
fn record<'a>(records: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let space = records.iter().take(8).position(|byte| *byte == b' ')?;
    let digits = records.get(..space)?;
    if digits.first() == Some(&b'0') {
        return None;
    }
    let length = usize::try_from(decimal(digits)?).ok()?;
    let record = records
        .get(space.checked_add(1)?..length)?
        .strip_suffix(b"\n")?;
    *records = records.get(length..)?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (record.get(..equals)?, record.get(equals.checked_add(1)?..)?);
    (!key.is_empty()).then_some((key, value))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

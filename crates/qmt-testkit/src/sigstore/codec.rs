//! Text and byte forms that every part of the private Sigstore writes: base64, PEM, canonical JSON.
//!
//! [`Must`] fails the test at once if an assumption of the test kit does not hold, with a message
//! that names the assumption.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Returns the value, or fails the test with a message that says which operation failed.
pub(super) trait Must<T> {
    fn must(self, what: &str) -> T;
}

impl<T, E: Debug> Must<T> for Result<T, E> {
    fn must(self, what: &str) -> T {
        self.unwrap_or_else(|error| panic!("the private Sigstore could not {what}: {error:?}"))
    }
}

impl<T> Must<T> for Option<T> {
    fn must(self, what: &str) -> T {
        self.unwrap_or_else(|| panic!("the private Sigstore could not {what}"))
    }
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn unbase64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).must("decode base64")
}

/// PEM as Go writes it: 64 characters a line, a newline at the end.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = base64(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

pub(super) fn certificate_pem(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> u64 {
    since_1970(time).as_secs()
}

pub(super) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .must("work before 1970")
}

/// How a string's control characters are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Canonical {
    /// RFC 8785, as Rekor signs it.
    Jcs,
    /// OLPC canonical JSON, as TUF signs it: only the backslash and the double quote are escaped.
    Olpc,
}

/// Serialises with sorted keys and no spaces. Numbers must be integers, keys ASCII.
pub(super) fn canonical_json(value: &Value, form: Canonical) -> Vec<u8> {
    let mut out = Vec::new();
    write_canonical(value, form, &mut out);
    out
}

fn write_canonical(value: &Value, form: Canonical, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_canonical(item, form, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_unstable();
            out.push(b'{');
            for (position, key) in keys.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_string(key, form, out);
                out.push(b':');
                if let Some(member) = members.get(key) {
                    write_canonical(member, form, out);
                }
            }
            out.push(b'}');
        }
        Value::String(text) => write_string(text, form, out),
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

fn write_string(text: &str, form: Canonical, out: &mut Vec<u8>) {
    match form {
        Canonical::Jcs => out.extend_from_slice(Value::from(text).to_string().as_bytes()),
        Canonical::Olpc => {
            out.push(b'"');
            for byte in text.bytes() {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_canonical_forms_differ_in_control_characters_only() {
        let value = serde_json::json!({"b": ["x\n\"", 1], "a": null});
        assert_eq!(
            canonical_json(&value, Canonical::Jcs),
            br#"{"a":null,"b":["x\n\"",1]}"#
        );
        assert_eq!(
            canonical_json(&value, Canonical::Olpc),
            b"{\"a\":null,\"b\":[\"x\n\\\"\",1]}"
        );
    }

    #[test]
    fn pem_lines_hold_64_characters() {
        let text = pem("X", &[0; 49]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1].len(), 64);
        assert_eq!(lines[2].len(), 4);
        assert!(text.ends_with("-----END X-----\n"));
    }
}

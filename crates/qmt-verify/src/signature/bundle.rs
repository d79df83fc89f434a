//! Reads bundles.

use std::fmt;

use qmt_oci_ref::json;
use qmt_oci_ref::text::without_byte_order_mark;
use sigstore_verify::types::Bundle;

use super::ignored::{Defect, Unread};
use super::{base64_text, protojson};
use crate::reason::Reason;

const WHAT: &str = "the bundle";
const LOG_ENTRIES: &str = "tlogEntries";
const TIMESTAMPS: &str = "timestampVerificationData";

/// Reads a bundle, without its log entries or timestamps where they cannot be read.
pub(super) fn parse(json: &[u8]) -> Result<(Bundle, Unread), Reason> {
    let json = without_byte_order_mark(json);
    let text = std::str::from_utf8(json).map_err(|error| Reason::unreadable(WHAT, error))?;
    let normalized = protojson::normalized_bundle(json);
    let normalized = normalized.map_err(|error| Reason::unreadable(WHAT, error))?;
    let text = normalized.as_deref().unwrap_or(text);
    match read(text) {
        Ok(bundle) => Ok((bundle, Unread::default())),
        Err(error) => {
            let partial = read_partly(text, &error);
            partial.ok_or_else(|| Reason::unreadable(WHAT, error))
        }
    }
}

fn read(text: &str) -> Result<Bundle, sigstore_verify::types::Error> {
    Bundle::from_json(text).or_else(|error| {
        let joined = base64_text::joined_json(text.as_bytes());
        let text = joined.and_then(|json| String::from_utf8(json).ok());
        let read = text.and_then(|text| Bundle::from_json(&text).ok());
        read.ok_or(error)
    })
}

/// Reads a bundle without one of the two parts, or without both; `None` if that is not enough.
/// `error` is what the whole bundle gave.
fn read_partly(text: &str, error: &impl fmt::Display) -> Option<(Bundle, Unread)> {
    let whole = json::value(text.as_bytes())?;
    for parts in [
        &[LOG_ENTRIES][..],
        &[TIMESTAMPS],
        &[LOG_ENTRIES, TIMESTAMPS],
    ] {
        let mut rest = whole.clone();
        let material = rest.get_mut("verificationMaterial")?.as_object_mut()?;
        for part in parts {
            material.remove(*part);
        }
        if let Ok(bundle) = read(&rest.to_string()) {
            let defect = |part| parts.contains(&part).then(|| Defect::new(WHAT, error));
            let unread = Unread {
                log_entries: defect(LOG_ENTRIES),
                timestamps: defect(TIMESTAMPS),
            };
            return Some((bundle, unread));
        }
    }
    None
}

//! How two entries of one plugin differ.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use qmt_oci_ref::text;
use qmt_oci_ref::time::rfc3339;

use super::LockEntry;
use crate::config::NativeRule;

/// Reports whether both say the same about a plugin, whichever config wrote them, and for whichever
/// platform of the index that both pin.
pub(super) fn is_same(old: &LockEntry, new: &LockEntry) -> bool {
    let mut same = LockEntry {
        config: new.config.clone(),
        ..old.clone()
    };
    if is_of_other_platform(old, new) {
        same.manifest.clone_from(&new.manifest);
        same.file.clone_from(&new.file);
        same.file_digest.clone_from(&new.file_digest);
        same.size = new.size;
    }
    same == *new
}

/// Reports whether both entries pin the same index, and its manifests for different platforms were
/// selected from it.
fn is_of_other_platform(old: &LockEntry, new: &LockEntry) -> bool {
    let is_index = |entry: &LockEntry| entry.manifest != entry.digest;
    old.digest == new.digest && old.manifest != new.manifest && is_index(old) && is_index(new)
}

/// Describes how `new` differs from `old`, for an error.
pub(super) fn difference(old: &LockEntry, new: &LockEntry) -> String {
    let signers = [old, new].map(|entry| shown(entry.signer.as_ref()));
    let native = (old.native != new.native).then(|| match new.native {
        Some(NativeRule::Isolated) => "native code is isolated".to_owned(),
        _ => "native code runs in the process of the host instead of isolated".to_owned(),
    });
    let parts = [
        instead("reference", &old.reference, &new.reference),
        instead("digest", &old.digest, &new.digest),
        instead("kind", &old.kind, &new.kind),
        instead("signer", &signers[0], &signers[1]),
        native,
        (old.granted != new.granted).then(|| "other rights".to_owned()),
    ];
    let mut parts: Vec<_> = parts.into_iter().flatten().collect();
    // With another digest, the rest differs as well.
    if old.digest == new.digest {
        parts.extend(details(old, new));
    }
    parts.join(", ")
}

/// Describes what differs below the digest.
fn details(old: &LockEntry, new: &LockEntry) -> impl Iterator<Item = String> {
    let dates = [old, new].map(|entry| date(entry.signed_at));
    let parts = [
        instead("manifest", &old.manifest, &new.manifest),
        instead("file", &old.file, &new.file),
        instead("file digest", &old.file_digest, &new.file_digest),
        instead("size", &old.size, &new.size),
        instead("signing time", &dates[0], &dates[1]),
    ];
    parts.into_iter().flatten()
}

/// Names a value and the one that it replaces, if they differ.
fn instead<T: Display + PartialEq>(what: &str, old: &T, new: &T) -> Option<String> {
    let shown = |value: &T| text::escape(&value.to_string());
    (old != new).then(|| format!("{what} {} instead of {}", shown(new), shown(old)))
}

fn shown(value: Option<impl Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// Returns the date of `seconds` since 1970, or the number where there is no such date.
fn date(seconds: Option<u64>) -> String {
    shown(seconds.map(|seconds| {
        let date = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        date.map_or_else(|| seconds.to_string(), rfc3339)
    }))
}

//! How two entries of one plugin differ.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

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
    let mut parts = Vec::new();
    if old.reference != new.reference {
        parts.push(instead("reference", &old.reference, &new.reference));
    }
    if old.digest != new.digest {
        parts.push(instead("digest", &old.digest, &new.digest));
    }
    if old.kind != new.kind {
        parts.push(instead("kind", old.kind, new.kind));
    }
    if old.signer != new.signer {
        let (old, new) = (shown(old.signer.as_ref()), shown(new.signer.as_ref()));
        parts.push(instead("signer", old, new));
    }
    if old.native != new.native {
        parts.push(match new.native {
            Some(NativeRule::Isolated) => "native code is isolated".to_owned(),
            _ => "native code runs in the process of the host instead of isolated".to_owned(),
        });
    }
    if old.granted != new.granted {
        parts.push("other rights".to_owned());
    }
    if parts.is_empty() {
        parts = details(old, new);
    }
    parts.join(", ")
}

/// Describes what differs below the digest. It follows from the digest if that differs.
fn details(old: &LockEntry, new: &LockEntry) -> Vec<String> {
    let mut parts = Vec::new();
    if old.manifest != new.manifest {
        parts.push(instead("manifest", &old.manifest, &new.manifest));
    }
    if old.file != new.file {
        parts.push(instead("file", &old.file, &new.file));
    }
    if old.file_digest != new.file_digest {
        parts.push(instead("file digest", &old.file_digest, &new.file_digest));
    }
    if old.size != new.size {
        parts.push(instead("size", old.size, new.size));
    }
    if old.signed_at != new.signed_at {
        let (old, new) = (date(old.signed_at), date(new.signed_at));
        parts.push(instead("signing time", old, new));
    }
    parts
}

fn instead(what: &str, old: impl Display, new: impl Display) -> String {
    format!("{what} {new} instead of {old}")
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

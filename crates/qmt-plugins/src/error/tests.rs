//! Tests of hints and kinds.

use qmt_oci_ref::{PinnedReference, Reference};

use super::hint::not_verified_hint;
use super::*;

fn subject() -> PinnedReference {
    let reference: Reference = "ghcr.io/acme/echo:1".parse().unwrap();
    reference.with_digest(Digest::sha256("x"))
}

/// The command that signs fits the policy: with a key where only keys are accepted, and into the
/// repository where signatures are looked for.
#[test]
fn an_unsigned_image_is_signed_as_the_policy_requires() {
    for (searched, keys_only, command) in [
        (None, false, "cosign sign REF"),
        (None, true, "cosign sign --key KEY REF"),
        (
            Some("ghcr.io/acme/sigs"),
            true,
            "COSIGN_REPOSITORY=ghcr.io/acme/sigs cosign sign --key KEY REF",
        ),
    ] {
        let source = VerifyError::NoSignature {
            subject: Box::new(subject()),
            searched: searched.map(|name| Box::new(name.parse().unwrap())),
            keys_only,
            rejected: Vec::new(),
            unread: 0,
        };
        let hint = not_verified_hint(&source, "REF").unwrap();
        assert_eq!(hint, format!("the publisher signs it with `{command}`"));
    }
}

/// A full disk is no mistake in the file that was to be written.
#[test]
fn a_full_disk_is_a_failure() {
    let write = |kind: std::io::ErrorKind| {
        Error::Lockfile(LockfileError::Write {
            path: "plugins.lock".into(),
            source: kind.into(),
        })
    };
    for (kind, expected) in [
        (std::io::ErrorKind::StorageFull, ErrorKind::Failure),
        (std::io::ErrorKind::QuotaExceeded, ErrorKind::Failure),
        (std::io::ErrorKind::PermissionDenied, ErrorKind::Config),
    ] {
        assert_eq!(write(kind).kind(), expected, "{kind:?}");
    }
}

//! Defects of a TUF repository.

use bytes::Bytes;

use super::TufRole;

/// One thing that is wrong with an otherwise good repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TufDefect {
    /// A role's metadata is signed with other keys under the right names. Not of the root.
    WrongKey(TufRole),
    /// A role's metadata is not signed. Not of the root.
    Unsigned(TufRole),
    /// A role's metadata was changed after it was signed. Not of the root.
    Tampered(TufRole),
    /// A role's metadata had expired a day before the repository was made. Not of the root.
    Expired(TufRole),
    /// A role's metadata has a lower version than before. Not of the root.
    Rollback(TufRole),
    /// The targets' metadata has one signature of the two that it needs.
    BelowThreshold,
    /// The targets' metadata has two signatures, both by the same key.
    SameKeyTwice,
    /// The new snapshot's version of the targets' metadata is the old file.
    MixAndMatch,
    /// The snapshot lists no targets' metadata.
    SnapshotForgetsTargets,
    /// The timestamp calls itself a snapshot.
    OtherType,
    /// The timestamp is of a specification that is yet to come.
    FutureSpec,
    /// A target has other bytes than listed, as many as listed.
    TamperedTarget,
    /// A target is longer than listed.
    LongTarget,
    /// The new root is signed by the new keys only.
    RootNotSignedByOld,
    /// The new root is signed by the old keys only.
    RootNotSignedByNew,
    /// The next root leaves a version out.
    RootSkipsVersion,
    /// The new root lists one key of the targets under two names, and only this key signs them,
    /// under both (CVE-2020-15093). Clients that take key IDs as given count it twice.
    OneKeyTwoIds,
    /// The new root wants no signature for any role (CVE-2026-23992).
    ThresholdZero,
}

impl TufDefect {
    /// Every defect of what [`publish_bad`](super::TufRepository::publish_bad) writes.
    pub fn of_publishing() -> Vec<Self> {
        let mut defects = vec![
            Self::BelowThreshold,
            Self::SameKeyTwice,
            Self::MixAndMatch,
            Self::SnapshotForgetsTargets,
            Self::OtherType,
            Self::FutureSpec,
            Self::TamperedTarget,
            Self::LongTarget,
        ];
        for role in [TufRole::Targets, TufRole::Snapshot, TufRole::Timestamp] {
            defects.extend([
                Self::WrongKey(role),
                Self::Unsigned(role),
                Self::Tampered(role),
                Self::Expired(role),
                Self::Rollback(role),
            ]);
        }
        defects
    }

    /// Every defect of what [`rotate_bad`](super::TufRepository::rotate_bad) writes.
    pub fn of_rotation() -> Vec<Self> {
        vec![
            Self::RootNotSignedByOld,
            Self::RootNotSignedByNew,
            Self::RootSkipsVersion,
            Self::ThresholdZero,
            Self::OneKeyTwoIds,
        ]
    }

    pub(super) fn is_of_rotation(self) -> bool {
        Self::of_rotation().contains(&self)
    }
}

/// The same number of other bytes.
pub(super) fn tampered(content: &Bytes) -> Bytes {
    let mut content = content.to_vec();
    if let Some(last) = content.last_mut() {
        *last ^= 1;
    }
    content.into()
}

//! A valid signature in which one part is replaced by that of another valid signature.
//!
//! Each of them must be refused: all parts of the evidence have to be about one signature.

use serde_json::Value;

use super::bundle::SignedBundle;
use super::codec::Must;
use super::image::bytes;
use super::simple::{BUNDLE, CERTIFICATE, CHAIN, SIGNATURE, SimpleSigning, TIMESTAMP};

/// A part of a signature that can be taken from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// What is signed.
    Payload,
    /// The signature.
    Signature,
    /// The certificate (with its chain), or the hint at the key.
    Certificate,
    /// The whole log entry.
    Entry,
    /// The entry's body alone.
    Body,
    /// The log's promise: the signed entry timestamp.
    Promise,
    /// The integrated time.
    IntegratedTime,
    /// The proof of inclusion with its checkpoint.
    Proof,
    /// The checkpoint alone.
    Checkpoint,
    /// The timestamps.
    Timestamp,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 10] = [
        Self::Payload,
        Self::Signature,
        Self::Certificate,
        Self::Entry,
        Self::Body,
        Self::Promise,
        Self::IntegratedTime,
        Self::Proof,
        Self::Checkpoint,
        Self::Timestamp,
    ];

    /// Where the part is in a bundle.
    fn pointers(self) -> &'static [&'static str] {
        match self {
            Self::Payload => &["/dsseEnvelope/payload"],
            Self::Signature => &["/dsseEnvelope/signatures"],
            Self::Certificate => &[
                "/verificationMaterial/certificate",
                "/verificationMaterial/publicKey",
            ],
            Self::Entry => &["/verificationMaterial/tlogEntries"],
            Self::Body => &["/verificationMaterial/tlogEntries/0/canonicalizedBody"],
            Self::Promise => &["/verificationMaterial/tlogEntries/0/inclusionPromise"],
            Self::IntegratedTime => &["/verificationMaterial/tlogEntries/0/integratedTime"],
            Self::Proof => &["/verificationMaterial/tlogEntries/0/inclusionProof"],
            Self::Checkpoint => &["/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint"],
            Self::Timestamp => &["/verificationMaterial/timestampVerificationData"],
        }
    }
}

impl SignedBundle {
    /// This bundle with one part of `donor`; nothing where that changes nothing, or where one of
    /// the two has no such part.
    #[must_use]
    pub fn transplant(&self, donor: &Self, part: Part) -> Option<Self> {
        let (mut own, theirs) = (self.value(), donor.value());
        let mut changed = false;
        for pointer in part.pointers() {
            changed |= replace(&mut own, &theirs, pointer);
        }
        changed.then(|| Self {
            json: bytes(&own),
            ..self.clone()
        })
    }
}

impl SimpleSigning {
    /// This signature with one part of `donor`; nothing where that changes nothing, or where one
    /// of the two has no such part. Annotations have no proofs and no checkpoints.
    #[must_use]
    pub fn transplant(&self, donor: &Self, part: Part) -> Option<Self> {
        let mut out = self.clone();
        match part {
            Part::Payload => out.payload = donor.payload.clone(),
            Part::Signature => out.take(donor, &[SIGNATURE])?,
            Part::Certificate => out.take(donor, &[CERTIFICATE, CHAIN])?,
            Part::Entry => out.take(donor, &[BUNDLE])?,
            Part::Body => out.take_from_entry(donor, "/Payload/body")?,
            Part::Promise => out.take_from_entry(donor, "/SignedEntryTimestamp")?,
            Part::IntegratedTime => out.take_from_entry(donor, "/Payload/integratedTime")?,
            Part::Timestamp => out.take(donor, &[TIMESTAMP])?,
            Part::Proof | Part::Checkpoint => return None,
        }
        (out != *self).then_some(out)
    }

    fn take(&mut self, donor: &Self, names: &[&str]) -> Option<()> {
        for name in names {
            let theirs = donor.annotations.get(*name)?;
            theirs.clone_into(self.annotations.get_mut(*name)?);
        }
        Some(())
    }

    fn take_from_entry(&mut self, donor: &Self, pointer: &str) -> Option<()> {
        let parse = |text: &String| -> Value { serde_json::from_str(text).must("read an entry") };
        let theirs = parse(donor.annotations.get(BUNDLE)?);
        let own = self.annotations.get_mut(BUNDLE)?;
        let mut entry = parse(own);
        replace(&mut entry, &theirs, pointer).then(|| *own = entry.to_string())
    }
}

/// Whether there was something to replace by something else.
fn replace(own: &mut Value, theirs: &Value, pointer: &str) -> bool {
    match (own.pointer_mut(pointer), theirs.pointer(pointer)) {
        (Some(own), Some(theirs)) if own != theirs => {
            *own = theirs.clone();
            true
        }
        _ => false,
    }
}

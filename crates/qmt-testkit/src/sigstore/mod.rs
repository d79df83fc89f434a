//! The private Sigstore: an authority, logs and a timestamp service that sign, all in process.
//!
//! Nothing here talks to a network. Everything it makes has the shape of what cosign 2 and 3 make
//! with the real services, and each known way to be wrong has a [`Tampered`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use const_oid::db::rfc5280::ID_KP_CODE_SIGNING;

mod attach;
mod attestation;
mod bundle;
mod ca;
mod codec;
mod encoding;
mod entry;
mod identity;
mod image;
mod key;
mod malleate;
mod merkle;
mod rekor;
mod sct;
mod signing;
mod simple;
mod tampered;
mod transplant;
mod trust;
mod tsa;
mod tuf;

pub use self::attach::{attach_bundle, attach_simple};
pub use self::attestation::{Attestation, DSSE_ENVELOPE, SLSA_V1, SLSA_V02, SimpleAttestation};
pub use self::bundle::{BUNDLE_V03, SIGN_PREDICATE, SignedBundle};
pub use self::encoding::Encoding;
pub use self::identity::{GITHUB_ISSUER, Identity, SubjectName};
pub use self::image::{SignatureImage, SignedSubject};
pub use self::key::{KeyKind, KeyPair};
pub use self::sct::SignedCertificateTimestamp;
pub use self::signing::{LogKind, Signer, Signing};
pub use self::simple::{SIMPLE_SIGNING, SIMPLE_SIGNING_ARTIFACT, SimpleSigning};
pub use self::tampered::{Defect, Format, Tampered};
pub use self::transplant::Part;
pub use self::trust::{TrustPart, TrustedRootBuilder};
pub use self::tuf::{TRUSTED_ROOT_TARGET, TufDefect, TufFiles, TufRepository, TufRole};

use self::ca::Authority;
use self::rekor::{Log, LogVersion};
use self::tsa::TimestampAuthority;

const YEAR: Duration = Duration::from_hours(365 * 24);

/// The origin of Rekor v2.
const REKOR_V2: &str = "log.rekor.private.test";

/// How long ago the retired authority had expired.
const RETIRED_FOR: Duration = Duration::from_hours(2 * 365 * 24);

/// How long before now [`PrivateSigstore::new`] signs: long enough that a signature that was
/// logged late was not logged in the future.
const AGO: Duration = Duration::from_hours(1);

/// A whole Sigstore with keys of its own: certificate authority, transparency logs, timestamp
/// authority.
///
/// Two of them share names and nothing else, so each is the other's impostor. Keys are new each
/// time; everything else follows from the time that it is given.
///
/// ```
/// use qmt_testkit::{Identity, LogKind, PrivateSigstore, Signing, SimpleSigning, Tampered};
///
/// let sigstore = PrivateSigstore::new();
/// let digest = format!("sha256:{:064x}", 7);
/// let signing = Signing::keyless(Identity::email("dev@example.com", "https://issuer.example.com"));
///
/// // As cosign 2: a layer of the image `sha256-….sig`.
/// let simple = sigstore.sign_simple(&digest, &signing);
/// let image = SimpleSigning::image(&digest, &[simple]);
/// assert!(image.tag.unwrap().ends_with(".sig"));
///
/// // As cosign 3: a bundle, here in Rekor v2 and with a timestamp.
/// let modern = signing.log(LogKind::RekorV2).timestamp(true);
/// let good = sigstore.sign_bundle(&digest, &modern);
/// let bad = sigstore.sign_bundle(&digest, &modern.tampered(Tampered::SctByWrongKey));
/// assert_ne!(good, bad);
///
/// // What a client trusts.
/// assert!(sigstore.trusted_root_json().contains("certificateAuthorities"));
/// ```
pub struct PrivateSigstore {
    time: SystemTime,
    organisation: &'static str,
    fulcio: Authority,
    /// Expired two years ago, and still in the trusted root.
    retired: Authority,
    /// Has the names of `fulcio`, and is not trusted.
    stranger: Authority,
    ctfe: KeyPair,
    rekor: Log,
    rekor_v2: Log,
    tsa: TimestampAuthority,
    stranger_tsa: TimestampAuthority,
    keys: Mutex<BTreeMap<String, Arc<KeyPair>>>,
}

impl fmt::Debug for PrivateSigstore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateSigstore")
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

impl Default for PrivateSigstore {
    fn default() -> Self {
        Self::new()
    }
}

impl PrivateSigstore {
    /// A Sigstore that signed an hour ago.
    pub fn new() -> Self {
        Self::at(SystemTime::now() - AGO)
    }

    /// A Sigstore whose certificates begin at `time`; log and timestamps follow two seconds later.
    ///
    /// A verifier compares log times with its clock, so `time` should be past. Authorities and
    /// logs are valid from five years before `time` to ten years after.
    pub fn at(time: SystemTime) -> Self {
        let organisation = "private.test";
        let valid = (time - 5 * YEAR, time + 10 * YEAR);
        let past = (time - 5 * YEAR, time - RETIRED_FOR);
        let authority = |valid| Authority::new(organisation, "fulcio", valid, ID_KP_CODE_SIGNING);
        Self {
            time,
            organisation,
            fulcio: authority(valid),
            retired: authority(past),
            stranger: authority(valid),
            ctfe: KeyPair::generate(KeyKind::P256),
            rekor: Log::new(LogVersion::V1, "rekor.private.test", KeyKind::P256),
            rekor_v2: Log::new(LogVersion::V2, REKOR_V2, KeyKind::Ed25519),
            tsa: TimestampAuthority::new(organisation, valid),
            stranger_tsa: TimestampAuthority::new(organisation, valid),
            keys: Mutex::new(BTreeMap::new()),
        }
    }

    /// The same with a new log of Rekor v2, whose key is of this kind instead of Ed25519.
    ///
    /// Logs with other keys are called by the hash of the key alone, so that they can be trusted by
    /// PEM file.
    #[must_use]
    pub fn with_rekor_v2_key(mut self, kind: KeyKind) -> Self {
        self.rekor_v2 = Log::new(LogVersion::V2, REKOR_V2, kind);
        self
    }

    /// When certificates begin.
    pub fn time(&self) -> SystemTime {
        self.time
    }

    /// The key of that name, made at first use.
    ///
    /// A name that is a kind of key (`p256`, `p384`, `p521`, `ed25519`, `rsa2048`, `rsa4096`), or begins
    /// with one and a dash, gives that kind; any other name gives P-256.
    pub fn key(&self, name: &str) -> Arc<KeyPair> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let key = keys
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(KeyPair::generate(kind_of(name))));
        Arc::clone(key)
    }

    /// The public key of that name, as `cosign.pub` holds it.
    pub fn key_pem(&self, name: &str) -> String {
        self.key(name).public_pem()
    }

    /// A TUF repository of the same time that serves the trusted root.
    pub fn tuf_repository(&self) -> TufRepository {
        TufRepository::new(self.time, self.trusted_root_json())
    }

    /// When the retired authority had expired.
    fn retired_at(&self) -> SystemTime {
        self.time - RETIRED_FOR
    }

    /// When the logs and authorities began.
    fn began(&self) -> SystemTime {
        self.time - 5 * YEAR
    }
}

fn kind_of(name: &str) -> KeyKind {
    match name.split('-').next().unwrap_or(name) {
        "p384" => KeyKind::P384,
        "p521" => KeyKind::P521,
        "ed25519" => KeyKind::Ed25519,
        "rsa2048" => KeyKind::Rsa2048,
        "rsa4096" => KeyKind::Rsa4096,
        _ => KeyKind::P256,
    }
}

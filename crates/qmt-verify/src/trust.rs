//! Trust roots: the keys and certificates of the trusted Sigstore instance.
//!
//! The operator names the source; there is no fallback to another, and an empty one is an error. A
//! part that cannot be used is ignored with a warning, so that a new log does not stop
//! verification.

mod issuers;
mod material;
mod pem_files;
mod tuf;

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use qmt_oci_ref::text::{utf_16, without_byte_order_mark};
use sigstore_trust_root::{
    SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT, TrustedRoot,
};

pub use self::pem_files::PemTrust;
#[cfg(feature = "test-util")]
pub use self::tuf::MockTufTransport;
pub use self::tuf::{TufOptions, TufTransport};
use crate::error::VerifyError;
use crate::limits::TRUST_FILE_BYTES_MAX;
use crate::report::TrustReport;

/// The version of the root that is compiled in: that of the library that carries it.
const EMBEDDED_VERSION: &str = "sigstore-trust-root 0.15.1";

/// The keys and certificates of a Sigstore instance, parsed and never empty.
#[derive(Clone)]
pub struct TrustRoot {
    pub(crate) root: TrustedRoot,
    /// Whether it names certificate transparency logs, usable or not.
    pub(crate) names_ct_logs: bool,
    info: TrustRootInfo,
}

/// What a trust root is and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustRootInfo {
    /// `embedded`, a file name, or the URL of a TUF repository.
    pub source: String,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// When it was last refreshed, or when its file was last written.
    pub refreshed: Option<SystemTime>,
    /// Usable transparency logs.
    pub logs: usize,
    /// Usable certificates of certificate authorities.
    pub certificate_authorities: usize,
    /// Usable certificate transparency logs.
    pub ct_logs: usize,
    /// Usable timestamp authorities.
    pub timestamp_authorities: usize,
    /// The parts that cannot be used, and why.
    pub unusable: Vec<String>,
}

impl TrustRoot {
    /// The public Sigstore instance, as of this release.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TrustRoot`] if the compiled-in root cannot be used.
    pub fn embedded() -> Result<Self, VerifyError> {
        let json = SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes();
        Self::from_json("embedded", Some(EMBEDDED_VERSION), None, json)
    }

    /// The staging instance of the public Sigstore, for conformance tests.
    ///
    /// # Errors
    ///
    /// As [`TrustRoot::embedded`].
    pub fn embedded_staging() -> Result<Self, VerifyError> {
        let json = SIGSTORE_STAGING_TRUSTED_ROOT.as_bytes();
        Self::from_json("embedded (staging)", Some(EMBEDDED_VERSION), None, json)
    }

    /// Reads a `trusted_root.json` of at most 4 MiB.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TrustRoot`] if the file is missing, unreadable, or holds nothing usable.
    pub fn from_json_file(path: &Path) -> Result<Self, VerifyError> {
        let (json, written) = read_file(path)?;
        let origin = path.display().to_string();
        if let Some(problem) = utf_16(&json) {
            return Err(VerifyError::trust(origin, problem));
        }
        Self::from_json(&origin, None, written, &json)
    }

    /// Reads PEM files.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TrustRoot`] if a file is missing, unreadable, or holds nothing usable.
    pub fn from_pem(files: &PemTrust) -> Result<Self, VerifyError> {
        let trust = Self::from_json(&files.names(), None, None, &files.to_json()?)?;
        let info = &trust.info;
        let (authorities, timestamps) = (info.certificate_authorities, info.timestamp_authorities);
        let ct_log = "key of a certificate transparency log";
        for (named, usable, what) in [
            (&files.fulcio, authorities, "certificate of an authority"),
            (&files.rekor, info.logs, "key of a transparency log"),
            (&files.ctfe, info.ct_logs, ct_log),
            (&files.tsa, timestamps, "chain of a timestamp authority"),
        ] {
            if let (Some(path), 0) = (named.first(), usable) {
                let left = info.unusable.join("; ");
                let problem = format!("holds no usable {what} ({left})");
                return Err(VerifyError::trust(path.display().to_string(), problem));
            }
        }
        Ok(trust)
    }

    /// Reads the trusted root of a TUF repository: from the cache if that was refreshed within the
    /// last day and is valid in full, else through `transport`. If the repository cannot be reached
    /// the cache is used until it expires. Invalid metadata is an error.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TrustRoot`] if neither holds a valid trusted root.
    pub async fn from_tuf(
        options: &TufOptions,
        transport: &dyn TufTransport,
        now: SystemTime,
    ) -> Result<Self, VerifyError> {
        tuf::load(options, Some(transport), now).await
    }

    /// Reads the trusted root of a TUF repository from its cache alone. It may be of any age, as
    /// long as all of it is valid and nothing has expired.
    ///
    /// # Errors
    ///
    /// [`VerifyError::NotStored`] if the cache holds no valid trusted root.
    pub async fn from_tuf_cache(
        options: &TufOptions,
        now: SystemTime,
    ) -> Result<Self, VerifyError> {
        tuf::load(options, None, now).await
    }

    /// Trusts no Sigstore instance: for policies whose keys do without a transparency log.
    /// [`SigstoreVerifier::new`](crate::SigstoreVerifier::new) refuses every other policy with it.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TrustRoot`] if the library refuses an empty root.
    pub fn none() -> Result<Self, VerifyError> {
        let source = "none (keys alone)";
        let root = material::single(material::MEDIA_TYPE, None)
            .map_err(|problem| VerifyError::trust(source, problem))?;
        let info = TrustRootInfo::of(&root, source, None, None, Vec::new());
        Ok(Self {
            root,
            names_ct_logs: false,
            info,
        })
    }

    /// Trusts what either of two roots trusts, if the operator names both.
    #[must_use]
    pub fn joined_with(mut self, other: Self) -> Self {
        self.names_ct_logs |= other.names_ct_logs;
        let (root, more) = (&mut self.root, other.root);
        join(&mut root.tlogs, more.tlogs, |log| log.log_id.clone());
        join(&mut root.ctlogs, more.ctlogs, |log| log.log_id.clone());
        let authorities = &mut root.certificate_authorities;
        authorities.extend(more.certificate_authorities);
        root.timestamp_authorities
            .extend(more.timestamp_authorities);
        let (one, two) = (self.info, other.info);
        let unusable = one.unusable.into_iter().chain(two.unusable);
        self.info = TrustRootInfo::of(
            &self.root,
            &format!("{} and {}", one.source, two.source),
            one.version.or(two.version).as_deref(),
            // The age is that of the older one.
            one.refreshed.into_iter().chain(two.refreshed).min(),
            unusable.collect(),
        );
        self
    }

    /// Describes it.
    pub fn describe(&self) -> &TrustRootInfo {
        &self.info
    }

    /// Builds the root from the JSON of a trusted root; all other constructors end here.
    fn from_json(
        source: &str,
        version: Option<&str>,
        refreshed: Option<SystemTime>,
        json: &[u8],
    ) -> Result<Self, VerifyError> {
        let material::Parsed {
            root,
            unusable,
            names_ct_logs,
        } = material::parse(json).map_err(|problem| VerifyError::trust(source, problem))?;
        for problem in &unusable {
            tracing::warn!(source, problem, "part of the trust root cannot be used");
        }
        let info = TrustRootInfo::of(&root, source, version, refreshed, unusable);
        if info.logs == 0 && info.certificate_authorities == 0 && info.timestamp_authorities == 0 {
            let cause = info.unusable.first().map(|one| format!(" ({one})"));
            let cause = cause.unwrap_or_default();
            let problem = if info.ct_logs > 0 {
                "has only the keys of certificate transparency logs (`ctfe_keys`): no signature can be \
                 verified without `fulcio_certs` and `rekor_pub_keys`"
                    .to_owned()
            } else {
                format!("holds no usable key or certificate{cause}")
            };
            return Err(VerifyError::trust(source, problem));
        }
        Ok(Self {
            root,
            names_ct_logs,
            info,
        })
    }
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrustRoot").field(&self.info).finish()
    }
}

impl TrustRootInfo {
    fn of(
        root: &TrustedRoot,
        source: &str,
        version: Option<&str>,
        refreshed: Option<SystemTime>,
        unusable: Vec<String>,
    ) -> Self {
        Self {
            source: source.to_owned(),
            version: version.map(ToOwned::to_owned),
            refreshed,
            logs: root.tlogs.len(),
            certificate_authorities: root.certificate_authorities.len(),
            ct_logs: root.ctlogs.len(),
            timestamp_authorities: root.timestamp_authorities.len(),
            unusable,
        }
    }

    /// The part that a report shows, with the age as of `now`.
    pub(crate) fn report(&self, now: SystemTime) -> TrustReport {
        let age = |then| now.duration_since(then).unwrap_or(Duration::ZERO);
        TrustReport {
            source: self.source.clone(),
            version: self.version.clone(),
            age_seconds: self.refreshed.map(|then| age(then).as_secs()),
        }
    }
}

/// Reads a file of at most 4 MiB, with the time of its last change.
fn read_file(path: &Path) -> Result<(Vec<u8>, Option<SystemTime>), VerifyError> {
    let fail = |problem: &str, source: Option<std::io::Error>| VerifyError::TrustRoot {
        origin: path.display().to_string(),
        problem: problem.to_owned(),
        source: source.map(Into::into),
    };
    let file = qmt_storage::files::open_regular(path);
    let file = file.map_err(|error| fail("cannot be opened", Some(error)))?;
    let written = file.metadata().and_then(|metadata| metadata.modified());
    let read = qmt_storage::files::read_at_most(file, TRUST_FILE_BYTES_MAX);
    let bytes = read.map_err(|error| fail("cannot be read", Some(error)))?;
    let bytes = bytes.ok_or_else(|| fail("is over 4 MiB", None))?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(fail("is empty", None));
    }
    let bytes = without_byte_order_mark(&bytes).to_vec();
    Ok((bytes, written.ok()))
}

/// Adds unknown entries. Of entries that both name, those of the first stay, with their dates.
fn join<T, K: PartialEq>(known: &mut Vec<T>, others: Vec<T>, name: impl Fn(&T) -> K) {
    for other in others {
        if !known.iter().any(|one| name(one) == name(&other)) {
            known.push(other);
        }
    }
}

#[cfg(test)]
mod tests;

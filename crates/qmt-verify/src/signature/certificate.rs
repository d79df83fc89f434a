//! What a certificate says: its identity, the issuer of that, and the claims of the CI system.
//! <https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md>

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use sigstore_verify::types::DerCertificate;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::limits::SHORT_LIVED_MAX;
use crate::policy::{Claim, GITHUB_ISSUER, WorkflowClaims};
use crate::reason::Reason;
use crate::signer::{self, SignerId};

/// The arc of all Fulcio extensions.
const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");
/// The kind of an `otherName` in which Fulcio writes user names.
const OTHER_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");
const GITHUB: &str = "https://github.com/";

/// The parts of a signing certificate that a policy can be about. Claims, until the certificate is
/// verified.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    /// The subject alternative name, of any kind.
    pub(crate) identity: Option<String>,
    /// The issuer, from the current extension or else the old one.
    pub(crate) issuer: Option<String>,
    /// The time of issue of a short-lived certificate, which is about the signing time.
    pub(crate) issued_at: Option<SystemTime>,
    /// Values of the extensions by their number under Fulcio's arc.
    extensions: BTreeMap<u32, String>,
}

impl Claims {
    pub(crate) fn parse(der: &DerCertificate) -> Result<Self, Reason> {
        let certificate = Certificate::from_der(der.as_bytes()).map_err(Reason::certificate)?;
        let mut extensions = BTreeMap::new();
        for extension in certificate.tbs_certificate.extensions.iter().flatten() {
            let Some(number) = number(&extension.extn_id) else {
                continue;
            };
            let value = extension.extn_value.as_bytes();
            let text = match number {
                // The first six hold bare text, the later ones a DER UTF8String.
                // Some authorities wrote a DER string into the old issuer's.
                1..=6 => utf8_string(value).or_else(|| String::from_utf8(value.to_vec()).ok()),
                8..=24 => utf8_string(value),
                _ => continue,
            };
            let broken = |problem| Reason::certificate(format!("its extension {number} {problem}"));
            let text = text.ok_or_else(|| broken("is not text"))?;
            if extensions.insert(number, text).is_some() {
                return Err(broken("occurs twice"));
            }
        }
        let (old, new) = (extensions.get(&1), extensions.get(&8));
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            return Err(Reason::IssuerConflict {
                old: old.clone(),
                new: new.clone(),
            });
        }
        Ok(Self {
            identity: identity(&certificate)?,
            issuer: new.or(old).cloned(),
            issued_at: issued_at(&certificate),
            extensions,
        })
    }

    /// The signer that the certificate names, if it names an identity; for messages only.
    pub(crate) fn named_signer(&self) -> Option<SignerId> {
        self.identity.as_ref().map(|_| self.signer())
    }

    /// The signer that the certificate names.
    pub(crate) fn signer(&self) -> SignerId {
        let text = |claim: &Option<String>| claim.clone().unwrap_or_default();
        SignerId::certificate(text(&self.issuer), text(&self.identity))
    }

    /// The config line for a release workflow of GitHub Actions, whose identity ends in the tag and
    /// so differs for each release; `None` for other signers.
    pub(crate) fn release_line(&self, logged: bool) -> Option<String> {
        let issuer = self
            .issuer
            .as_deref()
            .filter(|issuer| *issuer == GITHUB_ISSUER)?;
        let (workflow, tag) = self.identity.as_deref()?.split_once("@refs/tags/")?;
        let repository = self.values(extensions(Claim::Repository)).next()?;
        let repository = repository.strip_prefix(GITHUB).unwrap_or(repository);
        // Reusable workflows of other repositories sign with their own name.
        let own = format!("{GITHUB}{repository}/");
        (!tag.is_empty() && workflow.starts_with(&own))
            .then(|| signer::release_line(issuer, workflow, logged))
    }

    /// Checks the claims that the policy requires. Where a certificate makes a claim in an old and
    /// in a current extension, both must have the required value.
    pub(crate) fn check(&self, required: &WorkflowClaims) -> Result<(), Reason> {
        for (claim, expected) in required.all() {
            let Some(expected) = expected else { continue };
            let equal = |found: &str| match claim {
                Claim::Repository => same_repository(found, expected),
                Claim::Ref | Claim::Trigger | Claim::Name | Claim::Sha => found == expected,
            };
            let mut values = self.values(extensions(claim)).peekable();
            let missing = values.peek().is_none();
            let wrong = values.find(|found| !equal(found));
            if missing || wrong.is_some() {
                return Err(Reason::OtherClaim {
                    claim,
                    found: wrong.map(str::to_owned),
                    expected: expected.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The claims by name, for the report.
    pub(crate) fn named(&self) -> BTreeMap<String, String> {
        let none = WorkflowClaims::default();
        let claims = none
            .all()
            .map(|(claim, _)| (claim.to_string(), extensions(claim)));
        let others: [(&str, &'static [u32]); 4] = [
            ("build_signer", &[9]),
            ("build_config", &[18]),
            ("runner", &[11]),
            ("run", &[21]),
        ];
        let others = others.map(|(name, numbers)| (name.to_owned(), numbers));
        let all = claims.into_iter().chain(others);
        all.filter_map(|(name, numbers)| Some((name, self.values(numbers).next()?.to_owned())))
            .collect()
    }

    fn values(&self, numbers: &'static [u32]) -> impl Iterator<Item = &str> {
        let values = numbers.iter().map(|number| self.extensions.get(number));
        values.flatten().map(String::as_str)
    }
}

/// The extensions that make `claim`, the current one first.
fn extensions(claim: Claim) -> &'static [u32] {
    match claim {
        Claim::Repository => &[12, 5],
        Claim::Ref => &[14, 6],
        Claim::Trigger => &[20, 2],
        Claim::Name => &[4],
        Claim::Sha => &[13, 3],
    }
}

/// Whether a certificate's repository is the required one. Only `https://github.com/` may be
/// omitted.
fn same_repository(found: &str, required: &str) -> bool {
    let whole = |text: &str| {
        let prefix = if text.contains("://") { "" } else { GITHUB };
        format!("{prefix}{text}")
    };
    found == required || whole(found) == whole(required) && whole(required).starts_with(GITHUB)
}

/// The time of issue of a short-lived certificate. A long-lived one can be used years later.
fn issued_at(certificate: &Certificate) -> Option<SystemTime> {
    let validity = &certificate.tbs_certificate.validity;
    let from = validity.not_before.to_system_time();
    let lifetime = validity.not_after.to_system_time().duration_since(from);
    lifetime
        .is_ok_and(|lifetime| lifetime <= SHORT_LIVED_MAX)
        .then_some(from)
}

fn number(id: &ObjectIdentifier) -> Option<u32> {
    let arcs: Vec<u32> = id.arcs().collect();
    let (last, parent) = arcs.split_last()?;
    FULCIO.arcs().eq(parent.iter().copied()).then_some(*last)
}

fn utf8_string(der: &[u8]) -> Option<String> {
    let text = Utf8StringRef::from_der(der).ok()?;
    Some(text.as_str().to_owned())
}

fn identity(certificate: &Certificate) -> Result<Option<String>, Reason> {
    let names = certificate.tbs_certificate.get::<SubjectAltName>();
    let Some((_, SubjectAltName(mut names))) = names.map_err(Reason::certificate)? else {
        return Ok(None);
    };
    if names.len() > 1 {
        // Fulcio writes one. With two, a rule could match one and a report show the other.
        return Err(Reason::certificate("it names more than one identity"));
    }
    Ok(match names.pop() {
        Some(
            GeneralName::Rfc822Name(text)
            | GeneralName::DnsName(text)
            | GeneralName::UniformResourceIdentifier(text),
        ) => Some(text.to_string()),
        Some(GeneralName::IpAddress(bytes)) => {
            let bytes = bytes.as_bytes();
            let address = <[u8; 4]>::try_from(bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
                .map_err(|_| Reason::certificate("its IP address has an odd length"))?;
            Some(address.to_string())
        }
        Some(GeneralName::OtherName(other)) if other.type_id == OTHER_NAME => {
            let text: Utf8StringRef<'_> = other.value.decode_as().map_err(Reason::certificate)?;
            Some(text.as_str().to_owned())
        }
        // No policy can be about other kinds of name.
        _ => None,
    })
}

#[cfg(test)]
mod tests;

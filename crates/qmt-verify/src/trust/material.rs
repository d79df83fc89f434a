//! The JSON of a trusted root, entry by entry: usable entries are kept, the others are named.

use std::collections::HashSet;

use serde_json::{Value, json};
use sigstore_trust_root::{CertificateAuthority, TimeRange, TrustedRoot};
use sigstore_verify::Verifier;
use sigstore_verify::types::DerCertificate;
use x509_cert::Certificate;

use super::issuers::{self, Issued, NO_AUTHORITY};
use crate::pem;
use crate::signature::protojson;

/// The media type of a trusted root that is made here.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
/// How the media types of all versions begin.
const MEDIA_TYPE_PREFIX: &str = "application/vnd.dev.sigstore.trustedroot";

/// A parsed trusted root.
pub(super) struct Parsed {
    /// Its usable entries.
    pub(super) root: TrustedRoot,
    /// The unusable entries, and why.
    pub(super) unusable: Vec<String>,
    /// Whether there are entries of certificate transparency logs, usable or not.
    pub(super) names_ct_logs: bool,
}

/// Parses a trusted root.
pub(super) fn parse(json: &[u8]) -> Result<Parsed, String> {
    let mut document: Value = serde_json::from_slice(json).map_err(|error| {
        let mut documents = serde_json::Deserializer::from_slice(json).into_iter::<Value>();
        if documents.by_ref().take(2).filter_map(Result::ok).count() == 2 {
            return "has several trusted roots, one per line, as `gh attestation trusted-root` \
                    writes them; keep only the line of the Sigstore instance that made the \
                    signatures"
                .to_owned();
        }
        if pem::is_pem(json) {
            return "is PEM, and not the JSON of a trusted root: name PEM files with `fulcio_certs` and \
                    `rekor_pub_keys` instead"
                .to_owned();
        }
        format!("is not JSON: {error}")
    })?;
    protojson::normalize_root(&mut document).map_err(|error| error.to_string())?;
    let media_type = document.get("mediaType").and_then(Value::as_str);
    let media_type = media_type.unwrap_or_default();
    if !media_type.starts_with(MEDIA_TYPE_PREFIX) {
        let problem = format!("is not a trusted root: its `mediaType` is `{media_type}`");
        return Err(problem);
    }
    let mut root = single(media_type, None)?;
    let mut unusable = Vec::new();
    let mut seen = HashSet::new();
    let issuers = issuers(media_type, &document);
    for (list, label) in [
        ("tlogs", "transparency log"),
        ("ctlogs", "certificate transparency log"),
        ("certificateAuthorities", "certificate authority"),
        ("timestampAuthorities", "timestamp authority"),
    ] {
        let entries = match document.get(list) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(format!("`{list}` is not a list")),
        };
        for (index, entry) in entries.iter().enumerate() {
            let name = format!("{label} {}", index + 1);
            let (parts, is_chain) = match single(media_type, Some((list, entry))) {
                Ok(one) if one.certificate_authorities.is_empty() => (vec![narrow(one)], false),
                Ok(one) => (split(&one, &issuers), true),
                Err(problem) => (vec![Err(problem)], false),
            };
            for (index, part) in parts.into_iter().enumerate() {
                match part.and_then(|part| usable(part, &mut seen)) {
                    Ok(part) => append(&mut root, part),
                    Err(problem) if is_chain => {
                        unusable.push(format!("{name}: certificate {}: {problem}", index + 1));
                    }
                    Err(problem) => unusable.push(format!("{name}: {problem}")),
                }
            }
        }
    }
    let ct_logs = document.get("ctlogs").and_then(Value::as_array);
    Ok(Parsed {
        root,
        unusable,
        names_ct_logs: ct_logs.is_some_and(|logs| !logs.is_empty()),
    })
}

/// The certificates of all certificate authorities. Those that cannot be read are skipped here and
/// reported with their own entry.
fn issuers(media_type: &str, document: &Value) -> Vec<Issued> {
    const LIST: &str = "certificateAuthorities";
    let entries = document.get(LIST).and_then(Value::as_array);
    let roots = entries.into_iter().flatten();
    let roots = roots.filter_map(|entry| single(media_type, Some((LIST, entry))).ok());
    let authorities = roots.flat_map(|root| root.certificate_authorities);
    let certificates = authorities.flat_map(|authority| authority.cert_chain.certificates);
    certificates
        .filter_map(|one| Issued::parse(&one.raw_bytes).ok())
        .collect()
}

/// A root with at most one entry, so that an unreadable entry does not affect others.
pub(super) fn single(
    media_type: &str,
    entry: Option<(&str, &Value)>,
) -> Result<TrustedRoot, String> {
    let mut document = json!({ "mediaType": media_type });
    if let (Some((list, entry)), Some(fields)) = (entry, document.as_object_mut()) {
        fields.insert(list.to_owned(), Value::Array(vec![entry.clone()]));
    }
    TrustedRoot::from_json(&document.to_string()).map_err(|error| error.to_string())
}

/// Checks that the library can use a root of one entry, and that no other log has its id.
fn usable(part: TrustedRoot, seen: &mut HashSet<(bool, String)>) -> Result<TrustedRoot, String> {
    Verifier::new(&part).map_err(|error| error.to_string())?;
    let tlogs = part.tlogs.iter().map(|log| (true, &log.log_id));
    let ct_logs = part.ctlogs.iter().map(|log| (false, &log.log_id));
    let mut ids = tlogs.chain(ct_logs);
    if ids.all(|(is_tlog, id)| seen.insert((is_tlog, id.key_id.to_string()))) {
        return Ok(part);
    }
    Err("has the id of another log".to_owned())
}

fn append(root: &mut TrustedRoot, part: TrustedRoot) {
    root.tlogs.extend(part.tlogs);
    root.ctlogs.extend(part.ctlogs);
    root.certificate_authorities
        .extend(part.certificate_authorities);
    root.timestamp_authorities
        .extend(part.timestamp_authorities);
}

/// One authority per certificate. The library uses each certificate of a chain as an anchor and
/// ignores an anchor's own dates, so an expired issuer would stay trusted (CVE-2026-24122). Each
/// gets the window in which it and all its issuers are valid, once per chain of issuers. Issuers
/// are searched in all authorities and matched by signature, because a renewed root with the same
/// name did not issue what the expired one did.
fn split(one: &TrustedRoot, issuers: &[Issued]) -> Vec<Result<TrustedRoot, String>> {
    let mut parts = Vec::new();
    for authority in &one.certificate_authorities {
        for entry in &authority.cert_chain.certificates {
            match windows(authority, &entry.raw_bytes, issuers) {
                Err(problem) => parts.push(Err(problem)),
                Ok(windows) => parts.extend(windows.into_iter().map(|window| {
                    let (mut part, mut narrowed) = (one.clone(), authority.clone());
                    narrowed.cert_chain.certificates = vec![entry.clone()];
                    narrowed.valid_for = Some(window);
                    part.certificate_authorities = vec![narrowed];
                    Ok(part)
                })),
            }
        }
    }
    if parts.is_empty() {
        parts.push(Err("has no certificate".to_owned()));
    }
    parts
}

/// The windows in which a certificate of `authority` and all its issuers are valid, at least one.
fn windows(
    authority: &CertificateAuthority,
    der: &DerCertificate,
    issuers: &[Issued],
) -> Result<Vec<TimeRange>, String> {
    let own = Issued::parse(der)?;
    if !own.is_authority() {
        return Err(NO_AUTHORITY.to_owned());
    }
    let own = issuers.iter().find(|one| **one == own).unwrap_or(&own);
    let mut windows: Vec<TimeRange> = Vec::new();
    let mut failed = None;
    for chain in issuers::chains(own, issuers)? {
        let mut certificates = chain.iter().map(|one| &one.certificate);
        let narrowed = certificates.try_fold(authority.valid_for, |window, one| {
            intersect(window, one).map(Some)
        });
        match narrowed {
            Ok(Some(window)) if !windows.contains(&window) => windows.push(window),
            Ok(_) => {}
            Err(problem) => failed = Some(problem),
        }
    }
    match failed {
        Some(problem) if windows.is_empty() => Err(problem),
        _ => Ok(windows),
    }
}

/// Gives a timestamp authority the window in which all certificates of its chain are valid.
fn narrow(mut one: TrustedRoot) -> Result<TrustedRoot, String> {
    for authority in &mut one.timestamp_authorities {
        if authority.cert_chain.certificates.is_empty() {
            return Err("has no certificate".to_owned());
        }
        for entry in &authority.cert_chain.certificates {
            let parsed = Issued::parse(&entry.raw_bytes)?;
            authority.valid_for = Some(intersect(authority.valid_for, &parsed.certificate)?);
        }
    }
    Ok(one)
}

fn intersect(window: Option<TimeRange>, certificate: &Certificate) -> Result<TimeRange, String> {
    let validity = &certificate.tbs_certificate.validity;
    let bad = |_| "has dates that cannot be read".to_owned();
    let (from, to) = (validity.not_before, validity.not_after);
    let mut start = from.to_system_time().try_into().map_err(bad)?;
    let mut end = to.to_system_time().try_into().map_err(bad)?;
    if let Some(window) = window {
        start = window.start.max(start);
        if let Some(closed) = window.end {
            end = closed.min(end);
        }
    }
    if end < start {
        return Err("is never valid: its window and its dates do not overlap".to_owned());
    }
    Ok(TimeRange::new(start, Some(end)))
}

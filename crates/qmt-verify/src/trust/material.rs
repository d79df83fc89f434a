//! The JSON of a trusted root, entry by entry: usable entries are kept, the others are named.

use std::collections::HashSet;

use serde_json::{Value, json};
use sigstore_trust_root::{CertificateAuthority, TimeRange, TimestampAuthority, TrustedRoot};
use sigstore_verify::Verifier;
use sigstore_verify::types::DerCertificate;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot";
/// How many issuers up a certificate's chain is followed.
const DEPTH_MAX: usize = 8;

/// Parses a trusted root. The second value names the unusable entries, and why.
pub(super) fn parse(json: &[u8]) -> Result<(TrustedRoot, Vec<String>), String> {
    let document: Value =
        serde_json::from_slice(json).map_err(|error| format!("is not JSON: {error}"))?;
    let media_type = document.get("mediaType").and_then(Value::as_str);
    let media_type = media_type.unwrap_or_default();
    if !media_type.starts_with(MEDIA_TYPE) {
        let problem = format!("is not a trusted root: its `mediaType` is `{media_type}`");
        return Err(problem);
    }
    let mut kept = single(media_type, None)?;
    let mut left = Vec::new();
    let mut seen = HashSet::new();
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
            match single(media_type, Some((list, entry))) {
                Ok(one) => keep(&mut kept, one, &name, &mut seen, &mut left),
                Err(problem) => left.push(format!("{name}: {problem}")),
            }
        }
    }
    Ok((kept, left))
}

/// A root with at most one entry, so that an unreadable entry does not affect others.
fn single(media_type: &str, entry: Option<(&str, &Value)>) -> Result<TrustedRoot, String> {
    let mut document = json!({ "mediaType": media_type });
    if let (Some((list, entry)), Some(fields)) = (entry, document.as_object_mut()) {
        fields.insert(list.to_owned(), Value::Array(vec![entry.clone()]));
    }
    TrustedRoot::from_json(&document.to_string()).map_err(|error| error.to_string())
}

/// Moves the usable parts of `one` to `kept`.
fn keep(
    kept: &mut TrustedRoot,
    mut one: TrustedRoot,
    name: &str,
    seen: &mut HashSet<(bool, String)>,
    left: &mut Vec<String>,
) {
    let tlogs = std::mem::take(&mut one.tlogs);
    let ctlogs = std::mem::take(&mut one.ctlogs);
    let certificates = std::mem::take(&mut one.certificate_authorities);
    let timestamps = std::mem::take(&mut one.timestamp_authorities);
    // Without entries now.
    let blank = one;
    let trial = |fill: &dyn Fn(&mut TrustedRoot)| {
        let mut trial = blank.clone();
        fill(&mut trial);
        let usable = Verifier::new(&trial);
        usable.map(drop).map_err(|error| error.to_string())
    };
    let mut leave = |problem: String| left.push(format!("{name}: {problem}"));
    let mut is_new = |is_tlog: bool, id: String| {
        let new = seen.insert((is_tlog, id)).then_some(());
        new.ok_or_else(|| "has the id of another log".to_owned())
    };
    for log in tlogs {
        let checked = trial(&|root| root.tlogs.push(log.clone()))
            .and_then(|()| is_new(true, log.log_id.key_id.to_string()));
        match checked {
            Ok(()) => kept.tlogs.push(log),
            Err(problem) => leave(problem),
        }
    }
    for log in ctlogs {
        let checked = trial(&|root| root.ctlogs.push(log.clone()))
            .and_then(|()| is_new(false, log.log_id.key_id.to_string()));
        match checked {
            Ok(()) => kept.ctlogs.push(log),
            Err(problem) => leave(problem),
        }
    }
    for (index, one) in certificates.iter().flat_map(split).enumerate() {
        let checked = one.and_then(|one| {
            trial(&|root| root.certificate_authorities.push(one.clone()))?;
            Ok(one)
        });
        match checked {
            Ok(one) => kept.certificate_authorities.push(one),
            Err(problem) => leave(format!("certificate {}: {problem}", index + 1)),
        }
    }
    for authority in timestamps {
        let checked = narrow(authority).and_then(|one| {
            trial(&|root| root.timestamp_authorities.push(one.clone()))?;
            Ok(one)
        });
        match checked {
            Ok(one) => kept.timestamp_authorities.push(one),
            Err(problem) => leave(problem),
        }
    }
}

/// One authority per certificate. The library uses each certificate of a chain as an anchor and
/// ignores an anchor's own dates, so an expired issuer would stay trusted (CVE-2026-24122). Each
/// gets the window in which it and all its issuers are valid.
fn split(authority: &CertificateAuthority) -> Vec<Result<CertificateAuthority, String>> {
    let entries = &authority.cert_chain.certificates;
    let parsed = entries
        .iter()
        .map(|entry| certificate(&entry.raw_bytes).ok());
    let certificates: Vec<Option<Certificate>> = parsed.collect();
    let mut authorities = Vec::new();
    for (entry, parsed) in entries.iter().zip(&certificates) {
        let Some(parsed) = parsed else {
            authorities.push(Err("is not a certificate".to_owned()));
            continue;
        };
        let mut window = authority.valid_for;
        let mut current = parsed;
        let mut failed = None;
        for _ in 0..DEPTH_MAX {
            match intersect(window, current) {
                Ok(narrower) => window = Some(narrower),
                Err(problem) => failed = Some(problem),
            }
            let issuer = &current.tbs_certificate.issuer;
            if *issuer == current.tbs_certificate.subject {
                break;
            }
            let above = certificates.iter().flatten().find(|other| {
                other.tbs_certificate.subject == *issuer && !std::ptr::eq(*other, current)
            });
            match above {
                Some(above) => current = above,
                None => break,
            }
        }
        let mut one = authority.clone();
        one.cert_chain.certificates = vec![entry.clone()];
        one.valid_for = window;
        authorities.push(failed.map_or(Ok(one), Err));
    }
    if entries.is_empty() {
        authorities.push(Err("has no certificate".to_owned()));
    }
    authorities
}

/// The window in which all certificates of the chain are valid.
fn narrow(mut authority: TimestampAuthority) -> Result<TimestampAuthority, String> {
    if authority.cert_chain.certificates.is_empty() {
        return Err("has no certificate".to_owned());
    }
    for entry in &authority.cert_chain.certificates {
        let parsed = certificate(&entry.raw_bytes)?;
        authority.valid_for = Some(intersect(authority.valid_for, &parsed)?);
    }
    Ok(authority)
}

pub(super) fn certificate(der: &DerCertificate) -> Result<Certificate, String> {
    Certificate::from_der(der.as_bytes()).map_err(|error| format!("is not a certificate: {error}"))
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

//! Policy over proven facts: which authorities does one signature satisfy, and if none, what is
//! the first thing that is wrong. Everything that an authority says is asked of the same facts.

use qmt_oci_ref::Reference;

use super::candidate::Candidate;
use super::facts::Facts;
use super::proof::Prover;
use super::{Accepted, Case};
use crate::fault::Fault;
use crate::policy::{Authority, Kind};
use crate::report::rfc3339;
use crate::signer::SignerId;

/// All authorities that this signature satisfies, at least one.
pub(super) fn signatures(
    prover: &Prover,
    case: &Case<'_>,
    candidate: &Candidate<'_>,
) -> Result<Vec<Accepted>, Fault> {
    if case.policy.is_pin_on_first_use() {
        return first_use(prover, case, candidate).map(|accepted| vec![accepted]);
    }
    let certified = candidate.has_certificate();
    let mut proven = None;
    let mut accepted = Vec::new();
    let mut closest: Option<Fault> = None;
    for (index, authority) in case.policy.authorities().iter().enumerate() {
        let tried = match authority.kind() {
            Kind::Certificate { .. } if certified => {
                // One proof serves all authorities.
                let facts = match proven.take() {
                    Some(facts) => facts,
                    None => prover.certificate(candidate, needs_log(case), case.now)?,
                };
                let signer = signer(authority, &facts).and_then(|signer| {
                    logged(authority, &facts)?;
                    constraints(authority, &facts, case)?;
                    Ok((signer, facts.clone()))
                });
                proven = Some(facts);
                signer
            }
            Kind::Key(key) if !certified => {
                prover.key(candidate, key, case.now).and_then(|facts| {
                    constraints(authority, &facts, case)?;
                    Ok((SignerId::key(key.fingerprint.clone()), facts))
                })
            }
            _ => continue,
        };
        match tried {
            Ok((signer, facts)) => {
                let label = authority.to_string();
                accepted.push(Accepted {
                    authority: index,
                    label,
                    signer,
                    facts,
                });
            }
            Err(fault) => {
                closest = Some(match closest {
                    Some(other) => closer(other, fault),
                    None => fault,
                });
            }
        }
    }
    if accepted.is_empty() {
        return Err(closest.unwrap_or(if certified {
            Fault::OnlyKeys
        } else {
            Fault::NoKey
        }));
    }
    Ok(accepted)
}

/// Whether an attestation is signed by one of the authorities or, where the first signer is taken,
/// by the signer of the image. Annotations and times are asked of signatures only.
pub(super) fn attester(
    prover: &Prover,
    case: &Case<'_>,
    candidate: &Candidate<'_>,
    image_signer: &SignerId,
) -> Result<(), Fault> {
    if candidate.has_certificate() {
        let facts = prover.certificate(candidate, needs_log(case), case.now)?;
        if case.policy.is_pin_on_first_use() {
            return pinned(&facts, Some(image_signer)).map(drop);
        }
        let mut first = None;
        for authority in case.policy.authorities() {
            if !matches!(authority.kind(), Kind::Certificate { .. }) {
                continue;
            }
            match signer(authority, &facts).and_then(|_| logged(authority, &facts)) {
                Ok(()) => return Ok(()),
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        return Err(first.unwrap_or(Fault::OnlyKeys));
    }
    let mut first = None;
    for authority in case.policy.authorities() {
        let Kind::Key(key) = authority.kind() else {
            continue;
        };
        match prover.key(candidate, key, case.now) {
            Ok(_) => return Ok(()),
            Err(fault) => first = first.or(Some(fault)),
        }
    }
    Err(first.unwrap_or(Fault::NoKey))
}

/// Whether no authority for certificates does without a transparency log. One proof serves all, so
/// each of them is asked again by [`logged`].
fn needs_log(case: &Case<'_>) -> bool {
    let mut certificates = case
        .policy
        .authorities()
        .iter()
        .filter(|one| matches!(one.kind(), Kind::Certificate { .. }));
    certificates.all(Authority::needs_log)
}

/// Holds an authority to the log that it wants.
fn logged(authority: &Authority, facts: &Facts) -> Result<(), Fault> {
    if authority.needs_log() && !facts.is_logged() {
        return Err(Fault::NoLog);
    }
    Ok(())
}

/// Takes any proven certificate, or only the pinned one.
fn first_use(
    prover: &Prover,
    case: &Case<'_>,
    candidate: &Candidate<'_>,
) -> Result<Accepted, Fault> {
    if !candidate.has_certificate() {
        return Err(Fault::NoKey);
    }
    let facts = prover.certificate(candidate, true, case.now)?;
    let signer = pinned(&facts, case.expected)?;
    name(&facts, case)?;
    let label = match case.expected {
        Some(_) => "the signer that the lockfile pins".to_owned(),
        None => "any signer, pinned on first use".to_owned(),
    };
    Ok(Accepted {
        authority: 0,
        label,
        signer,
        facts,
    })
}

/// The signer of `facts`, who must be `expected` if there is one.
fn pinned(facts: &Facts, expected: Option<&SignerId>) -> Result<SignerId, Fault> {
    let issuer = facts.claims.issuer.clone().unwrap_or_default();
    let identities = &facts.claims.identities;
    let all = || {
        identities
            .iter()
            .map(|one| SignerId::certificate(issuer.clone(), one.clone()))
    };
    let Some(first) = all().next() else {
        return Err(Fault::Certificate("it names no identity".to_owned()));
    };
    match expected {
        None => Ok(first),
        Some(expected) => all()
            .find(|one| one == expected)
            .ok_or_else(|| Fault::OtherSigner {
                found: first.to_string(),
                pinned: expected.to_string(),
            }),
    }
}

/// Who signed, if the authority accepts them.
fn signer(authority: &Authority, facts: &Facts) -> Result<SignerId, Fault> {
    let Kind::Certificate {
        issuer,
        identity,
        claims,
        ..
    } = authority.kind()
    else {
        return Err(Fault::OnlyKeys);
    };
    let found = facts.claims.issuer.as_deref();
    if let Some(expected) = issuer
        && found != Some(expected.as_str())
    {
        return Err(Fault::OtherIssuer {
            found: found.unwrap_or("nobody").to_owned(),
            expected: expected.clone(),
        });
    }
    let identities = &facts.claims.identities;
    let Some(accepted) = identities.iter().find(|one| identity.accepts(one)) else {
        return Err(Fault::OtherIdentity {
            found: if identities.is_empty() {
                "nobody".to_owned()
            } else {
                identities.join(", ")
            },
            expected: identity.to_string(),
        });
    };
    facts.claims.check(claims)?;
    Ok(SignerId::certificate(
        found.unwrap_or_default(),
        accepted.clone(),
    ))
}

/// What an authority asks besides the signer.
fn constraints(authority: &Authority, facts: &Facts, case: &Case<'_>) -> Result<(), Fault> {
    for (wanted, expected) in authority.annotations() {
        let found = facts.annotations.get(wanted);
        if found != Some(expected) {
            return Err(Fault::OtherAnnotation {
                name: wanted.clone(),
                found: found.cloned().unwrap_or_else(|| "not there".to_owned()),
                expected: expected.clone(),
            });
        }
    }
    if let Some(minimum) = authority.minimum_time() {
        // Every proven time counts, so that one backdated or postdated stamp cannot help.
        let earliest = facts.times.iter().min();
        if earliest.is_none_or(|earliest| *earliest < minimum) {
            return Err(Fault::TooOld {
                found: earliest.map_or_else(|| "a time not proven".to_owned(), |t| rfc3339(*t)),
                minimum: rfc3339(minimum),
            });
        }
    }
    name(facts, case)
}

/// The name in a `.sig` payload, where the policy wants it to be the image's. Bundles have none.
fn name(facts: &Facts, case: &Case<'_>) -> Result<(), Fault> {
    if !case.policy.matches_name() || facts.format != ".sig" {
        return Ok(());
    }
    let expected = case.subject.repository();
    let signed = facts.name.as_deref();
    // Through the grammar, so that every spelling of Docker Hub is one.
    let named = signed.and_then(|name| name.parse::<Reference>().ok());
    if named.as_ref().map(Reference::repository) == Some(expected) {
        return Ok(());
    }
    Err(Fault::OtherName {
        found: signed.unwrap_or("nothing").to_owned(),
        expected: expected.to_string(),
    })
}

/// Of two faults the one that got further, because that authority was the closer one. Two of the
/// same kind are told together.
fn closer(one: Fault, other: Fault) -> Fault {
    let rank = |fault: &Fault| match fault {
        Fault::OtherKey { .. } => 0,
        Fault::OtherIssuer { .. } => 1,
        Fault::OtherIdentity { .. } => 2,
        Fault::OtherClaim { .. } => 3,
        Fault::OtherAnnotation { .. } => 4,
        Fault::TooOld { .. } => 5,
        Fault::OtherName { .. } => 6,
        // What is wrong with the proof itself comes first in every case.
        _ => 7,
    };
    match (one, other) {
        (Fault::OtherKey { expected: one }, Fault::OtherKey { expected: other }) => {
            Fault::OtherKey {
                expected: format!("{one} or {other}"),
            }
        }
        (
            Fault::OtherIdentity {
                found,
                expected: one,
            },
            Fault::OtherIdentity {
                expected: other, ..
            },
        ) if one != other => Fault::OtherIdentity {
            found,
            expected: format!("{one} or {other}"),
        },
        (one, other) => {
            if rank(&other) > rank(&one) {
                other
            } else {
                one
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fault: &Fault) -> String {
        fault.to_string()
    }

    /// From what an operator learns least of to what got furthest.
    fn ladder() -> Vec<Fault> {
        let (found, expected) = ("found".to_owned(), "expected".to_owned());
        vec![
            Fault::OtherKey {
                expected: expected.clone(),
            },
            Fault::OtherIssuer {
                found: found.clone(),
                expected: expected.clone(),
            },
            Fault::OtherIdentity {
                found: found.clone(),
                expected: expected.clone(),
            },
            Fault::OtherClaim {
                claim: "ref",
                found: found.clone(),
                expected: expected.clone(),
            },
            Fault::OtherAnnotation {
                name: "a".to_owned(),
                found: found.clone(),
                expected: expected.clone(),
            },
            Fault::TooOld {
                found: found.clone(),
                minimum: expected.clone(),
            },
            Fault::OtherName { found, expected },
            Fault::NoLog,
        ]
    }

    #[test]
    fn the_fault_of_the_closer_authority_is_told() {
        for low in 0..ladder().len() {
            for high in low + 1..ladder().len() {
                let told = text(&ladder()[high]);
                let one_first = closer(ladder().remove(low), ladder().remove(high));
                let other_first = closer(ladder().remove(high), ladder().remove(low));
                assert_eq!(text(&one_first), told);
                assert_eq!(text(&other_first), told);
            }
        }
    }

    #[test]
    fn of_two_that_are_as_close_the_first_or_both_are_told() {
        let issuer = |expected: &str| Fault::OtherIssuer {
            found: "x".to_owned(),
            expected: expected.to_owned(),
        };
        let told = closer(issuer("a"), issuer("b"));
        assert_eq!(text(&told), text(&issuer("a")));
        let key = |expected: &str| Fault::OtherKey {
            expected: expected.to_owned(),
        };
        assert_eq!(text(&closer(key("a"), key("b"))), text(&key("a or b")));
        let identity = |expected: &str| Fault::OtherIdentity {
            found: "x".to_owned(),
            expected: expected.to_owned(),
        };
        let told = closer(identity("a"), identity("b"));
        assert_eq!(text(&told), text(&identity("a or b")));
        // The same identity of two issuers is said once.
        let told = closer(identity("a"), identity("a"));
        assert_eq!(text(&told), text(&identity("a")));
    }
}

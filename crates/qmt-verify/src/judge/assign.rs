//! m of n: how many authorities are satisfied, each by another signer. One signer who fits two
//! authorities counts once, and so does one authority that two signers fit (GHSA-9vcr-p3rj-q5q6).

use super::facts::Facts;
use super::{Accepted, Case};
use crate::signer::SignerId;

/// The signatures that were enough.
pub(super) struct Chosen<'a> {
    primary: &'a Accepted,
    others: Vec<&'a Accepted>,
}

impl Chosen<'_> {
    pub(super) fn facts(&self) -> &Facts {
        &self.primary.facts
    }

    pub(super) fn signer(&self) -> &SignerId {
        &self.primary.signer
    }

    /// The index of the authority that the first signature satisfies.
    pub(super) fn index(&self) -> usize {
        self.primary.authority
    }

    pub(super) fn authority(&self) -> &str {
        &self.primary.label
    }

    pub(super) fn cosigners(&self) -> Vec<SignerId> {
        self.others.iter().map(|one| one.signer.clone()).collect()
    }
}

/// Chooses as many signatures as the policy requires, the pinned signer first.
pub(super) fn choose<'a>(accepted: &'a [Accepted], case: &Case<'_>) -> Option<Chosen<'a>> {
    let pinned = |one: &Accepted| case.expected == Some(&one.signer);
    let require = case.policy.require();
    if require == 1 {
        let primary = accepted
            .iter()
            .find(|one| pinned(one))
            .or_else(|| accepted.first())?;
        return Some(Chosen {
            primary,
            others: Vec::new(),
        });
    }
    let mut enough = pairs(accepted);
    if enough.len() < require {
        return None;
    }
    let first = enough.iter().position(|one| pinned(one)).unwrap_or(0);
    let primary = enough.remove(first);
    Some(Chosen {
        primary,
        others: enough,
    })
}

/// How many authorities are satisfied by different signers.
pub(super) fn signers(accepted: &[Accepted]) -> usize {
    pairs(accepted).len()
}

/// A largest set in which no authority and no signer occurs twice (Kuhn's algorithm), ordered by
/// authority.
fn pairs(accepted: &[Accepted]) -> Vec<&Accepted> {
    let mut authorities: Vec<usize> = accepted.iter().map(|one| one.authority).collect();
    authorities.sort_unstable();
    authorities.dedup();
    let mut chosen: Vec<&Accepted> = Vec::new();
    for authority in authorities {
        let mut tried = Vec::new();
        augment(accepted, authority, &mut chosen, &mut tried);
    }
    chosen.sort_by_key(|one| one.authority);
    chosen
}

/// Finds a signer for `authority`, moving others to another signer where that helps.
fn augment<'a>(
    accepted: &'a [Accepted],
    authority: usize,
    chosen: &mut Vec<&'a Accepted>,
    tried: &mut Vec<&'a SignerId>,
) -> bool {
    for edge in accepted.iter().filter(|one| one.authority == authority) {
        if tried.contains(&&edge.signer) {
            continue;
        }
        tried.push(&edge.signer);
        let taken = chosen.iter().position(|one| one.signer == edge.signer);
        let free = match taken {
            None => true,
            Some(place) => {
                let holder = chosen.remove(place);
                if augment(accepted, holder.authority, chosen, tried) {
                    true
                } else {
                    chosen.push(holder);
                    false
                }
            }
        };
        if free {
            chosen.push(edge);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::judge::certificate::Claims;

    fn edges(edges: &[(usize, &str)]) -> Vec<Accepted> {
        let facts = Facts {
            found: String::new(),
            format: ".sig",
            claims: Claims::default(),
            annotations: BTreeMap::new(),
            name: None,
            times: Vec::new(),
            log_entries: Vec::new(),
            checks: Vec::new(),
            warnings: Vec::new(),
        };
        edges
            .iter()
            .map(|(authority, signer)| Accepted {
                authority: *authority,
                label: String::new(),
                signer: SignerId::key(*signer),
                facts: facts.clone(),
            })
            .collect()
    }

    /// SIG-11: neither one signer nor one authority counts twice towards a threshold.
    #[test]
    fn distinct_authorities_need_distinct_signers() {
        for (given, count) in [
            (&[][..], 0),
            (&[(0, "a")], 1),
            (&[(0, "a"), (1, "a")], 1),
            (&[(0, "a"), (0, "b")], 1),
            (&[(0, "a"), (1, "b")], 2),
            // The first choice for authority 0 must give way.
            (&[(0, "a"), (0, "b"), (1, "a")], 2),
            (&[(0, "a"), (0, "b"), (1, "a"), (1, "c"), (2, "a")], 3),
            (&[(0, "a"), (1, "a"), (2, "a"), (2, "b")], 2),
        ] {
            let accepted = edges(given);
            assert_eq!(signers(&accepted), count, "{given:?}");
        }
    }
}

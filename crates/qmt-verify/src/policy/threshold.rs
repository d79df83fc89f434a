//! m of n: how many authorities are satisfied, each by another signer. A signer that satisfies two
//! authorities counts once, and so does an authority that two signers satisfy
//! (GHSA-9vcr-p3rj-q5q6). Where the policy does not distinguish issuers, one identity of two
//! issuers is one signer.

use super::evaluation::Accepted;
use crate::signature::VerifiedSignature;
use crate::signer::SignerId;

/// An authority, by its index, and a signature that satisfies it.
pub(super) type Pair<'a> = (usize, &'a VerifiedSignature);

/// The rule by which two signatures count as those of one signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignerRule {
    /// The identity and its issuer, or the key; an e-mail address without regard to case.
    IdentityAndIssuer,
    /// The identity without regard to case and issuer, or the key.
    Identity,
}

impl SignerRule {
    fn same(self, one: &SignerId, other: &SignerId) -> bool {
        let (
            SignerId::Certificate { issuer, identity },
            SignerId::Certificate {
                issuer: other_issuer,
                identity: other_identity,
            },
        ) = (one, other)
        else {
            return one == other;
        };
        let same = || identity.to_lowercase() == other_identity.to_lowercase();
        match self {
            Self::Identity => same(),
            Self::IdentityAndIssuer if issuer != other_issuer => false,
            // Mail to either address reaches one person.
            Self::IdentityAndIssuer => identity == other_identity || (is_email(identity) && same()),
        }
    }
}

fn is_email(identity: &str) -> bool {
    identity.contains('@') && !identity.contains("://")
}

/// Chooses `require` signatures or more, first the one by the `pinned` signer. Returns none if
/// there are not enough.
pub(super) fn choose<'a>(
    accepted: &'a [Accepted],
    require: usize,
    rule: SignerRule,
    pinned: Option<&SignerId>,
) -> Vec<Pair<'a>> {
    let is_pinned = |signature: &VerifiedSignature| pinned == Some(&signature.signer);
    if require == 1 {
        let mut all = accepted.iter();
        let chosen = all.clone().find(|(_, one)| is_pinned(one)).or(all.next());
        let first = chosen.and_then(|(authorities, one)| Some((*authorities.first()?, one)));
        return first.into_iter().collect();
    }
    let mut chosen = pairs(accepted, rule);
    if chosen.len() < require {
        return Vec::new();
    }
    if let Some(index) = chosen.iter().position(|(_, one)| is_pinned(one)) {
        // The others stay in order.
        let first = chosen.remove(index);
        chosen.insert(0, first);
    }
    chosen
}

/// A largest set in which no authority and no signer occurs twice (Kuhn's algorithm), ordered by
/// authority.
pub(super) fn pairs(accepted: &[Accepted], rule: SignerRule) -> Vec<Pair<'_>> {
    let mut authorities: Vec<usize> = accepted.iter().flat_map(|(all, _)| all.clone()).collect();
    authorities.sort_unstable();
    authorities.dedup();
    let mut chosen = Vec::new();
    for authority in authorities {
        augment(accepted, rule, authority, &mut chosen, &mut Vec::new());
    }
    chosen.sort_by_key(|(authority, _)| *authority);
    chosen
}

/// Finds a signer for `authority`, giving other authorities another signer where that helps.
fn augment<'a>(
    accepted: &'a [Accepted],
    rule: SignerRule,
    authority: usize,
    chosen: &mut Vec<Pair<'a>>,
    tried: &mut Vec<&'a SignerId>,
) -> bool {
    for (authorities, signature) in accepted {
        let signer = &signature.signer;
        if !authorities.contains(&authority) || tried.iter().any(|one| rule.same(one, signer)) {
            continue;
        }
        tried.push(signer);
        let mut holders = chosen.iter();
        if let Some(index) = holders.position(|(_, one)| rule.same(&one.signer, signer)) {
            let holder = chosen.remove(index);
            if !augment(accepted, rule, holder.0, chosen, tried) {
                chosen.push(holder);
                continue;
            }
        }
        chosen.push((authority, signature));
        return true;
    }
    false
}

#[cfg(test)]
mod tests;

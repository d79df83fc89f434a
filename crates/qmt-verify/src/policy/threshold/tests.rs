//! What counts towards a threshold.

use std::collections::BTreeMap;

use super::*;
use crate::signature::Format;

fn signed(authority: usize, signer: &str) -> Accepted {
    accepted(&[authority], SignerId::key(signer))
}

fn accepted(authorities: &[usize], signer: SignerId) -> Accepted {
    let signature = VerifiedSignature {
        place: String::new(),
        format: Format::SimpleSigning,
        signer,
        claims: None,
        annotations: BTreeMap::new(),
        name: None,
        times: Vec::new(),
        log_entries: Vec::new(),
        signed_at: None,
        ignored: Vec::new(),
    };
    (authorities.to_vec(), signature)
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
        let accepted: Vec<_> = given.iter().map(|(at, by)| signed(*at, by)).collect();
        assert_eq!(
            pairs(&accepted, SignerRule::IdentityAndIssuer).len(),
            count,
            "{given:?}"
        );
    }
}

/// SIG-11: where a policy accepts an identity of any issuer, one person with two issuers is one
/// signer, by whichever authorities the signatures are accepted.
#[test]
fn one_identity_of_two_issuers_is_one_signer_where_the_issuer_does_not_matter() {
    let by = |issuer: &str, identity: &str| SignerId::certificate(issuer, identity);
    for (given, distinct, persons) in [
        (vec![(&[0, 1][..], by("a", "x"))], 1, 1),
        (vec![(&[0, 1], by("a", "x")), (&[0, 1], by("b", "x"))], 2, 1),
        (vec![(&[0, 1], by("a", "x")), (&[0, 1], by("b", "X"))], 2, 1),
        (vec![(&[0], by("a", "x")), (&[0, 1], by("b", "x"))], 2, 1),
        (
            vec![
                (&[0], by("a", "Dev@x.example")),
                (&[1], by("a", "dev@X.example")),
            ],
            1,
            1,
        ),
        (
            vec![
                (&[0], by("a", "https://x/A@r")),
                (&[1], by("a", "https://x/a@r")),
            ],
            2,
            1,
        ),
        (vec![(&[0, 1], by("a", "x")), (&[0], by("a", "y"))], 2, 2),
        // The first choice gives way to let another person count.
        (
            vec![
                (&[0, 1], by("a", "x")),
                (&[1], by("b", "x")),
                (&[0], by("b", "y")),
            ],
            2,
            2,
        ),
        (
            vec![
                (&[0, 1, 2], by("a", "x")),
                (&[0, 1, 2], by("b", "x")),
                (&[0, 1, 2], SignerId::key("x")),
            ],
            3,
            2,
        ),
    ] {
        let all: Vec<_> = given
            .iter()
            .cloned()
            .map(|(at, by)| accepted(at, by))
            .collect();
        for (rule, count) in [
            (SignerRule::IdentityAndIssuer, distinct),
            (SignerRule::Identity, persons),
        ] {
            assert_eq!(pairs(&all, rule).len(), count, "{given:?} {rule:?}");
            let chosen = choose(&all, count + 1, rule, None);
            assert!(count == 0 || chosen.is_empty(), "{given:?} {rule:?}");
        }
    }
}

//! Which of several reasons is reported.

use super::*;
use crate::policy::Claim;

fn text(reason: &Reason) -> String {
    reason.to_string()
}

/// Reasons from the farthest to the closest.
fn ladder() -> Vec<Reason> {
    let (found, expected) = ("found".to_owned(), "expected".to_owned());
    vec![
        Reason::OtherKey {
            expected: expected.clone(),
        },
        Reason::OtherIssuer {
            found: Some(found.clone()),
            expected: expected.clone(),
        },
        Reason::OtherIdentity {
            found: Some(found.clone()),
            expected: expected.clone(),
        },
        Reason::OtherClaim {
            claim: Claim::Ref,
            found: Some(found.clone()),
            expected: expected.clone(),
        },
        Reason::OtherAnnotation {
            name: "a".to_owned(),
            found: Some(found.clone()),
            expected: expected.clone(),
        },
        Reason::TooOld {
            found: found.clone(),
            minimum: expected.clone(),
        },
        Reason::OtherName { found, expected },
        Reason::NoLog,
    ]
}

#[test]
fn the_reason_of_the_closest_authority_is_reported() {
    for low in 0..ladder().len() {
        for high in low + 1..ladder().len() {
            let reported = text(&ladder()[high]);
            let one_first = closer(ladder().remove(low), ladder().remove(high));
            let other_first = closer(ladder().remove(high), ladder().remove(low));
            assert_eq!(text(&one_first), reported);
            assert_eq!(text(&other_first), reported);
        }
    }
}

#[test]
fn of_two_equally_close_reasons_the_first_or_both_are_reported() {
    let issuer = |expected: &str| Reason::OtherIssuer {
        found: Some("x".to_owned()),
        expected: expected.to_owned(),
    };
    let reported = closer(issuer("a"), issuer("b"));
    assert_eq!(text(&reported), text(&issuer("a")));
    let key = |expected: &str| Reason::OtherKey {
        expected: expected.to_owned(),
    };
    assert_eq!(text(&closer(key("a"), key("b"))), text(&key("a or b")));
    let identity = |expected: &str| Reason::OtherIdentity {
        found: Some("x".to_owned()),
        expected: expected.to_owned(),
    };
    let reported = closer(identity("a"), identity("b"));
    assert_eq!(text(&reported), text(&identity("a or b")));
    // The same identity of two issuers is named once.
    let reported = closer(identity("a"), identity("a"));
    assert_eq!(text(&reported), text(&identity("a")));
}

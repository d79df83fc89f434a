//! What counts towards a threshold.

use std::collections::BTreeMap;

use super::*;
use crate::signature::Format;

fn signed(authority: usize, signer: &str) -> Accepted {
    let signature = VerifiedSignature {
        place: String::new(),
        format: Format::SimpleSigning,
        signer: SignerId::key(signer),
        claims: None,
        annotations: BTreeMap::new(),
        name: None,
        times: Vec::new(),
        log_entries: Vec::new(),
        ignored_timestamps: false,
    };
    (vec![authority], signature)
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
        assert_eq!(pairs(&accepted).len(), count, "{given:?}");
    }
}

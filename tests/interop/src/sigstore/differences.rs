//! Where cosign's result differs from ours, and why. `fixtures/e2e/README.md` has the same table for
//! readers; a test compares the two, and the run fails on a difference that is not listed.

/// One difference.
pub(super) struct Difference {
    /// The name of a case, or the beginning of several and a star.
    cases: &'static str,
    /// The name of an attempt, or a star for all.
    attempt: &'static str,
    pub(super) we_accept: bool,
    why: &'static str,
}

pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        cases: "cosign*-keyless*",
        attempt: "part-of-identity",
        we_accept: false,
        why: "cosign accepts a regular expression that matches anywhere in the identity; here it \
              must match all of it, so that `my-org` does not match `evil.example/my-org`",
    },
    Difference {
        cases: "cosign2-*-referrer",
        attempt: "without-oci11-option",
        we_accept: true,
        why: "cosign 3 searches for such a signature only with `--experimental-oci11`; here \
              every place is searched where any version of cosign stores one",
    },
    Difference {
        cases: "cosign3-keyless-rekor1",
        attempt: "other-timestamps",
        we_accept: false,
        why: "cosign accepts the time of the log and then ignores a timestamp that it cannot \
              check; here every timestamp of a signature must be valid",
    },
    Difference {
        cases: "cosign3-only-attested",
        attempt: "right",
        we_accept: false,
        why: "cosign 3 accepts an attestation in a bundle as a signature; here a statement about \
              an image is not the consent to run it",
    },
    Difference {
        cases: "cosign2-beside-a-bundle",
        attempt: "right",
        we_accept: true,
        why: "if there is any bundle, cosign 3 ignores `.sig` tags, so that a bundle by another \
              signer hides the valid signature; here one valid signature is sufficient, and \
              invalid ones are reported",
    },
];

impl Difference {
    /// The difference that is known for an attempt, if any.
    pub(super) fn of(case: &str, attempt: &str) -> Option<&'static Self> {
        DIFFERENCES
            .iter()
            .find(|difference| difference.is_about(case, attempt))
    }

    /// The line of the table in the README.
    pub(super) fn row(&self) -> String {
        let result = |accepts: bool| if accepts { "accepts" } else { "refuses" };
        let Self {
            cases,
            attempt,
            we_accept,
            why,
        } = self;
        format!(
            "| `{cases}` | `{attempt}` | {} | {} | {why} |",
            result(*we_accept),
            result(!we_accept)
        )
    }

    fn is_about(&self, case: &str, attempt: &str) -> bool {
        matches(self.cases, case) && matches(self.attempt, attempt)
    }
}

/// Whether a name fits a pattern in which a star matches anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| name.get(at..).is_some_and(|tail| matches(rest, tail)))
        }),
    }
}

#[cfg(test)]
mod tests;

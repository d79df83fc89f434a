//! What is signed: one image per way in which cosign signs, and who is then to be accepted.

use super::oidc::Workflow;

/// The signer of a personal identity.
pub(super) const PERSON: &str = "dev@example.com";
/// The type and the builder of what is attested.
pub(super) const ATTESTED: (&str, &str) = (
    "https://slsa.dev/provenance/v1",
    "https://builder.example.com/1",
);
/// The signer of images of another publisher.
pub(super) const STRANGER: &str = "stranger@example.com";
/// The signing workflow.
pub(super) const WORKFLOW: Workflow = Workflow {
    repository: "my-org/my-plugin",
    file: "release.yml",
    name: "release",
    git_ref: "refs/tags/v1.1.0",
    trigger: "push",
    sha: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};
/// What every signature is annotated with.
pub(super) const ANNOTATION: (&str, &str) = ("channel", "stable");

/// The cosign that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Cosign2,
    Cosign3,
}

impl Program {
    pub(super) fn tool(self) -> &'static str {
        match self {
            Self::Cosign2 => "cosign2",
            Self::Cosign3 => "cosign3",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    /// The key of that name.
    Key(&'static str),
    /// [`PERSON`], by e-mail address.
    Person,
    /// [`STRANGER`], likewise.
    Stranger,
    /// [`WORKFLOW`].
    Workflow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    None,
    Rekor1,
    Rekor2,
}

/// Where the signature is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The tag `sha256-….sig`.
    Sig,
    /// A referrer with what the tag would have, as cosign 2 makes it on request.
    Referrer,
    /// A referrer with a bundle.
    Bundle,
}

/// What else is done to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    Nothing,
    /// It is attested and not signed.
    OnlyAttested,
    /// It is attested by its signer too.
    AttestedToo,
    /// A stranger signs it too, by a bundle.
    Stranger,
    /// The RSA key signs it too.
    SecondSigner,
}

/// One signed image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) program: Program,
    pub(super) signer: Signer,
    pub(super) log: Log,
    pub(super) place: Place,
    pub(super) extra: Extra,
}

pub(super) const CASES: &[Case] = &[
    sig("cosign2-key", Signer::Key("p256"), Log::Rekor1),
    sig("cosign2-key-rsa", Signer::Key("rsa"), Log::Rekor1),
    sig("cosign2-key-nolog", Signer::Key("p256"), Log::None),
    sig("cosign2-key-rsa-nolog", Signer::Key("rsa"), Log::None),
    sig("cosign2-keyless", Signer::Person, Log::Rekor1),
    sig("cosign2-keyless-github", Signer::Workflow, Log::Rekor1),
    referrer("cosign2-key-referrer", Signer::Key("p256"), Log::None),
    referrer("cosign2-keyless-referrer", Signer::Person, Log::Rekor1),
    bundle("cosign3-key", Signer::Key("p256"), Log::Rekor2),
    bundle("cosign3-key-rsa", Signer::Key("rsa"), Log::Rekor2),
    bundle("cosign3-key-nolog", Signer::Key("p256"), Log::None),
    bundle("cosign3-key-rsa-nolog", Signer::Key("rsa"), Log::None),
    bundle("cosign3-keyless", Signer::Person, Log::Rekor2),
    bundle("cosign3-keyless-github", Signer::Workflow, Log::Rekor2),
    bundle("cosign3-key-rekor1", Signer::Key("p256"), Log::Rekor1),
    bundle("cosign3-keyless-rekor1", Signer::Person, Log::Rekor1),
    Case {
        program: Program::Cosign2,
        ..bundle("cosign2-keyless-bundle", Signer::Person, Log::Rekor1)
    },
    Case {
        extra: Extra::AttestedToo,
        ..bundle("cosign3-keyless-attested", Signer::Person, Log::Rekor2)
    },
    Case {
        extra: Extra::OnlyAttested,
        ..bundle("cosign3-only-attested", Signer::Person, Log::Rekor2)
    },
    Case {
        extra: Extra::Stranger,
        ..sig("cosign2-beside-a-bundle", Signer::Key("p256"), Log::None)
    },
    Case {
        extra: Extra::SecondSigner,
        ..bundle("cosign3-keyless-two-signers", Signer::Person, Log::Rekor2)
    },
];

const fn sig(name: &'static str, signer: Signer, log: Log) -> Case {
    Case {
        name,
        program: Program::Cosign2,
        signer,
        log,
        extra: Extra::Nothing,
        place: Place::Sig,
    }
}

const fn referrer(name: &'static str, signer: Signer, log: Log) -> Case {
    Case {
        name,
        program: Program::Cosign2,
        signer,
        log,
        extra: Extra::Nothing,
        place: Place::Referrer,
    }
}

const fn bundle(name: &'static str, signer: Signer, log: Log) -> Case {
    Case {
        name,
        program: Program::Cosign3,
        signer,
        log,
        extra: Extra::Nothing,
        place: Place::Bundle,
    }
}

impl Case {
    pub(super) fn is_keyless(&self) -> bool {
        !matches!(self.signer, Signer::Key(_))
    }

    pub(super) fn is_logged(&self) -> bool {
        self.log != Log::None
    }

    /// Whether the signature says what it was to be annotated with: attestations and the bundles of
    /// cosign 2 do not.
    pub(super) fn is_annotated(&self) -> bool {
        self.extra != Extra::OnlyAttested
            && (self.program, self.place) != (Program::Cosign2, Place::Bundle)
    }

    /// Whether there is a signed timestamp, which cosign 3 gets for everything that it logs.
    pub(super) fn is_stamped(&self) -> bool {
        self.program == Program::Cosign3 && self.is_logged()
    }

    /// The signature that is made besides, if any.
    pub(super) fn second(&self) -> Option<Self> {
        let signer = match self.extra {
            Extra::Nothing | Extra::OnlyAttested => return None,
            Extra::AttestedToo => {
                return Some(Self {
                    extra: Extra::OnlyAttested,
                    ..*self
                });
            }
            Extra::Stranger => Signer::Stranger,
            Extra::SecondSigner => Signer::Key("rsa"),
        };
        Some(bundle(self.name, signer, Log::Rekor2))
    }

    /// The name of the file with its key, in the folder of what is trusted.
    pub(super) fn key_file(name: &str) -> String {
        format!("key-{name}.pub")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_have_names_of_their_own_and_cover_every_way() {
        let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
        for program in [Program::Cosign2, Program::Cosign3] {
            let theirs = || CASES.iter().filter(|case| case.program == program);
            for signer in [
                Signer::Key("p256"),
                Signer::Key("rsa"),
                Signer::Person,
                Signer::Workflow,
            ] {
                let signs = theirs().any(|case| case.signer == signer && case.is_logged());
                assert!(signs, "{program:?} {signer:?} with a log");
            }
            for key in ["p256", "rsa"] {
                let signer = Signer::Key(key);
                let signs = theirs().any(|case| case.signer == signer && !case.is_logged());
                assert!(signs, "{program:?} {signer:?} without a log");
            }
        }
    }
}

//! Places that refuse, wholly or in part.

use super::*;

/// A registry in which one place fails.
pub(super) struct Refusing {
    pub(super) memory: Memory,
    pub(super) place: &'static str,
    pub(super) kind: RegistryErrorKind,
    /// The referrers that the place lists nevertheless.
    pub(super) listed: Option<Vec<Descriptor>>,
}

impl Refusing {
    fn refuse<T>(&self, place: &str) -> Result<Option<T>, RegistryError> {
        if place.contains(self.place) {
            return Err(RegistryError::new(self.kind, "refused (status 403)"));
        }
        Ok(None)
    }
}

#[async_trait]
impl Registry for Refusing {
    async fn referrers(&self, pin: &PinnedReference) -> Result<Referrers, RegistryError> {
        if let (Err(error), Some(listed)) = (self.refuse::<()>("referrers"), &self.listed) {
            return Err(error.with_listed(listed.clone()));
        }
        self.refuse::<()>("referrers")?;
        self.memory.referrers(pin).await
    }

    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        self.refuse::<()>(reference.tag().unwrap().as_str())?;
        self.memory.resolve(reference).await
    }

    async fn manifest(&self, pin: &PinnedReference, n: u64) -> Result<RawManifest, RegistryError> {
        self.refuse::<()>("manifest")?;
        self.memory.manifest(pin, n).await
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        start: Digester,
    ) -> Result<BlobStream, RegistryError> {
        self.memory.blob(from, blob, start).await
    }
}

/// A place that refuses does not hide a signature in another place, and is reported.
#[tokio::test]
async fn a_place_that_refuses_hides_no_signature() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let tagged = good_tag(&sigstore);
    let bundle = good_bundle(&sigstore).referrer(&signed_subject(&subject()));
    for kind in [
        RegistryErrorKind::Unauthorized,
        RegistryErrorKind::Network { retryable: true },
        RegistryErrorKind::Protocol,
        RegistryErrorKind::Content,
        RegistryErrorKind::Storage,
    ] {
        for (place, holder) in [
            ("referrers", &tagged),
            (".sig", &bundle),
            (".att", &bundle),
            (".att", &tagged),
            ("manifest", &tagged),
        ] {
            let refusing = |signed: bool| {
                let mut memory = Memory::default();
                memory.referrers.push(listed(&referrer(0, &|_| {})));
                if signed {
                    memory.put(holder);
                }
                Refusing {
                    memory,
                    place,
                    kind,
                    listed: None,
                }
            };
            let evidence = look(&refusing(true), &subject()).await;
            let verified = check(&verifier, &subject(), &evidence)
                .unwrap_or_else(|error| panic!("{kind:?} {place}: {error}"));
            let rejected = &verified.report().rejected;
            assert!(
                rejected.iter().any(|one| one.reason.contains("403")),
                "{kind:?} {place}: {rejected:?}"
            );
            // Stored evidence does not contain failures, which may be temporary.
            let stored = evidence.to_json().unwrap();
            let stored = qmt_verify::Evidence::from_json(&stored).unwrap();
            check(&verifier, &subject(), &stored).unwrap();
            let evidence = look(&refusing(false), &subject()).await;
            let error = check(&verifier, &subject(), &evidence).unwrap_err();
            // A failure that a publisher can cause is only noted, and so is that of the tag which
            // holds attestations only: the policy requires none.
            let is_noted =
                (kind == RegistryErrorKind::Content && place == "manifest") || place == ".att";
            assert_eq!(
                matches!(error, VerifyError::NoSignature { .. }),
                is_noted,
                "{kind:?} {place}: {error}"
            );
            let mut rejected = error.rejections().iter();
            let rejection = rejected.find(|one| one.reason.contains("403")).unwrap();
            // Only where the registry requires a login is it named.
            assert_eq!(
                rejection
                    .hint
                    .contains("`qmt-plugins login registry.example`"),
                kind == RegistryErrorKind::Unauthorized,
                "{kind:?}: {rejection:?}"
            );
            let is_retryable = kind == RegistryErrorKind::Network { retryable: true };
            assert_eq!(rejection.hint == "try again later", is_retryable);
        }
    }
}

/// A registry that sends a web page instead of blobs, and instead of manifests where `manifests` is set.
struct Replacing {
    memory: Memory,
    manifests: bool,
}

#[async_trait]
impl Registry for Replacing {
    async fn referrers(&self, pin: &PinnedReference) -> Result<Referrers, RegistryError> {
        self.memory.referrers(pin).await
    }

    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        self.memory.resolve(reference).await
    }

    async fn manifest(&self, pin: &PinnedReference, n: u64) -> Result<RawManifest, RegistryError> {
        if self.manifests {
            return Err(web_page());
        }
        self.memory.manifest(pin, n).await
    }

    async fn blob(
        &self,
        _: &Repository,
        _: &Descriptor,
        _: Digester,
    ) -> Result<BlobStream, RegistryError> {
        Err(web_page())
    }
}

fn web_page() -> RegistryError {
    RegistryError::new(RegistryErrorKind::Content, "an HTML page").with_other_content()
}

/// No publisher can store other content under a digest, so such an answer is a look-up that failed.
#[tokio::test]
async fn other_content_is_a_failed_look_up() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let tagged = good_tag(&sigstore);
    let bundle = good_bundle(&sigstore).referrer(&signed_subject(&subject()));
    for (image, manifests) in [(&bundle, true), (&bundle, false), (&tagged, false)] {
        let mut memory = Memory::default();
        memory.put(image);
        let evidence = look(&Replacing { memory, manifests }, &subject()).await;
        let error = check(&verifier, &subject(), &evidence).unwrap_err();
        assert!(matches!(error, VerifyError::Source { .. }), "{error}");
        let one = &error.rejections()[0];
        assert_eq!(one.code.to_string(), "lookup-failed");
        assert!(one.reason.contains("an HTML page"), "{}", one.reason);
    }
}

/// A registry that lists nothing, with a mirror that could not be looked at.
struct BrokenMirror;

#[async_trait]
impl Registry for BrokenMirror {
    async fn referrers(&self, _: &PinnedReference) -> Result<Referrers, RegistryError> {
        let mut listed = Referrers::default();
        listed.fail(of_mirror());
        Ok(listed)
    }

    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        Memory::default().resolve(reference).await
    }

    async fn resolve_all(&self, reference: &Reference) -> Vec<Result<RawManifest, RegistryError>> {
        vec![self.resolve(reference).await, Err(of_mirror())]
    }

    async fn manifest(&self, pin: &PinnedReference, n: u64) -> Result<RawManifest, RegistryError> {
        Memory::default().manifest(pin, n).await
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        start: Digester,
    ) -> Result<BlobStream, RegistryError> {
        Memory::default().blob(from, blob, start).await
    }
}

fn of_mirror() -> RegistryError {
    let error = RegistryError::new(RegistryErrorKind::Unauthorized, "refused (status 403)");
    error.with_mirror("mirror.example".parse().unwrap())
}

/// A mirror that refuses may have the signature that the registry lacks.
#[tokio::test]
async fn a_failed_look_up_at_a_mirror_decides() {
    let verifier = verifier(&PrivateSigstore::new(), any_of(vec![dev_authority()]));
    let evidence = look(&BrokenMirror, &subject()).await;
    let error = check(&verifier, &subject(), &evidence).unwrap_err();
    let text = error.to_string();
    for words in ["no signature of `", "failed", "mirror `mirror.example`"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(matches!(error, VerifyError::Source { .. }), "{error}");
    assert_eq!(error.rejections().len(), 3, "{error:?}");
    for one in error.rejections() {
        assert_eq!(one.code.to_string(), "lookup-failed");
        assert!(one.found.contains("at the mirror"), "{}", one.found);
        assert!(one.hint.contains("login mirror.example"), "{}", one.hint);
    }
}

/// The `.att` tag holds attestations only: where the policy requires none, it neither decides nor
/// delays.
#[tokio::test]
async fn the_tag_of_attestations_decides_only_where_one_is_required() {
    let sigstore = PrivateSigstore::new();
    let policy = || any_of(vec![dev_authority()]);
    let demand = AttestationDemand::new(qmt_testkit::SLSA_V1).unwrap();
    let bundle = good_bundle(&sigstore).referrer(&signed_subject(&subject()));
    for is_signed in [true, false] {
        let mut registry = Memory {
            hanging_tags: Some(".att"),
            ..Memory::default()
        };
        if is_signed {
            registry.put(&bundle);
        }
        let started = Instant::now();
        let free = verifier(&sigstore, policy());
        let found = free.discover(&registry, &subject()).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(3));
        let outcome = check(&free, &subject(), &found);
        let rejected = match &outcome {
            Ok(verified) => &verified.report().rejected,
            Err(error) => error.rejections(),
        };
        let mut places = rejected.iter().map(|one| one.found.as_str());
        assert!(places.any(|place| place.contains(".att")), "{rejected:?}");
        match outcome {
            Ok(_) => assert!(is_signed),
            Err(error) => assert!(matches!(error, VerifyError::NoSignature { .. }) && !is_signed),
        }
        // The same findings, where an attestation is required.
        let strict = verifier(&sigstore, policy().with_attestation(demand.clone()));
        let error = check(&strict, &subject(), &found).unwrap_err();
        assert!(matches!(error, VerifyError::Source { .. }), "{error}");
    }
}

/// The same for the attestations themselves: those that can be read are stored.
#[tokio::test]
async fn attestations_that_hang_decide_only_where_one_is_required() {
    let sigstore = PrivateSigstore::new();
    let policy = || any_of(vec![dev_authority()]);
    let attest = |predicate_type: &str| {
        let statement = Attestation::new(predicate_type, "{}");
        sigstore.attest_simple(subject().digest(), &statement, &Signing::keyless(dev()))
    };
    let (other, hanging) = ("https://example.com/other", "https://example.com/hanging");
    let layers = [attest(hanging), attest(other)];
    let image = SimpleAttestation::image(subject().digest(), &layers);
    let mut registry = Memory::default();
    registry.put(&good_bundle(&sigstore).referrer(&signed_subject(&subject())));
    registry.put(&image);
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    registry.hanging_blobs.push(digest.parse().unwrap());
    let started = Instant::now();
    let free = verifier(&sigstore, policy());
    let found = free.discover(&registry, &subject()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(found.len(), 2);
    let verified = check(&free, &subject(), &found).unwrap();
    let mut rejected = verified.report().rejected.iter();
    let failed = rejected.find(|one| one.code.to_string() == "lookup-failed");
    let failed = failed.unwrap_or_else(|| panic!("{:?}", verified.report()));
    assert!(failed.found.ends_with(".att, layer 1"), "{failed:?}");
    let check_with = |predicate_type| {
        let demand = AttestationDemand::new(predicate_type).unwrap();
        let strict = verifier(&sigstore, policy().with_attestation(demand));
        check(&strict, &subject(), &found)
    };
    check_with(other).unwrap();
    let error = check_with(hanging).unwrap_err();
    assert!(matches!(error, VerifyError::Source { .. }), "{error}");
    // Where one is required, it is waited for.
    let demand = AttestationDemand::new(hanging).unwrap();
    let limit = Duration::from_millis(1500);
    let options = DiscoveryOptions::default().with_deadline(limit);
    let strict = verifier(&sigstore, policy().with_attestation(demand)).with_discovery(options);
    let started = Instant::now();
    strict.discover(&registry, &subject()).await.unwrap();
    assert!(started.elapsed() >= limit);
}

/// Where only a part of a list could be read, the part counts. That the rest is missing is an error
/// if the registry refused it.
#[tokio::test]
async fn a_part_of_a_list_counts() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let image = good_bundle(&sigstore).referrer(&signed_subject(&subject()));
    for (kind, is_noted) in [
        (RegistryErrorKind::Content, true),
        (RegistryErrorKind::Unauthorized, false),
        (RegistryErrorKind::Network { retryable: false }, false),
        (RegistryErrorKind::Network { retryable: true }, false),
    ] {
        let mut memory = Memory::default();
        memory.put(&image);
        let mut registry = Refusing {
            memory,
            place: "referrers",
            kind,
            listed: Some(vec![listed(&image.manifest)]),
        };
        let evidence = look(&registry, &subject()).await;
        check(&verifier, &subject(), &evidence).unwrap();
        registry.listed = Some(Vec::new());
        let evidence = look(&registry, &subject()).await;
        let error = check(&verifier, &subject(), &evidence).unwrap_err();
        assert_eq!(
            matches!(error, VerifyError::NoSignature { .. }),
            is_noted,
            "{error}"
        );
        let is_retryable = kind == RegistryErrorKind::Network { retryable: true };
        assert_eq!(error.is_retryable(), is_retryable, "{error}");
    }
}

/// A refused signature and a failed look-up are reported together.
#[tokio::test]
async fn the_error_says_what_was_found_and_what_was_not_read() {
    let sigstore = PrivateSigstore::new();
    let other = crate::support::authority("https://issuer.example", "other@example.com");
    let verifier = verifier(&sigstore, any_of(vec![other]));
    let simple = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let mut memory = Memory::default();
    memory.put(&SimpleSigning::image(subject().digest(), &[simple]));
    let registry = Refusing {
        memory,
        place: "referrers",
        kind: RegistryErrorKind::Unauthorized,
        listed: None,
    };
    let evidence = look(&registry, &subject()).await;
    let error = check(&verifier, &subject(), &evidence).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the issuer of the signer is"), "{text}");
    assert!(
        text.contains("looking for signatures in the referrers of"),
        "{text}"
    );
    let codes: Vec<_> = error
        .rejections()
        .iter()
        .map(|one| one.code.to_string())
        .collect();
    assert_eq!(codes, ["other-issuer", "lookup-failed"]);
    assert!(error.trust_root().is_some());
}

/// A layout with several manifests under the `.sig` tag.
struct Several {
    memory: Memory,
    manifests: Vec<Option<Bytes>>,
}

#[async_trait]
impl Registry for Several {
    async fn resolve_all(&self, reference: &Reference) -> Vec<Result<RawManifest, RegistryError>> {
        if reference
            .tag()
            .unwrap()
            .as_str()
            .strip_suffix(".sig")
            .is_none()
        {
            return vec![self.memory.resolve(reference).await];
        }
        let refused = || RegistryError::new(RegistryErrorKind::Content, "damaged");
        let manifests = self.manifests.iter().map(|manifest| {
            let bytes = manifest.clone().ok_or_else(refused)?;
            Ok(RawManifest::new(MediaType::ImageManifest, bytes))
        });
        manifests.collect()
    }

    async fn referrers(&self, pin: &PinnedReference) -> Result<Referrers, RegistryError> {
        self.memory.referrers(pin).await
    }

    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        self.memory.resolve(reference).await
    }

    async fn manifest(&self, pin: &PinnedReference, n: u64) -> Result<RawManifest, RegistryError> {
        self.memory.manifest(pin, n).await
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        start: Digester,
    ) -> Result<BlobStream, RegistryError> {
        self.memory.blob(from, blob, start).await
    }
}

/// One good signature among the manifests of a tag is enough, wherever it stands; without it, the
/// others are not enough.
#[tokio::test]
async fn every_manifest_of_a_tag_counts() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let image_of = |digest: &Digest, signing| {
        let simple = sigstore.sign_simple(digest, &Signing::keyless(signing));
        SimpleSigning::image(digest, &[simple])
    };
    let good = image_of(subject().digest(), dev());
    let of_another_image = image_of(&Digest::sha256(b"another"), dev());
    let mut memory = Memory::default();
    memory.put(&of_another_image);
    memory.put(&good);
    let (good, other) = (good.manifest, of_another_image.manifest);
    let mut several = Several {
        memory,
        manifests: Vec::new(),
    };
    for manifests in [
        vec![Some(good.clone()), Some(other.clone()), None],
        vec![None, Some(other.clone()), Some(good)],
    ] {
        several.manifests = manifests;
        let evidence = look(&several, &subject()).await;
        check(&verifier, &subject(), &evidence).unwrap();
    }
    several.manifests = vec![Some(other), None];
    let evidence = look(&several, &subject()).await;
    check(&verifier, &subject(), &evidence).unwrap_err();
}

//! The embedded registry and Sigstore that `demo` and `e2e` publish to, and what is published.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use qmt_oci_ref::{Descriptor, MediaType};
use qmt_testkit::{
    FakeRegistry, Identity, PrivateSigstore, SignatureImage, SignedBundle, SignedSubject, Signing,
    SimpleSigning,
};

use crate::e2e::case::{Abilities, Auth, Format, Image, Signature};
use crate::image;

/// A registry over real HTTP and the Sigstore that signs for it; both end with this value.
pub(crate) struct Embedded {
    registry: FakeRegistry,
    sigstore: PrivateSigstore,
    referrers_api: bool,
}

/// An image that stands in the registry.
pub(crate) struct Published {
    repository: String,
    root: Descriptor,
    /// `HOST/REPOSITORY:TAG`.
    pub(crate) reference: String,
    pub(crate) digest: String,
    /// One line per thing that the image holds, for readers.
    pub(crate) contents: Vec<String>,
}

/// Signatures in both of cosign's formats.
#[derive(Default)]
pub(crate) struct Signed {
    simple: Vec<SimpleSigning>,
    bundles: Vec<SignedBundle>,
}

/// The files by which an operator trusts the private Sigstore.
pub(crate) struct Trust {
    pub(crate) trusted_root: PathBuf,
    /// The public key named `team`.
    pub(crate) key: PathBuf,
}

/// Who may use a registry that asks.
const USER: &str = "operator";
const PASSWORD: &str = "correct-horse";
/// `operator:correct-horse` in base64, as docker keeps it.
const LOGIN: &str = "b3BlcmF0b3I6Y29ycmVjdC1ob3JzZQ==";

/// The name of the key that a case's `{key}` stands for.
const TEAM: &str = "team";

impl Embedded {
    /// Starts both; the registry is one that everybody may read.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_as(&Abilities::default())
    }

    /// Starts both; the registry can and asks what `abilities` say.
    pub(crate) fn start_as(abilities: &Abilities) -> anyhow::Result<Self> {
        Self::start_both(abilities, PrivateSigstore::new())
    }

    /// Starts another registry beside a Sigstore that is there already.
    pub(crate) fn start_with(sigstore: PrivateSigstore) -> anyhow::Result<Self> {
        Self::start_both(&Abilities::default(), sigstore)
    }

    /// Ends the registry and leaves the Sigstore.
    pub(crate) fn shut_down(self) -> PrivateSigstore {
        self.sigstore
    }

    fn start_both(abilities: &Abilities, sigstore: PrivateSigstore) -> anyhow::Result<Self> {
        let auth = match abilities.auth {
            Auth::None => qmt_testkit::Auth::None,
            Auth::Basic => qmt_testkit::Auth::basic(USER, PASSWORD),
            Auth::Token => qmt_testkit::Auth::token(USER, PASSWORD),
        };
        let registry = FakeRegistry::builder()
            .auth(auth)
            .referrers_api(abilities.referrers_api)
            .start()
            .context("no registry on loopback")?;
        Ok(Self {
            registry,
            sigstore,
            referrers_api: abilities.referrers_api,
        })
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.registry.host().to_string()
    }

    /// Leaves in `home` what `docker login` leaves there.
    pub(crate) fn login(&self, home: &Path) -> anyhow::Result<()> {
        let folder = home.join(".docker");
        std::fs::create_dir_all(&folder)?;
        let config = serde_json::json!({ "auths": { self.host(): { "auth": LOGIN } } });
        std::fs::write(folder.join("config.json"), config.to_string())?;
        Ok(())
    }

    /// Writes the trusted root and the public key into `folder`.
    pub(crate) fn write_trust(&self, folder: &Path) -> anyhow::Result<Trust> {
        let trusted_root = folder.join("trusted_root.json");
        std::fs::write(&trusted_root, self.sigstore.trusted_root_json())?;
        let key = folder.join("team.pub");
        std::fs::write(&key, self.sigstore.key_pem(TEAM))?;
        Ok(Trust { trusted_root, key })
    }

    /// Pushes an image under a tag; `greeting` is what its plugins say.
    pub(crate) fn publish(
        &self,
        repository: &str,
        tag: &str,
        image: Image,
        greeting: &str,
    ) -> anyhow::Result<Published> {
        let built = image::build(image, greeting)?;
        let root = built.push(&self.registry, repository, tag);
        Ok(Published {
            repository: repository.to_owned(),
            reference: format!("{}/{repository}:{tag}", self.host()),
            digest: root.digest().to_string(),
            root,
            contents: built.contents,
        })
    }

    /// Signs as the case says and attaches what came of it, which is nothing where it says `none`.
    pub(crate) fn sign(&self, image: &Published, signature: &Signature) -> Signed {
        let mut signed = Signed::default();
        let signing = match (&signature.identity, &signature.issuer, &signature.key) {
            (Some(identity), Some(issuer), None) => {
                Signing::keyless(Identity::email(identity, issuer))
            }
            (None, None, Some(key)) => Signing::key(key),
            _ => return signed,
        };
        let signing = signing.docker_reference(&image.reference);
        // A signature that is copied is a good one, of an image that is not this one.
        let digest = if signature.copied {
            qmt_oci_ref::Digest::sha256(b"another image").to_string()
        } else {
            image.digest.clone()
        };
        if matches!(signature.format, Format::Sig | Format::Both) {
            signed
                .simple
                .push(self.sigstore.sign_simple(&digest, &signing));
        }
        if matches!(signature.format, Format::Bundle | Format::Both) {
            signed
                .bundles
                .push(self.sigstore.sign_bundle(&digest, &signing));
        }
        self.attach(image, &signed);
        signed
    }

    /// Puts signatures where verifiers look for those of `image`, whosever they are.
    pub(crate) fn attach(&self, image: &Published, signed: &Signed) {
        if !signed.simple.is_empty() {
            self.push(image, &SimpleSigning::image(&image.digest, &signed.simple));
        }
        let referrers: Vec<Descriptor> = signed
            .bundles
            .iter()
            .map(|bundle| self.push(image, &bundle.referrer(&image.subject())))
            .collect();
        if !self.referrers_api && !referrers.is_empty() {
            // What a client leaves behind where the registry keeps no list of its own.
            let index = serde_json::json!({
                "schemaVersion": 2,
                "mediaType": MediaType::OCI_INDEX,
                "manifests": referrers,
            });
            let tag = image.digest.replace(':', "-");
            self.registry.put_manifest(
                &image.repository,
                tag.as_str(),
                MediaType::OCI_INDEX,
                index.to_string(),
            );
        }
    }

    fn push(&self, image: &Published, signature: &SignatureImage) -> Descriptor {
        for (_, blob) in &signature.blobs {
            self.registry.put_blob(&image.repository, blob.clone());
        }
        self.registry.put_manifest(
            &image.repository,
            signature.tag.as_deref(),
            &signature.manifest_media_type,
            signature.manifest.clone(),
        )
    }
}

impl Published {
    fn subject(&self) -> SignedSubject {
        SignedSubject::new(
            self.root.media_type().as_str(),
            &self.digest,
            self.root.size(),
        )
    }
}

//! The embedded registry and Sigstore that `demo` and `cases` publish to, and what is published.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use qmt_oci_ref::{Descriptor, manifest};
use qmt_testkit::{
    FakeRegistry, Identity, PrivateSigstore, SignatureImage, SignedBundle, SignedSubject, Signing,
    SimpleSigning,
};

use crate::case::{Abilities, Auth, Format, Image, Signature};
use crate::image;

/// A registry over real HTTP and the Sigstore that signs for it; both end with this value.
pub struct Embedded {
    registry: FakeRegistry,
    sigstore: PrivateSigstore,
    referrers_api: bool,
}

/// An image in the registry.
pub struct Published {
    repository: String,
    root: Descriptor,
    /// `HOST/REPOSITORY:TAG`.
    pub reference: String,
    /// `sha256:…` of the root manifest.
    pub digest: String,
    /// One line per thing that the image holds, for readers.
    pub contents: Vec<String>,
}

/// Signatures in both of cosign's formats.
#[derive(Default)]
pub struct Signed {
    simple: Vec<SimpleSigning>,
    bundles: Vec<SignedBundle>,
}

/// The files by which an operator trusts the private Sigstore.
pub struct Trust {
    /// `trusted_root.json`.
    pub trusted_root: PathBuf,
    /// The public key named `team`.
    pub key: PathBuf,
}

/// The login of a registry that requires one.
const USER: &str = "operator";
const PASSWORD: &str = "correct-horse";
/// `operator:correct-horse` in base64, as docker keeps it.
const LOGIN: &str = "b3BlcmF0b3I6Y29ycmVjdC1ob3JzZQ==";

/// The name of the key that a case's `{key}` stands for.
const TEAM: &str = "team";

impl Embedded {
    /// Starts both; the registry has no login.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_as(&Abilities::default())
    }

    /// Starts both; the registry has these `abilities`.
    pub fn start_as(abilities: &Abilities) -> anyhow::Result<Self> {
        Self::start_both(abilities, PrivateSigstore::new())
    }

    /// Starts another registry next to a Sigstore that runs already.
    pub fn start_with(sigstore: PrivateSigstore) -> anyhow::Result<Self> {
        Self::start_both(&Abilities::default(), sigstore)
    }

    /// Ends the registry and leaves the Sigstore.
    pub fn shut_down(self) -> PrivateSigstore {
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
    pub fn host(&self) -> String {
        self.registry.host().to_string()
    }

    /// Leaves in `home` what `docker login` leaves there.
    pub fn login(&self, home: &Path) -> anyhow::Result<()> {
        let folder = home.join(".docker");
        std::fs::create_dir_all(&folder)?;
        let config = serde_json::json!({ "auths": { self.host(): { "auth": LOGIN } } });
        std::fs::write(folder.join("config.json"), config.to_string())?;
        Ok(())
    }

    /// Writes the trusted root and the public key into `folder`.
    pub fn write_trust(&self, folder: &Path) -> anyhow::Result<Trust> {
        let trusted_root = folder.join("trusted_root.json");
        std::fs::write(&trusted_root, self.sigstore.trusted_root_json())?;
        let key = folder.join("team.pub");
        std::fs::write(&key, self.sigstore.key_pem(TEAM))?;
        Ok(Trust { trusted_root, key })
    }

    /// Pushes an image under a tag; `greeting` is what its plugins say.
    pub fn publish(
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

    /// Signs as the case says and attaches the signatures; none where the format is `none`.
    pub fn sign(&self, image: &Published, signature: &Signature) -> Signed {
        let mut signed = Signed::default();
        let signing = match (&signature.identity, &signature.issuer, &signature.key) {
            (Some(identity), Some(issuer), None) => {
                Signing::keyless(Identity::email(identity, issuer))
            }
            (None, None, Some(key)) => Signing::key(key),
            _ => return signed,
        };
        let signing = signing.docker_reference(&image.reference);
        // A copied signature is valid, but for another image.
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

    /// Puts signatures where verifiers look for those of `image`, also those of another image.
    pub fn attach(&self, image: &Published, signed: &Signed) {
        if !signed.simple.is_empty() {
            push(
                &self.registry,
                &image.repository,
                &SimpleSigning::image(&image.digest, &signed.simple),
            );
        }
        let referrers: Vec<Descriptor> = signed
            .bundles
            .iter()
            .map(|bundle| {
                push(
                    &self.registry,
                    &image.repository,
                    &bundle.referrer(&image.subject()),
                )
            })
            .collect();
        if !self.referrers_api && !referrers.is_empty() {
            // The fallback tag, where the registry has no referrers API.
            let index = serde_json::json!({
                "schemaVersion": 2,
                "mediaType": manifest::OCI_INDEX,
                "manifests": referrers,
            });
            let tag = image.digest.replace(':', "-");
            self.registry.put_manifest(
                &image.repository,
                tag.as_str(),
                manifest::OCI_INDEX,
                index.to_string(),
            );
        }
    }
}

/// Pushes the image of a signature.
pub fn push(registry: &FakeRegistry, repository: &str, signature: &SignatureImage) -> Descriptor {
    for (_, blob) in &signature.blobs {
        registry.put_blob(repository, blob.clone());
    }
    registry.put_manifest(
        repository,
        signature.tag.as_deref(),
        &signature.manifest_media_type,
        signature.manifest.clone(),
    )
}

impl Published {
    fn subject(&self) -> SignedSubject {
        SignedSubject::new(
            self.root.media_type().as_ref(),
            &self.digest,
            self.root.size(),
        )
    }
}

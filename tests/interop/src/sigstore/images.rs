//! Images in a registry, and signatures that are put where they do not belong: next to another
//! image, or with a bit changed.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_testkit::{ImageBuilder, plugins};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use super::cases;
use crate::real;

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// One registry, by the commands of oras.
pub(super) struct Images<'a> {
    sh: Shell,
    folder: &'a Path,
    place: &'a Place,
}

/// Where a registry is, and what it is called. The name makes its images differ from those of
/// others: the same signature of the same image has no place twice in one log.
pub(super) struct Place {
    pub(super) host: String,
    pub(super) name: &'static str,
}

/// An image in a registry.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// `HOST/PATH`.
    pub(super) repository: String,
    pub(super) digest: String,
    media_type: String,
    size: u64,
}

impl Image {
    /// `HOST/PATH@DIGEST`.
    pub(super) fn pinned(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
}

impl<'a> Images<'a> {
    pub(super) fn new(folder: &'a Path, place: &'a Place) -> anyhow::Result<Self> {
        let sh = Shell::new()?;
        Ok(Self { sh, folder, place })
    }

    /// Pushes an image that only this name has, and tags it so.
    pub(super) fn push(&self, repository: &str, name: &str) -> anyhow::Result<Image> {
        let layout = self.folder.join(format!("image-{name}"));
        let image = ImageBuilder::wasm(plugins::echo_wasm())
            .annotation("org.opencontainers.image.title", name)
            .annotation("org.opencontainers.image.vendor", self.place.name)
            .build();
        let root = image.root().clone();
        image.write_layout(&layout, name)?;
        let repository = format!("{}/{repository}", self.place.host);
        let (from, to) = (
            format!("{}:{name}", layout.display()),
            format!("{repository}:{name}"),
        );
        let oras = real::tool("oras")?;
        self.run(cmd!(
            self.sh,
            "{oras} cp --from-oci-layout --to-plain-http {from} {to}"
        ))?;
        std::fs::remove_dir_all(&layout)?;
        Ok(Image {
            repository,
            digest: root.digest().to_string(),
            media_type: root.media_type().to_string(),
            size: root.size(),
        })
    }

    /// Copies an image with its signatures to another repository.
    pub(super) fn copy(&self, image: &Image, tag: &str, repository: &str) -> anyhow::Result<Image> {
        let regctl = real::tool("regctl")?;
        let to = format!("{}/{repository}", self.place.host);
        let host = format!("reg={},tls=disabled", self.place.host);
        let from = image.pinned();
        self.run(cmd!(
            self.sh,
            "{regctl} image copy --digest-tags --referrers --host {host} {from} {to}:{tag}"
        ))?;
        Ok(Image {
            repository: to,
            ..image.clone()
        })
    }

    /// Copies the signatures of one image to another one; where they are to be damaged, with the
    /// last bit of each changed.
    pub(super) fn transplant(
        &self,
        place: cases::Place,
        from: &Image,
        to: &Image,
        damaged: bool,
    ) -> anyhow::Result<()> {
        let sources = match place {
            cases::Place::Sig => vec![sig_tag(&from.digest)],
            cases::Place::Referrer | cases::Place::Bundle => self.referrers(from)?,
        };
        anyhow::ensure!(!sources.is_empty(), "{} is not signed", from.pinned());
        for source in sources {
            let separator = if place == cases::Place::Sig { ':' } else { '@' };
            let mut manifest = self.manifest(&format!("{}{separator}{source}", from.repository))?;
            let layers = manifest["layers"].as_array_mut().context("no layers")?;
            for layer in layers {
                let mut blob = self.blob(&from.repository, layer)?;
                if damaged && place == cases::Place::Bundle {
                    blob = damage_bundle(&blob)?;
                    layer["digest"] = json!(qmt_oci_ref::Digest::sha256(&blob).to_string());
                    layer["size"] = json!(blob.len());
                } else if damaged {
                    let signature = &mut layer["annotations"][SIGNATURE];
                    *signature = flip(signature)?;
                }
                self.put_blob(&to.repository, layer, &blob)?;
            }
            let config = manifest["config"].clone();
            let blob = self.blob(&from.repository, &config)?;
            self.put_blob(&to.repository, &config, &blob)?;
            let tag = (place == cases::Place::Sig).then(|| sig_tag(&to.digest));
            if place != cases::Place::Sig {
                manifest["subject"] = json!({
                    "mediaType": to.media_type,
                    "digest": to.digest,
                    "size": to.size,
                });
            }
            self.put_manifest(&to.repository, tag.as_deref(), &manifest)?;
        }
        Ok(())
    }

    fn referrers(&self, image: &Image) -> anyhow::Result<Vec<String>> {
        let oras = real::tool("oras")?;
        let pinned = image.pinned();
        let listed = self.read(cmd!(
            self.sh,
            "{oras} discover --plain-http --format json {pinned}"
        ))?;
        let listed: Value = serde_json::from_str(&listed)?;
        let referrers = listed["referrers"].as_array().context("no referrers")?;
        let digest = |one: &Value| one["digest"].as_str().map(str::to_owned);
        Ok(referrers.iter().filter_map(digest).collect())
    }

    fn manifest(&self, reference: &str) -> anyhow::Result<Value> {
        let oras = real::tool("oras")?;
        let text = self.read(cmd!(
            self.sh,
            "{oras} manifest fetch --plain-http {reference}"
        ))?;
        Ok(serde_json::from_str(&text)?)
    }

    fn blob(&self, repository: &str, descriptor: &Value) -> anyhow::Result<Vec<u8>> {
        let oras = real::tool("oras")?;
        let digest = descriptor["digest"].as_str().context("no digest")?;
        let output = self.scratch("fetched");
        self.run(cmd!(
            self.sh,
            "{oras} blob fetch --plain-http --output {output} {repository}@{digest}"
        ))?;
        Ok(std::fs::read(output)?)
    }

    fn put_blob(&self, repository: &str, descriptor: &Value, blob: &[u8]) -> anyhow::Result<()> {
        let oras = real::tool("oras")?;
        let digest = descriptor["digest"].as_str().context("no digest")?;
        let file = self.scratch("pushed");
        std::fs::write(&file, blob)?;
        self.run(cmd!(
            self.sh,
            "{oras} blob push --plain-http {repository}@{digest} {file}"
        ))
    }

    fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        manifest: &Value,
    ) -> anyhow::Result<()> {
        let oras = real::tool("oras")?;
        let text = serde_json::to_vec(manifest)?;
        let place = match tag {
            Some(tag) => format!("{repository}:{tag}"),
            None => format!("{repository}@{}", qmt_oci_ref::Digest::sha256(&text)),
        };
        let media_type = manifest["mediaType"].as_str().context("no media type")?;
        let file = self.scratch("manifest.json");
        std::fs::write(&file, &text)?;
        self.run(cmd!(
            self.sh,
            "{oras} manifest push --plain-http --media-type {media_type} {place} {file}"
        ))
    }

    fn scratch(&self, name: &str) -> std::path::PathBuf {
        self.folder.join(name)
    }

    fn run(&self, command: xshell::Cmd<'_>) -> anyhow::Result<()> {
        self.read(command).map(drop)
    }

    fn read(&self, command: xshell::Cmd<'_>) -> anyhow::Result<String> {
        real::quietly(command.env("HOME", self.folder))
    }
}

fn sig_tag(digest: &str) -> String {
    digest.replace(':', "-") + ".sig"
}

/// A bundle whose signature is another one; nothing else is.
fn damage_bundle(bundle: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bundle: Value = serde_json::from_slice(bundle)?;
    let signature = bundle.pointer_mut("/dsseEnvelope/signatures/0/sig");
    let signature = signature.context("a bundle without an envelope")?;
    *signature = flip(signature)?;
    Ok(serde_json::to_vec(&bundle)?)
}

/// Changes the last bit of what is written in base64.
fn flip(text: &Value) -> anyhow::Result<Value> {
    let text = text.as_str().context("no signature")?;
    let mut bytes = STANDARD.decode(text)?;
    *bytes.last_mut().context("an empty signature")? ^= 1;
    Ok(json!(STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_changes_one_bit_of_the_signature_alone() {
        let bundle = json!({ "dsseEnvelope": { "signatures": [{ "sig": "AAEC" }] }, "x": 1 });
        let damaged = damage_bundle(bundle.to_string().as_bytes()).unwrap();
        let damaged: Value = serde_json::from_slice(&damaged).unwrap();
        let expected = json!({ "dsseEnvelope": { "signatures": [{ "sig": "AAED" }] }, "x": 1 });
        assert_eq!(damaged, expected);
    }
}

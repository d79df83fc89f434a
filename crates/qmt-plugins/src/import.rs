//! Import: the images of a layout into the cache, for sites without a network.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use qmt_artifact::{ArtifactError, SelectionRequest};
use qmt_cache::maintenance::{MergeEvidence, MergedEvidence, TransferReport};
use qmt_cache::{Cache as _, CacheError};
use qmt_oci_ref::{Digest, Reference, Registry as _, RegistryErrorKind, Tag};
use qmt_registry::{Offline, limits};
use qmt_storage::LayoutError;
use qmt_verify::{Evidence, VerifyError};
use serde::Serialize;

use crate::artifact::PluginArtifact;
use crate::caching::CachedRegistry;
use crate::error::Error;
use crate::host::PluginHost;
use crate::source::PluginSource;
use crate::stage::content::ReadMode;
use crate::stage::{VersionPolicy, rollback};
use crate::target::Target;

/// What [`PluginHost::import`] added, and what it left as it was.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportReport {
    /// What was added to the cache.
    pub transfer: TransferReport,
    /// The tags that were not set to the image of the layout: the policy does not accept that image, it
    /// was signed earlier than the one that the tag names, or the layout lists another image under the
    /// same tag.
    pub kept: Vec<KeptTag>,
    /// The plugins of the config whose tag names an image of the layout, and for which the lockfile has
    /// another one or none.
    pub not_locked: Vec<ImportedPlugin>,
    /// The plugins of the config for which the layout lacks the manifest that this host uses.
    pub lacking: Vec<MissingPlatform>,
}

/// A plugin for which the lockfile does not have the imported image: [`PluginHost::update_from_cache`]
/// locks it to that.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportedPlugin {
    /// The plugin's name.
    pub plugin: String,
    /// The image that the lockfile names, if it has an entry.
    pub locked: Option<Digest>,
    /// The image that the tag names now.
    pub imported: Digest,
}

/// A plugin whose imported image has manifests for other platforms only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MissingPlatform {
    /// The plugin's name.
    pub plugin: String,
    /// The platform to export, `os/architecture` with the variant if there is one.
    pub platform: String,
}

/// A tag that an import did not set.
#[derive(Debug)]
#[non_exhaustive]
pub struct KeptTag {
    /// The tag.
    pub reference: Reference,
    /// The image that the layout names.
    pub digest: Digest,
    /// Why the tag was not set.
    pub reason: Error,
}

impl PluginHost {
    /// Adds the images of the OCI image layout `layout` to the cache, as
    /// [`FsCache::import`](qmt_cache::FsCache::import) does. Signatures are added to those that the
    /// cache has. A tag is set only if the policy accepts the image with what is in the cache, and if
    /// that was not signed earlier than the one that the tag names.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`] if the layout is damaged or can't be read, and [`Error::Cache`] if it exceeds a limit or the
    /// cache fails. Nothing was imported then.
    /// [`Error::Trust`] if there is no trust root to verify any image with. The images are in the cache
    /// then, without their tags.
    pub async fn import(&self, layout: &Path) -> Result<ImportReport, Error> {
        let now = SystemTime::now();
        let merge: Arc<MergeEvidence> = Arc::new(merged);
        let transfer = self.cache.import(layout, merge).await;
        let mut transfer = transfer.map_err(|error| import_error(layout, error))?;
        let (mut kept, mut can_verify) = (Vec::new(), false);
        for (reference, digest) in std::mem::take(&mut transfer.tags) {
            let checked = self.check_move(&reference, &digest).await;
            can_verify |= !matches!(checked, Err(Error::Unverifiable { .. }));
            match checked {
                Ok(()) => {
                    self.cache.set_ref(&reference, &digest, now).await?;
                }
                Err(reason) => {
                    let reason = match reason {
                        Error::NotVerified {
                            source: VerifyError::NoSignature { .. },
                            ..
                        } => not_imported(layout, &transfer, &reference, &digest).unwrap_or(reason),
                        reason => reason,
                    };
                    kept.push(KeptTag {
                        reference,
                        digest,
                        reason,
                    });
                }
            }
        }
        // Without a trust root, each tag has the same reason.
        if !can_verify && let Some(tag) = kept.pop() {
            return Err(match tag.reason {
                Error::Unverifiable { source, .. } => Error::Trust(source),
                reason => reason,
            });
        }
        for (reference, digest) in std::mem::take(&mut transfer.ambiguous) {
            kept.push(KeptTag {
                reason: Error::AmbiguousTag {
                    reference: reference.to_string(),
                },
                reference,
                digest,
            });
        }
        transfer.unnamed.retain(|image| !self.is_pinned(image));
        let not_locked = self.not_locked(&transfer).await?;
        let lacking = self.lacking(&transfer).await?;
        Ok(ImportReport {
            transfer,
            kept,
            not_locked,
            lacking,
        })
    }

    /// Locks the plugin called `name` to the image that its tag names in the cache, as
    /// [`Self::update`] locks it to the one that its tag names in the registry. This updates the plugins
    /// in [`ImportReport::not_locked`] without a network.
    ///
    /// # Errors
    ///
    /// As [`Self::update`], [`Error::NotImported`] if the cache has no image of the tag, and
    /// [`Error::Rollback`] if that is proven to be older than the locked one. The old entry stays then.
    pub async fn update_from_cache(&self, name: &str) -> Result<PluginArtifact, Error> {
        let target = Target::named(self.config(), name)?;
        self.acquire(&target, VersionPolicy::Imported, ReadMode::Hash)
            .await
    }

    /// Reports whether a plugin of the config names the image by its digest, or is locked to it.
    fn is_pinned(&self, image: &Digest) -> bool {
        self.in_registries().any(|(target, reference)| {
            if let Some(named) = reference.digest() {
                return named == image;
            }
            let entry = self.entry(&target);
            entry.is_some_and(|entry| entry.digest == *image)
        })
    }

    /// Returns the plugins of the config that are images in registries.
    fn in_registries(&self) -> impl Iterator<Item = (Target, Reference)> {
        let providers = self.config().providers.iter();
        let targets =
            providers.filter_map(|provider| Target::named(self.config(), &provider.name).ok());
        targets.filter_map(|target| match target.source() {
            PluginSource::Registry(reference) => {
                let reference = reference.clone();
                Some((target, reference))
            }
            PluginSource::Layout { .. } | PluginSource::File(_) | PluginSource::Url { .. } => None,
        })
    }

    async fn not_locked(
        &self,
        transfer: &TransferReport,
    ) -> Result<Vec<ImportedPlugin>, CacheError> {
        let mut plugins = Vec::new();
        for (target, reference) in self.in_registries() {
            let entry = self.lock_entry(target.name());
            let entry = entry.filter(|entry| entry.reference == target.source().to_string());
            let locked = entry.map(|entry| entry.digest);
            let Some((imported, _)) = self.cache.ref_(&reference).await? else {
                continue;
            };
            if locked.as_ref() != Some(&imported) && transfer.images.contains(&imported) {
                plugins.push(ImportedPlugin {
                    plugin: target.name().to_owned(),
                    locked,
                    imported,
                });
            }
        }
        Ok(plugins)
    }

    /// Returns the plugins whose imported image can't be used without a network, because the cache lacks a
    /// manifest, and the platform of that.
    async fn lacking(&self, transfer: &TransferReport) -> Result<Vec<MissingPlatform>, CacheError> {
        let offline = Arc::new(Offline::new("the import"));
        let registry = CachedRegistry::new(offline, Arc::new(self.cache.clone()));
        let mut plugins = Vec::new();
        for (target, reference) in self.in_registries() {
            let digests = if let Some(digest) = reference.digest() {
                [Some(digest.clone()), None]
            } else {
                let locked = self.entry(&target).map(|entry| entry.digest);
                let tagged = self.cache.ref_(&reference).await?;
                [locked, tagged.map(|(digest, _)| digest)]
            };
            let mut digests = digests.into_iter().flatten();
            let Some(image) = digests.find(|digest| transfer.images.contains(digest)) else {
                continue;
            };
            let pin = reference.with_digest(image);
            // What is damaged is reported where it is used.
            let Ok(root) = registry.manifest(&pin, limits::MANIFEST_MAX).await else {
                continue;
            };
            let provider = target.provider();
            let request = SelectionRequest::new(root)
                .with_host(self.platform.clone())
                .with_kind(provider.kind)
                .with_file(provider.file.clone());
            let selected = qmt_artifact::select(request, &registry, pin.repository()).await;
            // Other errors have nothing to do with what was exported.
            if let Err(ArtifactError::Registry {
                platform: Some(platform),
                source,
                ..
            }) = selected
                && source.kind() == RegistryErrorKind::Offline
            {
                let plugin = target.name().to_owned();
                plugins.push(MissingPlatform { plugin, platform });
            }
        }
        Ok(plugins)
    }

    async fn check_move(&self, reference: &Reference, digest: &Digest) -> Result<(), Error> {
        let target = Target::of_source(PluginSource::Registry(reference.clone()));
        let context = self.prepare_verified(&target).await?;
        let checked = rollback::check_move(&context, digest).await;
        checked.map_err(|error| {
            let pin = reference.with_digest(digest.clone());
            error.attach(&context, Some(&pin))
        })
    }
}

/// Returns the error of an import. A layout is a registry on disk, so its errors mean what they mean where
/// an image of the layout is loaded.
fn import_error(layout: &Path, error: CacheError) -> Error {
    let source = match error {
        CacheError::Layout(source) => source,
        CacheError::Mismatch { expected, actual } => LayoutError::Digest { expected, actual },
        CacheError::SizeMismatch {
            digest,
            expected,
            actual,
        } => LayoutError::Size {
            digest,
            expected,
            actual,
        },
        error => return error.into(),
    };
    #[cfg(feature = "layout")]
    {
        let (path, tag, digest) = (layout.to_owned(), None, None);
        let layout = PluginSource::Layout { path, tag, digest };
        let source = qmt_registry::ClientError::Layout(source).into();
        Error::registry(&layout, &layout, "importing", source)
    }
    #[cfg(not(feature = "layout"))]
    {
        let _ = layout;
        CacheError::Layout(source).into()
    }
}

/// Returns the error for an image without a signature in the cache, if the layout has signatures that were
/// left out.
fn not_imported(
    layout: &Path,
    transfer: &TransferReport,
    reference: &Reference,
    digest: &Digest,
) -> Option<Error> {
    let layout = layout.to_owned();
    let tag = reference.tag().cloned().unwrap_or_else(Tag::latest);
    let reference = reference.with_digest(digest.clone()).to_string();
    if transfer.unreadable.contains(digest) {
        return Some(Error::DamagedSignatures { reference, layout });
    }
    (transfer.other_signatures > 0).then_some(Error::SignaturesNotImported {
        reference,
        layout,
        tag,
    })
}

/// Adds the signatures that a layout offers to those of the cache.
fn merged(subject: &Digest, stored: Option<&[u8]>, offered: &[u8]) -> MergedEvidence {
    let read = |bytes| {
        let evidence = Evidence::from_json(bytes).ok();
        evidence.filter(|evidence| evidence.subject() == subject)
    };
    let offered = match read(offered) {
        None => return MergedEvidence::Unreadable,
        Some(offered) if offered.is_empty() => return MergedEvidence::Unchanged,
        Some(offered) => offered,
    };
    let merged = match stored.and_then(read) {
        Some(stored) => stored.merged_with(offered),
        None => offered,
    };
    let merged = merged.to_json();
    merged.map_or(MergedEvidence::Unchanged, MergedEvidence::Changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(name: &str) -> (Digest, Vec<u8>) {
        let subject = Digest::sha256(b"image");
        let pin = "a.b/c".parse::<Reference>().unwrap();
        let evidence = Evidence::empty(&pin.with_digest(subject.clone()));
        let evidence = evidence.with_bundle(name, b"{}").unwrap();
        (subject, evidence.to_json().unwrap())
    }

    #[test]
    fn signatures_are_added_and_never_removed() {
        let ((subject, one), (_, two)) = (evidence("one"), evidence("two"));
        let len = |bytes: &[u8]| Evidence::from_json(bytes).unwrap().len();
        let changed = |stored: Option<&[u8]>, offered| match merged(&subject, stored, offered) {
            MergedEvidence::Changed(merged) => merged,
            other => panic!("{other:?}"),
        };
        assert_eq!(changed(None, &one), one);
        let both = changed(Some(&one), &two);
        assert_eq!(len(&both), 2);
        assert_eq!(len(&changed(Some(&both), &one)), 2);
        // What is damaged in the cache is replaced.
        assert_eq!(changed(Some(b"x"), &one), one);
    }

    /// A layout of a stranger with as many signatures as are stored leaves room for those of the
    /// publisher, whichever is imported first.
    #[test]
    fn a_crowd_of_signatures_hides_none_of_another_layout() {
        let (subject, good) = evidence("good");
        let mut crowd = Evidence::from_json(&evidence("crowd").1).unwrap();
        for number in 1..256 {
            crowd = crowd.with_bundle(&number.to_string(), b"{}").unwrap();
        }
        let crowd = crowd.to_json().unwrap();
        for (stored, offered) in [(&crowd, &good), (&good, &crowd)] {
            let MergedEvidence::Changed(merged) = merged(&subject, Some(stored), offered) else {
                panic!("nothing changed");
            };
            assert_eq!(Evidence::from_json(&merged).unwrap().len(), 256);
            let merged = String::from_utf8(merged).unwrap();
            assert!(merged.contains("\"good\""));
        }
    }

    #[test]
    fn what_is_empty_or_about_another_image_is_left_out() {
        let (subject, one) = evidence("one");
        let pin = "a.b/c".parse::<Reference>().unwrap();
        let empty = Evidence::empty(&pin.with_digest(subject.clone()));
        for (offered, expected) in [
            (empty.to_json().unwrap(), MergedEvidence::Unchanged),
            (b"{\"hello\":1}".to_vec(), MergedEvidence::Unreadable),
        ] {
            assert_eq!(merged(&subject, Some(&one), &offered), expected);
            assert_eq!(merged(&subject, None, &offered), expected);
        }
        let other = merged(&Digest::sha256(b"other"), None, &one);
        assert_eq!(other, MergedEvidence::Unreadable);
    }
}

//! The handle of a plugin that can be replaced.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_loader::{CallContext, LoadError, Plugin};
use qmt_oci_ref::PluginKind;

use super::Slot;

/// A plugin whose calls go to the version that is current when they begin.
pub(super) struct Handle {
    name: String,
    kind: PluginKind,
    /// `None` after this handle was unloaded.
    slot: RwLock<Option<Arc<Slot>>>,
}

impl Handle {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self {
            name: slot.target.name().to_owned(),
            kind: slot.version().plugin.kind(),
            slot: RwLock::new(Some(slot)),
        }
    }

    fn current(&self) -> Result<Arc<dyn Plugin>, LoadError> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(slot) => Ok(slot.version().plugin),
            None => Err(LoadError::Unloaded {
                plugin: self.name.clone(),
            }),
        }
    }
}

#[async_trait]
impl Plugin for Handle {
    async fn call(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        self.current()?.call(export, input).await
    }

    async fn call_with(
        &self,
        context: CallContext,
        export: &str,
        input: Bytes,
    ) -> Result<Bytes, LoadError> {
        self.current()?.call_with(context, export, input).await
    }

    async fn lease(&self) -> Result<Box<dyn Plugin>, LoadError> {
        self.current()?.lease().await
    }

    fn call_blocking(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        self.current()?.call_blocking(export, input)
    }

    fn exports(&self) -> Vec<String> {
        self.current()
            .map_or_else(|_| Vec::new(), |plugin| plugin.exports())
    }

    fn kind(&self) -> PluginKind {
        self.current().map_or(self.kind, |plugin| plugin.kind())
    }

    /// Other handles still work; the plugin is dropped with the last of them.
    async fn unload(&self) -> Result<(), LoadError> {
        let slot = self.slot.write();
        *slot.unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

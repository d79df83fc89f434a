//! What a caller holds of a Wasm plugin: all of its instances, or a lease of one.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::PluginKind;

use super::lease::Leased;
use super::plugin::{Instances, JobOf};
use super::state::Stop;
use crate::context::CallContext;
use crate::error::LoadError;
use crate::plugin::Plugin;

/// What runs the calls of a handle. A call that is under way keeps it alive.
pub(super) trait Runner: Send + Sync + 'static {
    /// Returns the instances of the plugin.
    fn instances(self: &Arc<Self>) -> &Arc<Instances>;

    /// Waits for an instance and calls `export`.
    fn run(
        &self,
        export: &str,
        input: &[u8],
        stop: &Arc<Stop>,
    ) -> impl Future<Output = Result<Bytes, LoadError>> + Send;
}

/// One holder's handle.
pub(super) struct Handle<R> {
    plugin: String,
    exports: Vec<String>,
    /// `None` once this handle is unloaded.
    runner: RwLock<Option<Arc<R>>>,
}

impl<R: Runner> Handle<R> {
    pub(super) fn new(runner: Arc<R>) -> Self {
        let instances = runner.instances();
        Self {
            plugin: instances.plugin().to_owned(),
            exports: instances.exports.clone(),
            runner: RwLock::new(Some(runner)),
        }
    }

    fn runner(&self) -> Result<Arc<R>, LoadError> {
        let runner = self.runner.read().unwrap_or_else(PoisonError::into_inner);
        runner.clone().ok_or_else(|| LoadError::Unloaded {
            plugin: self.plugin.clone(),
        })
    }

    async fn perform(
        &self,
        context: CallContext,
        export: &str,
        input: Bytes,
    ) -> Result<Bytes, LoadError> {
        let runner = self.runner()?;
        let instances = Arc::clone(runner.instances());
        instances.check(export, &input)?;
        let stop = instances.stop(context);
        // It may move to another thread, so it owns all that it uses.
        let job: JobOf<Bytes> = Box::pin({
            let (stop, export) = (Arc::clone(&stop), export.to_owned());
            async move { runner.run(&export, &input, &stop).await }
        });
        instances.on_time(export, &stop, job).await
    }
}

#[async_trait]
impl<R: Runner> Plugin for Handle<R> {
    async fn call(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        self.perform(CallContext::new(), export, input).await
    }

    async fn call_with(
        &self,
        context: CallContext,
        export: &str,
        input: Bytes,
    ) -> Result<Bytes, LoadError> {
        self.perform(context, export, input).await
    }

    async fn lease(&self) -> Result<Box<dyn Plugin>, LoadError> {
        let leased = Leased::take(self.runner()?.instances()).await?;
        Ok(Box::new(Handle::new(leased)))
    }

    fn call_blocking(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        let runner = self.runner()?;
        let instances = runner.instances();
        instances.check(export, &input)?;
        let stop = instances.stop(CallContext::new());
        instances.blocking(export, &stop, runner.run(export, &input, &stop))
    }

    fn exports(&self) -> Vec<String> {
        self.exports.clone()
    }

    fn kind(&self) -> PluginKind {
        PluginKind::Wasm
    }

    async fn unload(&self) -> Result<(), LoadError> {
        let runner = self.runner.write();
        *runner.unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

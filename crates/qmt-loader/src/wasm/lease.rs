//! An instance that is reserved for calls which belong together.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::PluginKind;
use tokio::sync::{Mutex, OwnedSemaphorePermit};

use super::instance::{Instance, START};
use super::plugin::{Instances, JobOf};
use super::state::Stop;
use crate::context::CallContext;
use crate::error::LoadError;
use crate::plugin::Plugin;

/// A lease of one instance.
pub(super) struct Lease {
    plugin: String,
    exports: Vec<String>,
    /// `None` once the lease is unloaded.
    leased: RwLock<Option<Arc<Leased>>>,
}

/// The instance of a lease, which its running call may outlive.
struct Leased {
    instances: Arc<Instances>,
    /// `None` while a call runs, and for ever after one that failed to hand it back.
    instance: Mutex<Option<Instance>>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Reserves a new instance and starts it.
    pub(super) async fn new(instances: Arc<Instances>) -> Result<Self, LoadError> {
        let stop = instances.stop(CallContext::new());
        let job: JobOf<Arc<Leased>> = Box::pin({
            let (instances, stop) = (Arc::clone(&instances), Arc::clone(&stop));
            async move {
                let permit = instances.permit(&stop).await?;
                let mut instance = instances.spec.instance()?;
                instance.start(&instances.spec, &stop).await?;
                Ok(Arc::new(Leased {
                    instances,
                    instance: Mutex::new(Some(instance)),
                    _permit: permit,
                }))
            }
        });
        let leased = instances.on_time(START, &stop, job).await?;
        Ok(Self {
            plugin: instances.plugin().to_owned(),
            exports: instances.exports.clone(),
            leased: RwLock::new(Some(leased)),
        })
    }

    fn leased(&self) -> Result<Arc<Leased>, LoadError> {
        let leased = self.leased.read().unwrap_or_else(PoisonError::into_inner);
        leased.clone().ok_or_else(|| LoadError::Unloaded {
            plugin: self.plugin.clone(),
        })
    }
}

impl Leased {
    async fn run(&self, export: &str, input: &[u8], stop: &Arc<Stop>) -> Result<Bytes, LoadError> {
        let mut slot = self.instance.lock().await;
        if stop.is_due() {
            return Err(self.instances.busy());
        }
        stop.started.store(true, Ordering::Relaxed);
        // A call that is dropped while it runs leaves nothing behind.
        let mut instance = slot.take().ok_or_else(|| LoadError::LeaseEnded {
            plugin: self.instances.plugin().to_owned(),
        })?;
        let spec = &self.instances.spec;
        let result = instance.call(spec, export, input, stop).await;
        *slot = instance.reusable.then_some(instance);
        result
    }
}

#[async_trait]
impl Plugin for Lease {
    async fn call(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        self.call_with(CallContext::new(), export, input).await
    }

    async fn call_with(
        &self,
        context: CallContext,
        export: &str,
        input: Bytes,
    ) -> Result<Bytes, LoadError> {
        let leased = self.leased()?;
        let instances = Arc::clone(&leased.instances);
        instances.check(export, &input)?;
        let stop = instances.stop(context);
        let job: JobOf<Bytes> = Box::pin({
            let (stop, export) = (Arc::clone(&stop), export.to_owned());
            async move { leased.run(&export, &input, &stop).await }
        });
        instances.on_time(export, &stop, job).await
    }

    async fn lease(&self) -> Result<Box<dyn Plugin>, LoadError> {
        let instances = Arc::clone(&self.leased()?.instances);
        Ok(Box::new(Self::new(instances).await?))
    }

    fn call_blocking(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        let leased = self.leased()?;
        let instances = &leased.instances;
        instances.check(export, &input)?;
        let stop = instances.stop(CallContext::new());
        let job = leased.run(export, &input, &stop);
        instances.blocking(export, &stop, job)
    }

    fn exports(&self) -> Vec<String> {
        self.exports.clone()
    }

    fn kind(&self) -> PluginKind {
        PluginKind::Wasm
    }

    async fn unload(&self) -> Result<(), LoadError> {
        let leased = self.leased.write();
        *leased.unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

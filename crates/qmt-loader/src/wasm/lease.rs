//! An instance that is reserved for calls which belong together.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit};

use super::handle::Runner;
use super::instance::{Instance, START};
use super::plugin::{Instances, JobOf};
use super::state::Stop;
use crate::context::CallContext;
use crate::error::LoadError;

/// The instance of a lease.
pub(super) struct Leased {
    instances: Arc<Instances>,
    /// `None` while a call runs, and after a call that ended the instance. The permit is dropped with the
    /// instance, so that another call can have one.
    instance: Mutex<Option<(Instance, OwnedSemaphorePermit)>>,
}

impl Leased {
    /// Reserves a new instance and starts it.
    pub(super) async fn take(instances: &Arc<Instances>) -> Result<Arc<Self>, LoadError> {
        let stop = instances.stop(CallContext::new());
        let job: JobOf<Arc<Self>> = Box::pin({
            let (instances, stop) = (Arc::clone(instances), Arc::clone(&stop));
            async move {
                let permit = instances.permit(&stop).await?;
                let mut instance = instances.spec.instance()?;
                instance.start(&instances.spec, &stop).await?;
                Ok(Arc::new(Self {
                    instances,
                    instance: Mutex::new(Some((instance, permit))),
                }))
            }
        });
        instances.on_time(START, &stop, job).await
    }
}

impl Runner for Leased {
    fn instances(self: &Arc<Self>) -> &Arc<Instances> {
        &self.instances
    }

    async fn run(&self, export: &str, input: &[u8], stop: &Arc<Stop>) -> Result<Bytes, LoadError> {
        let mut slot = self.instance.lock().await;
        if stop.is_due() {
            return Err(self.instances.busy());
        }
        stop.started.store(true, Ordering::Relaxed);
        // A call that is dropped while it runs leaves nothing behind.
        let (mut instance, permit) = slot.take().ok_or_else(|| LoadError::LeaseEnded {
            plugin: self.instances.plugin().to_owned(),
        })?;
        let spec = &self.instances.spec;
        let result = instance.call(spec, export, input, stop).await;
        *slot = instance.reusable.then_some((instance, permit));
        result
    }
}

//! The instances of a Wasm plugin, which run one call after the other or several at once.

use std::fmt;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use qmt_oci_ref::text::escape;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::handle::Runner;
use super::instance::{Instance, START, Spec};
use super::on_time::{Ended, Job, Needs, block_on, on_time};
use super::state::Stop;
use crate::alarms::deadline;
use crate::context::CallContext;
use crate::error::LoadError;
use crate::limits::Limits;

/// The work of a call that ends in a `T` or fails.
pub(super) type JobOf<T> = Job<Result<T, LoadError>>;

/// The instances of one module under one set of options.
pub(super) struct Instances {
    pub(super) spec: Spec,
    pub(super) exports: Vec<String>,
    /// One permit per instance. The running code holds it, not the caller who waits, so that code
    /// which cannot be stopped at once still counts.
    permits: Arc<Semaphore>,
    count: usize,
    idle: Mutex<Vec<Instance>>,
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instances")
            .field("plugin", &self.plugin())
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Instances {
    /// Starts the first instance.
    pub(super) async fn start(
        spec: Spec,
        exports: Vec<String>,
        count: usize,
    ) -> Result<Arc<Self>, LoadError> {
        let instances = Arc::new(Self {
            spec,
            exports,
            permits: Arc::new(Semaphore::new(count)),
            count,
            idle: Mutex::default(),
        });
        let stop = instances.stop(CallContext::new());
        stop.started.store(true, Ordering::Relaxed);
        let job: JobOf<()> = Box::pin({
            let (this, stop) = (Arc::clone(&instances), Arc::clone(&stop));
            async move {
                let mut instance = this.spec.instance()?;
                instance.start(&this.spec, &stop).await?;
                this.idle().push(instance);
                Ok(())
            }
        });
        instances.on_time(START, &stop, job).await?;
        Ok(instances)
    }

    /// Refuses what cannot be called.
    pub(super) fn check(&self, export: &str, input: &Bytes) -> Result<(), LoadError> {
        let plugin = || self.plugin().to_owned();
        if !self.exports.iter().any(|known| known == export) {
            return Err(LoadError::UnknownExport {
                plugin: plugin(),
                export: escape(export),
                known: self.exports.clone(),
            });
        }
        let size = u64::try_from(input.len()).unwrap_or(u64::MAX);
        let limit = self.limits().memory_max;
        if size > limit {
            return Err(LoadError::InputTooLarge {
                plugin: plugin(),
                size,
                limit,
            });
        }
        Ok(())
    }

    /// Starts the clock of a call.
    pub(super) fn stop(&self, context: CallContext) -> Arc<Stop> {
        Arc::new(Stop::new(deadline(self.limits().timeout), context))
    }

    /// Runs `job` on this task, or on a thread that may block.
    pub(super) async fn on_time<T: Send + 'static>(
        &self,
        export: &str,
        stop: &Arc<Stop>,
        job: JobOf<T>,
    ) -> Result<T, LoadError> {
        let runtime = self.spec.linked.runtime;
        let ended = on_time(runtime, stop, self.needs(), job).await;
        self.result(export, stop, ended)
    }

    /// Runs `job` on this thread, which may block.
    pub(super) fn blocking<T>(
        &self,
        export: &str,
        stop: &Arc<Stop>,
        job: impl Future<Output = Result<T, LoadError>>,
    ) -> Result<T, LoadError> {
        let runtime = self.spec.linked.runtime;
        let ended = block_on(runtime, stop, self.needs(), job);
        self.result(export, stop, ended)
    }

    /// Waits for one of the instances that may run at the same time.
    pub(super) async fn permit(&self, stop: &Stop) -> Result<OwnedSemaphorePermit, LoadError> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) if !stop.is_cancelled() => permit,
            Ok(_) => return Err(self.busy()),
            Err(_) => match Arc::clone(&self.permits).acquire_owned().await {
                Ok(permit) if !stop.is_due() => permit,
                // The semaphore is never closed.
                _ => return Err(self.busy()),
            },
        };
        stop.started.store(true, Ordering::Relaxed);
        Ok(permit)
    }

    fn result<T>(
        &self,
        export: &str,
        stop: &Stop,
        ended: Ended<Result<T, LoadError>>,
    ) -> Result<T, LoadError> {
        let plugin = || self.plugin().to_owned();
        match ended {
            Ended::Done(result) => result,
            Ended::TimedOut if stop.started.load(Ordering::Relaxed) => Err(LoadError::TimedOut {
                plugin: plugin(),
                export: export.to_owned(),
                limit: self.limits().timeout,
            }),
            Ended::TimedOut => Err(self.busy()),
            Ended::Panicked(error) => Err(LoadError::Host {
                plugin: plugin(),
                export: export.to_owned(),
                source: error.into(),
            }),
        }
    }

    pub(super) fn busy(&self) -> LoadError {
        LoadError::Busy {
            plugin: self.plugin().to_owned(),
            instances: self.count,
            limit: self.limits().timeout,
        }
    }

    fn needs(&self) -> Needs {
        Needs {
            blocking: self.spec.code.calls_host,
            io: self.spec.code.wasi,
        }
    }

    pub(super) fn plugin(&self) -> &str {
        &self.spec.settings.plugin
    }

    fn limits(&self) -> &Limits {
        &self.spec.settings.limits
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runner for Instances {
    fn instances(self: &Arc<Self>) -> &Arc<Self> {
        self
    }

    async fn run(&self, export: &str, input: &[u8], stop: &Arc<Stop>) -> Result<Bytes, LoadError> {
        let _permit = self.permit(stop).await?;
        let idle = self.idle().pop();
        let mut instance = match idle {
            Some(instance) => instance,
            None => self.spec.instance()?,
        };
        let result = instance.call(&self.spec, export, input, stop).await;
        if instance.reusable {
            self.idle().push(instance);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use qmt_oci_ref::PluginKind;

    use super::*;
    use crate::wasm::WasmLoader;
    use crate::{Artifact, LoadOptions, Loader as _};

    /// WASM-12: what is unloaded takes no memory, although someone still holds the handle.
    #[tokio::test]
    async fn unloading_the_last_handle_releases_the_instances() {
        let module = wat::parse_str(r#"(module (func (export "fine")))"#).unwrap();
        let artifact = Artifact::from_bytes(PluginKind::Wasm, module, "p");
        let loader = WasmLoader::builder().build().unwrap();
        let load = async || {
            let plugin = loader.load(artifact.clone(), LoadOptions::default()).await;
            plugin.unwrap()
        };
        let (one, two) = (load().await, load().await);
        let instances = loader.loaded_instances();
        let [instances] = &instances[..] else {
            panic!("{instances:?}")
        };
        one.unload().await.unwrap();
        assert!(instances.upgrade().is_some());
        two.call("fine", Bytes::new()).await.unwrap();
        two.unload().await.unwrap();
        assert!(instances.upgrade().is_none());
        let error = two.call("fine", Bytes::new()).await.unwrap_err();
        assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
    }
}

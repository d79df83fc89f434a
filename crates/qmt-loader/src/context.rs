//! What the caller of a plugin hands to the functions of the host.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Values of one call that the functions of the host can read: one of each type.
///
/// The plugin does not see them. A host passes what its functions need to know of a call: the
/// session, a span, a sender of partial results. A panic while one of them is dropped does not reach
/// the caller: the panic hook reports it.
#[derive(Clone, Default)]
pub struct CallContext {
    values: BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl CallContext {
    /// Makes an empty context.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `value`, in place of another one of the same type.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// Returns the value of type `T`, if there is one.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

/// A call drops its context where it ends, which can be in the future that its caller polls.
impl Drop for CallContext {
    fn drop(&mut self) {
        while let Some((_, value)) = self.values.pop_first() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                // Dropping it could panic again.
                std::mem::forget(payload);
            }
        }
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("values", &self.values.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_has_one_value_of_each_type() {
        let context = CallContext::new().with(1_u8).with("text").with(2_u8);
        assert_eq!(context.get::<u8>(), Some(&2));
        assert_eq!(context.get::<&str>(), Some(&"text"));
        assert_eq!(context.get::<u16>(), None);
    }
}

//! A native plugin: it answers with what it is asked, in capitals.
#![expect(
    unsafe_code,
    improper_ctypes_definitions,
    reason = "its functions are found by their names, and the host's interface passes a trait object"
)]

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use querymt_adapter::seam::{LogCallback, ProviderError, ProviderFactory};
use serde_json::Value;

struct Capitals;

#[async_trait]
impl ProviderFactory for Capitals {
    fn name(&self) -> &'static str {
        "capitals"
    }

    async fn chat(&self, message: &Value) -> Result<Value, ProviderError> {
        Ok(message.to_string().to_uppercase().into())
    }

    fn chat_stream(&self, message: &Value) -> BoxStream<'static, Result<Bytes, ProviderError>> {
        let words = message.to_string().to_uppercase();
        let words: Vec<_> = words
            .split(' ')
            .map(|word| Ok(word.to_owned().into()))
            .collect();
        stream::iter(words).boxed()
    }
}

// SAFETY: no other function of the process has this name; the host looks it up in this library.
#[unsafe(no_mangle)]
unsafe extern "C" fn plugin_factory() -> *mut dyn ProviderFactory {
    Box::into_raw(Box::new(Capitals))
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn plugin_init_logging(log: LogCallback, level: usize) {
    let message = c"the native plugin logs";
    // SAFETY: both texts end with a zero byte and outlive the call.
    unsafe { log(3.min(level), c"capitals".as_ptr(), message.as_ptr()) };
}

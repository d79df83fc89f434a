//! Small plugins, Wasm and native, that tests can load and call.

//! Crates that nothing here uses: they choose features, as the comments in `Cargo.toml` say.

use {
    arbitrary as _, hashbrown as _, io_lifetimes as _, toml_datetime as _, toml_parser as _,
    wasm_encoder as _, wasmparser as _, winnow as _,
};

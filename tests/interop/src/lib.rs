//! The real tier: the built command against registries, builders, cosign and Sigstore services of other
//! projects, and the Wasm loader against crate `extism`. `tests/bench` uses the tools and the registries too.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::missing_errors_doc,
    reason = "programs for the terminal: what they print is their result, every error ends them"
)]

mod builders;
mod conformance;
mod differential;
mod keyless;
mod keys;
mod mirror;
mod published;
pub mod real;
pub mod servers;
pub mod sigstore;
mod tally;
mod tier;
mod token;
pub mod tools;
mod web;

/// A shell in the project's folder.
pub fn shell() -> anyhow::Result<xshell::Shell> {
    let sh = xshell::Shell::new()?;
    sh.change_dir(qmt_e2e_tests::root());
    Ok(sh)
}

//! A stage that is skipped, or two that are swapped, must not compile.
//!
//! [`refuses!`] compiles only if the function does *not* take the arguments: if it did, two
//! implementations of a trait would apply to it, and the call of its method would be ambiguous.

use qmt_cache::{CachedArtifact, Staging};

use super::Context;
use super::cache::{Cached, commit, reuse};
use super::extract::{Extracted, extract};
use super::resolve::Resolved;
use super::select::{Selected, select};
use super::verify::{Verified, verify};

/// Fails to compile if `$stage` takes arguments of these types.
macro_rules! refuses {
    ($stage:expr, $($argument:ty),+) => {{
        trait Ambiguous<Marker> {
            fn check(&self) {}
        }
        impl<F> Ambiguous<()> for F {}
        impl<F: Fn($($argument),+) -> Output, Output> Ambiguous<(Output,)> for F {}
        $stage.check();
    }};
}

/// Fails to compile if `$stage` does not take arguments of these types.
macro_rules! takes {
    ($stage:expr, $($argument:ty),+) => {{
        fn check<Output>(_: impl Fn($($argument),+) -> Output) {}
        check($stage);
    }};
}

type C = &'static Context;

/// Without this, a change of a signature could make every `refuses!` below compile.
#[test]
fn each_stage_takes_the_output_of_the_one_before() {
    takes!(verify, C, Resolved);
    takes!(select, C, Verified);
    takes!(extract, C, Selected, Staging);
    takes!(commit, C, Extracted);
    takes!(reuse, C, Selected, CachedArtifact);
}

#[test]
fn select_without_verify_does_not_compile() {
    refuses!(select, C, Resolved);
    refuses!(select, C, &'static Resolved);
}

#[test]
fn fetching_without_verify_or_select_does_not_compile() {
    refuses!(extract, C, Resolved, Staging);
    refuses!(extract, C, Verified, Staging);
}

#[test]
fn verify_after_select_does_not_compile() {
    refuses!(verify, C, Selected);
    refuses!(verify, C, Extracted);
}

#[test]
fn caching_without_extract_or_verify_does_not_compile() {
    refuses!(commit, C, Resolved);
    refuses!(commit, C, Verified);
    refuses!(commit, C, Selected);
    refuses!(reuse, C, Resolved, CachedArtifact);
    refuses!(reuse, C, Verified, CachedArtifact);
}

#[test]
fn loading_without_caching_does_not_compile() {
    use super::content::{Content, ReadMode};
    takes!(Content::of, &'static Cached, ReadMode);
    refuses!(Content::of, &'static Resolved, ReadMode);
    refuses!(Content::of, &'static Verified, ReadMode);
    refuses!(Content::of, &'static Selected, ReadMode);
    refuses!(Content::of, &'static Extracted, ReadMode);
}

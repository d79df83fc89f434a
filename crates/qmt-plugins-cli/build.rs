//! Packs the relative relocations of the program where its system's loader understands that: of
//! 1.8 MiB that are read at each start, hardly anything is left.
//! <https://maskray.me/blog/2021-10-31-relative-relocations-and-relr>

use std::env::var;
use std::process::Command;

/// The first version of glibc whose loader reads packed relocations.
const GLIBC: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if is_for_this_glibc() && glibc().is_some_and(|version| version >= GLIBC) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether the program will run on the system that builds it, as far as one can know.
fn is_for_this_glibc() -> bool {
    let target = |name: &str| var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    target("OS") == "linux" && target("ENV") == "gnu" && var("HOST").ok() == var("TARGET").ok()
}

/// The version of this system's glibc.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let (major, rest) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

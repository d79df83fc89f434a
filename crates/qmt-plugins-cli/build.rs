//! Lays out the release build of the command for a quick start and little memory, where the linker
//! and the system's loader can do so.
//!
//! - Relative relocations are packed: hardly anything is left of 1.8 MiB that each start would read.
//!   <https://maskray.me/blog/2021-10-31-relative-relocations-and-relr>
//! - The functions in `order.txt`, which `cargo xtask order` writes, are put side by side: the
//!   kernel maps pieces of 64 KiB, and strewn over the whole program they fill a hundred of them.
//!   <https://lld.llvm.org/ELF/>
//!
//! Whether it works is tried with a small program. A failed try changes nothing.

use std::env::{var, var_os};
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=order.txt");
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    // What is built for elsewhere cannot be tried here.
    if !is("PROFILE", "release")
        || !is("CARGO_CFG_TARGET_OS", "linux")
        || var("HOST") != var("TARGET")
    {
        return;
    }
    let folder = var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let order = format!("-Wl,--symbol-ordering-file={folder}/order.txt");
    let packed = ["-Wl,-z,pack-relative-relocs"];
    // Another compiler makes other names; those that are missing are no matter.
    let ordered = [order.as_str(), "-Wl,--no-warn-symbol-ordering"];
    for arguments in [&packed[..], &ordered[..]] {
        if works(arguments).unwrap_or(false) {
            for argument in arguments {
                println!("cargo:rustc-link-arg-bins={argument}");
            }
        }
    }
}

/// Links a program with `arguments`, as the command will be linked, and runs it.
fn works(arguments: &[&str]) -> Option<bool> {
    let folder = PathBuf::from(var_os("OUT_DIR")?);
    let (source, program) = (folder.join("try.rs"), folder.join("try"));
    std::fs::write(&source, "fn main() {}").ok()?;
    let mut rustc = Command::new(var_os("RUSTC")?);
    rustc.arg("--target").arg(var_os("TARGET")?);
    if let Ok(linker) = var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.args(
        arguments
            .iter()
            .map(|argument| format!("-Clink-arg={argument}")),
    );
    rustc.arg(&source).arg("-o").arg(&program);
    let quiet = |command: &mut Command| {
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().map(|status| status.success())
    };
    if !quiet(&mut rustc).ok()? {
        return Some(false);
    }
    quiet(&mut Command::new(program)).ok()
}

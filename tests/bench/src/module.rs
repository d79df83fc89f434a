//! Wasm modules to measure with: of any size, of code, and a real one.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use qmt_interop::tools;
use qmt_oci_ref::Digest;
use xshell::{Shell, cmd};

/// A package with a real Wasm module of 14 MB, a Go program.
const PACKAGE: &str = "esbuild-wasm";
const PACKAGE_VERSION: &str = "0.28.2";
const PACKAGE_MODULE: &str = "package/esbuild.wasm";
const PACKAGE_MODULE_DIGEST: &str =
    "sha256:b1831a5c0f6cf688034fb94d0419812f165ea316a3380d3fc00a151e562d2eaf";

/// Bytes of one custom section.
const SECTION: usize = 1 << 20;
/// The section's name and the length of that name.
const NAME: &[u8] = b"\x05bench";

/// A valid module of about `size` bytes that no compressor makes smaller.
pub(super) fn random(size: usize) -> Vec<u8> {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    of_sections(size, |section| noise.fill(section))
}

/// A valid module of about `size` bytes that compresses to about a third, as code does.
pub(super) fn compressible(size: usize) -> Vec<u8> {
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    let mut words = vec![0; 64 * 1024];
    noise.fill(&mut words);
    of_sections(size, |section| {
        for word in section.chunks_mut(6) {
            let at = usize::try_from(noise.next() % 65_000).unwrap_or(0);
            let from = words.get(at..at + word.len()).unwrap_or_default();
            word.copy_from_slice(from);
        }
    })
}

/// The test kit's plugin with so many functions added that it has about `size` bytes.
pub(super) fn with_code(size: usize) -> Vec<u8> {
    /// Bytes of one of the functions below, as a binary.
    const FUNCTION: usize = 685;
    let text = qmt_testkit::plugins::ECHO_WAT.trim_end();
    let body = text.strip_suffix(')').unwrap_or(text);
    let mut text = body.to_owned();
    for nth in 0..size / FUNCTION {
        let _ = write!(text, "\n(func (param i32 i64) (result i64) (local i64)");
        for step in 0..32_usize {
            let (one, two) = (nth * 31 + step * 7 + 1_000_000, (step + nth) % 61 + 1);
            let _ = write!(
                text,
                " local.get 1 i64.const {one} i64.add local.get 2 i64.const {two} i64.rotl i64.xor \
                 local.tee 2 local.get 0 i64.extend_i32_u i64.mul local.set 1"
            );
        }
        text.push_str(" local.get 1)");
    }
    text.push(')');
    qmt_testkit::plugins::wasm(&text)
}

/// The real module, fetched once by npm and kept in `target/bench`.
pub(super) fn real(sh: &Shell, target: &Path) -> anyhow::Result<Vec<u8>> {
    let file = target.join("bench").join("esbuild.wasm");
    if !file.is_file() {
        fetch(sh, &file)?;
    }
    let module = std::fs::read(&file)?;
    let digest = Digest::sha256(&module).to_string();
    anyhow::ensure!(
        digest == PACKAGE_MODULE_DIGEST,
        "{PACKAGE_MODULE} of {PACKAGE} {PACKAGE_VERSION} is {digest}, not {PACKAGE_MODULE_DIGEST}"
    );
    Ok(module)
}

fn fetch(sh: &Shell, file: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(tools::find("npm").is_some(), "npm is not installed");
    let folder = file.parent().context("a file in a folder")?;
    sh.create_dir(folder)?;
    let name = format!("{PACKAGE}@{PACKAGE_VERSION}");
    cmd!(sh, "npm pack --silent --pack-destination {folder} {name}")
        .quiet()
        .ignore_stdout()
        .run()?;
    let archive = folder.join(format!("{PACKAGE}-{PACKAGE_VERSION}.tgz"));
    cmd!(
        sh,
        "tar -xzf {archive} -C {folder} --strip-components=1 {PACKAGE_MODULE}"
    )
    .quiet()
    .run()?;
    sh.remove_path(archive)?;
    Ok(())
}

fn of_sections(size: usize, mut fill: impl FnMut(&mut [u8])) -> Vec<u8> {
    let mut module = Vec::with_capacity(size + SECTION);
    module.extend_from_slice(b"\0asm\x01\0\0\0");
    while module.len() < size {
        let content = SECTION.min(size - module.len());
        module.push(0);
        let mut left = content + NAME.len();
        while left >= 0x80 {
            module.push(u8::try_from(left & 0x7f).unwrap_or(0) | 0x80);
            left >>= 7;
        }
        module.push(u8::try_from(left).unwrap_or(0));
        module.extend_from_slice(NAME);
        let start = module.len();
        module.resize(start + content, 0);
        fill(module.get_mut(start..).unwrap_or_default());
    }
    module
}

/// Numbers that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            piece.copy_from_slice(number.get(..piece.len()).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_modules_of_the_size_asked_for() {
        for module in [random(3 << 20), compressible(3 << 20), with_code(1 << 20)] {
            assert!(module.starts_with(b"\0asm"));
            let asked = if module.len() < 2 << 20 {
                1 << 20
            } else {
                3 << 20
            };
            assert!(
                module.len().abs_diff(asked) < asked / 10,
                "{}",
                module.len()
            );
        }
    }
}

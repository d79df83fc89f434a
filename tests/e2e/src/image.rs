//! The plugin images that `demo` and `e2e` publish: the test kit's plugins, in the forms of a case.

use anyhow::Context as _;
use qmt_oci_ref::{Descriptor, Platform, manifest};
use qmt_testkit::{FakeRegistry, ImageBuilder, IndexBuilder, plugins};

use crate::case::Image;

/// What the test kit's plugins say before the name.
pub const GREETING: &str = "Hello";

/// An image with all its parts, and a line about each of them for readers.
pub struct Built {
    image: qmt_testkit::Image,
    /// One line per part.
    pub contents: Vec<String>,
}

impl Built {
    /// Pushes everything and tags what is on top.
    pub fn push(&self, registry: &FakeRegistry, repository: &str, tag: &str) -> Descriptor {
        self.image.push(registry, repository, tag)
    }
}

/// Builds an image; its plugins say `greeting` where the test kit's say [`GREETING`].
pub fn build(image: Image, greeting: &str) -> anyhow::Result<Built> {
    anyhow::ensure!(
        greeting.len() == GREETING.len(),
        "another greeting has {} letters: the plugins count them",
        GREETING.len()
    );
    let built = match image {
        Image::Wasm => {
            let module = module(greeting);
            let line = wasm_line(&module, "a layer of its own media type");
            Built {
                image: ImageBuilder::wasm(module).build(),
                contents: vec![line],
            }
        }
        Image::Dockerfile => {
            let module = module(greeting);
            let line = wasm_line(&module, "/plugin.wasm in a tar+gzip layer");
            Built {
                image: ImageBuilder::dockerfile(module).build(),
                contents: vec![line],
            }
        }
        Image::Native => {
            let (image, line) = native(greeting)?;
            Built {
                image,
                contents: vec![line],
            }
        }
        Image::MultiPlatform => {
            let module = module(greeting);
            let wasm_line = wasm_line(&module, "a layer of its own media type");
            let (native, native_line) = native(greeting)?;
            let image = IndexBuilder::new()
                .platform(&native, host_platform())
                .wasm(&ImageBuilder::wasm(module).build())
                .build();
            Built {
                image,
                contents: vec![native_line, wasm_line],
            }
        }
    };
    Ok(built)
}

fn module(greeting: &str) -> Vec<u8> {
    plugins::wasm(&plugins::ECHO_WAT.replace(GREETING, greeting))
}

fn native(greeting: &str) -> anyhow::Result<(qmt_testkit::Image, String)> {
    let scratch = tempfile::tempdir()?;
    let name = plugins::native_file_name();
    let source = plugins::ECHO_C.replace(GREETING, greeting);
    let library = plugins::compile(scratch.path(), &name, &source, &[])
        .context("the native plugin does not compile")?;
    let bytes = std::fs::read(library)?;
    let platform = host_platform();
    let line = format!(
        "{}/{}: {name}, {} bytes, compiled from C, in a tar+gzip layer",
        platform.os(),
        platform.architecture(),
        bytes.len()
    );
    Ok((ImageBuilder::native(platform, &name, bytes).build(), line))
}

fn wasm_line(module: &[u8], form: &str) -> String {
    format!("wasi/wasm: {} bytes of WebAssembly, {form}", module.len())
}

/// This machine, in the words of the OCI image specification.
pub fn host_platform() -> Platform {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    manifest::platform(os, architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_input_makes_the_same_image_and_another_greeting_another() {
        let root = |greeting| build(Image::Wasm, greeting).unwrap().image.root().clone();
        assert_eq!(root(GREETING), root(GREETING));
        assert_ne!(root(GREETING), root("Pwned"));
        assert!(build(Image::Wasm, "Good day").is_err());
    }

    #[test]
    fn a_multi_platform_image_holds_both_kinds() {
        let built = build(Image::MultiPlatform, GREETING).unwrap();
        assert_eq!(built.contents.len(), 2);
        assert_eq!(built.image.manifests().len(), 3);
    }
}

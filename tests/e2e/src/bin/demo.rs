//! `cargo xtask demo`: a signed plugin from publishing to a call, on one machine.
//!
//! An OCI registry and a Sigstore run inside this process. A signed image with a Wasm and a native
//! plugin is published, a configuration is written, and the built command runs both plugins: from
//! the registry, then from the cache with the registry gone, then refuses an altered image. The
//! exit code is 0 only if every step ended as described.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "a command for the terminal: what it prints is its result"
)]

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use qmt_e2e_tests::case::{Format, Image, Signature};
use qmt_e2e_tests::command::{Answer, Plugins};
use qmt_e2e_tests::embedded::{Embedded, Published};
use qmt_e2e_tests::image::GREETING;

const IDENTITY: &str = "release@acme.example";
const ISSUER: &str = "https://accounts.acme.example";
const REPOSITORY: &str = "acme/greet";

/// Exit code of the command for an image that is not verified.
const NOT_VERIFIED: i32 = 3;

fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path();
    let plugins = Plugins::built(folder)?;

    chapter(1, "start a registry and a Sigstore, inside this process");
    let embedded = Embedded::start()?;
    tell("registry", &format!("http://{}", embedded.host()));
    tell(
        "Sigstore",
        "certificate authority, transparency log, timestamp authority; all private",
    );

    chapter(
        2,
        "publish: one image for two kinds of host, signed as cosign does it",
    );
    let published = embedded.publish(REPOSITORY, "1", Image::MultiPlatform, GREETING)?;
    for line in &published.contents {
        tell("holds", line);
    }
    tell("pushed", &published.reference);
    tell("digest", &published.digest);
    // In both formats, as cosign 2 and cosign 3 attach them.
    let signature = Signature::keyless(Format::Both, IDENTITY, ISSUER);
    let signed = embedded.sign(&published, &signature);
    tell("signed by", &format!("{IDENTITY}, vouched for by {ISSUER}"));

    chapter(3, "the operator's configuration");
    let trust = embedded.write_trust(folder)?;
    let config = Config {
        folder,
        trusted_root: &trust.trusted_root,
    };
    let file = config.write("host", &embedded.host(), &published.reference)?;
    print!("{}", indent(&std::fs::read_to_string(&file)?));

    chapter(4, "run both plugins from the registry");
    let journey = Journey {
        plugins: &plugins,
        folder,
    };
    journey.both(&file)?;

    chapter(
        5,
        "again with the registry shut down: from the cache, verified again",
    );
    let sigstore = embedded.shut_down();
    tell("registry", "shut down");
    journey.both(&file)?;

    chapter(
        6,
        "an altered image with the genuine signatures copied onto it",
    );
    let embedded = Embedded::start_with(sigstore)?;
    let tampered = embedded.publish(REPOSITORY, "1", Image::MultiPlatform, "Pwned")?;
    embedded.attach(&tampered, &signed);
    tell("pushed", &tampered.reference);
    tell("digest", &tampered.digest);
    let fresh = config.write("other-host", &embedded.host(), &tampered.reference)?;
    journey.refused(&fresh, "greet-wasm", &tampered)?;
    journey.refused(&fresh, "greet-native", &tampered)?;

    println!("\nEvery step ended as expected.");
    Ok(())
}

/// Where the files of the configuration stand.
struct Config<'a> {
    folder: &'a Path,
    trusted_root: &'a Path,
}

impl Config<'_> {
    /// Writes the configuration of one machine into a folder of its own, next to its cache.
    fn write(&self, machine: &str, registry: &str, reference: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(machine);
        std::fs::create_dir(&folder)?;
        let trusted_root = self.trusted_root.display();
        let cache = folder.join("cache");
        let cache = cache.display();
        let text = format!(
            r#"[oci]
use_sigstore_tuf_data = false
trusted_root = "{trusted_root}"
cert_email   = "{IDENTITY}"
cert_issuer  = "{ISSUER}"
cache_dir    = "{cache}"

[registries."{registry}"]
plain_http = true

[[providers]]
name = "greet-wasm"
path = "oci://{reference}"
kind = "wasm"

[[providers]]
name = "greet-native"
path = "oci://{reference}"
kind = "native"
"#
        );
        let file = folder.join("plugins.toml");
        std::fs::write(&file, text)?;
        Ok(file)
    }
}

struct Journey<'a> {
    plugins: &'a Plugins,
    folder: &'a Path,
}

impl Journey<'_> {
    fn both(&self, config: &Path) -> anyhow::Result<()> {
        for (name, kind) in [("greet-wasm", "wasm"), ("greet-native", "native")] {
            let expected = format!("Hello, World! ({kind})");
            let answer = self.greet(config, name)?;
            anyhow::ensure!(
                answer.code == Some(0) && answer.stdout.contains(&expected),
                "{name} did not greet\n{}",
                answer.transcript()
            );
            // The events of each stage.
            print!("{}", indent(&answer.stderr));
            tell(
                "answer",
                &format!(
                    "{}   ({} ms)",
                    answer.stdout.trim(),
                    answer.took.as_millis()
                ),
            );
        }
        Ok(())
    }

    fn refused(&self, config: &Path, name: &str, image: &Published) -> anyhow::Result<()> {
        let answer = self.greet(config, name)?;
        anyhow::ensure!(
            answer.code == Some(NOT_VERIFIED),
            "{name} of the altered image {} was not refused with exit code {NOT_VERIFIED}\n{}",
            image.digest,
            answer.transcript()
        );
        anyhow::ensure!(
            !answer.stdout.contains("Hello"),
            "the altered {name} ran\n{}",
            answer.transcript()
        );
        tell(
            "refused",
            &format!("exit code {NOT_VERIFIED}, and the reason:"),
        );
        print!("{}", indent(&answer.stderr));
        Ok(())
    }

    fn greet(&self, config: &Path, name: &str) -> anyhow::Result<Answer> {
        let shown = config.strip_prefix(self.folder).unwrap_or(config).display();
        println!("  $ qmt-plugins run --config {shown} {name} greet --input World");
        let config = config
            .to_str()
            .context("the scratch folder's name is not UTF-8")?;
        let arguments = ["run", "--config", config, name, "greet", "--input", "World"];
        self.plugins.run(self.folder, &arguments)
    }
}

fn chapter(number: usize, title: &str) {
    println!("\n{number}. {title}");
}

fn tell(what: &str, text: &str) {
    println!("  {what:<10} {text}");
}

fn indent(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(|line| format!("  | {line}\n"))
        .collect::<Vec<_>>()
        .concat()
}

//! `cargo xtask e2e --real`: the same journey with the programs of others. Real registries serve,
//! oras copies, cosign 2 and 3 sign, and the built command must accept and refuse as ever.
//!
//! Needs what `cargo xtask tools` installs. Every server listens on loopback and is ended here.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::case::{Format, Image, Signature};
use crate::command::Plugins;
use crate::embedded::{Embedded, Published, Trust};
use crate::image::GREETING;
use crate::{project, tools};

/// Without these there is no real tier.
pub(crate) const NEEDED: &[&str] = &["cosign2", "cosign3", "oras"];

const IDENTITY: &str = "signer@example.com";
const ISSUER: &str = "https://accounts.example.com";

/// The word that cosign's key is encrypted with; the key lives as long as the run.
const PASSWORD: &str = "throwaway";

/// A registry program: its tool and how it is started on an address with a folder of its own.
struct Program {
    name: &'static str,
    tool: &'static str,
    arguments: fn(SocketAddr, &Path) -> anyhow::Result<Vec<String>>,
}

const REGISTRIES: &[Program] = &[
    // Without the referrers API: signatures are found by the fallback tag.
    Program {
        name: "CNCF distribution 3",
        tool: "distribution3",
        arguments: distribution,
    },
    Program {
        name: "Debian's distribution 2.8",
        tool: "docker-registry",
        arguments: distribution,
    },
    Program {
        name: "crane registry serve",
        tool: "crane",
        arguments: |address, _| {
            Ok(words(&[
                "registry",
                "serve",
                "--address",
                &address.to_string(),
            ]))
        },
    },
    // With it.
    Program {
        name: "go-containerregistry with referrers",
        tool: "ggcr-registry",
        arguments: |address, _| Ok(vec![address.to_string()]),
    },
];

/// Runs the tier against every registry program that is installed, at least one.
pub(super) fn run() -> anyhow::Result<()> {
    let missing = tools::missing(NEEDED);
    anyhow::ensure!(
        missing.is_empty(),
        "not installed: {}; run `cargo xtask tools`",
        missing.join(", ")
    );
    let sh = project::shell()?;
    let scratch = sh.create_temp_dir()?;
    let plugins = Plugins::build(&sh, scratch.path())?;
    let embedded = Embedded::start()?;
    let trust = embedded.write_trust(scratch.path())?;
    let image = embedded.publish("e2e/greet", "1", Image::MultiPlatform, GREETING)?;
    let keyless = embedded.publish("e2e/keyless", "1", Image::MultiPlatform, GREETING)?;
    let signature = Signature {
        format: Format::Both,
        identity: Some(IDENTITY.to_owned()),
        issuer: Some(ISSUER.to_owned()),
        key: None,
        copied: false,
    };
    embedded.sign(&keyless, &signature);

    let mut ran = 0;
    let mut failed = Vec::new();
    for (at, program) in REGISTRIES.iter().enumerate() {
        let Some(binary) = tools::find(program.tool) else {
            println!(
                "skipped {:<36} {} is not installed",
                program.name, program.tool
            );
            continue;
        };
        let folder = scratch.path().join(format!("registry-{at}"));
        std::fs::create_dir(&folder)?;
        let tier = Tier {
            sh: &sh,
            plugins: &plugins,
            folder: &folder,
            trust: &trust,
        };
        let result = Registry::start(&binary, program, &folder)
            .and_then(|registry| tier.play(&registry.host(), &image, &keyless));
        ran += 1;
        match result {
            Ok(count) => println!("ok      {:<36} {count} checks", program.name),
            Err(error) => {
                println!("FAILED  {:<36} {error:#}", program.name);
                failed.push(program.name);
            }
        }
    }
    anyhow::ensure!(
        ran > 0,
        "no registry program is installed; run `cargo xtask tools`"
    );
    anyhow::ensure!(failed.is_empty(), "real tier failed: {}", failed.join(", "));
    Ok(())
}

/// Everything that is checked against one registry.
struct Tier<'a> {
    sh: &'a Shell,
    plugins: &'a Plugins,
    folder: &'a Path,
    trust: &'a Trust,
}

impl Tier<'_> {
    fn play(&self, host: &str, image: &Published, keyless: &Published) -> anyhow::Result<usize> {
        let mut checks = 0;
        for cosign in ["cosign2", "cosign3"] {
            let reference = format!("{host}/e2e/{cosign}:1");
            self.copy(&image.reference, &reference, false)?;
            let key = self.sign(cosign, &format!("{host}/e2e/{cosign}@{}", image.digest))?;
            let other = self.new_key(cosign, "other")?;
            let accepted = self.key_config(host, &reference, &key, cosign)?;
            let refused = self.key_config(host, &reference, &other, &format!("{cosign}-other"))?;
            checks += self
                .expect(&accepted, 0)
                .with_context(|| format!("{cosign}, its key"))?;
            checks += self
                .expect(&refused, 3)
                .with_context(|| format!("{cosign}, another key"))?;
        }
        // Signatures of the embedded Sigstore, moved by oras with the referrers and by tag.
        let reference = format!("{host}/e2e/keyless:1");
        self.copy(&keyless.reference, &reference, true)?;
        let accepted = self.keyless_config(host, &reference, IDENTITY, "keyless")?;
        let refused = self.keyless_config(host, &reference, "nobody@example.com", "nobody")?;
        checks += self.expect(&accepted, 0).context("keyless")?;
        checks += self
            .expect(&refused, 3)
            .context("keyless, another identity")?;

        let reference = format!("{host}/e2e/unsigned:1");
        self.copy(&image.reference, &reference, false)?;
        let refused = self.keyless_config(host, &reference, IDENTITY, "unsigned")?;
        checks += self.expect(&refused, 3).context("unsigned")?;
        Ok(checks)
    }

    fn copy(&self, from: &str, to: &str, with_referrers: bool) -> anyhow::Result<()> {
        let oras = tool("oras")?;
        let recursive: &[&str] = if with_referrers {
            &["--recursive"]
        } else {
            &[]
        };
        cmd!(
            self.sh,
            "{oras} cp {recursive...} --from-plain-http --to-plain-http {from} {to}"
        )
        .quiet()
        .ignore_stdout()
        .run()?;
        Ok(())
    }

    /// Signs with a fresh key and no log: what leaves this machine is nothing.
    fn sign(&self, cosign: &str, image: &str) -> anyhow::Result<PathBuf> {
        let public = self.new_key(cosign, "signer")?;
        let private = public.with_extension("key");
        let program = tool(cosign)?;
        let sign = if cosign == "cosign2" {
            cmd!(
                self.sh,
                "{program} sign --key {private} --tlog-upload=false --allow-http-registry -y {image}"
            )
        } else {
            // A signing configuration without services: cosign 3's way to say "no log".
            let services = self.folder.join("signing-config.json");
            cmd!(self.sh, "{program} signing-config create --out {services}")
                .quiet()
                .run()?;
            cmd!(
                self.sh,
                "{program} sign --key {private} --signing-config {services} --allow-http-registry -y {image}"
            )
        };
        sign.env("COSIGN_PASSWORD", PASSWORD)
            .env("HOME", self.folder)
            .quiet()
            .ignore_stderr()
            .run()?;
        Ok(public)
    }

    fn new_key(&self, cosign: &str, name: &str) -> anyhow::Result<PathBuf> {
        let program = tool(cosign)?;
        let prefix = self.folder.join(format!("{cosign}-{name}"));
        cmd!(
            self.sh,
            "{program} generate-key-pair --output-key-prefix {prefix}"
        )
        .env("COSIGN_PASSWORD", PASSWORD)
        .quiet()
        .ignore_stderr()
        .run()?;
        Ok(prefix.with_extension("pub"))
    }

    fn key_config(
        &self,
        host: &str,
        reference: &str,
        key: &Path,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let key = key.display();
        let policy = format!(
            r#"
[[oci.policy]]
scope = "**"
any_of = [{{ key = "{key}", transparency_log = "optional" }}]
"#
        );
        self.config(host, reference, "", &policy, name)
    }

    fn keyless_config(
        &self,
        host: &str,
        reference: &str,
        identity: &str,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let lines = format!("cert_email = \"{identity}\"\ncert_issuer = \"{ISSUER}\"\n");
        self.config(host, reference, &lines, "", name)
    }

    fn config(
        &self,
        host: &str,
        reference: &str,
        lines: &str,
        policy: &str,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let trusted_root = self.trust.trusted_root.display();
        let cache = self.folder.join(format!("cache-{name}"));
        let cache = cache.display();
        let text = format!(
            r#"[oci]
use_sigstore_tuf_data = false
trusted_root = "{trusted_root}"
cache_dir = "{cache}"
{lines}{policy}
[registries."{host}"]
plain_http = true

[[providers]]
name = "wasm"
path = "oci://{reference}"
kind = "wasm"

[[providers]]
name = "native"
path = "oci://{reference}"
kind = "native"
"#
        );
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("plugins.toml");
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// Runs both plugins of a configuration; returns the number of checks.
    fn expect(&self, config: &Path, code: i32) -> anyhow::Result<usize> {
        let config = config
            .to_str()
            .context("the scratch folder's name is not UTF-8")?;
        for name in ["wasm", "native"] {
            let arguments = ["run", "--config", config, name, "greet", "--input", "World"];
            let answer = self.plugins.run(self.folder, &arguments)?;
            let greeted = answer.stdout.contains(&format!("Hello, World! ({name})"));
            anyhow::ensure!(
                answer.code == Some(code) && greeted == (code == 0),
                "{name}: expected exit code {code}\n{}",
                answer.transcript()
            );
        }
        Ok(2)
    }
}

fn tool(name: &str) -> anyhow::Result<PathBuf> {
    tools::find(name).with_context(|| format!("{name} is not installed"))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `registry serve config.yml` of distribution, 2 and 3 alike.
fn distribution(address: SocketAddr, folder: &Path) -> anyhow::Result<Vec<String>> {
    let data = folder.join("data");
    let config = folder.join("config.yml");
    let text = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  \
         addr: {address}\n",
        data.display()
    );
    std::fs::write(&config, text)?;
    Ok(words(&["serve", &config.display().to_string()]))
}

/// A registry process, ended with this value.
struct Registry {
    child: Child,
    address: SocketAddr,
}

impl Registry {
    fn start(binary: &Path, program: &Program, folder: &Path) -> anyhow::Result<Self> {
        // The port is free now, and nobody else on loopback is looking for one.
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let arguments = (program.arguments)(address, folder)?;
        let log = std::fs::File::create(folder.join("registry.log"))?;
        let child = Command::new(binary)
            .args(arguments)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut registry = Self { child, address };
        registry.wait().with_context(|| {
            std::fs::read_to_string(folder.join("registry.log")).unwrap_or_default()
        })?;
        Ok(registry)
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("ended at once: {status}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("does not listen on {}", self.address)
    }

    fn host(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // A process that is gone already is as good as ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

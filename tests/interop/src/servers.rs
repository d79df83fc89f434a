//! Registry programs, each started on loopback with a folder of its own and ended here.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::token::{self, TokenServer};
use crate::tools;

/// The login of the registries that require one.
pub(super) const USER: &str = "operator";
pub(super) const PASSWORD: &str = "correct-horse";

/// The login that a registry requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    /// A password with every request.
    Password,
    /// A token, which a server of ours gives for a password.
    Token,
}

/// A registry program: its tool and how it is started on an address with a folder of its own.
pub struct Program {
    /// For the report.
    pub name: &'static str,
    /// The tools without which it cannot be started; the first one is the program.
    pub tools: &'static [&'static str],
    /// The login that it requires, if any.
    pub(super) auth: Option<Auth>,
    arguments: fn(SocketAddr, &Path) -> anyhow::Result<Vec<String>>,
}

/// Every registry program.
pub const REGISTRIES: &[Program] = &[
    // Without the referrers API: signatures are found by the fallback tag.
    Program {
        name: "CNCF distribution 3",
        tools: &["distribution3"],
        auth: None,
        arguments: distribution,
    },
    Program {
        name: "Debian's distribution 2.8",
        tools: &["docker-registry"],
        auth: None,
        arguments: distribution,
    },
    Program {
        name: "crane registry serve",
        tools: &["crane"],
        auth: None,
        arguments: |address, _| {
            Ok(words(&[
                "registry",
                "serve",
                "--address",
                &address.to_string(),
            ]))
        },
    },
    Program {
        name: "CNCF distribution 3 with passwords",
        tools: &["distribution3", "htpasswd"],
        auth: Some(Auth::Password),
        arguments: distribution_with_passwords,
    },
    Program {
        name: "CNCF distribution 3 with tokens",
        tools: &["distribution3"],
        auth: Some(Auth::Token),
        arguments: distribution,
    },
    // With it.
    Program {
        name: "go-containerregistry with referrers",
        tools: &["ggcr-registry"],
        auth: None,
        arguments: |address, _| Ok(vec![address.to_string()]),
    },
];

/// How often a program is started that ends at once.
const STARTS: usize = 3;

/// A registry process, ended with this value.
pub struct Registry {
    child: Child,
    address: SocketAddr,
    /// Serves as long as the registry does.
    tokens: Option<TokenServer>,
}

impl Registry {
    /// Starts it in a `folder` of its own.
    pub fn start(program: &Program, folder: &Path) -> anyhow::Result<Self> {
        Self::start_for(program, folder, None)
    }

    /// Starts it as a pull-through mirror of the registry at the URL `origin`. A port that was
    /// taken in between is no failure: there are others.
    pub(super) fn start_for(
        program: &Program,
        folder: &Path,
        origin: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut started = Self::start_once(program, folder, origin);
        for _ in 1..STARTS {
            if started.is_ok() {
                break;
            }
            started = Self::start_once(program, folder, origin);
        }
        started
    }

    fn start_once(program: &Program, folder: &Path, origin: Option<&str>) -> anyhow::Result<Self> {
        let name = program.tools.first().context("a program without a tool")?;
        let binary = tools::find(name).with_context(|| format!("{name} is not installed"))?;
        // The port is free now; below, we check that the program got it.
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let arguments = (program.arguments)(address, folder)?;
        let tokens = (program.auth == Some(Auth::Token))
            .then(|| TokenServer::start(&folder.join("jwks.json")))
            .transpose()?;
        if let Some(tokens) = &tokens {
            add_to_config(
                folder,
                &format!(
                    "auth:\n  token:\n    realm: {}\n    service: {name}\n    issuer: {name}\n    \
                     jwks: {}\n",
                    tokens.realm(),
                    folder.join("jwks.json").display(),
                    name = token::NAME,
                ),
            )?;
        }
        if let Some(origin) = origin {
            add_to_config(folder, &format!("proxy:\n  remoteurl: {origin}\n"))?;
        }
        let log = std::fs::File::create(folder.join("registry.log"))?;
        let child = Command::new(&binary)
            .args(arguments)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut registry = Self {
            child,
            address,
            tokens,
        };
        registry.wait().with_context(|| {
            std::fs::read_to_string(folder.join("registry.log")).unwrap_or_default()
        })?;
        Ok(registry)
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut listening = false;
        while start.elapsed() < Duration::from_secs(20) {
            // Checked after the connection too: another program may have the port.
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("ended at once: {status}");
            }
            if listening {
                return Ok(());
            }
            listening = TcpStream::connect(self.address).is_ok();
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("does not listen on {}", self.address)
    }

    /// `127.0.0.1:PORT`, or `localhost:PORT` where it has a token server.
    pub fn host(&self) -> String {
        if self.tokens.is_some() {
            // Careful clients (go-containerregistry's among them) take no token server that is
            // named by a loopback address, and a password goes to none that has another name.
            format!("localhost:{}", self.address.port())
        } else {
            self.address.to_string()
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // A process that is gone already is as good as ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

/// The same behind `htpasswd`, as small companies run it.
fn distribution_with_passwords(address: SocketAddr, folder: &Path) -> anyhow::Result<Vec<String>> {
    let sh = Shell::new()?;
    let htpasswd = tools::find("htpasswd").context("htpasswd is not installed")?;
    let entry = cmd!(sh, "{htpasswd} -Bbn {USER} {PASSWORD}")
        .quiet()
        .read()?;
    let users = folder.join("htpasswd");
    std::fs::write(&users, entry)?;
    let arguments = distribution(address, folder)?;
    add_to_config(
        folder,
        &format!(
            "auth:\n  htpasswd:\n    realm: e2e\n    path: {}\n",
            users.display()
        ),
    )?;
    Ok(arguments)
}

/// Adds a section to what [`distribution`] wrote.
fn add_to_config(folder: &Path, section: &str) -> anyhow::Result<()> {
    let config = folder.join("config.yml");
    let text = std::fs::read_to_string(&config)? + section;
    Ok(std::fs::write(&config, text)?)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

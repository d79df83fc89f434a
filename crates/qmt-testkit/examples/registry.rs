//! Serves an OCI registry that forgets everything when it stops.
//!
//! ```text
//! cargo run --example registry -- [ADDRESS] [--layout [REPOSITORY=]DIR]...
//!     [--htpasswd USER:PASSWORD | --token USER:PASSWORD] [--tls FILE] [--no-referrers]
//! ```
//!
//! `ADDRESS` is such as `127.0.0.1:5000`; the default is a free port. The address is the first
//! line that it prints, the tags that it holds follow. With `--tls` it writes the certificate of its
//! authority to `FILE`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::net::SocketAddr;

use qmt_testkit::{Auth, FakeRegistry, TlsOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = FakeRegistry::builder();
    let mut ca_file = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or(format!("`{argument}` needs a value"))
        };
        builder = match argument.as_str() {
            "--layout" => {
                let value = value()?;
                let (repository, folder) = value.split_once('=').unwrap_or(("layout", &value));
                builder.layout(repository, folder)
            }
            "--htpasswd" => {
                let value = value()?;
                let (user, password) = user_and_password(&value)?;
                builder.auth(Auth::basic(user, password))
            }
            "--token" => {
                let value = value()?;
                let (user, password) = user_and_password(&value)?;
                builder.auth(Auth::token(user, password))
            }
            "--tls" => {
                ca_file = Some(value()?);
                builder.tls(TlsOptions::new())
            }
            "--no-referrers" => builder.referrers_api(false),
            address => builder.bind(
                address
                    .parse::<SocketAddr>()
                    .map_err(|_| format!("`{address}` is no address"))?,
            ),
        };
    }
    let registry = builder.start()?;
    if let (Some(file), Some(certificates)) = (ca_file, registry.certificates()) {
        std::fs::write(file, certificates.ca_pem())?;
    }
    print_line(&registry.address().to_string())?;
    for repository in registry.repositories() {
        for tag in registry.tags(&repository) {
            print_line(&format!("{}/{repository}:{tag}", registry.address()))?;
        }
    }
    loop {
        std::thread::park();
    }
}

fn user_and_password(text: &str) -> Result<(&str, &str), String> {
    text.split_once(':')
        .ok_or_else(|| format!("`{text}` is not USER:PASSWORD"))
}

fn print_line(line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}")
}

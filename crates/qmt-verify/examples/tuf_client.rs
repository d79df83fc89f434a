//! The client under test of the TUF conformance suite:
//!
//! ```text
//! tuf_client --metadata-dir DIR init ROOT
//! tuf_client --metadata-dir DIR --metadata-url URL refresh
//! tuf_client --metadata-dir DIR --metadata-url URL --target-name PATH
//!     --target-base-url URL --target-dir DIR download
//! ```
//!
//! The metadata folder holds the trusted metadata of each role, and in a folder below it what the
//! crate itself stores. The exit code is 0 only where everything succeeded.
//! <https://github.com/theupdateframework/tuf-conformance/blob/main/CLIENT-CLI.md>

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::text;
use qmt_verify::BoxError;
use qmt_verify::trust::{TufOptions, TufTransport};

/// The folder of the first root and the state, below the metadata folder.
const OWN: &str = "client";
/// The base of all URLs that the crate requests; the transport replaces it.
const BASE: &str = "tuf:";
/// How long one request may wait for the next bytes.
const TIMEOUT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&text::error_line(&*error, None));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program with a user")]
fn say(error: &str) {
    eprintln!("failed: {error}");
}

/// Runs one command of the suite.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), BoxError> {
    let (mut options, mut words) = (HashMap::new(), Vec::new());
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--").map(|name| name.split_once('=')) {
            None => words.push(argument),
            Some(Some((name, value))) => {
                options.insert(name.to_owned(), value.to_owned());
            }
            Some(None) => {
                let value = arguments.next();
                let value = value.ok_or_else(|| format!("`{argument}` requires a value"))?;
                options.insert(argument.trim_start_matches('-').to_owned(), value);
            }
        }
    }
    let option = |name: &str| {
        let value = options.get(name).cloned();
        value.ok_or_else(|| format!("`--{name}` is required"))
    };
    let folder = PathBuf::from(option("metadata-dir")?);
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["init", root] => init(&folder, Path::new(root)),
        ["refresh"] => {
            let http = Http {
                metadata: option("metadata-url")?,
                targets: String::new(),
            };
            update(&folder, &http, None).map(drop)
        }
        ["download"] => {
            // The first of the two names is that of the suite's own documents.
            let targets = option("target-base-url").or_else(|_| option("target-url"))?;
            let http = Http {
                metadata: option("metadata-url")?,
                targets,
            };
            let name = option("target-name")?;
            let content = update(&folder, &http, Some(&name))?;
            let targets = PathBuf::from(option("target-dir")?);
            std::fs::create_dir_all(&targets)?;
            // One file name for each target path, with its slashes escaped.
            Ok(std::fs::write(targets.join(escaped(&name, b"")), content)?)
        }
        _ => Err("the commands are `init ROOT`, `refresh` and `download`".into()),
    }
}

fn init(folder: &Path, root: &Path) -> Result<(), BoxError> {
    let root = std::fs::read(root)?;
    std::fs::create_dir_all(folder.join(OWN))?;
    std::fs::write(folder.join(OWN).join("root"), &root)?;
    Ok(std::fs::write(folder.join("root.json"), root)?)
}

/// Refreshes, gets `target`, and writes the trusted metadata, also if the refresh failed.
fn update(folder: &Path, http: &Http, target: Option<&str>) -> Result<Vec<u8>, BoxError> {
    let own = folder.join(OWN);
    let root = std::fs::read(own.join("root"))?;
    let options = TufOptions::new(BASE, root, own);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let refreshing = options.refresh(http, target, SystemTime::now());
    let outcome = runtime.block_on(refreshing);
    for (name, content) in options.metadata() {
        std::fs::write(folder.join(name), content)?;
    }
    Ok(outcome?)
}

/// Plain HTTP, as the suite serves it on this machine.
struct Http {
    metadata: String,
    targets: String,
}

#[async_trait]
impl TufTransport for Http {
    async fn get(&self, url: &str, limit: u64) -> Result<Option<Bytes>, BoxError> {
        let path = url
            .strip_prefix(BASE)
            .unwrap_or(url)
            .trim_start_matches('/');
        let (base, path) = match path.strip_prefix("targets/") {
            // The crate requests target paths as they are; names of metadata are escaped already.
            Some(path) => (&self.targets, escaped(path, b"/!$&'()*+,;=:@")),
            None => (&self.metadata, path.to_owned()),
        };
        get(&format!("{}/{path}", base.trim_end_matches('/')), limit)
    }
}

/// Requests `url` with HTTP/1.0, so that the body ends with the connection.
fn get(url: &str, limit: u64) -> Result<Option<Bytes>, BoxError> {
    let rest = url
        .strip_prefix("http://")
        .ok_or("only `http://` is served")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut response = Vec::new();
    // Headers are a few hundred bytes.
    stream.take(limit + 64 * 1024).read_to_end(&mut response)?;
    let end = response.windows(4).position(|part| part == b"\r\n\r\n");
    let end = end.ok_or("the response has no end of its headers")?;
    let body = response.split_off(end + 4);
    let head = String::from_utf8_lossy(&response);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    match status {
        Some("200") => {}
        Some("404" | "403") => return Ok(None),
        other => return Err(format!("the server answers {}", other.unwrap_or("nothing")).into()),
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())
    });
    if length.is_some_and(|length| length != Ok(body.len())) || body.len() as u64 > limit {
        return Err(format!(
            "the body has {} bytes, which is too much or not all",
            body.len()
        )
        .into());
    }
    Ok(Some(Bytes::from(body)))
}

/// `text` with all bytes escaped that are neither unreserved in URLs nor in `kept`.
fn escaped(text: &str, kept: &[u8]) -> String {
    // A name of dots alone is that of a folder.
    let is_folder = text.bytes().all(|byte| byte == b'.');
    let escaped = text.bytes().map(|byte| {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if (is_plain && !is_folder) || kept.contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    escaped.collect()
}

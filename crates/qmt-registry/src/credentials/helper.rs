//! Docker's credential helpers: programs named `docker-credential-<name>`.
//!
//! A helper may hang, print without end, or print the secret when it fails. Its time is limited to
//! 30 seconds, its output is bounded and never shown, and its process group ends with it.
//! Protocol: <https://github.com/docker/docker-credential-helpers#development>

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::environment::Environment;
use super::store::Credential;
use crate::error::ClientError;
use crate::limits::{HELPER_OUTPUT_MAX, HELPER_TIME_MAX};

/// The limits of a helper.
#[derive(Clone, Copy, Debug)]
pub(super) struct HelperLimits {
    pub(super) time: Duration,
    /// In bytes.
    pub(super) output: u64,
}

impl Default for HelperLimits {
    fn default() -> Self {
        Self {
            time: HELPER_TIME_MAX,
            output: HELPER_OUTPUT_MAX,
        }
    }
}

/// How often the start of a helper is attempted while its file is being written.
const STARTS_MAX: u32 = 20;
const START_PAUSE: Duration = Duration::from_millis(50);

/// The user name by which docker marks an identity token.
pub(super) const TOKEN_USER: &str = "<token>";

/// What helpers print when they have nothing for the registry. The protocol has no other sign.
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    secret: Zeroizing<String>,
}

/// Asks the helper for the credential of `key`.
pub(super) async fn get(
    environment: &Environment,
    name: &str,
    key: &str,
) -> Result<Option<Credential>, ClientError> {
    let failed = |reason| failed(name, reason);
    let (is_success, output) = run(environment, name, "get", key.as_bytes()).await?;
    if !is_success {
        let message = std::str::from_utf8(&output).unwrap_or_default().trim();
        if message == NOT_FOUND {
            return Ok(None);
        }
        return Err(failed(
            "it failed (its output may hold a secret and is not shown)",
        ));
    }
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| failed("its answer does not follow the protocol"))?;
    let secret = SecretString::from(answer.secret.as_str());
    Ok(Some(match answer.username {
        username if username == TOKEN_USER => Credential::IdentityToken(secret),
        username if username.is_empty() => {
            return Err(failed("its answer has no user name"));
        }
        username => Credential::basic(username, answer.secret.as_str()),
    }))
}

/// Hands a credential to the helper.
pub(super) async fn store(
    environment: &Environment,
    name: &str,
    key: &str,
    username: &str,
    secret: &str,
) -> Result<(), ClientError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Request<'a> {
        #[serde(rename = "ServerURL")]
        server_url: &'a str,
        username: &'a str,
        secret: &'a str,
    }
    let request = Request {
        server_url: key,
        username,
        secret,
    };
    // Strings always serialise.
    let request = Zeroizing::new(serde_json::to_vec(&request).unwrap_or_default());
    match run(environment, name, "store", &request).await? {
        (true, _) => Ok(()),
        (false, _) => Err(failed(name, "it did not store the credential")),
    }
}

/// Removes the credential from the helper. `false` if there was none.
pub(super) async fn erase(
    environment: &Environment,
    name: &str,
    key: &str,
) -> Result<bool, ClientError> {
    let (is_success, output) = run(environment, name, "erase", key.as_bytes()).await?;
    let message = std::str::from_utf8(&output).unwrap_or_default().trim();
    if !is_success && message != NOT_FOUND {
        return Err(failed(name, "it did not erase the credential"));
    }
    Ok(is_success)
}

/// Runs a helper to its end: whether it succeeded, and what it printed.
pub(super) async fn run(
    environment: &Environment,
    name: &str,
    verb: &str,
    input: &[u8],
) -> Result<(bool, Zeroizing<Vec<u8>>), ClientError> {
    let failed = |reason| failed(name, reason);
    let program = find(environment, name)?;
    let mut command = Command::new(program);
    command
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
        .env_clear()
        .envs(environment.variables())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0); // So that what it starts ends with it.
    let mut child = start(&mut command)
        .await
        .map_err(|_| failed("it can't be started"))?;
    let group = Group::of(&child);
    let HelperLimits { time, output } = environment.helper_limits;
    match tokio::time::timeout(time, exchange(&mut child, input, output)).await {
        Ok(Ok(Some(done))) => {
            group.disarm();
            Ok(done)
        }
        Ok(Ok(None)) => Err(failed(
            "it printed more than allowed (64 KiB unless lowered) and was ended",
        )),
        Ok(Err(_)) => Err(failed("reading its output failed")),
        Err(_) => Err(failed(
            "it took longer than allowed (30 seconds unless lowered) and was ended",
        )),
    }
}

/// Starts it. A file that is open for writing (while it is installed) can't be executed.
async fn start(command: &mut Command) -> std::io::Result<Child> {
    for _ in 1..STARTS_MAX {
        match command.spawn() {
            Err(cause) if cause.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(START_PAUSE).await;
            }
            started => return started,
        }
    }
    command.spawn()
}

/// Writes the input and reads the output; `None` if the output is too long.
async fn exchange(
    child: &mut Child,
    input: &[u8],
    output_max: u64,
) -> std::io::Result<Option<(bool, Zeroizing<Vec<u8>>)>> {
    let mut stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let feed = async {
        if let Some(stdin) = &mut stdin {
            // A helper that does not read its input may still answer.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        }
        drop(stdin.take());
    };
    let mut output = Zeroizing::new(Vec::new());
    let drain = async {
        match stdout {
            Some(stdout) => {
                stdout
                    .take(output_max.saturating_add(1))
                    .read_to_end(&mut output)
                    .await
            }
            None => Ok(0),
        }
    };
    let ((), read) = tokio::join!(feed, drain);
    if read? as u64 > output_max {
        return Ok(None);
    }
    let status = child.wait().await?;
    Ok(Some((status.success(), output)))
}

/// The helper's process group, ended on drop: the helper failed, or the caller stopped waiting.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    fn of(child: &Child) -> Self {
        #[cfg(unix)]
        {
            let id = child.id().and_then(|id| i32::try_from(id).ok());
            Self {
                leader: id.and_then(rustix::process::Pid::from_raw),
            }
        }
        #[cfg(not(unix))]
        {
            let _ = child;
            Self {}
        }
    }

    /// The leader has ended: its number may soon be that of another group.
    fn disarm(mut self) {
        #[cfg(unix)]
        {
            self.leader = None;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader {
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// Looks for the helper's program in `PATH`.
fn find(environment: &Environment, name: &str) -> Result<PathBuf, ClientError> {
    let failed = |reason| failed(name, reason);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) || name.contains("..") {
        return Err(failed(
            "its name has other characters than letters, digits, `-`, `_`, `.`",
        ));
    }
    let suffix = if cfg!(windows) { ".exe" } else { "" };
    let file = format!("docker-credential-{name}{suffix}");
    let folders = environment.get("PATH").unwrap_or_default();
    std::env::split_paths(folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&file))
        .find(|program| program.is_file())
        .ok_or_else(|| failed("no program `docker-credential-…` of this name is in `PATH`"))
}

fn failed(name: &str, reason: &'static str) -> ClientError {
    let helper: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    ClientError::CredentialHelper { helper, reason }
}

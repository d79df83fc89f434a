//! Docker's credential helpers: programs named `docker-credential-<name>`.
//!
//! A helper may hang, print without end, or print the secret when it fails. Its time is limited to
//! 30 seconds, its output is bounded and never shown, and its process group is ended if it fails or
//! takes too long.
//! Protocol: <https://github.com/docker/docker-credential-helpers#development>

use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use qmt_oci_ref::text::{self, without_byte_order_mark};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::auth_file::{field, wipe};
use super::environment::Environment;
use super::origin::CredentialOrigin;
use super::store::Credential;
use crate::BoxError;
use crate::error::{ClientError, CredentialError, HelperFailure};
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
/// How long the rest of the output is waited for when the helper has ended.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);

/// The user name by which docker marks an identity token.
pub(super) const TOKEN_USER: &str = "<token>";

/// What helpers print when they have nothing for the registry. The protocol has no other sign.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// An answer to `get`. Docker reads the names of its fields in any case.
struct Answer(Map<String, Value>);

impl Answer {
    /// Reads an answer, or says which rule it breaks.
    fn read(output: &[u8]) -> Result<Self, &'static str> {
        // Docker reads the first value too, whatever wrappers print after it.
        let output = serde_json::Deserializer::from_slice(without_byte_order_mark(output));
        let fields = output.into_iter().next().and_then(Result::ok);
        let answer = Self(fields.ok_or(OTHER_PROTOCOL)?);
        let is_known = |name: &String| FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known));
        if !answer.0.is_empty() && !answer.0.keys().any(is_known) {
            return Err("its answer has other fields than `ServerURL`, `Username` and `Secret`");
        }
        Ok(answer)
    }

    /// The text of a field; empty if it is absent.
    fn text(&self, name: &str) -> Result<&str, &'static str> {
        let value = field(&self.0, name);
        value.map_or(Ok(""), |value| value.as_str().ok_or(OTHER_PROTOCOL))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

/// The fields of the protocol.
const FIELDS: [&str; 3] = ["ServerURL", "Username", "Secret"];

const OTHER_PROTOCOL: &str = "its answer does not follow the protocol";

/// How a helper ended, and what it printed.
pub(super) struct Ended {
    status: ExitStatus,
    output: Zeroizing<Vec<u8>>,
    /// Whether the output was read to its end.
    is_whole: bool,
}

/// A helper, and what names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Helper {
    pub(super) name: String,
    /// The credentials file that names it.
    file: PathBuf,
    /// The key in that file.
    setting: String,
}

impl Helper {
    pub(super) fn new(name: &str, file: PathBuf, setting: String) -> Self {
        let name = name.to_owned();
        Self {
            name,
            file,
            setting,
        }
    }

    /// Asks for the credential of `key`.
    pub(super) async fn get(
        &self,
        environment: &Environment,
        key: &str,
    ) -> Result<Option<Credential>, ClientError> {
        let ended = self.run(environment, "get", key.as_bytes()).await?;
        let (status, output) = (ended.status, ended.output);
        if status.success() && output.is_empty() && !ended.is_whole {
            return Err(self.failed("reading its output failed"));
        }
        if is_not_found(&output) || status.success() && output.trim_ascii().is_empty() {
            return Ok(None);
        }
        if !status.success() {
            return Err(self.ended("it failed", status));
        }
        let answer = Answer::read(&output).map_err(|reason| self.failed(reason))?;
        let text = |name| answer.text(name).map_err(|reason| self.failed(reason));
        let (username, secret) = (text("Username")?, text("Secret")?);
        match (username, SecretString::from(secret)) {
            _ if secret.is_empty() => Ok(None),
            (TOKEN_USER, token) => Ok(Some(Credential::IdentityToken(token))),
            ("", _) => Err(self.failed("its answer has no user name")),
            (username, password) => Ok(Some(Credential::Basic {
                username: username.to_owned(),
                password,
            })),
        }
    }

    /// Hands a credential over.
    pub(super) async fn store(
        &self,
        environment: &Environment,
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
        let ended = self.run(environment, "store", &request).await?;
        if !ended.status.success() {
            return Err(self.ended("it did not store the credential", ended.status));
        }
        Ok(())
    }

    /// Removes the credential. `false` if there was none.
    pub(super) async fn erase(
        &self,
        environment: &Environment,
        key: &str,
    ) -> Result<bool, ClientError> {
        let Ended { status, output, .. } = self.run(environment, "erase", key.as_bytes()).await?;
        if status.success() {
            return Ok(true);
        }
        // Helpers call this error by other words than for `get`.
        let is_absent =
            is_not_found(&output) || matches!(self.get(environment, key).await, Ok(None));
        if is_absent {
            Ok(false)
        } else {
            Err(self.ended("it did not erase the credential", status))
        }
    }

    /// Runs it to its end.
    pub(super) async fn run(
        &self,
        environment: &Environment,
        verb: &str,
        input: &[u8],
    ) -> Result<Ended, ClientError> {
        let mut command = Command::new(self.find(environment)?);
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
        let mut child = start(&mut command).await.map_err(|cause| {
            self.error(
                "it can't be started",
                HelperFailure::Run,
                Some(cause.into()),
            )
        })?;
        #[cfg(unix)]
        let mut group = {
            let id = child.id().and_then(|id| i32::try_from(id).ok());
            Group(id.and_then(rustix::process::Pid::from_raw))
        };
        let HelperLimits { time, output } = environment.helper_limits;
        match tokio::time::timeout(time, exchange(&mut child, input, output)).await {
            Ok(Ok(Some(ended))) => {
                // The leader has ended: its number may soon be that of another group.
                #[cfg(unix)]
                group.0.take();
                Ok(ended)
            }
            Ok(Ok(None)) => {
                Err(self.failed("it printed more than allowed (at most 64 KiB) and was ended"))
            }
            Ok(Err(_)) => Err(self.failed("reading its output failed")),
            Err(_) => {
                Err(self.failed("it took longer than allowed (at most 30 seconds) and was ended"))
            }
        }
    }

    /// Looks for the program in `PATH`.
    fn find(&self, environment: &Environment) -> Result<PathBuf, ClientError> {
        let name = &self.name;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.len() > 64 || !name.chars().all(is_plain) || name.contains("..") {
            let reason = "its name has other characters than letters, digits, `-`, `_`, `.`";
            return Err(self.error(reason, HelperFailure::Name, None));
        }
        let suffix = if cfg!(windows) { ".exe" } else { "" };
        let file = format!("docker-credential-{name}{suffix}");
        let folders = environment.get("PATH").unwrap_or_default();
        std::env::split_paths(folders)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&file))
            .find(|program| program.is_file())
            .ok_or_else(|| {
                let reason = "there is no such program in `PATH`";
                self.error(reason, HelperFailure::Missing, None)
            })
    }

    /// Where its credentials come from, for messages.
    pub(super) fn origin(&self) -> CredentialOrigin {
        CredentialOrigin::Helper {
            program: self.program(),
            path: self.file.clone(),
            key: self.setting.clone(),
        }
    }

    fn program(&self) -> String {
        let name: String = self.name.chars().take(64).collect();
        format!("docker-credential-{}", text::escape(&name))
    }

    fn failed(&self, reason: &'static str) -> ClientError {
        self.error(reason, HelperFailure::Run, None)
    }

    fn ended(&self, reason: &'static str, status: ExitStatus) -> ClientError {
        let cause = format!("{status}; its output may hold a secret and is not shown");
        self.error(reason, HelperFailure::Run, Some(cause.into()))
    }

    fn error(
        &self,
        reason: &'static str,
        failure: HelperFailure,
        source: Option<BoxError>,
    ) -> ClientError {
        ClientError::from(CredentialError::Helper {
            program: self.program(),
            path: self.file.clone(),
            key: self.setting.clone(),
            reason,
            failure,
            source,
        })
    }
}

fn is_not_found(output: &[u8]) -> bool {
    output.trim_ascii() == NOT_FOUND.as_bytes()
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
) -> std::io::Result<Option<Ended>> {
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
        if let Some(stdout) = stdout {
            let mut stdout = stdout.take(output_max.saturating_add(1));
            while stdout.read_buf(&mut *output).await? > 0 {}
        }
        Ok::<_, std::io::Error>(())
    };
    let mut is_whole = true;
    let ended = {
        let mut transfer = pin!(async { tokio::join!(feed, drain).1 });
        tokio::select! {
            biased;
            read = &mut transfer => {
                read?;
                None
            }
            status = child.wait() => {
                // A program that the helper leaves behind may hold the output open.
                match tokio::time::timeout(OUTPUT_GRACE, &mut transfer).await {
                    Ok(read) => read?,
                    Err(_) => is_whole = false,
                }
                Some(status?)
            }
        }
    };
    if output.len() as u64 > output_max {
        return Ok(None);
    }
    let status = match ended {
        Some(status) => status,
        None => child.wait().await?,
    };
    Ok(Some(Ended {
        status,
        output,
        is_whole,
    }))
}

/// The helper's process group, ended on drop: the helper failed, or the caller stopped waiting.
#[cfg(unix)]
struct Group(Option<rustix::process::Pid>);

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

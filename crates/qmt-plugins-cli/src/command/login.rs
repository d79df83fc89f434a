//! `login` and `logout`: credentials, stored where docker stores them.

use std::io::{self, IsTerminal as _};

use qmt_plugins::PluginHost;
use qmt_plugins::oci_ref::text::without_byte_order_mark;
use qmt_plugins::oci_ref::{ReferenceError, RegistryHost, text};
use qmt_plugins::registry::credentials::{CredentialOrigin, StoredIn};
use serde_json::json;
use zeroize::Zeroizing;

use super::CommandResult;
use crate::args::{Global, Login, Logout};
use crate::exit::Failure;
use crate::output::Output;
use crate::{prompt, session};

/// Longest password or token that is read, in bytes.
const PASSWORD_MAX_BYTES: u64 = 64 * 1024;

/// Checks the credential, then stores it.
pub(crate) async fn login(global: &Global, output: &Output, login: &Login) -> CommandResult {
    let registry = parse(&login.registry)?;
    let is_asked = !login.password_stdin && io::stdin().is_terminal();
    check_options(login, &registry, is_asked)?;
    let file = session::config_or_default(global, output)?;
    let builder = session::builder(global, output, file);
    let host = builder.or_temporary_cache().without_lockfile().build()?;
    host.check_login(&registry)?;
    let username = username(login).await?;
    let password = if is_asked {
        let asked = prompt::secret("Password").await;
        asked.map_err(|error| Failure::other("the password can't be read", error))?
    } else {
        password_on_stdin().await?
    };
    if password.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    let done = host.login(&registry, &username, &password).await?;
    let place = match &done.stored {
        StoredIn::Helper(name) => format!("by the credential helper `{name}`"),
        StoredIn::File(path) => format!("in {}, in plain text", path.display()),
        other => format!("{other:?}"),
    };
    let mut text = format!("logged in to {registry}; the credential is stored {place}");
    if !done.was_checked {
        text = format!(
            "the credential for {registry} is stored {place}; the registry did not ask for the \
             credential, so it was not checked"
        );
    }
    if let Some(origin) = &done.overridden_by {
        let are = match origin {
            CredentialOrigin::Variables(names) if names.len() > 1 => "are",
            _ => "is",
        };
        text = format!("{text}; it is only used after {origin} {are} unset");
    }
    let variables = done.overridden_by.map(|origin| origin.to_string());
    output.result(
        &json!({
            "registry": registry,
            "stored": place,
            "was_checked": done.was_checked,
            "overridden_by": variables,
        }),
        &text,
    )
}

/// Removes the credential.
pub(crate) async fn logout(output: &Output, logout: &Logout) -> CommandResult {
    let registry = parse(&logout.registry)?;
    let done = PluginHost::logout(&registry).await?;
    let mut text = if done.was_logged_in {
        format!("logged out of {registry}")
    } else {
        format!("docker's files have no credential for {registry}")
    };
    if let Some(origin) = &done.remaining {
        text = format!("{text}; {}", remaining(origin));
    }
    let (was_there, remaining) = (done.was_logged_in, done.remaining);
    let remaining = remaining.map(|origin| origin.to_string());
    output.result(
        &json!({ "registry": registry, "was_logged_in": was_there, "remaining": remaining }),
        &text,
    )
}

/// Says which credential is still used, and how its use ends.
fn remaining(origin: &CredentialOrigin) -> String {
    let step = match origin {
        CredentialOrigin::Variables(names) if names.len() > 1 => "unset them in the environment",
        CredentialOrigin::Variables(_) => "unset it in the environment",
        CredentialOrigin::Helper { program, path, key } => {
            return format!(
                "the credential helper `{program}` still returns a credential, which stays in use: it \
                 may generate credentials itself; to use none of it, remove `{key}` from {}",
                path.display()
            );
        }
        CredentialOrigin::Entry { .. } => {
            return format!(
                "{origin}, which is for a path in the registry, stays in use: remove it there"
            );
        }
        _ => "remove it there, for example with `podman logout`",
    };
    format!("the credential in {origin} stays in use: {step}")
}

/// Reads the registry. What is pasted from a browser has a scheme, and a path that credentials do
/// not have.
fn parse(name: &str) -> Result<RegistryHost, Failure> {
    name.parse().map_err(|error: ReferenceError| {
        let shown = text::without_credentials(name);
        let bare = name.split_once("://").map_or(name, |(_, rest)| rest);
        let bare = bare.split('/').next().unwrap_or_default();
        let hint = bare.parse::<RegistryHost>().ok().filter(|_| bare != name);
        let rule = if hint.is_some() {
            "it has a scheme or a path".to_owned()
        } else {
            error.kind().to_string()
        };
        Failure::Usage {
            message: format!("`{shown}` is not a registry: {rule}"),
            hint: hint.map(|host| format!("a registry is named without scheme and path: `{host}`")),
        }
    })
}

/// Reads the password or token from stdin, up to the end of its line.
async fn password_on_stdin() -> Result<Zeroizing<String>, Failure> {
    let read = session::stdin(PASSWORD_MAX_BYTES + 1).await;
    let read =
        read.map_err(|error| Failure::other("the password can't be read from stdin", error))?;
    // A truncated password would be another one.
    if read.len() as u64 > PASSWORD_MAX_BYTES {
        return Err(Failure::usage(format!(
            "the password on stdin is longer than {PASSWORD_MAX_BYTES} bytes"
        )));
    }
    // PowerShell may begin what it pipes with a byte order mark.
    let password = std::str::from_utf8(without_byte_order_mark(&read))
        .map_err(|_| Failure::usage("the password on stdin is not UTF-8"))?;
    Ok(Zeroizing::new(
        password.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

/// Checks what needs neither the config nor an answer of the user.
fn check_options(login: &Login, registry: &RegistryHost, is_asked: bool) -> Result<(), Failure> {
    if login.password.is_some() {
        let rule = "other users can see a password in an argument: give it on stdin, with \
                    `--password-stdin`";
        return Err(Failure::usage(rule));
    }
    match &login.username {
        Some(name) => check_username(name),
        None if is_asked => Ok(()),
        None => Err(Failure::Usage {
            message: "the user name is missing".to_owned(),
            hint: Some(format!(
                "pass the password or token on stdin to `qmt-plugins login {} --username NAME \
                 --password-stdin`",
                text::shell_word(registry.as_str())
            )),
        }),
    }
}

/// Returns the name that was given, or asks for it.
async fn username(login: &Login) -> Result<String, Failure> {
    if let Some(name) = &login.username {
        return Ok(name.clone());
    }
    let asked = prompt::line("Username").await;
    let asked = asked.map_err(|error| Failure::other("the name can't be read", error))?;
    check_username(&asked)?;
    Ok(asked.as_str().to_owned())
}

/// Checks the name of the user, which ends at the first colon in requests.
fn check_username(name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        return Err(Failure::usage("the user name is empty"));
    }
    if name.contains(':') {
        return Err(Failure::usage(
            "a user name can't contain a colon: pass the password on stdin, with `--password-stdin`",
        ));
    }
    Ok(())
}

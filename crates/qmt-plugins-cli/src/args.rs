//! The arguments of the command.

mod cache;
mod platform;

use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use qmt_plugins::config::expand_path;
use qmt_plugins::oci_ref::Platform;

pub(crate) use self::cache::{CacheCommand, Export, Prune};
use crate::command::project_name;

const AFTER_HELP: &str = "\
Exit codes: 0 ok, 1 failure, 2 wrong usage, 3 not verified, 4 not found, 5 network, 6 config, \
130 and 143 interrupted.";
/// The heading of the options of every command, in help.
const GLOBAL: &str = "Global options";
/// The variable that names the config file, if `--config` does not.
pub(crate) const CONFIG_VARIABLE: &str = "QMT_PROVIDER_CONFIG";
/// The variable that names the folder of the cache.
pub(crate) const CACHE_VARIABLE: &str = "QMT_CACHE_DIR";
/// Plugins that are distributed as OCI images: pull, verify, run, publish.
#[derive(Debug, Parser)]
#[command(name = "qmt-plugins", version, after_help = AFTER_HELP, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the command line"
)]
pub(crate) struct Global {
    /// The config file. Default: the first one in the usual folders.
    #[arg(
        long,
        short,
        global = true,
        help_heading = GLOBAL,
        value_name = "FILE",
        value_parser = may_be_empty(),
        env = CONFIG_VARIABLE,
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,
    /// The output format.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Prints only results and errors, no warnings.
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub(crate) quiet: bool,
    /// Logs to stderr; repeat it for more.
    #[arg(long, short, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Forbids the network: a plugin that is not in the cache is an error.
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) offline: bool,
    /// Refuses to change the lockfile.
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) locked: bool,
    /// Refuses to change the lockfile and to use the network.
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) frozen: bool,
    /// Uses this folder as the cache.
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_name = "DIR",
        value_parser = may_be_empty(),
        env = CACHE_VARIABLE,
        hide_env_values = true
    )]
    pub(crate) cache_dir: Option<PathBuf>,
}

impl Arguments {
    /// Parses the arguments of the process. An empty variable counts as not set.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let mut arguments = Self::try_parse()?;
        let global = &mut arguments.global;
        for path in [&mut global.config, &mut global.cache_dir] {
            path.take_if(|path| path.as_os_str().is_empty());
        }
        Ok(arguments)
    }
}

/// Parses a path that a variable can set.
fn may_be_empty() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetches and verifies plugins into the cache: all plugins of the config, or those named.
    Pull(Targets),
    /// Verifies the signature of an image now, and shows its signer.
    Verify(Verify),
    /// Explains why an image is accepted or refused, with each signature that was discovered.
    Why(Verify),
    /// Loads a plugin and calls one of its exports.
    Run(Run),
    /// Lists the plugins of the config and their lockfile entries.
    List,
    /// Shows what an image contains and what would be extracted. Nothing is loaded.
    Inspect(Inspect),
    /// Fetches and verifies an image, and adds it to the config as a plugin.
    Add(Add),
    /// Resolves and verifies all plugins and writes the lockfile.
    Lock,
    /// Updates plugins to what their tags name now: all plugins of the config, or those named.
    Update(Targets),
    /// Compares the lockfile with what the tags of plugins name now. Nothing is changed.
    Outdated(Targets),
    /// Packs a plugin into an image and pushes it.
    Publish(Publish),
    /// Writes a plugin project that builds, with a test.
    New(New),
    /// Checks credentials for a registry, and stores them where docker does.
    Login(Login),
    /// Removes the credentials of a registry.
    Logout(Logout),
    /// Shows or refreshes the trust root.
    #[command(subcommand)]
    Trust(Trust),
    /// Checks the config, or prints its JSON schema or path.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Lists, verifies, prunes, exports and imports what the cache contains.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Checks the config, the cache, the trust root and the registries that the config names.
    Doctor,
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// Names of plugins in the config, or references such as `ghcr.io/my-org/my-plugin:1`.
    #[arg(value_name = "NAME|REF")]
    pub(crate) targets: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The image, such as `ghcr.io/my-org/my-plugin:1`.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The plugin's name in the config. Default: the last part of the repository.
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// The trusted signer for this call, instead of the config's policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct Signer {
    /// A public key, in PEM.
    #[arg(long, value_name = "FILE", group = "signer", value_parser = file())]
    pub(crate) key: Option<PathBuf>,
    /// The identity in the certificate.
    #[arg(
        long,
        value_name = "ID",
        group = "signer",
        requires = "certificate_oidc_issuer"
    )]
    pub(crate) certificate_identity: Option<String>,
    /// The OIDC issuer of the certificate.
    #[arg(
        long,
        value_name = "URL",
        requires = "certificate_identity",
        conflicts_with = "key"
    )]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// A Sigstore trusted root in JSON, or `embedded`.
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<String>,
    /// Accepts signatures of `--key` or `--certificate-identity` without a transparency log entry.
    /// Those by a certificate then require a timestamp of an authority in the trust root.
    #[arg(long, requires = "signer")]
    pub(crate) insecure_ignore_tlog: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The name of a plugin in the config, a reference, or a file.
    #[arg(value_name = "NAME|REF|FILE")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) signer: Signer,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The name of a plugin in the config, a reference, or a file such as `./plugin.wasm`.
    #[arg(value_name = "NAME|REF|FILE")]
    pub(crate) target: String,
    /// Shows every platform that the image offers, not only that of this machine.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The name of a plugin in the config, a reference, or a file such as `./plugin.wasm`.
    #[arg(value_name = "NAME|REF|FILE")]
    pub(crate) target: String,
    /// The export to call.
    pub(crate) export: String,
    /// The input, as text.
    #[arg(long, short, conflicts_with = "input_file", allow_hyphen_values = true)]
    pub(crate) input: Option<String>,
    /// The input, from a file; `-` is stdin.
    #[arg(long, value_name = "FILE", value_parser = file())]
    pub(crate) input_file: Option<PathBuf>,
    /// Runs an image that is not in the config without verifying its signature.
    #[arg(long, conflicts_with_all = ["key", "certificate_identity"])]
    pub(crate) insecure_skip_signature: bool,
    /// Runs native code whose signer is not configured, with all rights of this program.
    #[arg(long)]
    pub(crate) allow_native: bool,
    #[command(flatten)]
    pub(crate) signer: Signer,
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The destination: a reference, or `oci-layout://dir:tag`.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The Wasm module.
    #[arg(long, value_name = "FILE", value_parser = file())]
    pub(crate) wasm: Option<PathBuf>,
    /// A shared library and its platform, such as `linux/amd64=libplugin.so`; can be repeated.
    #[arg(long, value_name = platform::NATIVE, value_parser = platform::native_file())]
    pub(crate) native: Vec<(Platform, PathBuf)>,
    /// An annotation of the image; can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) annotation: Vec<(String, String)>,
    /// The plugin's name: the annotation `org.opencontainers.image.title`.
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// The plugin's version: the annotation `org.opencontainers.image.version`.
    #[arg(long, value_name = "TEXT")]
    pub(crate) image_version: Option<String>,
    /// Signs with this private key, in cosign's bundle format, without a transparency log entry:
    /// PKCS #8 in PEM, or cosign's format with its password in `COSIGN_PASSWORD`.
    #[arg(long, value_name = "FILE", value_parser = file())]
    pub(crate) sign_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// The name of the plugin and of its new folder.
    #[arg(value_parser = project_name)]
    pub(crate) name: String,
    /// The language that the plugin is written in.
    #[arg(long, value_enum)]
    pub(crate) lang: Language,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// A native library and a Wasm module from one source.
    Rust,
    /// A native library.
    C,
    /// A Wasm module.
    Go,
    /// A Wasm module.
    Assemblyscript,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The registry, `host` or `host:port`.
    pub(crate) registry: String,
    /// The user's name; asked for on a terminal.
    #[arg(long, short)]
    pub(crate) username: Option<String>,
    /// Refused: other users can see arguments.
    #[arg(long, short, hide = true)]
    pub(crate) password: Option<String>,
    /// Reads the password or token from stdin instead of asking for it.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// The registry, `host` or `host:port`.
    pub(crate) registry: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Trust {
    /// Shows the trust root in use, its age, and the policies.
    Show,
    /// Refreshes the trust root through TUF now.
    Update,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Checks the config, keys and trust material.
    Check {
        /// The config file. Default: as for other commands.
        #[arg(value_parser = file())]
        file: Option<PathBuf>,
    },
    /// Prints the JSON schema of the config.
    Schema,
    /// Prints the path of the config file that is used.
    Path,
}

/// Parses the path of a file as one of the config. Shells expand no `~` in `--key=~/cosign.pub`.
fn file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|value| expand_path(Path::new(&value)))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn pairs_are_split_at_the_first_equals_sign() {
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }

    #[test]
    fn options_of_a_command_come_before_the_global_ones() {
        let mut command = Arguments::command();
        command.build();
        let publish = command.find_subcommand_mut("publish").unwrap();
        let help = publish.render_long_help().to_string();
        let place = |text: &str| {
            help.find(text)
                .unwrap_or_else(|| panic!("no {text}: {help}"))
        };
        assert!(place("--sign-key") < place(GLOBAL), "{help}");
    }
}

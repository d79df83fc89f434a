//! The subcommands, one file each.

mod accepting;
mod add;
mod cache;
mod config;
mod doctor;
mod inspect;
mod list;
mod login;
mod new;
mod outdated;
mod publish;
mod pull;
mod run;
mod transfer;
mod trust;
mod verdict;
mod verify;

pub(crate) use self::new::project_name;

use clap::CommandFactory as _;

use crate::args::{Arguments, Command};
use crate::exit::Failure;
use crate::output::Output;

pub(crate) type CommandResult = Result<(), Failure>;

/// Runs the subcommand of the arguments.
pub(crate) async fn run(arguments: Arguments, output: &Output) -> CommandResult {
    let global = &arguments.global;
    match arguments.command {
        Command::Pull(targets) => pull::pull(global, output, &targets.targets).await,
        Command::Add(add) => add::add(global, output, &add).await,
        Command::Lock => pull::lock(global, output).await,
        Command::Update(targets) => pull::update(global, output, &targets.targets).await,
        Command::Outdated(targets) => outdated::outdated(global, output, &targets.targets).await,
        Command::Verify(verify) => verify::verify(global, output, &verify).await,
        Command::Why(verify) => verify::why(global, output, &verify).await,
        Command::Run(run) => run::run(global, output, &run).await,
        Command::List => list::list(global, output),
        Command::Inspect(inspect) => inspect::inspect(global, output, &inspect).await,
        Command::Publish(publish) => publish::publish(global, output, &publish).await,
        Command::New(new) => new::new(output, &new),
        Command::Login(login) => login::login(global, output, &login).await,
        Command::Logout(logout) => login::logout(output, &logout).await,
        Command::Trust(command) => trust::trust(global, output, command).await,
        Command::Config(command) => config::config(global, output, command).await,
        Command::Cache(command) => cache::cache(global, output, &command).await,
        Command::Doctor => doctor::doctor(global, output).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "qmt-plugins", &mut script);
            output.raw(&script)
        }
    }
}

//! Loads every plugin of a config and calls one export of each.
//!
//! `cargo run -p qmt-plugins --example host -- plugins.toml greet world`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use qmt_plugins::PluginHost;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let config = arguments
        .next()
        .unwrap_or_else(|| "plugins.toml".to_owned());
    let export = arguments.next().unwrap_or_else(|| "greet".to_owned());
    let input = arguments.next().unwrap_or_default();

    let host = PluginHost::from_config(config)?;
    for (name, plugin) in host.load_all().await {
        match plugin {
            Ok(plugin) => {
                let output = plugin.call(&export, input.clone().into()).await?;
                println!("{name}: {}", String::from_utf8_lossy(&output));
            }
            Err(error) => {
                eprintln!("{name}: {error}");
                if let Some(hint) = error.hint() {
                    eprintln!("{name}: {hint}");
                }
            }
        }
    }
    Ok(())
}

//! Shows what a reference means: `cargo run --example parse -- ghcr.io/acme/greeter:1`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example for the terminal"
)]

use std::process::ExitCode;

use qmt_oci_ref::Reference;

fn main() -> ExitCode {
    let text = std::env::args().nth(1).unwrap_or_default();
    match text.parse::<Reference>() {
        Ok(reference) => {
            println!("whole       {reference}");
            println!("registry    {}", reference.host());
            println!("repository  {}", reference.repository().path());
            if let Some(tag) = reference.tag() {
                println!("tag         {tag}");
            }
            if let Some(digest) = reference.digest() {
                println!("digest      {digest}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}\n{}", error.pointer());
            ExitCode::from(2)
        }
    }
}

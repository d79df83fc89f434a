//! Checks stored signatures against one public key, without a network:
//! `cargo run --example check -- cosign.pub evidence.json ghcr.io/acme/greeter@sha256:…`.
#![allow(clippy::print_stdout, reason = "an example for the terminal")]

use std::error::Error;
use std::fs;
use std::time::SystemTime;

use qmt_oci_ref::PinnedReference;
use qmt_verify::{Evidence, SigstoreVerifier, Verifier as _};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [key, evidence, pin] = arguments.as_slice() else {
        return Err("usage: check KEY EVIDENCE REPOSITORY@DIGEST".into());
    };
    let verifier = SigstoreVerifier::with_key(&fs::read(key)?)?;
    let evidence = Evidence::from_json(&fs::read(evidence)?)?;
    let pin: PinnedReference = pin.parse()?;
    let verification = verifier.check(&pin, &evidence, None, SystemTime::now())?;
    if let Some(signer) = verification.signer() {
        println!("{pin} is signed by {signer}");
    }
    Ok(())
}

//! Packs a Wasm file into an image in memory and prints what would be pushed:
//! `cargo run -p qmt-artifact --example pack -- plugin.wasm`
#![expect(clippy::print_stdout, reason = "the output of the example")]

use std::error::Error;
use std::time::UNIX_EPOCH;

use qmt_artifact::pack::{PackRequest, pack};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: pack FILE.wasm")?;
    let image = pack(&PackRequest::new(UNIX_EPOCH).with_wasm(file))?;
    for blob in &image.blobs {
        let blob = &blob.descriptor;
        println!(
            "{} {} bytes, {}",
            blob.digest(),
            blob.size(),
            blob.media_type()
        );
    }
    println!("{} the manifest:", image.root.digest());
    println!("{}", std::str::from_utf8(image.root.bytes())?);
    Ok(())
}

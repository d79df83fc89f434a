//! The worker process of isolated native plugins, for hosts whose own binary cannot be one:
//! `NativeLoader::worker` takes the path of this program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    qmt_loader::native::run_worker_if_asked();
    // Only hosts start it.
    ExitCode::from(2)
}

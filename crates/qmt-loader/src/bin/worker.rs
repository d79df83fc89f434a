//! The worker process of isolated native plugins, for hosts that can't start their own binary as
//! one: `NativeLoader::worker` takes the path of this program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    qmt_loader::native::run_worker_if_asked();
    // It is started by hosts only.
    ExitCode::from(2)
}

//! The `tidemill` binary, built with the tests so that they can start and kill it.

use std::process::ExitCode;

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidemill::app::main()
}

//! The `tidemill` binary, built with the tests so that they can start and kill it.
//!
//! For benchmarks it is what users run. For tests it has the system's allocator, which gives back at once what is freed:
//! what leaks is told by the size of the process.

use std::process::ExitCode;

#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidemill::app::main()
}

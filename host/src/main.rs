//! The `tidemill` binary.

use std::process::ExitCode;

/// Events are allocated by whoever appends them and freed by the store's writer: the system's allocator spends
/// a quarter of an append's processor time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidemill::app::main()
}

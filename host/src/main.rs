//! The `tidemill` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill::app::main()
}

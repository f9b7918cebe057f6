//! The `tidemill` binary, built with the tests so that they can start and kill it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill::app::main()
}

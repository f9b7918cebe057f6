//! A server of a benchmark's own: this program, over a store in a temporary directory.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::cli::error::{CliError, Exit};
use crate::cli::server_url::ServerUrl;
use crate::config::own_program;

/// It ends, and its store is removed, when it is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    process: Child,
    pub(super) http: ServerUrl,
    pub(super) grpc: ServerUrl,
    /// Holds its store; removed after the process has ended.
    _directory: TempDir,
}

impl Scratch {
    /// Starts it over a store in a temporary directory below `place`, with the defaults for everything else.
    pub(super) fn start(place: &Path) -> Result<Self, CliError> {
        let failed = |what: String| CliError::new(Exit::Failure, format_args!("no scratch server: {what}"));
        let directory = tempfile::Builder::new().prefix("tidemill-bench-").tempdir_in(place).map_err(|error| {
            failed(format!("{} cannot be written: {error}", place.display()))
                .hint("give another directory by --disk DIR")
        })?;
        let program = own_program().ok_or_else(|| failed("where this program is cannot be told".into()))?;
        let mut process = Command::new(program)
            .args([
                "--log",
                "warn",
                "serve",
                "--config",
                "/dev/null",
                "--listen",
                "127.0.0.1:0",
                "--grpc-listen",
                "127.0.0.1:0",
                "--data",
                "data",
            ])
            .current_dir(directory.path())
            // What is configured for others is not for this one.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        match announced(&mut process) {
            Some((http, grpc)) => Ok(Self { process, http, grpc, _directory: directory }),
            None => {
                end(&mut process);
                Err(failed("it did not start; what it said stands above".into()))
            }
        }
    }
}

/// Where it listens, as it says on its first two lines.
fn announced(process: &mut Child) -> Option<(ServerUrl, ServerUrl)> {
    let mut lines = BufReader::new(process.stdout.take()?).lines().map_while(Result::ok);
    let http = lines.next()?.parse().ok()?;
    let grpc = lines.next()?.strip_prefix("grpc ")?.parse().ok()?;
    Some((http, grpc))
}

fn end(process: &mut Child) {
    // It may have ended by itself, and what it wrote is thrown away.
    let _ = process.kill();
    let _ = process.wait();
}

impl Drop for Scratch {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

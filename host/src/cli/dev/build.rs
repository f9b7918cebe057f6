//! Runs a project's build. What it says is kept, and it ends when nobody waits for it any more.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::sleep;

use super::project::Project;
use crate::cli::error::{CliError, Exit};
use crate::clock::Stopwatch;

/// How often it is looked whether the build has ended.
const LOOK: Duration = Duration::from_millis(20);
/// The last of what a build said, in bytes.
const SAID_BYTES_MAX: u64 = 256 << 10;

/// A build that has ended.
pub(super) struct Built {
    pub(super) status: ExitStatus,
    /// What it said, on both of its streams.
    pub(super) said: String,
    pub(super) took: Duration,
}

/// Builds a project.
pub(super) async fn build(project: &Project) -> Result<Built, CliError> {
    let watch = Stopwatch::start();
    let failed =
        |error: io::Error| CliError::new(Exit::Failure, format_args!("`{}` cannot be run: {error}", project.build));
    let mut said = tempfile::tempfile().map_err(failed)?;
    let mut running = Running::start(project, &said).map_err(failed)?;
    let status = loop {
        match running.0.try_wait().map_err(failed)? {
            Some(status) => break status,
            None => sleep(LOOK).await,
        }
    };
    let said = last_of(&mut said).map_err(failed)?;
    Ok(Built { status, said, took: watch.elapsed() })
}

/// A build at work. Ended when dropped, with every program that it has started.
struct Running(Child);

impl Running {
    fn start(project: &Project, said: &File) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", &project.build]).current_dir(&project.folder).process_group(0);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said.try_clone()?);
        command.spawn().map(Self)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let group = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
            // It may be gone by itself.
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            let _ = self.0.wait();
        }
    }
}

fn last_of(said: &mut File) -> io::Result<String> {
    let bytes = said.metadata()?.len();
    said.seek(SeekFrom::Start(bytes.saturating_sub(SAID_BYTES_MAX)))?;
    let mut last = Vec::new();
    said.read_to_end(&mut last)?;
    Ok(String::from_utf8_lossy(&last).trim_end().to_owned())
}

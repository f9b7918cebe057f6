//! The host's side of a compiling process.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::answer::{self, Answer};
use crate::runtime::LoadError;
use crate::runtime::text::one_line;

/// What is kept of what a compiling process says on stderr, in bytes.
const SAID_BYTES_MAX: u64 = 2048;

/// What compiling one component may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space of the process, in bytes.
    pub memory_bytes: u64,
    /// Processor time, over all of its threads, in milliseconds; held to in whole seconds.
    pub cpu_ms: u64,
    /// Wall time, in milliseconds: a busy machine needs more of it than of the processor's.
    pub time_ms: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { memory_bytes: 4 << 30, cpu_ms: 60_000, time_ms: 600_000 }
    }
}

/// A program that compiles components: one that calls [`compile_child`](super::compile_child) on its stdin and
/// stdout, built from the same release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; it must know the limits, and hold itself to them.
    pub arguments: Vec<OsString>,
    /// What one compile may take. The time is watched from here, too.
    pub limits: CompileLimits,
}

/// How many KiB the allocator of a compiling process reserves at a time. It reserves a gibibyte otherwise, which may be
/// all that the process is allowed.
const ARENA: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "16384");

impl Compiler {
    /// The `tidemill` binary at this path.
    #[must_use]
    pub fn tidemill(program: PathBuf, limits: CompileLimits) -> Self {
        let CompileLimits { memory_bytes, cpu_ms, time_ms } = limits;
        let arguments = ["compile-component".into(), memory_bytes.to_string(), cpu_ms.to_string(), time_ms.to_string()];
        Self { program, arguments: arguments.map(OsString::from).into(), limits }
    }

    /// Compiles a component. Blocks, for no longer than the limit and a moment.
    pub(in crate::runtime) fn compile(&self, component: &[u8]) -> Result<Vec<u8>, LoadError> {
        let ended = self.run(component).map_err(|error| LoadError::Engine {
            reason: format!("the compiler {} cannot be run: {error}", self.program.display()),
        })?;
        match ended {
            Ended { answer: Some(Ok(artefact)), .. } => Ok(artefact),
            Ended { answer: Some(Err(reason)), .. } => Err(LoadError::Invalid { reason }),
            Ended { timed_out: true, .. } => {
                Err(LoadError::CompileLimit { reason: format!("it takes more than {} ms", self.limits.time_ms) })
            }
            Ended { status, said, .. } => Err(self.died(status, &said)),
        }
    }

    fn died(&self, status: ExitStatus, said: &str) -> LoadError {
        let said = one_line(said);
        let Some(signal) = status.signal() else {
            let reason = format!("the compiler {} ended with {status}: {said}", self.program.display());
            return LoadError::Engine { reason };
        };
        if signal == Signal::XCPU.as_raw() {
            let reason = format!("it takes more than {} ms of the processor's time", self.limits.cpu_ms);
            return LoadError::CompileLimit { reason };
        }
        let mebibytes = self.limits.memory_bytes >> 20;
        LoadError::CompileLimit {
            reason: format!(
                "it needs more than {mebibytes} MiB, or makes the compiler crash (signal {signal}; {said})"
            ),
        }
    }

    fn run(&self, component: &[u8]) -> io::Result<Ended> {
        let mut stderr = tempfile::tempfile()?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env(ARENA.0, ARENA.1)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone()?)
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let child = Mutex::new(child);
        let (done, finished) = mpsc::sync_channel::<()>(1);
        let (answer, timed_out) = thread::scope(|scope| {
            let (child, time) = (&child, Duration::from_millis(self.limits.time_ms));
            let watch = scope.spawn(move || watch(child, &finished, time));
            let answer = talk(pipes, component);
            drop(done);
            // A watchdog that panicked has not killed anything.
            (answer, watch.join().unwrap_or(false))
        });
        // It has closed its stdout: it ends by itself now, unless it is up to something. One that has ended
        // already cannot be killed.
        let mut child = child.into_inner().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let status = child.wait()?;
        Ok(Ended { answer, timed_out, status, said: tail(&mut stderr)? })
    }
}

/// How a compiling process ended.
struct Ended {
    answer: Option<Answer>,
    timed_out: bool,
    status: ExitStatus,
    said: String,
}

/// Hands the component over and reads the answer. A process that does not listen is told by its answer.
fn talk((stdin, stdout): (Option<ChildStdin>, Option<ChildStdout>), component: &[u8]) -> Option<Answer> {
    let (mut stdin, mut stdout) = (stdin?, stdout?);
    let _ = stdin.write_all(component);
    drop(stdin);
    answer::read(&mut stdout).ok().flatten()
}

/// Kills the process when its time is over; says whether it was.
fn watch(child: &Mutex<Child>, finished: &Receiver<()>, time: Duration) -> bool {
    let late = finished.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    if late {
        // It may have ended in this moment: then there is nothing to kill.
        let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }
    late
}

fn tail(stderr: &mut File) -> io::Result<String> {
    let length = stderr.seek(SeekFrom::End(0))?;
    stderr.seek(SeekFrom::Start(length.saturating_sub(SAID_BYTES_MAX)))?;
    let mut said = Vec::new();
    stderr.take(SAID_BYTES_MAX).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

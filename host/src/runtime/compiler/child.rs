//! The compiling process.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

use super::answer;
use super::parent::CompileLimits;
use crate::runtime::compile::COMPONENT_BYTES_MAX;
use crate::runtime::engine;
use crate::runtime::fault::chain;

/// How far it steps back behind the threads that deliver events.
const NICE: i32 = 5;
/// Most that it may write to a file: what it says on stderr.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Compiles the component on `input` and answers on `output`, as a [`Compiler`](super::Compiler) expects it. Holds
/// this whole process to `limits`, for good: only for a process that does nothing else.
///
/// # Errors
/// When the process cannot be bounded, or the other side is gone.
pub fn compile_child(limits: &CompileLimits, input: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
    bound(limits)?;
    let mut component = Vec::new();
    let bytes_max = u64::try_from(COMPONENT_BYTES_MAX).unwrap_or(u64::MAX);
    input.take(bytes_max.saturating_add(1)).read_to_end(&mut component)?;
    answer::write(&compile(&component), output)
}

fn compile(component: &[u8]) -> answer::Answer {
    let compiled = catch_unwind(AssertUnwindSafe(|| {
        let engine = wasmtime::Engine::new(&engine::config())?;
        engine.precompile_component(component)
    }));
    match compiled {
        Ok(artefact) => artefact.map_err(|error| chain(&error)),
        // Mostly it had no memory for a thread or for code. The parent tells it from a component that is not valid.
        Err(_) => std::process::abort(),
    }
}

fn bound(limits: &CompileLimits) -> io::Result<()> {
    let set = |resource, max: u64| setrlimit(resource, Rlimit { current: Some(max), maximum: Some(max) });
    set(Resource::As, limits.memory_bytes)?;
    // The lower one ends it by a signal that tells why.
    let cpu_seconds = limits.cpu_ms.div_ceil(1_000);
    setrlimit(Resource::Cpu, Rlimit { current: Some(cpu_seconds), maximum: Some(cpu_seconds.saturating_add(1)) })?;
    set(Resource::Core, 0)?;
    set(Resource::Fsize, FILE_BYTES_MAX)?;
    // Good manners; without them it compiles all the same.
    let _ = nice(NICE);
    #[cfg(target_os = "linux")]
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

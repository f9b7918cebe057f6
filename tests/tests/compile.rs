//! Compiling in a process of its own: what is hostile to the compiler is refused, and delays nobody.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::PathBuf;

use tidemill::app::{Host, HostOptions};
use tidemill::event::{EventType, NewEvent, PluginName, Position};
use tidemill::runtime::{CompileLimits, Compiler, Engine, EngineOptions, LoadError};
use tidemill::store::AppendRequest;
use tidemill_plugins::COUNTER;
use tidemill_tests::{guests, install, poll, replace, tidemill};

fn compiler(limits: CompileLimits) -> Compiler {
    Compiler::tidemill(PathBuf::from(tidemill().get_program()), limits)
}

fn engine(compiler: Compiler) -> Engine {
    Engine::new(EngineOptions { compiler: Some(compiler), ..EngineOptions::default() }).unwrap()
}

/// A component of functions whose every loop carries every local: small to write down, large to compile.
fn bomb(functions: usize, loops: usize, locals: usize) -> Vec<u8> {
    let mut text = String::from("(component (core module ");
    for _ in 0..functions {
        text.push_str("(func (param i32) (local");
        text.push_str(&" i64".repeat(locals));
        text.push(')');
        for _ in 0..loops {
            text.push_str("(loop ");
            for local in 1..=locals {
                let next = local % locals + 1;
                write!(text, "(local.set {local} (i64.add (local.get {local}) (local.get {next})))").unwrap();
            }
            text.push_str("(br_if 0 (local.get 0)))");
        }
        text.push(')');
    }
    text.push_str("))");
    wat::parse_str(text).unwrap()
}

fn limit(reached: LoadError) -> String {
    match reached {
        LoadError::CompileLimit { reason } => reason,
        other => panic!("expected a limit, got {other}"),
    }
}

#[test]
fn what_a_process_of_its_own_compiles_is_loaded() {
    let engine = engine(compiler(CompileLimits::default()));
    assert!(engine.load(guests::OK).is_ok());
    let without_its_result = wat::parse_str("(component (core module (func (result i32))))").unwrap();
    assert!(matches!(engine.load(&without_its_result), Err(LoadError::Invalid { .. })), "the reason comes back");
}

#[test]
fn a_compiler_that_cannot_be_run_is_named() {
    let missing = Compiler { program: "/nowhere/tidemill".into(), ..compiler(CompileLimits::default()) };
    let said = engine(missing).load(guests::OK).unwrap_err().to_string();
    assert!(said.contains("/nowhere/tidemill"), "{said}");
    let mute = Compiler { program: "/bin/true".into(), ..compiler(CompileLimits::default()) };
    assert!(matches!(engine(mute).load(guests::OK), Err(LoadError::Engine { .. })), "an answer that is none");
}

#[test]
fn a_compile_that_takes_too_long_is_stopped() {
    let limits = CompileLimits { time_ms: 300, ..CompileLimits::default() };
    let reason = limit(engine(compiler(limits)).load(&bomb(64, 100, 400)).unwrap_err());
    assert!(reason.contains("more than 300 ms"), "{reason}");
}

#[test]
fn a_compile_that_takes_too_much_of_the_processor_is_stopped() {
    let limits = CompileLimits { cpu_ms: 1_000, ..CompileLimits::default() };
    let reason = limit(engine(compiler(limits)).load(&bomb(64, 100, 400)).unwrap_err());
    assert!(reason.contains("more than 1000 ms of the processor's time"), "{reason}");
}

#[test]
fn a_compile_that_takes_too_much_memory_is_stopped() {
    let limits = CompileLimits { memory_bytes: 1 << 30, cpu_ms: 600_000, ..CompileLimits::default() };
    let engine = engine(compiler(limits));
    let reason = limit(engine.load(&bomb(2, 2000, 400)).unwrap_err());
    assert!(reason.contains("more than 1024 MiB"), "{reason}");
    assert!(engine.load(guests::OK).is_ok(), "what is harmless compiles within it");
}

/// Whether a counter counts while a bomb is compiled that was there before it, and is given up after so long.
async fn counts_meanwhile(time_ms: u64) -> bool {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    replace(&plugins.path().join("bomb.wasm"), &bomb(64, 100, 400));
    let limits = CompileLimits { time_ms, ..CompileLimits::default() };
    let options = HostOptions {
        plugins: Some(plugins.path().into()),
        compiler: Some(compiler(limits)),
        ..HostOptions::new(data.path().into())
    };
    let host = Host::start(options).await.unwrap();
    let (bomb, counter) = (PluginName::new("bomb").unwrap(), PluginName::new("counter").unwrap());
    let loading = |host: &Host| host.plugin(&bomb).is_some_and(|info| info.loading);
    poll("the bomb to be compiled", || loading(&host).then_some(()));
    install(plugins.path(), "counter", &COUNTER);
    let event = NewEvent::json(EventType::new("Ticked").unwrap(), "{}");
    host.store().append(AppendRequest::unconditional(vec![event])).await.unwrap();
    let counted = |host: &Host| {
        let status = host.dispatcher(&counter).map(|dispatcher| dispatcher.status());
        status.is_some_and(|status| status.checkpoint >= Position(1))
    };
    poll("the counter to count", || counted(&host).then_some(()));
    let meanwhile = loading(&host);
    poll("the bomb to be refused", || (!loading(&host)).then_some(()));
    let problem = host.plugin(&bomb).unwrap().problem.unwrap().reason;
    // Of time, or, on many cores, of the processor's time.
    assert!(problem.contains("it takes more than "), "{problem}");
    host.shutdown().await;
    meanwhile
}

#[tokio::test(flavor = "multi_thread")]
async fn others_deliver_while_a_hostile_component_compiles() {
    // A machine may be too busy to load the counter within the first time; one that waits for the bomb counts within none.
    assert!(counts_meanwhile(10_000).await || counts_meanwhile(100_000).await, "while the bomb was being compiled");
}

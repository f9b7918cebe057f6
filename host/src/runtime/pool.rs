//! The instances of a component that any number of callers may call at a time, one function of it.
//!
//! Instances are made as they are needed, kept between calls, at most as many as are called at a time, and dropped
//! after any fault. Whatever comes of a call, it is ended: the guest's unfinished lines are written, and what was dropped
//! of its log is told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lift, Lower, TypedFunc};

use super::component::InstanceOptions;
use super::fault::Failed;
use super::guest::Guest;
use super::instance::{Instance, Linked};

/// Most instances that are kept while nobody calls them.
const IDLE_MAX: usize = 8;

/// Instances of one component, and how they are made.
pub(super) struct Pool<P, R> {
    linked: Linked,
    options: Arc<InstanceOptions>,
    /// Where the function is found.
    export: ComponentExportIndex,
    /// Names what went wrong.
    failed: fn(&wasmtime::Error, &mut Guest) -> Failed,
    idle: Mutex<Vec<Running<P, R>>>,
    /// Memory of the instance that was called last, after that.
    memory_bytes: AtomicUsize,
}

/// A started instance.
pub(super) struct Running<P, R> {
    pub(super) instance: Instance,
    pub(super) function: TypedFunc<P, R>,
}

impl<P, R> Pool<P, R>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift + 'static,
{
    pub(super) fn new(
        linked: Linked,
        options: InstanceOptions,
        export: ComponentExportIndex,
        failed: fn(&wasmtime::Error, &mut Guest) -> Failed,
    ) -> Self {
        Self {
            linked,
            options: Arc::new(options),
            export,
            failed,
            idle: Mutex::default(),
            memory_bytes: AtomicUsize::default(),
        }
    }

    /// Memory of the instance that was called last, after that, in bytes; 0 where none was called.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// A fresh instance.
    pub(super) fn start(&self) -> Result<Instance, Failed> {
        let store = Instance::store(&self.linked, Arc::clone(&self.options));
        Instance::start(store, &self.linked).map_err(|(mut store, error)| (self.failed)(&error, store.data_mut()))
    }

    /// An instance to call: one that is idle, or a fresh one.
    pub(super) fn taken(&self) -> Result<Running<P, R>, Failed> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(running) = idle {
            return Ok(running);
        }
        let mut instance = self.start()?;
        match instance.function(&self.export) {
            Ok(function) => Ok(Running { instance, function }),
            Err(error) => Err((self.failed)(&error, instance.store.data_mut())),
        }
    }

    /// Keeps an instance for the next call, unless there are enough, or its memory is nearly full.
    pub(super) fn keep(&self, running: Running<P, R>) {
        let full = running.instance.store.data().limiter.memory_bytes() > self.options.limits.memory_bytes / 4 * 3;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !full && idle.len() < IDLE_MAX {
            idle.push(running);
        }
    }

    /// Calls the component: `work` begins a call and makes it. The instance goes after any fault.
    pub(super) fn call<T>(
        &self,
        work: impl FnOnce(&mut Store<Guest>, TypedFunc<P, R>) -> wasmtime::Result<T>,
    ) -> Result<T, Failed> {
        let mut running = self.taken()?;
        let (store, function) = (&mut running.instance.store, running.function);
        // The store is dropped after a panic, so nothing half-changed is seen again.
        let called = catch_unwind(AssertUnwindSafe(|| work(store, function)));
        let called =
            called.unwrap_or_else(|_| Err(wasmtime::format_err!("the engine panicked; the host's log has more")));
        let guest = running.instance.store.data_mut();
        self.memory_bytes.store(guest.limiter.memory_bytes(), Ordering::Relaxed);
        let answer = called.map_err(|error| (self.failed)(&error, guest));
        guest.output.end_call();
        if answer.is_ok() {
            self.keep(running);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{PluginName, Position};
    use crate::runtime::http::Trust;
    use crate::runtime::output::Stream;
    use crate::runtime::{Limits, Transcript, authority, compile, engine, instance};

    const COMPONENT: &str = r#"(component
      (core module $m (memory 2) (func (export "well")) (func (export "trap") unreachable))
      (core instance $i (instantiate $m))
      (func (export "well") (canon lift (core func $i "well")))
      (func (export "trap") (canon lift (core func $i "trap"))))"#;

    fn pool(export: &str, transcript: &Transcript) -> Pool<(), ()> {
        let engine = wasmtime::Engine::new(&engine::config()).unwrap();
        let component = compile::compile(&engine, &wat::parse_str(COMPONENT).unwrap()).unwrap();
        let pre = authority::linker(&engine).unwrap().instantiate_pre(&component).unwrap();
        let linked = Linked { pre, waits: false, trust: Trust::default() };
        let mut options = InstanceOptions::new(PluginName::new("p").unwrap(), Limits::default());
        options.transcript = transcript.clone();
        Pool::new(linked, options, component.get_export_index(None, export).unwrap(), Failed::of_one)
    }

    #[test]
    fn every_call_ends_and_only_who_is_well_is_kept() {
        for (export, kept) in [("well", 1), ("trap", 0)] {
            let transcript = Transcript::kept();
            let pool = pool(export, &transcript);
            assert_eq!(pool.memory_bytes(), 0, "nobody has called it");
            for _ in 0..2 {
                let called = pool.call(|store, function| {
                    store.data_mut().begin_call_at(1, Position(1));
                    store.data().output.write(Stream::Stdout, b"half a line");
                    instance::call(store, function, ())
                });
                assert_eq!((called.is_ok(), pool.idle.lock().unwrap().len()), (kept == 1, kept), "{export}");
                let said: Vec<_> = transcript.take().into_iter().map(|line| line.message).collect();
                assert_eq!(said, ["half a line"], "{export}");
                assert_eq!(pool.memory_bytes(), 2 << 16, "{export}");
            }
        }
    }
}
